//! Where bytes live and how accesses complete.

mod blocking;
mod completion;
#[cfg(all(any(test, feature = "test-util"), not(oxifaster_loom)))]
pub mod conformance;
#[cfg(all(any(test, feature = "test-util"), not(oxifaster_loom)))]
mod faulty;
#[cfg(not(oxifaster_loom))]
mod file;
#[cfg(all(test, oxifaster_loom))]
mod loom;
mod memory;
mod null;
mod request;
mod segments;
mod storage_device;
#[cfg(not(oxifaster_loom))]
mod sync_failure;
#[cfg(not(oxifaster_loom))]
mod thread_pool;

pub use blocking::BlockingDevice;
pub use completion::{CompletionQueue, CompletionSink};
#[cfg(all(any(test, feature = "test-util"), not(oxifaster_loom)))]
pub use faulty::{FaultPlan, FaultyDisk, IoCounts};
#[cfg(not(oxifaster_loom))]
pub use file::{FileSystemDisk, FileSystemDiskOptions};
pub use memory::MemoryDisk;
pub use null::NullDisk;
pub use request::{IoDone, IoOp, IoRequest, Token};
pub use storage_device::{DeviceInfo, StorageDevice};
#[cfg(not(oxifaster_loom))]
pub use thread_pool::ThreadPoolDevice;
