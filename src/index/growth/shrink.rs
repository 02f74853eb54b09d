//! The steps of a shrinking: one who has it shrink takes them all.

use super::halves::Halves;
use super::merge::{Hindrance, Means, Merge};
use super::run::{POPULATE_WORDS, give_memory_back, piece, pieces_of, populate};
use super::state::GrowthRefusal;
use crate::address::Address;
use crate::epoch::LightEpoch;
use crate::index::MemIndex;
use crate::index::bucket::ENTRIES;
use crate::index::entry::{Entry, Overflow};
use crate::index::mem_index::Conflict;
use crate::index::table::{Filling, Table};
use crate::memory::MemoryBudget;
use crate::sync::Ordering;
use crate::utility::KeyHash;

/// It shrinks by itself if it has no more entries than one for so many buckets: a sixteenth of those at which it grows.
const BUCKETS_PER_ENTRY: u64 = 4;
/// Buckets that are looked at to tell how full it is.
const SAMPLE: u64 = 1 << 10;

/// How far a shrinking is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShrinkStage {
    /// There is none.
    Over,
    /// The smaller table is there. When those have left who are pinned, it can be put in force.
    Announced,
    /// Buckets are being merged.
    Merging,
    /// All are. The larger table's memory is given back when nobody looks at it any more.
    Settling,
}

impl MemIndex {
    /// Makes a table of half the buckets, unless something is under way, and takes its memory from the system.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn begin_to_shrink(&self, budget: Option<&MemoryBudget>) -> Result<(), GrowthRefusal> {
        let mut state = self.growth.state.lock();
        if self.target().is_some() {
            return Ok(());
        }
        let size = self.config();
        let refusal = if state.holds > 0 {
            Some(GrowthRefusal::Image)
        } else if state.scans > 0 {
            Some(GrowthRefusal::Scan)
        } else if size.buckets <= self.buckets_min() {
            Some(GrowthRefusal::Smallest)
        } else {
            None
        };
        let rank = self.current().saturating_sub(1);
        let prepared = match refusal {
            Some(refusal) => Err(refusal),
            None => self.prepare(&mut state, rank, size.overflow_buckets / 2, budget),
        };
        state.refused = prepared.err();
        prepared?;
        let (from, to) = (self.table(), self.table_at(rank));
        let room = to.arena.len().div_ceil(4).min(from.arena.len().saturating_sub(from.arena.used()));
        state.room = room;
        self.growth.room_before.store(room, Ordering::Relaxed);
        self.growth.wanted.store(0, Ordering::Relaxed);
        self.growth.target.store(rank + 1, Ordering::Release);
        drop(state);
        let [words, _] = to.memory();
        let all = pieces_of(words, POPULATE_WORDS);
        while let Some(number) = to.progress.populated.take(all) {
            if !populate(words, piece(words, POPULATE_WORDS, number)) {
                self.give_up(to, GrowthRefusal::System);
                return Err(GrowthRefusal::System);
            }
        }
        Ok(())
    }

    /// How far a shrinking is.
    pub(crate) fn shrink_stage(&self) -> ShrinkStage {
        let Some(target) = self.target().filter(|target| self.shrinks_to(*target)) else { return ShrinkStage::Over };
        let to = self.table_at(target);
        match self.current() == target {
            false => ShrinkStage::Announced,
            true if to.progress.moved.done() < to.len() => ShrinkStage::Merging,
            true => ShrinkStage::Settling,
        }
    }

    /// How many steps of it have been taken, for those who wait for it.
    pub(crate) fn shrink_progress(&self) -> u64 {
        self.target().map_or(0, |target| {
            let progress = &self.table_at(target).progress;
            progress.moved.done() + progress.released.done()
        })
    }

    /// Puts the smaller table in force, if it has room for all entries. Everybody has left who was pinned when it was announced: so no
    /// bucket of the larger one is saturated any more (W8).
    ///
    /// # Errors
    /// Why it does not shrink: then there is no smaller table any more.
    pub(crate) fn shrink_in_force(&self) -> Result<(), GrowthRefusal> {
        let Some(target) = self.target().filter(|target| self.shrinks_to(*target)) else { return Ok(()) };
        let (from, to) = (self.table(), self.table_at(target));
        if self.current() == target {
            return Ok(());
        }
        let links = self.links_needed(from, to).inspect_err(|refusal| self.give_up(to, *refusal))?;
        let state = self.growth.state.lock();
        // What was not counted has taken of the room (W9).
        to.arena.keep(links + state.room);
        self.put_in_force(target);
        Ok(())
    }

    /// Notes why it does not shrink, for who asks later.
    pub(crate) fn note_refusal(&self, refusal: GrowthRefusal) {
        self.growth.state.lock().refused = Some(refusal);
    }

    /// Ends a shrinking that was only announced.
    pub(crate) fn call_shrinking_off(&self, refusal: GrowthRefusal) {
        if let Some(target) = self.target().filter(|target| self.shrinks_to(*target)) {
            self.give_up(self.table_at(target), refusal);
        }
    }

    /// Merges the next bucket from number `next` on. False if none was left to begin with. The caller is pinned.
    ///
    /// # Errors
    /// What is in the way of the bucket, whose number `next` then is.
    pub(crate) fn merge_next(&self, next: &mut u64, means: Means<'_>, epoch: &LightEpoch) -> Result<bool, Hindrance> {
        let to = self.table();
        if self.shrink_stage() != ShrinkStage::Merging {
            return Ok(false);
        }
        while *next < to.len() {
            let untouched = to.bucket(*next as usize).is_some_and(|first| to.filling(first) == Filling::Untouched);
            if untouched {
                self.merge(*next, means, epoch)?;
                *next += 1;
                return Ok(true);
            }
            *next += 1;
        }
        Ok(false)
    }

    /// Merges this bucket, unless somebody else has begun to. The caller is pinned.
    ///
    /// # Errors
    /// What is in the way; then it is as it was.
    pub(crate) fn merge(&self, bucket: u64, means: Means<'_>, epoch: &LightEpoch) -> Result<(), Hindrance> {
        if (Merge { halves: self.halves(bucket), means }).run()? {
            self.note_merged(epoch);
        }
        Ok(())
    }

    pub(super) fn note_merged(&self, epoch: &LightEpoch) {
        let to = self.table();
        if to.progress.moved.finish(to.len()) {
            epoch.bump(to.progress.settle()); // W5
        }
    }

    /// The two buckets of the larger table that this one of the smaller table is made of.
    pub(super) fn halves(&self, bucket: u64) -> Halves<'_> {
        let to = self.table();
        Halves { from: self.before(to), to, bucket }
    }

    /// Where the first entry of a chain is to be put whose buckets were not merged yet: into the larger table (W4). If there should be
    /// no more, they are merged now, if that takes no copies, or next.
    pub(super) fn table_while_shrinking<'t>(&'t self, to: &'t Table, hash: KeyHash) -> Result<&'t Table, Conflict> {
        if self.take_room_before() {
            return Ok(self.before(to));
        }
        if self.merges_just_so(to, hash) { Ok(to) } else { Err(Conflict) }
    }

    /// Whether the buckets for this hash can be merged now, and are. Otherwise they are wanted.
    fn merges_just_so(&self, to: &Table, hash: KeyHash) -> bool {
        if let Some(grower) = self.growth.grower.get() {
            let means = Means { records: &*grower.records, copier: None, begin: Address::INVALID };
            let merged = self.merge(hash.bucket(to.len() - 1), means, &grower.epoch);
            if merged.is_ok() && to.filling(to.first(hash)) == Filling::Done {
                return true;
            }
        }
        self.want_merged(hash);
        false
    }

    /// True while there is a smaller table to come.
    pub(in crate::index) fn shrinks(&self) -> bool {
        self.target().is_some_and(|target| self.shrinks_to(target))
    }

    /// Whether the first entry of a chain has to wait for its buckets to be merged (W9).
    #[cold]
    pub(in crate::index) fn has_no_room_before(&self, hash: KeyHash) -> bool {
        let (table, is_full) = (self.table(), self.growth.room_before.load(Ordering::Relaxed) == 0);
        match table.filling(table.first(hash)) {
            Filling::UnderWay => true,
            // It may be a growth by now.
            Filling::Untouched if self.before(table).len() < table.len() => false,
            Filling::Untouched => is_full && !self.merges_just_so(table, hash),
            Filling::Done if is_full && self.is_left_for_smaller(table) => {
                self.want_merged(hash);
                true
            }
            Filling::Done => false,
        }
    }

    /// Room for one more first entry in a table that is left for a smaller one: in which there will be an overflow bucket for it (W9).
    pub(in crate::index) fn take_room_before(&self) -> bool {
        let one_less = |left: u64| left.checked_sub(1);
        self.growth.room_before.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }

    /// Notes that there is no place in the larger table for the first entry of a chain (W8, W9): the shrinking is called off if that can still
    /// be, and otherwise the bucket is merged next.
    pub(in crate::index) fn want_merged(&self, hash: KeyHash) {
        if let Some(target) = self.target() {
            self.growth.wanted.store(hash.bucket(self.table_at(target).len() - 1) + 1, Ordering::Relaxed);
        }
    }

    /// The bucket for which somebody waits. The caller sees to it.
    pub(crate) fn take_wanted(&self) -> Option<u64> {
        match self.growth.wanted.load(Ordering::Relaxed) {
            0 => None,
            _ => self.growth.wanted.swap(0, Ordering::Relaxed).checked_sub(1),
        }
    }

    /// True if a smaller table is there, or will be, in place of `table` (W8).
    pub(in crate::index) fn is_left_for_smaller(&self, table: &Table) -> bool {
        self.target().is_some_and(|target| target < table.rank())
    }

    /// True if the table of rank `target` takes the place of a larger one.
    pub(super) fn shrinks_to(&self, target: usize) -> bool {
        target < self.table_at(target).progress.before()
    }

    /// Gives a part of the larger table's memory back, if nobody looks at it any more. False if there was nothing to be done.
    pub(crate) fn give_larger_back(&self) -> bool {
        let Some(to) = self.target().map(|target| self.table_at(target)) else { return false };
        to.progress.is_over() && give_memory_back(self, self.before(to), to)
    }

    /// Whether it is so empty that half of it, and less, would do by far. Looks at a few buckets.
    pub(crate) fn is_nearly_empty(&self) -> bool {
        let table = self.table();
        if table.len() <= self.buckets_min() || !table.progress.is_over() {
            return false;
        }
        let looked_at = SAMPLE.min(table.len());
        let chains = (0..looked_at).map(|at| (at * (table.len() / looked_at)) as usize);
        let entries = chains.map(|chain| entries_in(table, chain).count() as u64).sum::<u64>();
        entries * BUCKETS_PER_ENTRY <= looked_at
    }

    /// Keeps records where they are in their chains, as long as [`leave_scan`](Self::leave_scan) was not called. False if they are not
    /// to be kept just now, because the index shrinks.
    pub(crate) fn enter_scan(&self) -> bool {
        let mut state = self.growth.state.lock();
        let shrinks = self.shrinks();
        state.scans += usize::from(!shrinks);
        !shrinks
    }

    /// Ends what [`enter_scan`](Self::enter_scan) began.
    pub(crate) fn leave_scan(&self) {
        self.growth.state.lock().scans -= 1;
    }

    /// Overflow buckets that `to` needs for the entries of `from`.
    fn links_needed(&self, from: &Table, to: &Table) -> Result<u64, GrowthRefusal> {
        let (mut entries, mut links, mut tags) = (0, 0, Vec::new());
        for chain in 0..to.len() as usize {
            if chain.is_multiple_of(SAMPLE as usize) && self.take_wanted().is_some() {
                return Err(GrowthRefusal::Crowded);
            }
            let halves = [chain, chain + to.len() as usize];
            let is_open = |(_, end): (_, Overflow)| matches!(end, Overflow::End | Overflow::Link(_));
            if !halves.iter().all(|half| from.chain(*half).all(is_open)) {
                return Err(GrowthRefusal::Saturated);
            }
            // Those of one tag become one.
            tags.clear();
            tags.extend(halves.iter().flat_map(|half| entries_in(from, *half)).map(Entry::tag));
            tags.sort_unstable();
            tags.dedup();
            entries += tags.len() as u64;
            links += tags.len().div_ceil(ENTRIES).saturating_sub(1) as u64;
        }
        // At most half full. It would grow again at two thirds.
        let is_crowded = entries * 2 > to.len() * ENTRIES as u64 || links > to.arena.len() / 4;
        if is_crowded && !cfg!(oxifaster_loom) { Err(GrowthRefusal::Crowded) } else { Ok(links) }
    }
}

fn entries_in(table: &Table, chain: usize) -> impl Iterator<Item = Entry> {
    let slots = table.chain(chain).flat_map(|(bucket, _)| bucket.slots());
    slots.map(|slot| Entry(slot.load(Ordering::Relaxed))).filter(|entry| entry.is_plain())
}
