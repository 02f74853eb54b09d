//! Taking a bucket apart.

use super::Records;
use super::records::Look;
use crate::address::Address;
use crate::index::arena::Allocated;
use crate::index::bucket::{Bucket, ENTRIES};
use crate::index::entry::{Entry, Overflow};
use crate::index::table::Table;
use crate::sync::Ordering;
use crate::utility::KeyHash;
use std::cell::Cell;

/// Records that are looked at for the sake of one bucket. Behind them both halves get the rest of each chain. It takes the chains
/// of a bucket with dozens of times more keys than it has room for, and less than a millisecond.
const LOOKS_MAX: usize = 1 << 13;

/// The bucket that is split, and what it is split into.
pub(super) struct Split<'t> {
    pub(super) from: &'t Table,
    pub(super) to: &'t Table,
    pub(super) bucket: u64,
    pub(super) records: &'t dyn Records,
    /// Records that were looked at.
    looks: Cell<usize>,
}

impl<'t> Split<'t> {
    pub(super) fn new(from: &'t Table, to: &'t Table, bucket: u64, records: &'t dyn Records) -> Self {
        Self { from, to, bucket, records, looks: Cell::new(0) }
    }

    fn look(&self, at: Address) -> Look {
        let looks = self.looks.get();
        self.looks.set(looks + 1);
        if !at.is_valid() {
            Look::Gone
        } else if looks < LOOKS_MAX || at.is_cached() {
            // Copies in a read cache are never passed on: a copy is in one chain only, or in none.
            self.records.look(at)
        } else {
            Look::Away
        }
    }

    /// Splits the bucket, unless somebody else has begun to. True if this call did it.
    pub(super) fn run(&self) -> bool {
        let Some(lower) = self.first(0) else { return false };
        let begun =
            lower.overflow().compare_exchange(Overflow::END, Overflow::SPLITTING, Ordering::Acquire, Ordering::Relaxed);
        if begun.is_err() {
            return false;
        }
        let mut halves = [Half::new(self.to, self.first(0)), Half::new(self.to, self.first(1))];
        let (mut links, mut end) = (0, Overflow::END);
        let mut next = self.from.bucket(self.bucket as usize);
        while let Some(bucket) = next {
            for slot in bucket.slots() {
                let entry = Entry::freeze(slot);
                if entry.is_plain() {
                    self.move_entry(entry, &mut halves);
                }
            }
            end = Overflow::freeze(bucket.overflow());
            next = self.from.next(Overflow::of_word(end));
            links += u64::from(next.is_some());
        }
        let ends = match Overflow::of_word(end) {
            Overflow::Saturated if self.records.sees_chains() => {
                self.take_catch_all_apart(Entry(end).address(), &mut halves)
            }
            Overflow::Saturated => [Overflow::catch_all(Entry(end).address()); 2],
            _ => [Overflow::FILLED_END; 2],
        };
        self.to.arena.keep_less(2 * links);
        let [lower, upper] = halves;
        // In this order, because that of the lower one is what tells those who walk over the whole table.
        upper.finish(ends[1]);
        lower.finish(ends[0]);
        true
    }

    /// The first bucket of the half of this side.
    fn first(&self, side: u64) -> Option<Bucket<'t>> {
        self.to.bucket((self.bucket + side * self.from.len()) as usize)
    }

    /// The half that keys of this hash go to, if they are in this bucket at all.
    fn side(&self, hash: KeyHash) -> Option<usize> {
        let bucket = hash.bucket(self.to.len() - 1);
        (bucket & (self.from.len() - 1) == self.bucket).then_some(usize::from(bucket != self.bucket))
    }

    fn move_entry(&self, entry: Entry, halves: &mut [Half<'t>; 2]) {
        let tag = entry.tag() as u16;
        for (half, head) in halves.iter_mut().zip(self.heads(tag, entry.address())) {
            if head.is_valid() {
                half.add_kept(Entry::new(tag, head));
            }
        }
    }

    /// Where the chain that begins at `at` begins for the keys of each half.
    fn heads(&self, tag: u16, mut at: Address) -> [Address; 2] {
        let mut heads = [Address::INVALID; 2];
        loop {
            match self.look(at) {
                Look::Gone => return heads,
                Look::Away => return heads.map(|head| if head.is_valid() { head } else { at }),
                Look::Skip(previous) => at = previous,
                Look::Record(hash, previous) => {
                    // A chain may have come from a larger one, and hold others besides.
                    if let Some(side) = self.side(hash).filter(|_| hash.tag() == tag)
                        && !heads[side].is_valid()
                    {
                        heads[side] = at;
                        if heads[1 - side].is_valid() {
                            return heads;
                        }
                    }
                    at = previous;
                }
            }
        }
    }

    /// Gives every tag that is met in a catch-all chain an entry of its own, and returns how the halves end: open, if all of the
    /// chain was met, or saturated, with the rest of it.
    ///
    /// What an entry made here leads to goes on into that rest, so no key of its tag is hidden (I1).
    fn take_catch_all_apart(&self, mut at: Address, halves: &mut [Half<'t>; 2]) -> [u64; 2] {
        loop {
            at = match self.look(at) {
                Look::Gone => return [Overflow::FILLED_END; 2],
                Look::Away => return [Overflow::catch_all(at); 2],
                Look::Skip(previous) => previous,
                Look::Record(hash, previous) => {
                    if let Some(side) = self.side(hash)
                        && !halves[side].has(hash.tag())
                        && !halves[side].add(Entry::new(hash.tag(), at))
                    {
                        return [Overflow::catch_all(at); 2]; // no bucket left
                    }
                    previous
                }
            };
        }
    }
}

/// A chain that is being filled. Nobody follows it beyond its first bucket before it is complete.
struct Half<'t> {
    table: &'t Table,
    first: Option<Bucket<'t>>,
    /// What the first bucket's overflow word will be if the chain goes on.
    link: Option<u64>,
    /// The bucket that is being filled, and how many of its slots are.
    last: Option<Bucket<'t>>,
    filled: usize,
}

impl<'t> Half<'t> {
    fn new(table: &'t Table, first: Option<Bucket<'t>>) -> Self {
        Self { table, first, link: None, last: first, filled: 0 }
    }

    /// Adds an entry that has a place: as many buckets are kept as the entries of the old chain can take.
    fn add_kept(&mut self, entry: Entry) {
        if self.filled == ENTRIES {
            let Some(number) = self.table.arena.allocate_kept() else {
                debug_assert!(false, "too few buckets were kept");
                return;
            };
            self.go_on_at(number);
        }
        self.put(entry);
    }

    /// Adds an entry if there is room for it.
    fn add(&mut self, entry: Entry) -> bool {
        if self.filled == ENTRIES {
            let Allocated::Bucket(number) = self.table.arena.allocate() else { return false };
            self.go_on_at(number);
        }
        self.put(entry);
        true
    }

    fn go_on_at(&mut self, number: u64) {
        let link = Overflow::link_to(number);
        match (self.link, self.last) {
            (None, _) => self.link = Some(link),
            (Some(_), Some(last)) => last.overflow().store(link, Ordering::Relaxed),
            (Some(_), None) => {}
        }
        (self.last, self.filled) = (self.table.arena.bucket(number), 0);
    }

    fn put(&mut self, entry: Entry) {
        if let Some(slot) = self.last.and_then(|bucket| bucket.slots().nth(self.filled)) {
            // Release: who finds it before the chain is complete finds the record.
            slot.store(entry.0, Ordering::Release);
            self.filled += 1;
        }
    }

    /// True if there is an entry for the tag. (One that was found and freed already is as good as there: its key is gone.)
    fn has(&self, tag: u16) -> bool {
        let has_tag =
            |bucket: Bucket<'_>| bucket.slots().any(|slot| Entry(slot.load(Ordering::Relaxed)).is_in_force(tag));
        let second = self.link.and_then(|link| self.table.next(Overflow::of_word(link)));
        let further = std::iter::successors(second, |bucket| {
            self.table.next(Overflow::of_word(bucket.overflow().load(Ordering::Relaxed)))
        });
        self.first.into_iter().chain(further).any(has_tag)
    }

    /// Makes the chain complete; its last word becomes `end`.
    fn finish(self, end: u64) {
        let Some(first) = self.first else { return };
        if let Some(link) = self.link {
            if let Some(last) = self.last {
                last.overflow().store(end, Ordering::Relaxed);
            }
            first.overflow().store(link, Ordering::Release); // W3
        } else {
            first.overflow().store(end, Ordering::Release); // W3
        }
    }
}
