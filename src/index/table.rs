//! The buckets of the table and the chains that begin there.

use super::arena::Arena;
use super::bucket::{Bucket, WORDS};
use super::entry::{Entry, Overflow};
use super::growth::Progress;
use super::tag_match::Level;
use crate::error::Result;
use crate::memory::{Blocks, Words};
use crate::sync::{AtomicU64, Ordering};
use crate::utility::KeyHash;

pub(super) struct Table {
    buckets: Blocks<WORDS>,
    /// How tags are looked for on this processor.
    pub(super) level: Level,
    pub(super) arena: Arena,
    /// How far the table before this one has been moved to it.
    pub(super) progress: Progress,
}

/// How far a chain is of a table to which another one is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filling {
    /// Nobody has begun.
    Untouched,
    /// Somebody is at it.
    UnderWay,
    /// The chain is complete.
    Done,
}

/// What a walk over a whole chain found.
pub(super) struct Survey<'t> {
    /// The tag looked for is there, in force or tentative.
    pub(super) has_rival: bool,
    /// The first free slot.
    pub(super) free: Option<&'t AtomicU64>,
    /// The overflow word at the end of the chain.
    pub(super) last: &'t AtomicU64,
    /// That word when the walk came to it, and what it says.
    pub(super) seen: u64,
    pub(super) end: Overflow,
}

impl Table {
    /// A table of `buckets` buckets, a power of two; the caller has checked that they fit the address space.
    pub(super) fn new(buckets: u64, overflow_buckets: u64) -> Result<Self> {
        Self::with(buckets, overflow_buckets, Progress::whole())
    }

    /// The same, for another table to be moved to.
    pub(super) fn to_be_filled(buckets: u64, overflow_buckets: u64) -> Result<Self> {
        Self::with(buckets, overflow_buckets, Progress::none())
    }

    fn with(buckets: u64, overflow_buckets: u64, progress: Progress) -> Result<Self> {
        Ok(Self {
            buckets: Blocks::zeroed(buckets as usize)?,
            level: Level::of_this_processor(),
            arena: Arena::new(overflow_buckets)?,
            progress,
        })
    }

    pub(super) fn len(&self) -> u64 {
        self.buckets.len() as u64
    }

    /// The table has 2 to the power of this buckets.
    #[inline]
    pub(super) fn rank(&self) -> usize {
        self.len().ilog2() as usize
    }

    /// Begins anew, to be filled from the table of rank `before`. All its memory is zero, and nobody looks at it.
    pub(super) fn begin_anew(&self, before: usize) {
        self.arena.reset();
        self.progress.begin(before);
    }

    /// The memory of the table and of its arena.
    pub(super) fn memory(&self) -> [&Words; 2] {
        [self.buckets.words(), self.arena.memory()]
    }

    /// Bucket `number` of the table.
    pub(super) fn bucket(&self, number: usize) -> Option<Bucket<'_>> {
        (number < self.buckets.len()).then(|| Bucket(self.buckets.at(number as u64)))
    }

    /// The same table, with an arena for `overflow_buckets`, or for as many as are used already.
    pub(super) fn with_arena_of(self, overflow_buckets: u64) -> Result<Self> {
        Ok(Self { arena: self.arena.resized(overflow_buckets)?, ..self })
    }

    /// The bucket where the chain of this hash begins.
    #[inline(always)]
    pub(super) fn first(&self, hash: KeyHash) -> Bucket<'_> {
        Bucket(self.buckets.at(hash.bucket(u64::MAX)))
    }

    /// How far the chain is that begins at `first`, a bucket of the table.
    #[inline]
    pub(super) fn filling(&self, first: Bucket<'_>) -> Filling {
        if self.progress.is_over() {
            return Filling::Done;
        }
        // Acquire: who sees a chain complete finds everything in it (W3).
        match first.overflow().load(Ordering::Acquire) {
            Overflow::END => Filling::Untouched,
            Overflow::SPLITTING => Filling::UnderWay,
            _ => Filling::Done,
        }
    }

    /// True if chain `number` is complete.
    pub(super) fn is_complete(&self, number: u64) -> bool {
        self.bucket(number as usize).is_some_and(|first| self.filling(first) == Filling::Done)
    }

    /// The entry in force with this tag, or the catch-all that stands for it, in the chain that begins at `first`.
    pub(super) fn find_in_chain<'t>(&'t self, tag: u16, first: Bucket<'t>) -> (Option<&'t AtomicU64>, u64) {
        match first.find(tag, self.level) {
            Some((word, seen)) => (Some(word), seen),
            None => self.find_behind(tag, first.overflow()),
        }
    }

    /// The same in what comes behind the bucket whose overflow word is `last`.
    #[inline]
    pub(super) fn find_behind<'t>(&'t self, tag: u16, mut last: &'t AtomicU64) -> (Option<&'t AtomicU64>, u64) {
        loop {
            let seen = last.load(Ordering::Acquire);
            let overflow = Overflow::of_word(seen);
            let bucket = match self.next(overflow) {
                Some(next) => next,
                // The slots were read before this word, and an entry of the tag may have come into force in between.
                // For a reader that is as if it had come a little earlier; a writer looks again in `add_to_catch_all`.
                None if overflow == Overflow::Saturated => return (Some(last), seen),
                None => return (None, 0),
            };
            if let Some((word, seen)) = bucket.find(tag, self.level) {
                return (Some(word), seen);
            }
            last = bucket.overflow();
        }
    }

    /// The bucket that `bucket`'s overflow word, seen as `overflow`, leads to.
    #[inline]
    pub(super) fn next(&self, overflow: Overflow) -> Option<Bucket<'_>> {
        match overflow {
            Overflow::Link(number) => self.arena.bucket(number),
            _ => None,
        }
    }

    /// Walks the whole chain of `hash` and looks for its tag in every slot but `own`.
    pub(super) fn survey(&self, hash: KeyHash, own: Option<&AtomicU64>) -> Survey<'_> {
        let mut bucket = self.first(hash);
        let mut has_rival = false;
        let mut free = None;
        loop {
            for slot in bucket.slots().filter(|slot| !own.is_some_and(|own| std::ptr::eq(own, *slot))) {
                let entry = Entry(slot.load(Ordering::Acquire));
                has_rival |= entry.has_tag(hash.tag());
                if entry == Entry::FREE && free.is_none() {
                    free = Some(slot);
                }
            }
            let last = bucket.overflow();
            let seen = last.load(Ordering::Acquire);
            let end = Overflow::of_word(seen);
            match self.next(end) {
                Some(next) => bucket = next,
                None => return Survey { has_rival, free, last, seen, end },
            }
        }
    }

    /// Every bucket of the chain that begins at bucket `number`, with its overflow word.
    pub(super) fn chain(&self, number: usize) -> impl Iterator<Item = (Bucket<'_>, Overflow)> {
        let with_overflow = |bucket: Bucket<'_>| Overflow::of_word(bucket.overflow().load(Ordering::Acquire));
        std::iter::successors(
            self.bucket(number).map(|bucket| (bucket, with_overflow(bucket))),
            move |(_, overflow)| self.next(*overflow).map(|bucket| (bucket, with_overflow(bucket))),
        )
    }
}
