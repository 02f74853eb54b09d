//! Where bytes live and how accesses complete.

mod blocking;
mod completion;
#[cfg(not(oxifaster_loom))]
mod file;
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
#[cfg(not(oxifaster_loom))]
pub use file::{FileSystemDisk, FileSystemDiskOptions};
pub use memory::MemoryDisk;
pub use null::NullDisk;
pub use request::{IoDone, IoOp, IoRequest, Token};
pub use storage_device::{DeviceInfo, StorageDevice};
#[cfg(not(oxifaster_loom))]
pub use thread_pool::ThreadPoolDevice;
