//! Reading records back from the device. Invariants L8 and L9 of [`crate::allocator`].

use super::block::{BLOCK_PAYLOAD, BLOCK_SIZE, verify};
use super::hybrid_log::HybridLog;
use crate::address::Address;
use crate::device::{IoDone, IoRequest};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::IoBuf;
use crate::record::{RecordInfo, RecordLayout};
use std::ops::Range;

/// The blocks that the bytes of one record lie in.
struct Span {
    first: u64,
    blocks: usize,
    /// Where in the first block's payload the record begins.
    skip: usize,
}

impl HybridLog {
    fn span(&self, address: Address, len: usize) -> Span {
        let geometry = self.geometry();
        let first = geometry.block_of(address);
        let last = geometry.block_of(Address::new(address.get() + len as u64 - 1));
        let skip = geometry.page().offset(address) as usize % BLOCK_PAYLOAD;
        Span { first, blocks: (last - first + 1) as usize, skip }
    }

    /// The numbers of the blocks that the `len` bytes at `address` lie in.
    #[cfg(not(oxifaster_loom))]
    pub(super) fn blocks_of(&self, address: Address, len: usize) -> std::ops::Range<u64> {
        let span = self.span(address, len);
        span.first..span.first + span.blocks as u64
    }

    /// The one read that brings the `len` bytes at `address`, which lie on one page, into memory. It gets [a buffer](Self::with_buffer)
    /// when it is made: not every one is.
    pub(crate) fn fetch_request(&self, address: Address, len: usize) -> IoRequest {
        let span = self.span(address, len);
        IoRequest::read(self.geometry().device_offset(span.first), span.blocks * BLOCK_SIZE, IoBuf::empty())
    }

    /// The request with a buffer for what it brings; with an empty one if the system has no memory.
    pub(crate) fn with_buffer(&self, request: IoRequest) -> IoRequest {
        IoRequest { buf: self.read_pool().take(request.len), ..request }
    }

    /// Hands the bytes that [`fetch_request`](Self::fetch_request) asked for to `parse`, if they are the ones that were
    /// written. They begin with the header of a record, which is invalid if a cut left the record out.
    ///
    /// # Errors
    /// The device's error, or [`ErrorKind::Corrupt`] with the address and the block that does not verify.
    pub(crate) fn fetched<T>(
        &self,
        address: Address,
        len: usize,
        mut done: IoDone,
        parse: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<T> {
        self.checked(address, len, &mut done)
            .and_then(|start| {
                let record = &mut done.buf[start..start + len];
                self.judge(address, record);
                parse(record)
            })
            .map_err(|error| error.with("log address", address))
    }

    /// How many bytes from `address` on, below [`head`](super::LogView::head), to ask for if about `len` of them are wanted: up to the
    /// end of a block, but no further than the page goes, nor than what is written.
    pub(crate) fn fetchable(&self, address: Address, len: usize) -> usize {
        let geometry = self.geometry();
        let first = geometry.block_of(address);
        let rest = geometry.page().rest(address) as usize;
        let wanted = geometry.block_of(Address::new(address.get() + len.clamp(1, rest) as u64 - 1));
        let written = geometry.block_of(Address::new(self.core.pointers.flushed().get().saturating_sub(1)));
        let last = wanted.min(written).max(first);
        let end = geometry.start_of_block(last).get() + geometry.payload_of_block(last) as u64;
        (end - address.get()) as usize
    }

    /// Hands the bytes of the record at `address` to `parse`, out of the `len` bytes that
    /// [`fetch_request`](Self::fetch_request) asked for. If the record is longer than that, says how long it is.
    ///
    /// # Errors
    /// As for [`fetched`](Self::fetched).
    pub(crate) fn fetched_record<T>(
        &self,
        address: Address,
        len: usize,
        layout: RecordLayout,
        mut done: IoDone,
        parse: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<std::result::Result<T, usize>> {
        let located = |error: Error| error.with("log address", address);
        let read = std::mem::replace(&mut done.result, Ok(0))?;
        let head = layout.head_size().min(len);
        let start = self.verify(address, 0..self.span(address, head).blocks, read, &mut done).map_err(located)?;
        let size = layout.size_in(&done.buf[start..start + head]).unwrap_or(usize::MAX);
        if size > self.geometry().page().rest(address) as usize {
            return Err(Error::new(ErrorKind::Corrupt, "a record of the log reaches beyond its page")
                .with("log address", address)
                .with("record size", size));
        }
        if size > len {
            return Ok(Err(size));
        }
        let blocks = self.span(address, head).blocks..self.span(address, size).blocks;
        self.verify(address, blocks, read, &mut done).map_err(located)?;
        let record = &mut done.buf[start..start + size];
        self.judge(address, record);
        parse(record).map(Ok).map_err(located)
    }

    /// L9, for the record in `bytes`.
    pub(super) fn judge(&self, address: Address, bytes: &mut [u8]) {
        if let Some(header) = bytes.first_chunk_mut() {
            let info = RecordInfo::from_word(u64::from_le_bytes(*header));
            *header = self.history().judged(address, info).word().to_le_bytes();
        }
    }

    /// Verifies the blocks and closes the gaps between their payloads, in place. Returns where the bytes begin.
    fn checked(&self, address: Address, len: usize, done: &mut IoDone) -> Result<usize> {
        let read = std::mem::replace(&mut done.result, Ok(0))?;
        self.verify(address, 0..self.span(address, len).blocks, read, done)
    }

    /// The same for some of the blocks from the one of `address` on, after those before them, of which `read` bytes have come.
    fn verify(&self, address: Address, blocks: Range<usize>, read: usize, done: &mut IoDone) -> Result<usize> {
        let geometry = self.geometry();
        let Span { first, skip, .. } = self.span(address, 1);
        let wanted = blocks.end * BLOCK_SIZE;
        if read < wanted || done.buf.len() < wanted {
            return Err(Error::new(ErrorKind::Corrupt, "the device ends before the record does")
                .with("device offset", geometry.device_offset(first))
                .with("bytes wanted", wanted)
                .with("bytes there", read));
        }
        // A record lies in blocks of one generation: a generation begins where the tail was closed.
        let generation = self.history().generation_at(address);
        for index in blocks {
            let (at, number) = (index * BLOCK_SIZE, first + index as u64);
            verify(&done.buf[at..at + BLOCK_SIZE], number, generation, "a block of the log does not verify")
                .map_err(|error| error.with("device offset", geometry.device_offset(number)))?;
            if index > 0 {
                done.buf.copy_within(at..at + BLOCK_PAYLOAD, index * BLOCK_PAYLOAD);
            }
        }
        Ok(skip)
    }
}
