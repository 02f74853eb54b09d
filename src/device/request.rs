//! One access to a device: the request that owns its buffer, and what comes back.

use crate::error::{Error, Result};
use crate::memory::AlignedBuf;

/// Names a request among those of its sink. The sink's owner chooses it.
pub type Token = u64;

/// What an access does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IoOp {
    /// Fills the buffer's first `len` bytes from `offset` on.
    Read,
    /// Writes the buffer's first `len` bytes at `offset`.
    Write,
    /// Makes every completed write durable.
    Sync,
    /// Gives up everything below `offset`.
    TruncateBefore,
}

/// An access. It owns its buffer until the completion brings it back.
#[derive(Debug)]
pub struct IoRequest {
    /// What to do.
    pub op: IoOp,
    /// Where, in bytes from the start of the device.
    pub offset: u64,
    /// How many bytes of the buffer take part.
    pub len: usize,
    /// The memory that is read into or written from; empty for a sync or truncation.
    pub buf: AlignedBuf,
}

impl IoRequest {
    /// A read of `len` bytes at `offset` into `buf`.
    pub fn read(offset: u64, len: usize, buf: AlignedBuf) -> Self {
        Self { op: IoOp::Read, offset, len, buf }
    }

    /// A write of the first `len` bytes of `buf` at `offset`.
    pub fn write(offset: u64, len: usize, buf: AlignedBuf) -> Self {
        Self { op: IoOp::Write, offset, len, buf }
    }

    /// A sync of everything written.
    pub fn sync() -> Self {
        Self { op: IoOp::Sync, offset: 0, len: 0, buf: AlignedBuf::empty() }
    }

    /// Gives up everything below `offset`.
    pub fn truncate_before(offset: u64) -> Self {
        Self { op: IoOp::TruncateBefore, offset, len: 0, buf: AlignedBuf::empty() }
    }

    /// The completion of this request with `result`.
    pub fn done(self, result: Result<usize>) -> IoDone {
        IoDone { buf: self.buf, result }
    }

    /// The completion of this request with an error.
    pub fn failed(self, error: Error) -> IoDone {
        self.done(Err(error))
    }
}

/// A finished access.
#[derive(Debug)]
pub struct IoDone {
    /// The request's buffer.
    pub buf: AlignedBuf,
    /// Bytes read or written, or why not.
    pub result: Result<usize>,
}
