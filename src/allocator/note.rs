//! A note at the end of a block that was closed early: how far the log was durable by then.
//!
//! ```text
//!   | records .. | 0 .. not looked at .. | magic | durable | check |      the last 24 bytes of the log's bytes in the block
//! ```
//!
//! Who walks records ends at the zero word and never sees it. Who recovers a log finds a torn tail by blocks that do not verify,
//! and tells it from damage by a note further on: if that says that more was durable, something was lost that was promised.

use super::hybrid_log::HybridLog;
use crate::address::Address;
use crate::epoch::Participant;
use crate::sync::Ordering;
use crate::utility::{crc32c, crc32c_append};

const MAGIC: u64 = u64::from_le_bytes(*b"durable\x01");
const WORDS: u64 = 3;

/// Distinguishes a note from a record's bytes, and from a note of another log or place.
fn check(durable: u64, generation: u32, block: u64) -> u64 {
    let sum = crc32c_append(crc32c(&durable.to_le_bytes()), &generation.to_le_bytes());
    let sum = u64::from(crc32c_append(sum, &block.to_le_bytes()));
    sum << 32 | (!sum & u64::from(u32::MAX))
}

/// How far the log was durable when the block with these bytes of the log was closed, if it says so.
pub(crate) fn note_in(payload: &[u8], generation: u32, block: u64) -> Option<Address> {
    let (words, rest) = payload.as_chunks::<8>();
    let [magic, durable, stored] = words.last_chunk::<3>()?.map(u64::from_le_bytes);
    let is_note = rest.is_empty() && magic == MAGIC && durable <= Address::MAX.get();
    (is_note && stored == check(durable, generation, block)).then(|| Address::new(durable))
}

impl HybridLog {
    /// Moves the tail to a block boundary, as [`close_block`](Self::close_block) does, and leaves a note that everything below
    /// `durable` is durable, if there is room for it.
    pub(crate) fn close_block_with_note(&self, durable: Address, participant: &mut Participant) -> Option<Address> {
        // Pinned until it is written: what lies below a boundary that nobody pinned can have missed is written out (L2).
        let guard = participant.pin();
        let (from, to) = self.close_block_from()?;
        let room = to.get() - from.get();
        // One word stays zero: there the records end.
        if room > WORDS * 8 {
            let block = self.geometry().block_of(from);
            let generation = self.history().generation_at(self.geometry().start_of_block(block));
            let note = [MAGIC, durable.get(), check(durable.get(), generation, block)];
            let at = Address::new(to.get() - WORDS * 8);
            for (word, value) in self.words(at, WORDS as usize * 8, &guard).iter().zip(note) {
                word.store(value, Ordering::Relaxed);
            }
        }
        Some(to)
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_known_in_its_place_only() {
        let mut payload = vec![0; 4088];
        for (at, value) in [MAGIC, 8176, check(8176, 7, 5)].into_iter().enumerate() {
            payload[4064 + at * 8..4072 + at * 8].copy_from_slice(&value.to_le_bytes());
        }
        assert_eq!(note_in(&payload, 7, 5), Some(Address::new(8176)));
        assert_eq!(note_in(&payload, 8, 5), None, "another log's");
        assert_eq!(note_in(&payload, 7, 6), None, "another place's");
        assert_eq!(note_in(&payload[8..], 7, 5), Some(Address::new(8176)), "a short block");
        assert_eq!(note_in(&payload[..16], 7, 5), None);
        payload[4080] ^= 1;
        assert_eq!(note_in(&payload, 7, 5), None);
    }
}
