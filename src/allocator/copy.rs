//! A part of the log as the blocks that its device has or would get: what a checkpoint keeps in a file.

use super::block::{BLOCK_PAYLOAD, BLOCK_SIZE, seal, verify};
use super::hybrid_log::{HybridLog, LogCore};
use super::pointers::FIRST;
use crate::address::Address;
use crate::device::{IoRequest, access};
use crate::epoch::{Guard, Participant};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{IoBuf, load_bytes};
use crate::utility::planted;
use std::time::Duration;

impl LogCore {
    /// Copies `len` bytes from the block boundary `start` on, all on one page in memory, into sealed blocks.
    pub(super) fn seal_blocks(&self, start: Address, len: usize, blocks: &mut [u8]) {
        let first = self.geometry.block_of(start);
        let words = self.frames.words(start, len);
        for (index, block) in blocks.chunks_exact_mut(BLOCK_SIZE).enumerate() {
            let from = index * BLOCK_PAYLOAD;
            let held = BLOCK_PAYLOAD.min(len - from);
            load_bytes(&words[from / 8..(from + held) / 8], &mut block[..held]);
            block[held..BLOCK_PAYLOAD].fill(0);
            let generation = self.history.generation_at(Address::new(start.get() + from as u64));
            seal(block, first + index as u64, generation);
        }
    }
}

impl HybridLog {
    /// Hands the blocks from `from` to `to`, both block boundaries, to `sink`, in order and as many at a time as `buffer`, at
    /// least a block, has room for: from memory or, as far as they have left it, from the device. What is in memory must not
    /// matter or not change any more. Returns the buffer.
    ///
    /// # Errors
    /// The sink's, the device's, or [`ErrorKind::Corrupt`] for a block that the device returned.
    pub(crate) fn copy_blocks(
        &self,
        participant: &mut Participant,
        (from, to): (Address, Address),
        limit: Duration,
        mut buffer: IoBuf,
        mut sink: impl FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<IoBuf> {
        let geometry = self.geometry();
        let chunk = (buffer.len() / BLOCK_SIZE * BLOCK_PAYLOAD) as u64;
        let mut start = from;
        while start < to {
            let page_end = geometry.page().start_of(geometry.page().page(start)).get() + geometry.page().page_size();
            let mut end = to.get().min(page_end).min(start.get() + chunk);
            let mut bytes = bytes_of_blocks(start, end);
            let from_memory = self.copy_from_memory(start, end, &mut buffer[..bytes], &participant.pin());
            if let Err(head) = from_memory {
                // The device has what has left memory. What comes behind it, on the same page, may be in memory only.
                if !planted!(CopiesAcrossHead) {
                    end = end.min(head.get());
                }
                bytes = bytes_of_blocks(start, end);
                buffer = self.read_blocks(start, bytes, buffer, limit)?;
            }
            sink(&mut buffer[..bytes])?;
            start = Address::new(end);
        }
        Ok(buffer)
    }

    /// The end of what has left memory, if the first block has.
    fn copy_from_memory(
        &self,
        start: Address,
        end: u64,
        blocks: &mut [u8],
        guard: &Guard<'_>,
    ) -> std::result::Result<(), Address> {
        let head = self.view(guard).head();
        // The first block begins before the first record.
        if start.max(Address::new(FIRST)) < head {
            return Err(head);
        }
        self.core.seal_blocks(start, (end - start.get()) as usize, blocks);
        Ok(())
    }

    fn read_blocks(&self, start: Address, bytes: usize, buf: IoBuf, limit: Duration) -> Result<IoBuf> {
        let first = self.geometry().block_of(start);
        let offset = self.geometry().device_offset(first);
        self.count_read(bytes);
        let done = access(&**self.device(), IoRequest::read(offset, bytes, buf), limit)?;
        let read = done.result?;
        for (index, block) in done.buf[..read.min(bytes)].chunks_exact(BLOCK_SIZE).enumerate() {
            let generation = self.history().generation_at(Address::new(start.get() + (index * BLOCK_PAYLOAD) as u64));
            verify(block, first + index as u64, generation, "a block of the log does not verify")
                .map_err(|error| error.with("device offset", offset + (index * BLOCK_SIZE) as u64))?;
        }
        if read < bytes {
            return Err(Error::new(ErrorKind::Corrupt, "the device ends before the log does")
                .with("device offset", offset)
                .with("bytes wanted", bytes)
                .with("bytes there", read));
        }
        Ok(done.buf)
    }
}

/// Bytes of the blocks between two addresses of a page.
fn bytes_of_blocks(start: Address, end: u64) -> usize {
    ((end - start.get()) as usize).div_ceil(BLOCK_PAYLOAD) * BLOCK_SIZE
}
