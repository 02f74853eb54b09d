//! Where bytes live and how accesses complete.

mod completion;
mod request;
mod storage_device;

pub use completion::{CompletionQueue, CompletionSink};
pub use request::{IoDone, IoOp, IoRequest, Token};
pub use storage_device::{DeviceInfo, StorageDevice};
