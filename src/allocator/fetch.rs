//! Reading records back from the device. Invariant L8 of [`crate::allocator`].

use super::block::{BLOCK_PAYLOAD, BLOCK_SIZE, verify};
use super::hybrid_log::HybridLog;
use crate::address::Address;
use crate::device::{IoDone, IoRequest};
use crate::error::{Error, ErrorKind, Result};

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

    /// The one read that brings the `len` bytes at `address`, which lie on one page, into memory.
    pub(crate) fn fetch_request(&self, address: Address, len: usize) -> IoRequest {
        let span = self.span(address, len);
        let bytes = span.blocks * BLOCK_SIZE;
        IoRequest::read(self.geometry().device_offset(span.first), bytes, self.read_pool().take(bytes))
    }

    /// Hands the bytes that [`fetch_request`](Self::fetch_request) asked for to `parse`, if they are the ones that were
    /// written.
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
            .and_then(|start| parse(&done.buf[start..start + len]))
            .map_err(|error| error.with("log address", address))
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
        for index in 0..span.blocks {
            let at = index * BLOCK_SIZE;
            verify(&done.buf[at..at + BLOCK_SIZE], span.first + index as u64, self.generation())?;
            done.buf.copy_within(at..at + BLOCK_PAYLOAD, index * BLOCK_PAYLOAD);
        }
        Ok(span.skip)
    }
}
