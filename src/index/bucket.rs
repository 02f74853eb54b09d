//! A bucket: entries, and a word that leads on.

use super::tag_match::{self, Level};
use crate::sync::AtomicU64;

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
    #[inline(always)]
    pub(super) fn find(self, tag: u16, level: Level) -> Option<(&'t AtomicU64, u64)> {
        let (place, word) = tag_match::find(self.0, tag, level)?;
        Some((&self.0[place], word))
    }
}
