//! Reads without a thread: each session that reads has a ring, a pair of queues that it shares with the kernel.
//!
//! ```text
//!   session -- RingChannel --+-- reads ------> Ring   64 under way, one system call for a group      (lent by Rings)
//!                            +-- the rest ---> thread pool of the same FileSystemDisk
//!   shared submit -------------------------->  (writes, syncs, truncations, reads without a session)
//!   write_through ---- Through --------------> Ring   one write, durable when it is done
//! ```
//!
//! A session may go from thread to thread while its reads are under way, so a ring must be usable from any thread: it is
//! not made for a single issuer, and what the kernel finished it brings when the thread that started it enters the kernel
//! for whatever reason. Decision 0008 has the measurements.
//!
//! * **I1** A ring has one user at a time: the channel to which it is lent, or nobody. It goes back when nothing is under
//!   way in it.
//! * **I2** Every read that the kernel has is in a slot of a ring, with its buffer and its file (U1 and U2 in `ring.rs`).
//! * **I3** A read without a ring goes to the thread pool: rings make reads fast, not possible.
//!
//! Off Linux, and without the feature `io_uring`, there are no rings and the thread pool does everything.

#[cfg(not(all(target_os = "linux", feature = "io_uring")))]
mod absent;
mod backend;
#[cfg(all(target_os = "linux", feature = "io_uring"))]
mod channel;
mod device;
#[cfg(all(target_os = "linux", feature = "io_uring"))]
mod reactor;
#[cfg(all(target_os = "linux", feature = "io_uring"))]
mod ring;
#[cfg(all(target_os = "linux", feature = "io_uring"))]
mod rings;
#[cfg(all(target_os = "linux", feature = "io_uring"))]
mod through;

#[cfg(not(all(target_os = "linux", feature = "io_uring")))]
pub(super) use absent::{Reactor, Rings, Through};
pub use backend::{IoBackend, PoolReason};
pub use device::IoUringDevice;
#[cfg(all(target_os = "linux", feature = "io_uring"))]
pub(super) use reactor::Reactor;
#[cfg(all(target_os = "linux", feature = "io_uring"))]
pub(super) use rings::Rings;
#[cfg(all(target_os = "linux", feature = "io_uring"))]
pub(super) use through::Through;
