//! The contract between the engine and whatever keeps its bytes.

use super::{CompletionSink, IoChannel, IoDone, IoRequest, Token};
use std::sync::Arc;
use std::time::Duration;

/// What the engine may know of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Offsets, lengths and buffer addresses of every access are multiples of this power of two.
    pub sector_size: usize,
    /// False if the device keeps nothing: what was written cannot be read back.
    pub readable: bool,
    /// Bytes from the start of the device up to the end of what it already held when it was opened; of a device that is only read,
    /// and may be written by somebody else, what it holds now.
    pub extent: u64,
    /// Below, everything had been truncated when the device was opened, and no access is possible. It may have moved since.
    pub begin: u64,
}

impl DeviceInfo {
    /// A device with sectors of `sector_size` bytes that holds nothing yet and can be read back.
    pub const fn new(sector_size: usize) -> Self {
        Self { sector_size, readable: true, extent: 0, begin: 0 }
    }

    /// Says whether what was written can be read back.
    #[must_use]
    pub const fn with_readable(mut self, readable: bool) -> Self {
        self.readable = readable;
        self
    }

    /// Says where the device begins.
    #[must_use]
    pub const fn with_begin(mut self, begin: u64) -> Self {
        self.begin = begin;
        self
    }

    /// Says how far the device already held bytes when it was opened.
    #[must_use]
    pub const fn with_extent(mut self, extent: u64) -> Self {
        self.extent = extent;
        self
    }
}

/// A linear space of bytes with asynchronous completion.
///
/// What an implementation promises, and what the conformance suite checks:
///
/// * **C1** Every submitted request completes exactly once, also when the device fails or is dropped.
/// * **C2** The buffer comes back in the completion, success or not.
/// * **C3** Completions may arrive on any thread, in any order, also within [`submit`](Self::submit) itself.
/// * **C4** They arrive even if nobody calls [`poll`](Self::poll).
/// * **C5** A completed sync covers every write that had completed before it was submitted.
/// * **C6** A read returns fewer bytes than asked for only where the device's contents end; everything else short is an
///   error. A read in a place that was never written, below the end, gives zeros.
/// * **C7** After a failed sync every later sync and write is refused with
///   [`DeviceFailed`](crate::ErrorKind::DeviceFailed): nobody can know which of the earlier writes are durable. A failed
///   write may be tried again.
/// * **C8** Truncation is idempotent and may be lazy; reads below the truncation point fail, or give what was there, or
///   zeros. What lies at or above it is untouched.
/// * **C9** No call allocates per access on the steady path beyond what its completion needs.
/// * **C10** Wrong requests (unaligned, a buffer shorter than the length) complete with an error of kind
///   [`Config`](crate::ErrorKind::Config), those that came without a buffer, because the system had no memory for it, with
///   [`Limit`](crate::ErrorKind::Limit); they never panic. [`IoRequest::check`] finds them.
/// * **C11** A [write through](Self::write_through) that succeeded is durable, with whatever is needed to find it again; of
///   other writes it says nothing. One that failed counts as a failed sync (C7).
pub trait StorageDevice: Send + Sync + 'static {
    /// What the engine may know of this device.
    fn info(&self) -> DeviceInfo;

    /// Hands a request over. Never waits for the access itself. The completion goes to `sink` under `token`.
    fn submit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token);

    /// An opportunity to reap completions on this thread; returns how many were. A device that completes on threads of
    /// its own has nothing to do here.
    fn poll(&self) -> usize {
        0
    }

    /// A channel for one owner, if the device has anything better than a [`SharedChannel`](super::SharedChannel).
    fn channel(&self) -> Option<Box<dyn IoChannel>> {
        None
    }

    /// Writes, and makes durable what it writes, while the calling thread waits, at most for `limit`: for a device that can do
    /// both in less time than a write and a sync that are submitted. Gives the request back if it cannot, or not this one at this
    /// moment; it may have been written then, but is not durable.
    ///
    /// The buffer does not come back if the device took too long.
    ///
    /// # Errors
    /// The request.
    fn write_through(&self, request: IoRequest, limit: Duration) -> Result<IoDone, IoRequest> {
        let _ = limit;
        Err(request)
    }
}

impl<D: StorageDevice + ?Sized> StorageDevice for Arc<D> {
    fn info(&self) -> DeviceInfo {
        (**self).info()
    }

    fn submit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        (**self).submit(request, sink, token);
    }

    fn poll(&self) -> usize {
        (**self).poll()
    }

    fn channel(&self) -> Option<Box<dyn IoChannel>> {
        (**self).channel()
    }

    fn write_through(&self, request: IoRequest, limit: Duration) -> Result<IoDone, IoRequest> {
        (**self).write_through(request, limit)
    }
}
