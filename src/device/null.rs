//! A device that keeps nothing.

use super::{CompletionSink, DeviceInfo, IoOp, IoRequest, StorageDevice, Token};
use crate::error::{Error, ErrorKind};
use crate::memory::AlignedBuf;
use std::sync::Arc;

/// Accepts every write, has nothing to read. For stores whose data must not outgrow memory, and for caches.
///
/// Completes within [`submit`](StorageDevice::submit).
#[derive(Debug, Clone, Copy, Default)]
pub struct NullDisk;

impl NullDisk {
    /// A device that keeps nothing.
    pub const fn new() -> Self {
        Self
    }
}

impl StorageDevice for NullDisk {
    fn info(&self) -> DeviceInfo {
        DeviceInfo::new(AlignedBuf::ALIGN).with_readable(false)
    }

    fn submit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        let result = request.check(AlignedBuf::ALIGN).and_then(|()| match request.op {
            IoOp::Read => Err(Error::new(ErrorKind::Limit, "reading from a device that keeps nothing")
                .with("offset", request.offset)
                .help("give the store a device that can be read, or more memory")),
            IoOp::Write => Ok(request.len),
            IoOp::Sync | IoOp::TruncateBefore => Ok(0),
        });
        sink.complete(token, request.done(result));
    }
}
