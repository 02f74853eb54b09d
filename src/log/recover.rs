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
//!
//! What is found is there, but nobody knows whether it is durable: perhaps only the process died, or its last sync failed. So
//! before the log goes on, everything from `D` on is written once more as it is, and synced.

use super::commit::CommitRecord;
use super::image::Image;
use crate::address::Address;
use crate::allocator::{BLOCK_SIZE, FIRST, LogGeometry, seal};
use crate::device::{IoRequest, StorageDevice, access, rewrite};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{AlignedBuf, IoBuf};
use crate::sync::Arc;
use std::ops::Range;
use std::time::Duration;

/// Bytes that are cleared at a time.
const CHUNK: usize = 1 << 20;

/// What was found on a device.
#[derive(Debug)]
pub(super) struct Found {
    /// The commit that the log goes on from.
    pub(super) commit: CommitRecord,
    /// Where its record is.
    pub(super) at: Address,
    /// What the log's blocks carry.
    pub(super) generation: u32,
    /// Where the last entry of the verified prefix ends.
    pub(super) whole: Address,
    /// Where the log goes on.
    pub(super) end: Address,
}

impl Found {
    /// A log that holds nothing.
    pub(super) fn nothing(page_bits: u32, generation: u32) -> Self {
        let first = Address::new(FIRST);
        let commit = CommitRecord { page_bits, begin: FIRST, counted: FIRST, ..CommitRecord::default() };
        Self { commit, at: first, generation, whole: first, end: first }
    }

    /// What the record after the commit says.
    pub(super) fn next(&self) -> CommitRecord {
        let links = self.commit.links_behind(self.at);
        CommitRecord { number: self.commit.number + 1, named: false, links, ..self.commit.clone() }
    }
}

/// A device, looked at page by page.
pub(super) struct Explorer<'d> {
    pub(super) device: &'d Arc<dyn StorageDevice>,
    pub(super) geometry: LogGeometry,
    pub(super) wait: Duration,
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
        let mut before = self.geometry.page().start_of(self.pages_in(extent));
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
            let (end, whole) = self.verified_from(commit.durable(), generation)?;
            if at < whole {
                if !accept_damage {
                    self.check_behind(end, extent)?;
                }
                return Ok(Some(Found { commit, at, generation, whole, end }));
            }
            // It is behind something that was not written, so it was never acknowledged.
            before = at;
        }
    }

    /// Makes what was found durable, and everything behind it read as nothing, so that what a crash left there is never
    /// taken for part of the log. The log then goes on behind the last whole entry.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn settle(&self, found: &mut Found) -> Result<()> {
        let geometry = self.geometry;
        let last = geometry.block_of(Address::new(found.whole.get() - 1));
        let first = geometry.block_of(found.commit.durable()).min(last);
        // Without what follows the last whole entry.
        let (kept, payload) =
            (found.whole.get() - geometry.start_of_block(last).get(), geometry.payload_of_block(last));
        let end = geometry.device_offset(last + 1);
        rewrite(&**self.device, geometry.device_offset(first)..end, self.wait, |offset, bytes| {
            if offset + bytes.len() as u64 == end && (kept as usize) < payload {
                let start = bytes.len() - BLOCK_SIZE;
                bytes[start..][kept as usize..payload].fill(0);
                seal(&mut bytes[start..], last, found.generation);
            }
        })?;
        found.end = geometry.start_of_block(last + 1);
        self.clear_from(end)?;
        access(&**self.device, IoRequest::sync(), self.wait).map(drop)
    }

    fn clear_from(&self, mut offset: u64) -> Result<()> {
        let extent = self.device.info().extent;
        while offset < extent {
            let len = ((extent - offset) as usize).min(CHUNK).next_multiple_of(BLOCK_SIZE);
            let (read, buf) = self.read(offset, len)?;
            if buf[..read].iter().any(|byte| *byte != 0) {
                access(&**self.device, IoRequest::write(offset, len, AlignedBuf::zeroed(len)), self.wait)?;
            }
            offset += len as u64;
        }
        Ok(())
    }

    /// The last commit record in whole blocks below `before`, its address, and what its block carries.
    fn last_commit(&self, before: Address) -> Result<Option<(Address, CommitRecord, u32)>> {
        let page = self.geometry.page();
        let mut number = page.page(Address::new(before.get() - 1)) + 1;
        while number > 0 {
            number -= 1;
            let blocks =
                self.geometry.block_of(page.start_of(number))..self.geometry.block_of(page.start_of(number + 1));
            match self.image(blocks.clone()) {
                Ok(image) => {
                    if let Some(found) = image.last_commit(before) {
                        return Ok(Some(found));
                    }
                }
                Err(error) => return self.last_commit_in(blocks, before, error),
            }
        }
        Ok(None)
    }

    /// The same in a page that cannot be read, perhaps because its beginning was truncated: what lies below the first block from
    /// the end that cannot be read is of no use, since there is a commit record behind everything that was truncated.
    fn last_commit_in(
        &self,
        blocks: Range<u64>,
        before: Address,
        failure: Error,
    ) -> Result<Option<(Address, CommitRecord, u32)>> {
        for first in blocks.clone().rev() {
            let Ok(image) = self.image(first..blocks.end) else { break };
            if let Some(found) = image.last_commit(before) {
                return Ok(Some(found));
            }
        }
        Err(failure)
    }

    /// From `from` on, which begins a stretch: where the blocks that verify end, and where the last entry in them does.
    fn verified_from(&self, from: Address, generation: u32) -> Result<(Address, Address)> {
        let page = self.geometry.page();
        let mut at = from;
        loop {
            let next = page.start_of(page.page(at) + 1);
            let image = self.image(self.geometry.block_of(at)..self.geometry.block_of(next))?;
            let end = image.whole_until(generation);
            let last = image.walk(at, end, generation).map_err(|address| {
                Error::new(ErrorKind::Corrupt, "there is something in the log that is no entry")
                    .with("log address", address)
            })?;
            if end < next {
                return Ok((end, last));
            }
            at = next;
        }
    }

    /// That no commit behind `end` knows of more that was durable.
    fn check_behind(&self, end: Address, extent: u64) -> Result<()> {
        let page = self.geometry.page();
        let mut at = end;
        while page.page(at) < self.pages_in(extent) {
            let next = page.start_of(page.page(at) + 1);
            let image = self.image(self.geometry.block_of(at)..self.geometry.block_of(next))?;
            if let Some((_, record, _)) = image.commits().find(|(_, record, _)| record.durable() > end) {
                let block = self.geometry.block_of(end);
                return Err(Error::new(ErrorKind::Corrupt, "a part of the log that was durable is damaged")
                    .with("log address", end)
                    .with("device offset", self.geometry.device_offset(block))
                    .with("durable up to", record.durable())
                    .help(
                        "restore the device from a copy; FasterLogConfig::with_damage_accepted opens what lies before",
                    ));
            }
            at = next;
        }
        Ok(())
    }

    /// True if nothing was written but what a crash left of making the log.
    fn is_blank(&self, extent: u64) -> Result<bool> {
        Ok(self.pages_in(extent) <= 1 && self.image(0..self.geometry.blocks_per_page())?.is_blank())
    }

    fn pages_in(&self, extent: u64) -> u64 {
        extent.div_ceil(self.geometry.blocks_per_page() * BLOCK_SIZE as u64)
    }

    fn image(&self, blocks: Range<u64>) -> Result<Image> {
        let bytes = (blocks.end - blocks.start) as usize * BLOCK_SIZE;
        let (read, buf) = self.read(self.geometry.device_offset(blocks.start), bytes)?;
        Ok(Image::new(self.geometry, blocks.start, &buf, read))
    }

    fn read(&self, offset: u64, len: usize) -> Result<(usize, IoBuf)> {
        let done = access(&**self.device, IoRequest::read(offset, len, AlignedBuf::zeroed(len)), self.wait)?;
        let read = done.result?;
        Ok((read, done.buf))
    }
}

fn no_log(extent: u64) -> Error {
    Error::new(ErrorKind::Config, "the device holds data that is no log")
        .with("bytes there", extent)
        .help("give the directory of a log, or an empty one for a new log")
}
