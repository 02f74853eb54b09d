//! Putting two buckets together into one.
//!
//! Most entries just move. Two of the same tag become one (I1), and with that their chains: the *lower* one, whose newest record is
//! older, goes in front of the *higher* one, by copies of its records, since what a record leads to never changes.
//!
//! ```text
//!   higher  h --> g --> e --> c                  h --> g --> e --> c
//!                                     ---->     /
//!   lower   f --> d --> c              f' --> d'          f, d: the newest of their keys; c: shared, and needs no copy
//! ```
//!
//! All copies lie above both chains, so who goes through the log in the order of addresses finds the right head; and whatever is
//! older than a copy of its key lies below what the copies lead to: when that is given up, so is the other.

use super::Records;
use super::records::{Copier, Look, Place};
use crate::address::Address;
use crate::index::bucket::{Bucket, ENTRIES};
use crate::index::entry::{Entry, Overflow};
use crate::index::table::Table;
use crate::sync::Ordering;
use crate::utility::KeyHash;

/// Records that are looked at for the sake of one pair of chains.
const LOOKS_MAX: usize = 1 << 13;

/// Why two buckets cannot be put together at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hindrance {
    /// Records have to be copied, which is for who has the index shrink.
    Copies,
    /// The chain that begins here is not in memory to its end, or too long.
    Away(Address),
    /// The record may still be changed where it lies.
    Open(Address),
    /// There is no room in memory for copies.
    Room,
    /// There is no overflow bucket left.
    Full,
}

/// What one who merges has at hand.
#[derive(Clone, Copy)]
pub(crate) struct Means<'m> {
    pub(crate) records: &'m dyn Records,
    /// If records may be copied.
    pub(crate) copier: Option<&'m dyn Copier>,
    /// Chains of this bucket that go on here have nothing there that is the newest of its key. (Those of another bucket may: they may
    /// share it since a growth.)
    pub(crate) dry: (u64, &'m [Address]),
    /// Nor those that go on below: it was given up.
    pub(crate) begin: Address,
}

/// The two buckets, and what they become.
pub(super) struct Merge<'t> {
    pub(super) from: &'t Table,
    pub(super) to: &'t Table,
    /// The number of the bucket that they become, and of the first of them.
    pub(super) bucket: u64,
    pub(super) means: Means<'t>,
}

/// What becomes of two entries of one tag.
struct Joint {
    tag: u16,
    /// What is copied, the newest first, and what it is put in front of.
    copies: Vec<Address>,
    onto: Address,
}

impl<'t> Merge<'t> {
    /// Merges the buckets, unless somebody else has begun to. True if this call did it. If it is hindered, everything is as it was; but
    /// if only a record is still open that is to be copied, they stay frozen, and the caller comes again for them, or gives them back.
    ///
    /// # Errors
    /// What is in the way.
    pub(super) fn run(&self, is_frozen: bool) -> Result<bool, Hindrance> {
        let Some(first) = self.to.bucket(self.bucket as usize) else { return Ok(false) };
        let begin = || {
            let (new, at_first) = (Overflow::SPLITTING, Ordering::Acquire);
            first.overflow().compare_exchange(Overflow::END, new, at_first, Ordering::Relaxed).is_ok()
        };
        if !is_frozen && !begin() {
            return Ok(false);
        }
        let halves = [0, 1].map(|side| self.freeze(side));
        let filled = self.join(halves).and_then(|joints| self.fill(first, &joints));
        if filled.is_err_and(|hindrance| !matches!(hindrance, Hindrance::Open(_))) {
            self.give_back();
        }
        filled.map(|()| true)
    }

    /// Gives the buckets back as they were.
    pub(super) fn give_back(&self) {
        (0..2).for_each(|side| self.thaw(side));
        if let Some(first) = self.to.bucket(self.bucket as usize) {
            first.overflow().store(Overflow::END, Ordering::Release); // W3
        }
    }

    /// The buckets of the chain of this side.
    fn chain(&self, side: u64) -> impl Iterator<Item = Bucket<'t>> {
        self.from.chain((self.bucket + side * self.to.len()) as usize).map(|(bucket, _)| bucket)
    }

    /// W2. A saturated chain is met by nobody (W8).
    fn freeze(&self, side: u64) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut next = self.chain(side).next();
        while let Some(bucket) = next {
            entries.extend(bucket.slots().map(Entry::freeze).filter(|entry| entry.is_plain()));
            next = self.from.next(Overflow::of_word(Overflow::freeze(bucket.overflow())));
        }
        entries
    }

    fn thaw(&self, side: u64) {
        for bucket in self.chain(side) {
            bucket.slots().for_each(Entry::thaw);
            Overflow::thaw(bucket.overflow());
        }
    }

    /// What becomes of the entries of both sides.
    fn join(&self, [lower, mut upper]: [Vec<Entry>; 2]) -> Result<Vec<Joint>, Hindrance> {
        let mut joints = Vec::with_capacity(lower.len() + upper.len());
        for entry in lower {
            let tag = entry.tag() as u16;
            let Some(place) = upper.iter().position(|other| other.tag() == entry.tag()) else {
                joints.extend(self.moved(tag, entry.address()));
                continue;
            };
            let other = upper.swap_remove(place);
            joints.extend(self.joined(tag, [entry.address(), other.address()])?);
        }
        joints.extend(upper.into_iter().filter_map(|entry| self.moved(entry.tag() as u16, entry.address())));
        Ok(joints)
    }

    /// The chain as it is, without the copies of a read cache in front of it.
    fn moved(&self, tag: u16, at: Address) -> Option<Joint> {
        let onto = if at.is_cached() { self.top(at)? } else { at };
        Some(Joint { tag, copies: Vec::new(), onto })
    }

    /// The newest record of the chain, if there is one.
    fn top(&self, mut at: Address) -> Option<Address> {
        loop {
            match self.look(at) {
                Look::Gone => return None,
                Look::Skip(previous) => at = previous,
                Look::Away | Look::Record(..) => return Some(at),
            }
        }
    }

    fn look(&self, at: Address) -> Look {
        let is_there = at.is_valid() && at >= self.means.begin; // a copy in a read cache has the highest bit set
        if is_there { self.means.records.look(at) } else { Look::Gone }
    }

    /// The chains of both sides as one.
    fn joined(&self, tag: u16, sides: [Address; 2]) -> Result<Option<Joint>, Hindrance> {
        let joint = |onto, copies| Ok(Some(Joint { tag, copies, onto }));
        match sides.map(|at| self.top(at)) {
            [None, None] => Ok(None),
            [Some(one), None] | [None, Some(one)] => joint(one, Vec::new()),
            [Some(one), Some(other)] if one <= other => joint(other, self.to_be_copied(tag, 0, one, other)?),
            [Some(one), Some(other)] => joint(one, self.to_be_copied(tag, 1, other, one)?),
        }
    }

    /// What the chain from `at` on has of its own: the newest record of each key of this side, tombstones too, that is not part of the
    /// chain from `higher` on. (A chain may hold older records of keys of the other side: those are none of its own.)
    fn to_be_copied(&self, tag: u16, side: u64, mut at: Address, higher: Address) -> Result<Vec<Address>, Hindrance> {
        let (mut newest, mut higher, mut looks, top) = (Vec::new(), Some(higher), 0, at);
        loop {
            while let Some(other) = higher.filter(|other| *other > at && looks < LOOKS_MAX) {
                looks += 1;
                higher = match self.look(other) {
                    Look::Record(_, previous) | Look::Skip(previous) => Some(previous),
                    Look::Away | Look::Gone => None,
                };
            }
            let (bucket, dry) = self.means.dry;
            if higher == Some(at) || bucket == self.bucket && dry.contains(&at) {
                return Ok(newest);
            }
            looks += 1;
            match self.look(at) {
                Look::Gone => return Ok(newest),
                _ if looks >= LOOKS_MAX => return Err(Hindrance::Away(top)),
                Look::Away => return Err(Hindrance::Away(top)),
                Look::Skip(previous) => at = previous,
                Look::Record(hash, previous) => {
                    if self.is_own(hash, tag, side)
                        && !newest.iter().any(|newer| self.means.records.are_of_one_key(*newer, at))
                    {
                        newest.push(at);
                    }
                    at = previous;
                }
            }
        }
    }

    fn is_own(&self, hash: KeyHash, tag: u16, side: u64) -> bool {
        hash.tag() == tag && hash.bucket(self.from.len() - 1) == self.bucket + side * self.to.len()
    }

    /// Fills the bucket, and makes it complete.
    fn fill(&self, first: Bucket<'_>, joints: &[Joint]) -> Result<(), Hindrance> {
        let needs_copies = joints.iter().any(|joint| !joint.copies.is_empty());
        let copier = self.means.copier.filter(|_| needs_copies);
        if needs_copies && copier.is_none() {
            return Err(Hindrance::Copies);
        }
        let further = self.further_buckets(joints.len())?;
        let entries = match copier {
            Some(copier) => copied(copier, joints),
            None => Ok(joints.iter().map(|joint| Entry::new(joint.tag, joint.onto)).collect()),
        };
        let entries: Vec<Entry> = entries.inspect_err(|_| {
            further.iter().for_each(|number| self.to.arena.give_back(*number));
        })?;
        let buckets = std::iter::once(Some(first)).chain(further.iter().map(|number| self.to.arena.bucket(*number)));
        let links =
            further.iter().map(|number| Overflow::link_to(*number)).chain(std::iter::once(Overflow::FILLED_END));
        let mut parts = entries.chunks(ENTRIES);
        let mut first_link = Overflow::FILLED_END;
        for (bucket, link) in buckets.zip(links) {
            let (Some(bucket), part) = (bucket, parts.next().unwrap_or_default()) else { continue };
            for (slot, entry) in bucket.slots().zip(part) {
                // Release: who finds it before the chain is complete finds the record.
                slot.store(entry.0, Ordering::Release);
            }
            if std::ptr::eq(bucket.overflow(), first.overflow()) {
                first_link = link;
            } else {
                bucket.overflow().store(link, Ordering::Relaxed);
            }
        }
        first.overflow().store(first_link, Ordering::Release); // W3
        Ok(())
    }

    /// As many overflow buckets as so many entries take.
    fn further_buckets(&self, entries: usize) -> Result<Vec<u64>, Hindrance> {
        let mut numbers = Vec::new();
        while (numbers.len() + 1) * ENTRIES < entries {
            match self.to.arena.allocate_kept() {
                Some(number) => numbers.push(number),
                None => {
                    numbers.into_iter().for_each(|number| self.to.arena.give_back(number));
                    return Err(Hindrance::Full);
                }
            }
        }
        Ok(numbers)
    }
}

/// Makes the copies, and the entries that lead to them; or none.
fn copied(copier: &dyn Copier, joints: &[Joint]) -> Result<Vec<Entry>, Hindrance> {
    let mut all = joints.iter().flat_map(|joint| &joint.copies);
    if let Some(open) = all.find(|at| !copier.is_settled(**at)) {
        return Err(Hindrance::Open(*open));
    }
    let (mut made, mut entries) = (Vec::new(), Vec::with_capacity(joints.len()));
    for joint in joints {
        let mut top = joint.onto;
        for (behind, at) in joint.copies.iter().enumerate().rev() {
            let place = match (behind, joint.copies.len()) {
                (0, 1) => Place::Alone,
                (0, _) => Place::Last,
                _ => Place::Part,
            };
            let Some(copy) = copier.copy(*at, top, place) else {
                made.into_iter().for_each(|at| copier.withdraw(at));
                return Err(Hindrance::Room);
            };
            made.push(copy);
            top = copy;
        }
        entries.push(Entry::new(joint.tag, top));
    }
    Ok(entries)
}
