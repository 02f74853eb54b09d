//! A bucket: entries, and a word that leads on.

use super::entry::Entry;
use super::tag_match::matching;
use crate::sync::{AtomicU64, Ordering};

/// Words of a bucket: one cache line. The model checker gets two entries instead of seven, enough for every race and few
/// enough to go through all of them.
pub(super) const WORDS: usize = if cfg!(oxifaster_loom) { 3 } else { 8 };
/// Entries of a bucket.
pub(super) const ENTRIES: usize = WORDS - 1;

const _: () = assert!(cfg!(oxifaster_loom) || WORDS * size_of::<u64>() == 64);

/// A bucket somewhere in the table or the arena.
#[derive(Clone, Copy)]
pub(super) struct Bucket<'t>(pub(super) &'t [AtomicU64; WORDS]);

impl<'t> Bucket<'t> {
    #[inline]
    pub(super) fn overflow(self) -> &'t AtomicU64 {
        &self.0[ENTRIES]
    }

    pub(super) fn slots(self) -> impl Iterator<Item = &'t AtomicU64> {
        self.0[..ENTRIES].iter()
    }

    /// The entry in force with this tag, and the slot it is in.
    #[inline]
    pub(super) fn find(self, tag: u16) -> Option<(&'t AtomicU64, u64)> {
        loop {
            let bits = matching(self.0, tag);
            if bits == 0 {
                return None;
            }
            let slot = &self.0[bits.trailing_zeros() as usize % WORDS];
            // Acquire: who follows the address finds the record that was written before the entry was.
            let word = slot.load(Ordering::Acquire);
            if Entry(word).is_in_force(tag) {
                return Some((slot, word));
            }
            // It was taken out in between, and may be in another slot by now.
        }
    }
}
