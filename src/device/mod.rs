//! Where bytes live and how accesses complete.
//!
//! ```text
//!        the log, a session, a scan
//!          |  submit(request, sink, token)           ^  sink.complete(token, done)
//!          v                                         |
//!   +---- StorageDevice -----------------------------+-------------------------------+
//!   |  NullDisk      MemoryDisk      FileSystemDisk        a device of your own      |
//!   |  keeps         bytes in        segment files,        BlockingDevice (read,     |
//!   |  nothing       memory          or one file           write, sync, truncate)    |
//!   |     \              /                 \                   /                      |
//!   |     complete within submit          ThreadPoolDevice                           |
//!   +--------------------------------------------------------------------------------+
//!   for tests: FaultyDisk around any of them; `conformance` checks the contract
//! ```
//!
//! A session has a channel to the device: its own ring where the device has rings, `submit` and an inbox otherwise.
//!
//! A request owns its buffer and a completion brings it back, so a device never borrows memory from its caller. Whether
//! an access blocks is a matter of the sink alone: a thread waits on a [`CompletionQueue`], a future wakes its task.
//!
//! The contract is the list C1 to C11 at [`StorageDevice`]. How to choose a device and how to write one:
//! `docs/devices.md`.

mod ahead;
mod blocking;
mod channel;
mod completion;
#[cfg(all(any(test, feature = "test-util"), not(oxifaster_loom)))]
pub mod conformance;
#[cfg(all(any(test, feature = "test-util"), not(oxifaster_loom)))]
mod faulty;
#[cfg(not(oxifaster_loom))]
mod file;
#[cfg(not(oxifaster_loom))]
mod io_uring;
#[cfg(all(test, oxifaster_loom))]
mod loom;
mod memory;
mod null;
mod request;
#[cfg(not(oxifaster_loom))]
mod rewrite;
mod segments;
mod storage_device;
#[cfg(not(oxifaster_loom))]
mod sync_failure;
#[cfg(not(oxifaster_loom))]
mod thread_pool;

pub use blocking::BlockingDevice;
pub use channel::{IoChannel, SharedChannel};
pub use completion::{CompletionQueue, CompletionSink};
pub(crate) use completion::{access, answer};
#[cfg(all(any(test, feature = "test-util"), not(oxifaster_loom)))]
pub use faulty::{FaultPlan, FaultyDisk, IoCounts};
#[cfg(not(oxifaster_loom))]
pub use file::{FileSystemDisk, FileSystemDiskOptions};
#[cfg(not(oxifaster_loom))]
pub use io_uring::{IoBackend, IoUringDevice, PoolReason};
pub use memory::MemoryDisk;
pub use null::NullDisk;
pub use request::{IoDone, IoOp, IoRequest, Token};
#[cfg(not(oxifaster_loom))]
pub(crate) use rewrite::rewrite;
pub use storage_device::{DeviceInfo, StorageDevice};
#[cfg(not(oxifaster_loom))]
pub use thread_pool::ThreadPoolDevice;

/// The examples of the guide are run as tests.
#[cfg(all(doctest, feature = "test-util"))]
#[doc = include_str!("../../docs/devices.md")]
mod guide {}
