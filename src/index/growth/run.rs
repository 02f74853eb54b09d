//! The steps of a growth, and who takes them; and what a shrinking has in common with it.

use super::split::Split;
use super::state::{GrowthRefusal, IndexGrowth, State};
use super::{Look, Records};
use crate::epoch::LightEpoch;
use crate::index::MemIndex;
use crate::index::entry::Entry;
use crate::index::mem_index::{BUCKETS_MAX, Conflict, Slot};
use crate::index::table::{Filling, Table};
use crate::memory::{MemoryBudget, Purpose, Reservation, Words, prefetch};
use crate::sync::{Arc, MutexGuard, Ordering};
use crate::utility::KeyHash;
use std::ops::Range;
use std::time::Instant;

/// Words of memory that are taken from the system at once, or given back: a huge page, and four of them.
pub(super) const POPULATE_WORDS: usize = (2 << 20) / size_of::<u64>();
/// Tables of more pieces have them taken by a thread of their own. With fewer it is done sooner by those who have the index grow,
/// and they are not to outrun it: what finds no overflow bucket meanwhile saturates its chain.
#[cfg(not(oxifaster_loom))]
const ASIDE_PIECES: u64 = 16;
const RELEASE_WORDS: usize = 4 * POPULATE_WORDS;
/// Buckets that an insert splits besides its own.
const SHARE: u64 = 4;
/// Of how many look-ups in buckets that are not split yet one splits a few.
const LOOKUPS_PER_SHARE: u64 = 512;
/// Buckets that are split under one pin, at most.
pub(super) const SHARE_MAX: u64 = 64;
/// Inserts from one attempt at growing that was refused to the next.
const WISHES_PER_ATTEMPT: u64 = 4096;
/// Buckets that are looked at to tell where entries lead.
const SAMPLE: u64 = 64;

/// What an index needs to grow by itself.
pub(crate) struct Grower {
    pub(crate) records: Box<dyn Records>,
    pub(crate) epoch: Arc<LightEpoch>,
    pub(crate) budget: MemoryBudget,
    /// It grows when it is too full, and not only when it is asked to.
    pub(crate) automatic: bool,
    /// It grows by itself to at most so many buckets.
    pub(crate) buckets_max: u64,
    /// It shrinks to no fewer.
    pub(crate) buckets_min: u64,
}

/// As long as it lives the table stays as it is.
pub(crate) struct TableHold<'i>(pub(super) &'i MemIndex);

impl Drop for TableHold<'_> {
    fn drop(&mut self) {
        self.0.growth.state.lock().holds -= 1;
    }
}

/// The name under which the budget knows the index.
pub(crate) const GROWTH_HOLDER: &str = "index";

impl MemIndex {
    /// Lets the index grow from now on. `held` was drawn for it as it is.
    pub(crate) fn let_grow(&self, grower: Grower, held: Reservation) {
        self.growth.state.lock().held.push(held);
        let _ = self.growth.grower.set(grower); // once, by the one who made the index
    }

    /// How it has grown and shrunk.
    pub(crate) fn growth(&self) -> IndexGrowth {
        let state = self.growth.state.lock();
        let target = self.target();
        IndexGrowth {
            under_way: target.is_some(),
            shrinks: target.is_some_and(|target| self.shrinks_to(target)),
            buckets_split: target.map_or(0, |target| self.table_at(target).progress.moved.done()),
            doublings: state.doublings,
            halvings: state.halvings,
            last_took: state.last_took,
            refused: state.refused,
        }
    }

    /// Whether there is a table that is being made, filled or settled.
    #[inline(always)]
    pub(in crate::index) fn is_resized(&self) -> bool {
        self.growth.target.load(Ordering::Acquire) != 0
    }

    /// The rank of the table that is being made, filled or settled.
    pub(super) fn target(&self) -> Option<usize> {
        self.growth.target.load(Ordering::Acquire).checked_sub(1)
    }

    /// The table before this one, which is not complete yet, or was not a moment ago.
    pub(in crate::index) fn before(&self, table: &Table) -> &Table {
        self.table_at(table.progress.before())
    }

    /// All its memory, but for what was given back.
    pub(crate) fn memory(&self) -> Vec<&Words> {
        let mut tables = vec![self.table()];
        if let Some(to) = self.target().map(|target| self.table_at(target)) {
            tables.extend([to, self.before(to)]);
        }
        tables.sort_unstable_by_key(|table| table.len());
        tables.dedup_by_key(|table| table.len());
        tables.into_iter().flat_map(Table::memory).collect()
    }

    /// Starts loading the bucket of a hash in the table before the one in force, where its chain may still be.
    pub(crate) fn prefetch_before(&self, hash: KeyHash) {
        let before = self.before(self.table());
        prefetch(before.first(hash).overflow(), Purpose::Read);
    }

    /// The entry in a chain that may not be complete yet (W3).
    #[cold]
    #[inline(never)]
    pub(in crate::index) fn find_unfinished(&self, hash: KeyHash) -> Slot<'_> {
        let table = self.table();
        let first = table.first(hash);
        // Bits that are neither of the bucket nor of the tag, in tables of less than a petabyte.
        if (hash.get() >> 44).is_multiple_of(LOOKUPS_PER_SHARE)
            && table.filling(first) == Filling::Untouched
            && let Some(grower) = self.growth.grower.get()
        {
            self.step(&*grower.records, &grower.epoch, SHARE);
        }
        if table.filling(first) == Filling::Done {
            // Its slots were looked at before this was known, and may have been empty then.
            return Slot::new(hash, table.find_in_chain(hash.tag(), first));
        }
        // A table that is not complete is the one in force (W1).
        let before = self.before(table);
        Slot::new(hash, before.find_in_chain(hash.tag(), before.first(hash)))
    }

    /// The table for the first entry of the chain of a hash: `table`, in which that chain is complete then, or the larger one that is left for
    /// it (W4).
    #[inline]
    pub(in crate::index) fn table_for<'t>(&'t self, table: &'t Table, hash: KeyHash) -> Result<&'t Table, Conflict> {
        match table.filling(table.first(hash)) {
            Filling::Done => Ok(table),
            Filling::UnderWay => Err(Conflict),
            Filling::Untouched => self.table_while_moving(table, hash),
        }
    }

    #[cold]
    fn table_while_moving<'t>(&'t self, table: &'t Table, hash: KeyHash) -> Result<&'t Table, Conflict> {
        if self.before(table).len() > table.len() {
            return self.table_while_shrinking(table, hash);
        }
        // Without a grower, who has the index grow will get there.
        let grower = self.growth.grower.get().ok_or(Conflict)?;
        self.split(hash.bucket(self.before(table).len() - 1), &*grower.records, &grower.epoch);
        if table.filling(table.first(hash)) == Filling::Done { Ok(table) } else { Err(Conflict) }
    }

    /// Splits a bucket of the table before the one in force, unless somebody else does. The caller is pinned.
    pub(super) fn split(&self, bucket: u64, records: &dyn Records, epoch: &LightEpoch) {
        let to = self.table();
        let from = self.before(to);
        if Split::new(from, to, bucket, records).run() && to.progress.moved.finish(from.len()) {
            epoch.bump(to.progress.settle()); // W5
        }
    }

    /// After an insert: takes part in a growth that is under way, and begins one if the index is too full.
    #[inline]
    pub(in crate::index) fn look_after_growth(&self, table: &Table, is_used_up: bool) {
        let Some(grower) = self.growth.grower.get() else { return };
        if self.growth.target.load(Ordering::Acquire) != 0 {
            self.step(&*grower.records, &grower.epoch, SHARE);
        } else if grower.automatic && (is_used_up || table.arena.used() * 2 > table.arena.len()) {
            self.grow_by_itself(grower, table);
        }
    }

    #[cold]
    fn grow_by_itself(&self, grower: &Grower, table: &Table) {
        if !self.growth.wishes.fetch_add(1, Ordering::Relaxed).is_multiple_of(WISHES_PER_ATTEMPT) {
            return;
        }
        let refusal = if table.len() * 2 > grower.buckets_max {
            Err(GrowthRefusal::Largest)
        } else if leads_away(table, &*grower.records) {
            Err(GrowthRefusal::OnDevice)
        } else {
            self.begin(Some(&grower.budget))
        };
        if let Err(refusal) = refusal {
            self.growth.state.lock().refused = Some(refusal);
        }
    }

    /// Begins a growth to twice the buckets, unless one is under way.
    pub(super) fn begin(&self, budget: Option<&MemoryBudget>) -> Result<(), GrowthRefusal> {
        let mut state = self.growth.state.lock();
        if self.growth.target.load(Ordering::Acquire) != 0 {
            return Ok(());
        }
        if state.holds > 0 {
            return Err(GrowthRefusal::Image);
        }
        let rank = self.current() + 1;
        self.prepare(&mut state, rank, self.config().overflow_buckets * 2, budget)?;
        state.refused = None;
        self.growth.wishes.store(0, Ordering::Relaxed);
        #[cfg(not(oxifaster_loom))]
        populate_aside(self.table_at(rank));
        self.growth.target.store(rank + 1, Ordering::Release);
        if cfg!(oxifaster_loom) {
            self.put_next_in_force(None, state); // the models' memory is there
        }
        Ok(())
    }

    /// Makes the table of this rank ready to be filled from the one in force, under the lock. Nobody has seen it yet.
    pub(super) fn prepare(
        &self,
        state: &mut State,
        rank: usize,
        overflow_buckets: u64,
        budget: Option<&MemoryBudget>,
    ) -> Result<(), GrowthRefusal> {
        let buckets = 1u64.checked_shl(rank as u32).filter(|buckets| *buckets <= BUCKETS_MAX);
        let buckets = buckets.ok_or(GrowthRefusal::Largest)?;
        let coming = budget.map(|budget| budget.reserve(GROWTH_HOLDER, Self::bytes(buckets, overflow_buckets)));
        let coming = coming.transpose().map_err(|_| GrowthRefusal::Budget)?;
        let make = || Table::to_be_filled(buckets, overflow_buckets);
        let table = self.table_or_new(rank, make).ok_or(GrowthRefusal::Largest)?;
        table.map_err(|_| GrowthRefusal::System)?.begin_anew(self.current());
        state.coming = coming;
        state.began = Some(Instant::now());
        state.keeps_pieces = false;
        Ok(())
    }

    /// Takes a growth that is under way a little further, splitting up to `share` buckets. False if there was nothing to be done
    /// for this caller, who is pinned. Of a shrinking only the end is for everybody.
    pub(in crate::index) fn step(&self, records: &dyn Records, epoch: &LightEpoch, share: u64) -> bool {
        let Some(target) = self.target() else { return false };
        let to = self.table_at(target);
        let from = self.before(to);
        let is_in_force = self.current() == target;
        if is_in_force && to.progress.is_over() {
            give_memory_back(self, from, to)
        } else if to.len() < from.len() {
            false
        } else if is_in_force {
            self.split_share(from, to, records, epoch, share)
        } else {
            // To wait for the system is nothing for who has something else to do.
            let is_pressing = from.arena.used() > from.arena.len() / 4 * 3;
            let waits = share > SHARE || is_pressing || !to.progress.has_populator.load(Ordering::Acquire);
            self.populate_piece(to, records, waits)
        }
    }

    /// Takes memory for a part of the new table from the system, if this caller `waits` for that.
    fn populate_piece(&self, to: &Table, records: &dyn Records, waits: bool) -> bool {
        let [words, _] = to.memory();
        let pieces = pieces_of(words, POPULATE_WORDS);
        if to.progress.is_refused.load(Ordering::Acquire) {
            self.give_up(to, GrowthRefusal::System);
            return false;
        }
        let taken = if waits { to.progress.populated.take(pieces) } else { None };
        let Some(number) = taken else {
            // If all is done, there was no room to announce it.
            return to.progress.populated.done() >= pieces
                && self.put_next_in_force(Some(records), self.growth.state.lock());
        };
        if !populate(words, piece(words, POPULATE_WORDS, number)) {
            self.give_up(to, GrowthRefusal::System);
        } else if to.progress.populated.finish(pieces) {
            self.put_next_in_force(Some(records), self.growth.state.lock());
        }
        true
    }

    /// Puts the new table in force, if it can be announced. From now on the one before takes no more buckets.
    fn put_next_in_force(&self, records: Option<&dyn Records>, _state: MutexGuard<'_, State>) -> bool {
        let Some(target) = self.target().filter(|target| *target > self.current()) else {
            return false; // it was given up, or is in force
        };
        if records.is_some_and(|records| !records.announce(self.table_at(target).len())) {
            return false;
        }
        let used = self.table().arena.close();
        // Each half of a chain can have as many entries as the whole.
        self.table_at(target).arena.keep(2 * used);
        self.put_in_force(target);
        true
    }

    /// There will be no new table, which is not in force yet.
    pub(super) fn give_up(&self, to: &Table, refusal: GrowthRefusal) {
        let mut state = self.growth.state.lock();
        if self.target().is_none_or(|target| target == self.current()) {
            return; // somebody else has
        }
        let [words, _] = to.memory();
        discard_or_clear(words, 0..words.len());
        state.coming = None;
        state.refused = Some(refusal);
        self.growth.target.store(0, Ordering::Release);
    }

    fn split_share(&self, from: &Table, to: &Table, records: &dyn Records, epoch: &LightEpoch, share: u64) -> bool {
        let mut numbers = [0; SHARE_MAX as usize];
        let mut count = 0;
        while count < numbers.len().min(share as usize)
            && let Some(number) = to.progress.moved.take(from.len())
        {
            // All records are on their way to the cache when the first is looked at.
            let entries = from.bucket(number as usize).into_iter().flat_map(|bucket| bucket.slots());
            for entry in entries.map(|slot| Entry(slot.load(Ordering::Relaxed))).filter(|entry| entry.is_plain()) {
                records.prefetch(entry.address());
            }
            numbers[count] = number;
            count += 1;
        }
        for number in &numbers[..count] {
            self.split(*number, records, epoch);
        }
        count > 0
    }

    /// Ends it: there is one table again.
    fn end(&self) {
        let mut state = self.growth.state.lock();
        let Some(to) = self.target().map(|target| self.table_at(target)) else { return };
        to.arena.keep(0);
        if !state.keeps_pieces {
            state.held.clear();
        }
        let coming = state.coming.take();
        state.held.extend(coming);
        match to.len() > self.before(to).len() {
            true => state.doublings += 1,
            false => state.halvings += 1,
        }
        state.last_took = state.began.take().map(|began| began.elapsed());
        self.growth.target.store(0, Ordering::Release);
    }
}

/// Gives a part of the memory of the table before back to the system. False if there was none left for this caller.
pub(super) fn give_memory_back(index: &MemIndex, from: &Table, to: &Table) -> bool {
    let [table, arena] = from.memory();
    let of_table = pieces_of(table, RELEASE_WORDS);
    let pieces = of_table + pieces_of(arena, RELEASE_WORDS);
    let taken = to.progress.released.take(pieces);
    if let Some(number) = taken {
        let (words, number) = if number < of_table { (table, number) } else { (arena, number - of_table) };
        if !discard_or_clear(words, piece(words, RELEASE_WORDS, number)) {
            index.growth.state.lock().keeps_pieces = true;
        }
        if !to.progress.released.finish(pieces) {
            return true;
        }
    }
    if taken.is_some() || pieces == 0 {
        index.end();
    }
    taken.is_some()
}

/// Has a thread of its own take the memory of a large table from the system, which may take milliseconds for each piece. Without one it is
/// done by those who have the index grow.
#[cfg(not(oxifaster_loom))]
fn populate_aside(to: &Table) {
    let [words, _] = to.memory();
    let all = pieces_of(words, POPULATE_WORDS);
    let (pieces, is_there) = (Arc::clone(&to.progress.populated), Arc::clone(&to.progress.has_populator));
    let is_refused = Arc::clone(&to.progress.is_refused);
    is_refused.store(false, Ordering::Release);
    let (memory, bytes) = (words.populator(0..words.len()), POPULATE_WORDS * size_of::<u64>());
    is_there.store(all > ASIDE_PIECES, Ordering::Release);
    let work = move || {
        while let Some(number) = pieces.take(all) {
            if !memory.run(number as usize * bytes, bytes) {
                is_refused.store(true, Ordering::Release); // whoever comes next gives the growth up
                break;
            }
            pieces.finish(all);
        }
        is_there.store(false, Ordering::Release);
    };
    if all > ASIDE_PIECES && std::thread::Builder::new().name("oxifaster-index".to_owned()).spawn(work).is_err() {
        to.progress.has_populator.store(false, Ordering::Release);
    }
}

#[cfg(not(oxifaster_loom))]
pub(super) fn populate(words: &Words, range: Range<usize>) -> bool {
    words.populate(range).is_ok()
}

/// Gives memory back to the system. False if that takes nothing back: the words are all 0 then too, for who uses them again.
#[cfg(not(oxifaster_loom))]
fn discard_or_clear(words: &Words, range: Range<usize>) -> bool {
    words.discard(range.clone()) || {
        words[range].iter().for_each(|word| word.store(0, Ordering::Relaxed));
        false
    }
}

/// The models' memory is there from birth. Who looks at what was given back finds nothing there.
#[cfg(oxifaster_loom)]
pub(super) fn populate(_: &Words, _: Range<usize>) -> bool {
    true
}

#[cfg(oxifaster_loom)]
fn discard_or_clear(words: &Words, range: Range<usize>) -> bool {
    words[range].iter().for_each(|word| word.store(0, Ordering::Relaxed));
    true
}

pub(super) fn pieces_of(words: &Words, len: usize) -> u64 {
    words.len().div_ceil(len) as u64
}

pub(super) fn piece(words: &Words, len: usize, number: u64) -> Range<usize> {
    let start = (number as usize * len).min(words.len());
    start..words.len().min(start + len)
}

/// True if most entries lead to records that cannot be looked at. Asks a few.
fn leads_away(table: &Table, records: &dyn Records) -> bool {
    let (mut all, mut away) = (0, 0);
    for at in 0..SAMPLE.min(table.len()) {
        let Some(bucket) = table.bucket((at * table.len() / SAMPLE.min(table.len())) as usize) else { continue };
        for entry in bucket.slots().map(|slot| Entry(slot.load(Ordering::Acquire))).filter(|entry| entry.is_plain()) {
            all += 1;
            let mut look = records.look(entry.address());
            while let Look::Skip(address) = look {
                look = records.look(address);
            }
            away += u64::from(look == Look::Away);
        }
    }
    away * 2 > all
}
