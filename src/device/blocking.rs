//! The easy way to write a device: say how to read, write and sync, and let a thread pool turn it into completions.

use super::DeviceInfo;
use crate::error::Result;

/// A device whose calls return when the access is over.
///
/// [`ThreadPoolDevice`](super::ThreadPoolDevice) makes a [`StorageDevice`](super::StorageDevice) of it and keeps every
/// clause of the contract that can be kept once for all: it checks requests (offsets, lengths and buffer addresses that
/// arrive here are multiples of the sector size), remembers a failed sync, turns a panic into an error, and never has
/// two calls of [`sync`](Self::sync) under way at once. All other calls may overlap.
pub trait BlockingDevice: Send + Sync + 'static {
    /// What the engine may know of this device. Asked once.
    fn info(&self) -> DeviceInfo;

    /// Fills `buf` from `offset` on and returns how many bytes there were: fewer than asked for only where the device's
    /// contents end. Places below the end that were never written read as zeros.
    ///
    /// # Errors
    /// Whatever keeps the bytes from being read.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize>;

    /// Writes all of `buf` at `offset`.
    ///
    /// # Errors
    /// Whatever keeps the bytes from being written; a part of them may have been.
    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()>;

    /// Makes every write that returned before this call durable.
    ///
    /// # Errors
    /// The device is then asked for nothing but reads and truncations any more.
    fn sync(&self) -> Result<()>;

    /// Gives up what lies below `offset`, or as much of it as can be given up cheaply. Calling it again, or with a lower
    /// offset, changes nothing.
    ///
    /// # Errors
    /// Whatever keeps the space from being freed.
    fn truncate_before(&self, offset: u64) -> Result<()>;
}
