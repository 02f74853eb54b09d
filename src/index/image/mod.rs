//! Images of the index: written to a file while others go on changing it, and read back into a new index.
//!
//! An image is a row of blocks like those of the log ([`crate::allocator`], L8), numbered from 0. Their payloads make one
//! sequence of chains, one for every bucket of the table, in order:
//!
//! ```text
//!   chain:   [e][e][e][e][e][e][e][1]  [e][e][0][0][0][0][0][0]          a chain of two buckets that can grow
//!            [e][e][0][0][0][0][0][S a]                                  a saturated one with its catch-all
//!
//!   last word: 0 the chain ends and can grow; 1 the next 64 bytes are its next bucket; otherwise as in memory
//! ```
//!
//! Overflow buckets stand where their chain does. So an image names no bucket, and cannot lead to one that it does not have.
//! Entries are moved together, and each tag has one.
//!
//! What an image must hold for a log from `replay_from` on to complete it:
//!
//! * **G1** Every entry whose record lies below `replay_from`, unless it was changed or freed while the image was made: all
//!   operations that could have published one had finished before the first bucket was read.
//! * **G2** If a chain is saturated in the image, the image has an entry for every tag that has one of its own in memory, or
//!   ever will. Otherwise replay would put the tag's records in front of the catch-all, and lose one chain behind the other.
//! * **G3** One entry per tag and chain, the one with the larger address: a tag whose entry was freed and made anew in
//!   another slot may be met twice.

#[cfg(not(oxifaster_loom))]
mod load;
#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests;
mod write;

use super::bucket::WORDS;
use super::entry::Entry;
use crate::allocator::{BLOCK_PAYLOAD, BLOCK_SIZE};
use crate::utility::KeyHash;

#[cfg(not(oxifaster_loom))]
pub(crate) use load::ImageSource;
#[cfg(test)]
pub(super) use write::Chain;

/// The last word of a bucket whose chain goes on in the next bucket of the image.
const GOES_ON: u64 = 1;
const BUCKET_BYTES: usize = WORDS * size_of::<u64>();

/// How large an image came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImageSize {
    /// Buckets of the table.
    pub(crate) buckets: u64,
    /// Further buckets.
    pub(crate) overflow_buckets: u64,
    /// Bytes of the file.
    pub(crate) bytes: u64,
}

impl ImageSize {
    fn of(buckets: u64, overflow_buckets: u64) -> Option<Self> {
        let payload = buckets.checked_add(overflow_buckets)?.checked_mul(BUCKET_BYTES as u64)?;
        let bytes = payload.div_ceil(BLOCK_PAYLOAD as u64).checked_mul(BLOCK_SIZE as u64)?;
        Some(Self { buckets, overflow_buckets, bytes })
    }
}

/// The tags that a chain has shown so far.
struct Tags(Box<[u64; 1 << (KeyHash::TAG_BITS - 6)]>);

impl Tags {
    fn new() -> Self {
        Self(Box::new([0; 1 << (KeyHash::TAG_BITS - 6)]))
    }

    /// The tag of an entry that is not tentative.
    fn of(entry: Entry) -> u64 {
        entry.tag()
    }

    /// Notes the tag of an entry. False if it was noted before.
    #[inline]
    fn add(&mut self, entry: Entry) -> bool {
        let tag = Self::of(entry);
        let (word, bit) = (&mut self.0[(tag >> 6) as usize % (1 << (KeyHash::TAG_BITS - 6))], 1 << (tag & 63));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Forgets the tags of these entries.
    #[inline]
    fn forget(&mut self, entries: &[u64]) {
        for entry in entries {
            self.0[(Self::of(Entry(*entry)) >> 6) as usize % (1 << (KeyHash::TAG_BITS - 6))] = 0;
        }
    }
}
