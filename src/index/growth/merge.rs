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
use super::halves::Halves;
use super::records::{Copier, Look, Place};
use crate::address::Address;
use crate::index::bucket::ENTRIES;
use crate::index::entry::{Entry, Overflow};
use crate::sync::Ordering;

/// Records that are looked at for the sake of one pair of chains.
const LOOKS_MAX: usize = 1 << 13;

/// Why two buckets cannot be put together at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hindrance {
    /// Records have to be copied, which is for who has the index shrink.
    Copies,
    /// A chain is not in memory to its end, or too long.
    Away,
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
    /// What lies below was given up.
    pub(crate) begin: Address,
}

/// The two buckets are put together.
pub(super) struct Merge<'t> {
    pub(super) halves: Halves<'t>,
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
    /// Merges the buckets, unless somebody else has begun to. True if this call did it. If it is hindered, everything is as it was.
    ///
    /// # Errors
    /// What is in the way.
    pub(super) fn run(&self) -> Result<bool, Hindrance> {
        if !self.halves.begin() {
            return Ok(false);
        }
        let filled = self.run_begun();
        if filled.is_err() {
            self.halves.give_back();
        }
        filled.map(|()| true)
    }

    /// The same for who has begun.
    ///
    /// # Errors
    /// As for [`run`](Self::run); the buckets are to be given back.
    pub(super) fn run_begun(&self) -> Result<(), Hindrance> {
        let joints = self.join([0, 1].map(|side| self.halves.freeze(side)))?;
        self.fill(&joints)
    }

    /// The newest records of both chains of this tag, and of which side the older one is. `None` if there are no two, or they are one.
    pub(super) fn tops(&self, sides: [Address; 2]) -> Option<(u64, [Address; 2])> {
        match sides.map(|at| self.top(at)) {
            [Some(one), Some(other)] if one < other => Some((0, [one, other])),
            [Some(one), Some(other)] if one > other => Some((1, [other, one])),
            _ => None,
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
        if let Some((side, [lower, higher])) = self.tops(sides) {
            return joint(higher, self.to_be_copied(tag, side, lower, higher)?);
        }
        sides.into_iter().find_map(|at| self.top(at)).map_or(Ok(None), |top| joint(top, Vec::new()))
    }

    /// What the chain from `at` on has of its own: the newest record of each key of this side, tombstones too, that is not part of the
    /// chain from `higher` on. (A chain may hold older records of keys of the other side: those are none of its own.)
    fn to_be_copied(&self, tag: u16, side: u64, mut at: Address, higher: Address) -> Result<Vec<Address>, Hindrance> {
        let (mut newest, mut higher, mut looks) = (Vec::new(), Some(higher), 0);
        loop {
            while let Some(other) = higher.filter(|other| *other > at && looks < LOOKS_MAX) {
                looks += 1;
                higher = match self.look(other) {
                    Look::Record(_, previous) | Look::Skip(previous) => Some(previous),
                    Look::Away | Look::Gone => None,
                };
            }
            if higher == Some(at) {
                return Ok(newest);
            }
            looks += 1;
            match self.look(at) {
                Look::Gone => return Ok(newest),
                _ if looks >= LOOKS_MAX => return Err(Hindrance::Away),
                Look::Away => return Err(Hindrance::Away),
                Look::Skip(previous) => at = previous,
                Look::Record(hash, previous) => {
                    if self.halves.is_own(hash, tag, side)
                        && !newest.iter().any(|newer| self.means.records.are_of_one_key(*newer, at))
                    {
                        newest.push(at);
                    }
                    at = previous;
                }
            }
        }
    }

    /// Fills the bucket, and makes it complete.
    fn fill(&self, joints: &[Joint]) -> Result<(), Hindrance> {
        let needs_copies = joints.iter().any(|joint| !joint.copies.is_empty());
        let copier = self.means.copier.filter(|_| needs_copies);
        if needs_copies && copier.is_none() {
            return Err(Hindrance::Copies);
        }
        let (copies, entries) = match copier {
            Some(copier) => copied(copier, joints)?,
            None => (Vec::new(), joints.iter().map(|joint| Entry::new(joint.tag, joint.onto)).collect()),
        };
        // Last of all: others would take what is given back, and there is no more than is needed.
        let further = self.further_buckets(entries.len()).inspect_err(|_| withdraw(copier, copies))?;
        let arena = &self.halves.to.arena;
        let buckets = std::iter::once(self.halves.first()).chain(further.iter().map(|number| arena.bucket(*number)));
        let links =
            further.iter().map(|number| Overflow::link_to(*number)).chain(std::iter::once(Overflow::FILLED_END));
        let mut parts = entries.chunks(ENTRIES);
        let mut filled = Vec::with_capacity(further.len() + 1);
        for (bucket, link) in buckets.zip(links) {
            let (Some(bucket), part) = (bucket, parts.next().unwrap_or_default()) else { continue };
            for (slot, entry) in bucket.slots().zip(part) {
                // Release: who finds it before the chain is complete finds the record.
                slot.store(entry.0, Ordering::Release);
            }
            filled.push((bucket, link));
        }
        // That of the first one comes last: W3.
        filled.into_iter().rev().for_each(|(bucket, link)| bucket.overflow().store(link, Ordering::Release));
        arena.keep_less(further.len() as u64);
        Ok(())
    }

    /// As many overflow buckets as so many entries take.
    fn further_buckets(&self, entries: usize) -> Result<Vec<u64>, Hindrance> {
        let mut numbers = Vec::new();
        while (numbers.len() + 1) * ENTRIES < entries {
            match self.halves.to.arena.allocate_kept() {
                Some(number) => numbers.push(number),
                None => {
                    numbers.into_iter().for_each(|number| self.halves.to.arena.give_back(number));
                    return Err(Hindrance::Full);
                }
            }
        }
        Ok(numbers)
    }
}

/// Makes the copies, and the entries that lead to them; or none.
fn copied(copier: &dyn Copier, joints: &[Joint]) -> Result<(Vec<Address>, Vec<Entry>), Hindrance> {
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
                withdraw(Some(copier), made);
                return Err(Hindrance::Room);
            };
            made.push(copy);
            top = copy;
        }
        entries.push(Entry::new(joint.tag, top));
    }
    Ok((made, entries))
}

fn withdraw(copier: Option<&dyn Copier>, copies: Vec<Address>) {
    copier.into_iter().for_each(|copier| copies.iter().for_each(|at| copier.withdraw(*at)));
}
