//! Writing what is there once more.

use super::completion::access;
use super::request::IoRequest;
use super::storage_device::StorageDevice;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::AlignedBuf;
use std::ops::Range;
use std::time::Duration;

/// Bytes that are written at a time.
const CHUNK: u64 = 1 << 20;

/// Reads these bytes and writes them again, as `change` leaves them, which is told where they lie. The next sync covers them then,
/// whatever became of the one before: after a sync that failed, what can be read is not durable, and no later sync makes it so.
///
/// # Errors
/// [`ErrorKind::Io`] if the device ends before them; the device's.
pub(crate) fn rewrite(
    device: &dyn StorageDevice,
    bytes: Range<u64>,
    wait: Duration,
    mut change: impl FnMut(u64, &mut [u8]),
) -> Result<()> {
    let mut offset = bytes.start;
    while offset < bytes.end {
        let len = (bytes.end - offset).min(CHUNK) as usize;
        let mut done = access(device, IoRequest::read(offset, len, AlignedBuf::zeroed(len)), wait)?;
        if done.result? < len {
            return Err(Error::new(ErrorKind::Io, "the device has become shorter").with("device offset", offset));
        }
        change(offset, &mut done.buf[..len]);
        access(device, IoRequest::write(offset, len, done.buf), wait)?;
        offset += len as u64;
    }
    Ok(())
}
