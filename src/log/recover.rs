//! Finding the end of a log on its device: the longest prefix that verifies, and the commit that it ends with.
//!
//! ```text
//!   begin ...... D ............ E      X
//!     | durable  | verified     | torn | zeros or nothing
//!                ^ the last commit before E says that everything below was durable when it was made
//! ```
//!
//! Blocks reach the device in any order, so behind the first block that does not verify there may be whole ones, even with a
//! commit record: it was never acknowledged. But if a record behind it says that more than `E` was durable, then something
//! is damaged that was promised.

use super::commit::CommitRecord;
use super::entry::Header;
use crate::address::Address;
use crate::allocator::{BLOCK_PAYLOAD, BLOCK_SIZE, LogGeometry, Seal};
use crate::device::{IoRequest, StorageDevice, access};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{AlignedBuf, IoBuf};
use crate::sync::Arc;
use std::time::Duration;

/// What was found on a device.
#[derive(Debug)]
pub(super) struct Found {
    /// The commit that the log goes on from, with what had to be cut off as a hole.
    pub(super) commit: CommitRecord,
    /// What the log's blocks carry.
    pub(super) generation: u32,
    /// Where the verified prefix ends.
    pub(super) end: Address,
}

/// A device, looked at page by page.
pub(super) struct Explorer<'d> {
    pub(super) device: &'d Arc<dyn StorageDevice>,
    pub(super) geometry: LogGeometry,
    pub(super) wait: Duration,
}

/// A page as it is on the device.
struct Page {
    start: Address,
    /// Its bytes, those of blocks that do not verify being what they are.
    payload: Vec<u8>,
    /// The generation of every block that is whole.
    blocks: Vec<Option<u32>>,
}

impl Explorer<'_> {
    /// Looks for a log; `None` if the device holds nothing. With `accept_damage`, what lies behind damage is given up.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if there is something else, or a part of the log that was durable is damaged; the device's.
    pub(super) fn find(&self, accept_damage: bool) -> Result<Option<Found>> {
        let extent = self.device.info().extent;
        if extent == 0 {
            return Ok(None);
        }
        let page_bytes = self.geometry.blocks_per_page() * BLOCK_SIZE as u64;
        let mut before = self.geometry.page().start_of(extent.div_ceil(page_bytes));
        loop {
            let Some((at, commit, generation)) = self.last_commit(before)? else {
                return if self.is_blank(extent)? { Ok(None) } else { Err(no_log(extent)) };
            };
            if commit.page_bits != self.geometry.page().page_bits() {
                return Err(Error::new(ErrorKind::Config, "the log has pages of another size")
                    .with("its page_size_bits", commit.page_bits)
                    .with("page_size_bits", self.geometry.page().page_bits())
                    .help("open it with FasterLogConfig::with_page_size_bits of its own"));
            }
            let (end, last_whole) = self.verified_from(commit.durable(), generation)?;
            if at < last_whole {
                if !accept_damage {
                    self.check_behind(end, extent)?;
                }
                let mut commit = commit;
                commit.add_hole(last_whole..end);
                return Ok(Some(Found { commit, generation, end }));
            }
            // It is behind something that was not written, so it was never acknowledged.
            before = at;
        }
    }

    /// Makes everything from `end` on read as nothing, so that what a crash left there is never taken for part of the log.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn clear_from(&self, end: Address) -> Result<()> {
        let (mut offset, extent) =
            (self.geometry.device_offset(self.geometry.block_of(end)), self.device.info().extent);
        let mut wrote = false;
        while offset < extent {
            let len = ((extent - offset) as usize).min(1 << 20).next_multiple_of(BLOCK_SIZE);
            let (read, buf) = self.read(offset, len)?;
            if buf[..read].iter().any(|byte| *byte != 0) {
                access(&**self.device, IoRequest::write(offset, len, AlignedBuf::zeroed(len)), self.wait)?;
                wrote = true;
            }
            offset += len as u64;
        }
        if wrote { access(&**self.device, IoRequest::sync(), self.wait).map(drop) } else { Ok(()) }
    }

    /// The last commit record in whole blocks below `before`, its address, and what its block carries.
    fn last_commit(&self, before: Address) -> Result<Option<(Address, CommitRecord, u32)>> {
        let page = self.geometry.page();
        let mut number = page.page(Address::new(before.get() - 1)) + 1;
        while number > 0 {
            number -= 1;
            let start = page.start_of(number);
            let image = self.page(number)?;
            let end = (before.get() - start.get()).min(page.page_size()) as usize;
            if let Some((offset, record, generation)) = image.commits(end).last() {
                return Ok(Some((Address::new(start.get() + offset as u64), record, generation)));
            }
        }
        Ok(None)
    }

    /// From `from` on, which begins a stretch: where the blocks that verify end, and where the last entry in them does.
    fn verified_from(&self, from: Address, generation: u32) -> Result<(Address, Address)> {
        let page = self.geometry.page();
        let mut at = from;
        loop {
            let (number, start) = (page.page(at), page.start_of(page.page(at)));
            let image = self.page(number)?;
            let first = page.offset(at) as usize / BLOCK_PAYLOAD;
            let whole = image.blocks[first..].iter().take_while(|block| **block == Some(generation)).count();
            let end = ((first + whole) * BLOCK_PAYLOAD).min(page.page_size() as usize);
            let last = image.walk(page.offset(at) as usize, end, generation).map_err(|offset| {
                Error::new(ErrorKind::Corrupt, "there is something in the log that is no entry")
                    .with("log address", Address::new(start.get() + offset as u64))
            })?;
            if end < page.page_size() as usize || whole == 0 {
                let at = |offset: usize| Address::new(start.get() + offset as u64);
                return Ok((at(end), at(last)));
            }
            at = page.start_of(number + 1);
        }
    }

    /// That no commit behind `end` knows of more that was durable.
    fn check_behind(&self, end: Address, extent: u64) -> Result<()> {
        let page = self.geometry.page();
        let pages = extent.div_ceil(self.geometry.blocks_per_page() * BLOCK_SIZE as u64);
        for number in page.page(end)..pages {
            let start = page.start_of(number).get();
            for (offset, record, _) in self.page(number)?.commits(page.page_size() as usize) {
                if start + offset as u64 >= end.get() && record.durable() > end {
                    let block = self.geometry.block_of(end);
                    return Err(Error::new(ErrorKind::Corrupt, "a part of the log that was durable is damaged")
                        .with("log address", end)
                        .with("device offset", self.geometry.device_offset(block))
                        .with("durable up to", record.durable())
                        .help("restore the device from a copy; FasterLogConfig::with_damage_accepted opens what lies before"));
                }
            }
        }
        Ok(())
    }

    /// True if nothing was written but what a crash left of making the log.
    fn is_blank(&self, extent: u64) -> Result<bool> {
        let page_bytes = self.geometry.blocks_per_page() * BLOCK_SIZE as u64;
        Ok(extent <= page_bytes && self.page(0)?.blocks.iter().all(Option::is_none))
    }

    fn page(&self, number: u64) -> Result<Page> {
        let per_page = self.geometry.blocks_per_page();
        let first = number * per_page;
        let bytes = per_page as usize * BLOCK_SIZE;
        let (read, buf) = self.read(self.geometry.device_offset(first), bytes)?;
        let mut payload = Vec::with_capacity(self.geometry.page().page_size() as usize);
        let mut blocks = Vec::with_capacity(per_page as usize);
        for (number, block) in (first..first + per_page).zip(buf.chunks_exact(BLOCK_SIZE)) {
            payload.extend_from_slice(&block[..self.geometry.payload_of_block(number)]);
            let is_there = blocks.len() * BLOCK_SIZE + BLOCK_SIZE <= read;
            let seal = Seal::of(block, number);
            blocks.push((is_there && seal.is_intact()).then_some(seal.generation));
        }
        let start = self.geometry.page().start_of(first / per_page);
        Ok(Page { start, payload, blocks })
    }

    fn read(&self, offset: u64, len: usize) -> Result<(usize, IoBuf)> {
        let done = access(&**self.device, IoRequest::read(offset, len, AlignedBuf::zeroed(len)), self.wait)?;
        let read = done.result?;
        Ok((read, done.buf))
    }
}

impl Page {
    fn at(&self, offset: usize) -> Address {
        Address::new(self.start.get() + offset as u64)
    }

    /// The commit records that begin below `end`, in whole blocks: wherever an entry may begin, since a torn one may lie
    /// before.
    fn commits(&self, end: usize) -> impl Iterator<Item = (usize, CommitRecord, u32)> + '_ {
        (0..end.min(self.payload.len())).step_by(8).filter_map(|offset| {
            let generation = self.blocks[offset / BLOCK_PAYLOAD]?;
            let (record, size) = CommitRecord::at_start_of(&self.payload[offset..], self.at(offset), generation)?;
            let blocks = offset / BLOCK_PAYLOAD..=(offset + size - 1) / BLOCK_PAYLOAD;
            let is_whole = blocks.into_iter().all(|block| self.blocks.get(block) == Some(&Some(generation)));
            is_whole.then_some((offset, record, generation))
        })
    }

    /// Walks the entries from `at` to `end`; where the last whole one ends.
    ///
    /// # Errors
    /// The offset of what is no entry.
    fn walk(&self, mut at: usize, end: usize, generation: u32) -> Result<usize, usize> {
        let mut last = at;
        while at < end {
            let word = u64::from_le_bytes(*self.payload[at..].first_chunk().ok_or(at)?);
            let Some(header) = Header::of_word(word) else {
                at = (at / BLOCK_PAYLOAD + 1) * BLOCK_PAYLOAD;
                last = last.max(at.min(end));
                continue;
            };
            if at + header.size() > end {
                return Ok(last);
            }
            let body = self.payload.get(at + 8..at + 8 + header.len()).ok_or(at)?;
            if header.kind().is_none() || !header.fits(body, self.at(at), generation) {
                return Err(at);
            }
            at += header.size();
            last = at;
        }
        Ok(last.min(end))
    }
}

fn no_log(extent: u64) -> Error {
    Error::new(ErrorKind::Config, "the device holds data that is no log")
        .with("bytes there", extent)
        .help("give the directory of a log, or an empty one for a new log")
}
