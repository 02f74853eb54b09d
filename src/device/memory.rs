//! A device in memory.

use super::segments::{Segments, truncated};
use super::{CompletionSink, DeviceInfo, IoOp, IoRequest, StorageDevice, Token};
use crate::error::Result;
use crate::memory::AlignedBuf;
use crate::sync::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes that are allocated together. Small enough that a hole in a test's device costs nothing.
const CHUNK_SIZE: usize = 64 * 1024;
const CHUNKS: Segments = Segments::new(CHUNK_SIZE as u64);

/// A device whose bytes live in memory, for tests and examples.
///
/// A clone is another handle to the same bytes: keep one to look at them, or to open them again after the store that
/// used the other is gone; its extent is always the present one. Completes within [`submit`](StorageDevice::submit), which makes it the hardest test of
/// re-entrance for its callers.
#[derive(Debug, Clone)]
pub struct MemoryDisk {
    store: Arc<Mutex<Store>>,
}

#[derive(Debug, Clone, Default)]
struct Store {
    /// By number; what is absent was never written, or was truncated.
    chunks: BTreeMap<u64, Box<[u8]>>,
    /// Everything below was truncated.
    begin: u64,
    end: u64,
}

impl MemoryDisk {
    /// An empty device.
    pub fn new() -> Self {
        Self { store: Arc::new(Mutex::new(Store::default())) }
    }

    /// A device of its own with the bytes that this one holds now.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { store: Arc::new(Mutex::new(self.store.lock().clone())) }
    }

    /// How many bytes of memory the contents take.
    pub fn used_bytes(&self) -> u64 {
        self.store.lock().chunks.len() as u64 * CHUNK_SIZE as u64
    }

    fn access(&self, request: &mut IoRequest) -> Result<usize> {
        request.check(AlignedBuf::ALIGN)?;
        let (op, offset, len) = (request.op, request.offset, request.len);
        let mut store = self.store.lock();
        match op {
            IoOp::Read => store.read(offset, &mut request.buf[..len]),
            IoOp::Write => store.write(offset, &request.buf[..len]),
            IoOp::Sync => Ok(0),
            IoOp::TruncateBefore => {
                store.truncate_before(offset);
                Ok(0)
            }
        }
    }
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl StorageDevice for MemoryDisk {
    fn info(&self) -> DeviceInfo {
        let store = self.store.lock();
        DeviceInfo::new(AlignedBuf::ALIGN).with_extent(store.end).with_begin(store.begin)
    }

    fn submit(&self, mut request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        let result = self.access(&mut request);
        sink.complete(token, request.done(result));
    }
}

impl Store {
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.check_not_truncated(offset)?;
        let available = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
        for part in CHUNKS.parts(offset, available) {
            let target = &mut buf[part.bytes];
            match self.chunks.get(&part.segment) {
                Some(chunk) => target.copy_from_slice(&chunk[part.offset as usize..][..target.len()]),
                None => target.fill(0),
            }
        }
        Ok(available)
    }

    fn write(&mut self, offset: u64, buf: &[u8]) -> Result<usize> {
        self.check_not_truncated(offset)?;
        for part in CHUNKS.parts(offset, buf.len()) {
            let chunk = self.chunks.entry(part.segment).or_insert_with(|| vec![0; CHUNK_SIZE].into_boxed_slice());
            let source = &buf[part.bytes];
            chunk[part.offset as usize..][..source.len()].copy_from_slice(source);
        }
        self.end = self.end.max(offset + buf.len() as u64);
        Ok(buf.len())
    }

    fn truncate_before(&mut self, offset: u64) {
        // The chunk that holds the end stays, so that a truncation never makes the device longer.
        let first_kept = CHUNKS.segment_of(offset.min(self.end));
        self.begin = self.begin.max(CHUNKS.start_of(first_kept));
        self.chunks = self.chunks.split_off(&first_kept);
    }

    fn check_not_truncated(&self, offset: u64) -> Result<()> {
        if offset >= self.begin {
            return Ok(());
        }
        Err(truncated(offset, self.begin))
    }
}
