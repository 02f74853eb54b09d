//! A part of a log as it is on the device.

use super::commit::CommitRecord;
use super::entry::Header;
use crate::address::Address;
use crate::allocator::{BLOCK_PAYLOAD, BLOCK_SIZE, LogGeometry, Seal};

/// Blocks of one page.
pub(super) struct Image {
    start: Address,
    /// Their bytes, those of blocks that do not verify being what they are.
    payload: Vec<u8>,
    /// The generation of every block that is whole.
    blocks: Vec<Option<u32>>,
}

impl Image {
    /// The blocks from number `first` on, which lie in `buf`; only `read` bytes of it were there.
    pub(super) fn new(geometry: LogGeometry, first: u64, buf: &[u8], read: usize) -> Self {
        let mut payload = Vec::with_capacity(buf.len());
        let mut blocks = Vec::with_capacity(buf.len() / BLOCK_SIZE);
        for (number, block) in (first..).zip(buf.chunks_exact(BLOCK_SIZE)) {
            payload.extend_from_slice(&block[..geometry.payload_of_block(number)]);
            let is_there = (blocks.len() + 1) * BLOCK_SIZE <= read;
            let seal = Seal::of(block, number);
            blocks.push((is_there && seal.is_intact()).then_some(seal.generation));
        }
        Self { start: geometry.start_of_block(first), payload, blocks }
    }

    fn at(&self, offset: usize) -> Address {
        Address::new(self.start.get() + offset as u64)
    }

    /// True if no block is whole.
    pub(super) fn is_blank(&self) -> bool {
        self.blocks.iter().all(Option::is_none)
    }

    /// Where the first block that is not whole, or not of this generation, begins; the end if all are.
    pub(super) fn whole_until(&self, generation: u32) -> Address {
        let whole = self.blocks.iter().take_while(|block| **block == Some(generation)).count();
        self.at((whole * BLOCK_PAYLOAD).min(self.payload.len()))
    }

    /// The commit records in whole blocks, with their addresses and what their blocks carry: wherever an entry may begin, since a
    /// torn one may lie before.
    pub(super) fn commits(&self) -> impl DoubleEndedIterator<Item = (Address, CommitRecord, u32)> + '_ {
        (0..self.payload.len() / 8).filter_map(|word| {
            let offset = word * 8;
            let generation = self.blocks[offset / BLOCK_PAYLOAD]?;
            let (record, size) = CommitRecord::at_start_of(&self.payload[offset..], self.at(offset), generation)?;
            let blocks = offset / BLOCK_PAYLOAD..=(offset + size - 1) / BLOCK_PAYLOAD;
            let is_whole = blocks.into_iter().all(|block| self.blocks.get(block) == Some(&Some(generation)));
            is_whole.then(|| (self.at(offset), record, generation))
        })
    }

    /// The last of them below `before`.
    pub(super) fn last_commit(&self, before: Address) -> Option<(Address, CommitRecord, u32)> {
        self.commits().rev().find(|(address, _, _)| *address < before)
    }

    /// Walks the entries between two addresses; where the last whole one ends.
    ///
    /// # Errors
    /// The address of what is no entry.
    pub(super) fn walk(&self, from: Address, end: Address, generation: u32) -> Result<Address, Address> {
        let (mut at, end) = ((from.get() - self.start.get()) as usize, (end.get() - self.start.get()) as usize);
        let mut last = at;
        while at < end {
            let word = self.payload[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
            let Some(header) = Header::of_word(word) else {
                at = (at / BLOCK_PAYLOAD + 1) * BLOCK_PAYLOAD;
                last = at.min(end);
                continue;
            };
            if at + header.size() > end {
                break;
            }
            let body = self.payload.get(at + 8..at + 8 + header.len()).ok_or(self.at(at))?;
            if header.kind().is_none() || !header.fits(body, self.at(at), generation) {
                return Err(self.at(at));
            }
            at += header.size();
            last = at;
        }
        Ok(self.at(last))
    }
}
