//! Who carries out the reads of sessions, and why.

use crate::error::Error;
use std::fmt;

/// Who carries out the reads of sessions on a [`FileSystemDisk`](crate::device::FileSystemDisk).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum IoBackend {
    /// The kernel, through rings that it shares with the sessions.
    IoUring,
    /// A pool of threads, for this reason.
    ThreadPool(PoolReason),
}

/// Why a pool of threads carries out the reads.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PoolReason {
    /// The library was built for another system than Linux, or without its feature `io_uring`.
    NotBuilt,
    /// The options or the environment variable `OXIFASTER_IO_URING=0` say so.
    TurnedOff,
    /// The kernel does not offer rings, or not to this process.
    Refused(Error),
}

impl fmt::Display for IoBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IoUring => f.write_str("io_uring"),
            Self::ThreadPool(reason) => write!(f, "thread pool ({reason})"),
        }
    }
}

impl fmt::Display for PoolReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBuilt => f.write_str("built without io_uring"),
            Self::TurnedOff => f.write_str("io_uring is turned off"),
            Self::Refused(error) => error.fmt(f),
        }
    }
}
