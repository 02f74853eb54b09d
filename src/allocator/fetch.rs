//! Reading records back from the device. Invariants L8 and L9 of [`crate::allocator`].

use super::block::{BLOCK_PAYLOAD, BLOCK_SIZE, verify};
use super::hybrid_log::HybridLog;
use crate::address::Address;
use crate::device::{IoDone, IoRequest};
use crate::error::{Error, ErrorKind, Result};
use crate::record::RecordInfo;

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

    /// The one read that brings the `len` bytes at `address`, which lie on one page, into memory.
    pub(crate) fn fetch_request(&self, address: Address, len: usize) -> IoRequest {
        let span = self.span(address, len);
        let bytes = span.blocks * BLOCK_SIZE;
        IoRequest::read(self.geometry().device_offset(span.first), bytes, self.read_pool().take(bytes))
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

    /// L9, for the record in `bytes`.
    pub(super) fn judge(&self, address: Address, bytes: &mut [u8]) {
        if let Some(header) = bytes.first_chunk_mut() {
            let info = RecordInfo::from_word(u64::from_le_bytes(*header));
            *header = self.history().judged(address, info).word().to_le_bytes();
        }
    }

    /// Verifies the blocks and closes the gaps between their payloads, in place. Returns where the bytes begin.
    fn checked(&self, address: Address, len: usize, done: &mut IoDone) -> Result<usize> {
        let span = self.span(address, len);
        let wanted = span.blocks * BLOCK_SIZE;
        let got = std::mem::replace(&mut done.result, Ok(0))?;
        if got < wanted || done.buf.len() < wanted {
            return Err(Error::new(ErrorKind::Corrupt, "the device ends before the record does")
                .with("device offset", self.geometry().device_offset(span.first))
                .with("bytes wanted", wanted)
                .with("bytes there", got));
        }
        // A record lies in blocks of one generation: a generation begins where the tail was closed.
        let generation = self.history().generation_at(address);
        for index in 0..span.blocks {
            let (at, number) = (index * BLOCK_SIZE, span.first + index as u64);
            verify(&done.buf[at..at + BLOCK_SIZE], number, generation, "a block of the log does not verify")
                .map_err(|error| error.with("device offset", self.geometry().device_offset(number)))?;
            done.buf.copy_within(at..at + BLOCK_PAYLOAD, index * BLOCK_PAYLOAD);
        }
        Ok(span.skip)
    }
}
