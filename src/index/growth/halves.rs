//! The two buckets that become one, word by word.

use crate::address::Address;
use crate::index::bucket::Bucket;
use crate::index::entry::{Entry, Overflow};
use crate::index::table::Table;
use crate::sync::Ordering;
use crate::utility::KeyHash;

/// Two buckets of a table, and the one of a smaller table that they become.
#[derive(Clone, Copy)]
pub(super) struct Halves<'t> {
    pub(super) from: &'t Table,
    pub(super) to: &'t Table,
    /// The number of the bucket that they become, and of the first of them.
    pub(super) bucket: u64,
}

impl<'t> Halves<'t> {
    /// The bucket that they become.
    pub(super) fn first(&self) -> Option<Bucket<'t>> {
        self.to.bucket(self.bucket as usize)
    }

    /// Begins to merge them, unless somebody else has.
    pub(super) fn begin(&self) -> bool {
        let (new, at_first) = (Overflow::SPLITTING, Ordering::Acquire);
        self.first().is_some_and(|first| {
            first.overflow().compare_exchange(Overflow::END, new, at_first, Ordering::Relaxed).is_ok()
        })
    }

    /// Marks all words of a side, and returns its entries (W2). A saturated chain is met by nobody (W8).
    pub(super) fn freeze(&self, side: u64) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut next = self.chain(side).next();
        while let Some(bucket) = next {
            entries.extend(bucket.slots().map(Entry::freeze).filter(|entry| entry.is_plain()));
            next = self.from.next(Overflow::of_word(Overflow::freeze(bucket.overflow())));
        }
        entries
    }

    /// Has the entries of a tag, which are marked, lead to `head` on both sides.
    pub(super) fn lead(&self, tag: u16, head: Address) {
        let slots = (0..2).flat_map(|side| self.chain(side)).flat_map(|bucket| bucket.slots());
        slots.for_each(|slot| Entry::lead(slot, tag, head));
    }

    /// Gives the buckets back, with the marks taken off.
    pub(super) fn give_back(&self) {
        for bucket in (0..2).flat_map(|side| self.chain(side)) {
            bucket.slots().for_each(Entry::thaw);
            Overflow::thaw(bucket.overflow());
        }
        if let Some(first) = self.first() {
            first.overflow().store(Overflow::END, Ordering::Release); // W3
        }
    }

    /// Whether a key of this hash belongs to the chain of this tag on this side.
    pub(super) fn is_own(&self, hash: KeyHash, tag: u16, side: u64) -> bool {
        hash.tag() == tag && hash.bucket(self.from.len() - 1) == self.bucket + side * self.to.len()
    }

    /// The buckets of the chain of this side.
    fn chain(&self, side: u64) -> impl Iterator<Item = Bucket<'t>> + use<'t> {
        self.from.chain((self.bucket + side * self.to.len()) as usize).map(|(bucket, _)| bucket)
    }
}
