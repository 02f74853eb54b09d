//! Space of records that left their chains, and is used again. Invariant L14 of [`crate::allocator`].
//!
//! ```text
//!   in a chain --let_go--> leaving --everybody left--> invalid, and free --take--> in a chain
//!                  |                                         |                       |
//!                  one exchange leads the chain past it      or given up             above the record it stands in front of
//! ```
//!
//! Those that leave are told to the epoch together, so that it is not bumped for each. Whoever makes a part of the log immutable
//! waits for everybody once more than otherwise: first nobody lets go of a record there any more, then nobody looks at one that
//! was let go of, and all of them are invalid.

use super::hybrid_log::{HybridLog, LogCore};
use crate::address::Address;
use crate::epoch::Guard;
use crate::record::RecordRef;
use crate::stats::{RevivificationStats, SharedCounter};
use crate::sync::{Arc, AtomicU64, AtomicUsize, Mutex, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Records that leave under one bump of the epoch.
const TOGETHER: usize = if cfg!(oxifaster_loom) { 1 } else { 32 };

/// The space of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spare {
    pub(crate) at: Address,
    /// In bytes.
    pub(crate) size: usize,
}

impl Spare {
    /// Bytes that the budget counts for one that is kept, in a tree of addresses.
    pub(crate) const KEPT_BYTES: usize = 32;
}

/// What is free, by size and address.
#[derive(Debug, Default)]
struct Free {
    by_size: BTreeMap<usize, BTreeSet<Address>>,
    count: usize,
    /// Nothing that lies below is kept any more.
    swept_below: Address,
}

impl Free {
    /// Keeps a spare, if there are not too many; what lies below `oldest` is forgotten first then.
    fn keep(&mut self, spare: Spare, max: usize, oldest: Address) -> bool {
        if self.count >= max && oldest > self.swept_below {
            self.swept_below = oldest;
            self.by_size.retain(|_, places| {
                *places = places.split_off(&oldest);
                !places.is_empty()
            });
            self.count = self.by_size.values().map(BTreeSet::len).sum();
        }
        let has_room = self.count < max;
        if has_room && self.by_size.entry(spare.size).or_default().insert(spare.at) {
            self.count += 1;
        }
        has_room
    }

    /// The first one at or above `from` of the smallest size there is.
    fn take(&mut self, sizes: RangeInclusive<usize>, from: Address) -> Option<Spare> {
        let first = |(size, places): (&usize, &BTreeSet<Address>)| {
            places.range(from..).next().map(|at| Spare { at: *at, size: *size })
        };
        let spare = self.by_size.range(sizes).find_map(first)?;
        let places = self.by_size.get_mut(&spare.size)?;
        places.remove(&spare.at);
        if places.is_empty() {
            self.by_size.remove(&spare.size);
        }
        self.count -= 1;
        Some(spare)
    }

    fn clear(&mut self) {
        self.by_size.clear();
        self.count = 0;
    }
}

/// The spares of a log.
pub(super) struct Spares {
    /// Records below do not leave their chains, and no spare below is used: above all addresses while somebody needs the log as it
    /// lies, and then where the log ended by that time.
    from: AtomicU64,
    /// The number of the index's table as it was when `from` was set.
    table: AtomicUsize,
    /// How many need the log as it lies.
    pauses: Mutex<usize>,
    /// Not told to the epoch yet.
    leaving: Mutex<Vec<Spare>>,
    /// Told or not: all that are not free yet.
    on_their_way: AtomicUsize,
    free: Mutex<Free>,
    /// As many as may be on their way, and as may be free.
    max: usize,
    let_go: SharedCounter,
    used: SharedCounter,
    given_up: SharedCounter,
    in_place: SharedCounter,
}

impl Spares {
    pub(super) fn new(max: usize) -> Self {
        Self {
            from: AtomicU64::new(0),
            table: AtomicUsize::new(0),
            pauses: Mutex::new(0),
            leaving: Mutex::new(Vec::new()),
            on_their_way: AtomicUsize::new(0),
            free: Mutex::new(Free::default()),
            max,
            let_go: SharedCounter::default(),
            used: SharedCounter::default(),
            given_up: SharedCounter::default(),
            in_place: SharedCounter::default(),
        }
    }

    fn from(&self) -> Address {
        Address::of_pointer(self.from.load(Ordering::Acquire))
    }

    /// Begins anew with what is appended from now on, if nobody needs the log as it lies.
    fn begin_anew(&self, pauses: usize, tail: impl Fn() -> Address) {
        let from = if pauses == 0 { tail() } else { Address::MAX };
        self.from.store(from.get(), Ordering::Release);
        let mut free = self.free.lock();
        self.given_up.add(free.count as u64);
        free.clear();
    }

    /// The index has another table than before.
    #[cold]
    fn note_table(&self, table: usize, tail: impl Fn() -> Address) {
        let pauses = self.pauses.lock();
        if self.table.load(Ordering::Acquire) != table {
            self.begin_anew(*pauses, tail);
            self.table.store(table, Ordering::Release);
        }
    }
}

/// As long as it lives, no record leaves its chain, once those have left who were pinned when it was made; and none comes to lie
/// anywhere but at the tail.
pub(crate) struct SparesPause<'l>(Option<&'l LogCore>);

impl Drop for SparesPause<'_> {
    fn drop(&mut self) {
        if let Some((core, spares)) = self.0.and_then(|core| Some((core, core.spares.as_ref()?))) {
            let mut pauses = spares.pauses.lock();
            *pauses -= 1;
            spares.begin_anew(*pauses, || core.tail.address());
        }
    }
}

impl HybridLog {
    /// Whether space is used again.
    #[inline(always)]
    pub(crate) fn has_spares(&self) -> bool {
        self.core.spares.is_some()
    }

    /// From where on records may leave their chains and spares may be used, by a caller who is pinned and has found his entry in
    /// the index before. `table` is the number of the index's table; none while that is being split.
    pub(crate) fn spares_from(&self, table: Option<usize>, _guard: &Guard<'_>) -> Address {
        let (Some(spares), Some(table)) = (&self.core.spares, table) else { return Address::MAX };
        if spares.table.load(Ordering::Acquire) != table {
            spares.note_table(table, || self.core.tail.address());
        }
        spares.from().max(self.mutable_from())
    }

    /// Whether one more record may leave.
    pub(crate) fn may_leave(&self) -> bool {
        self.core.spares.as_ref().is_some_and(|spares| spares.on_their_way.load(Ordering::Relaxed) < spares.max)
    }

    /// Takes the space of a record that has left its chain under this pin, at or above [`spares_from`](Self::spares_from).
    pub(crate) fn let_go(&self, spare: Spare, _guard: &Guard<'_>) {
        if let Some(spares) = &self.core.spares {
            spares.let_go.add(1);
            spares.on_their_way.fetch_add(1, Ordering::Relaxed);
            let mut leaving = spares.leaving.lock();
            leaving.push(spare);
            if leaving.len() >= TOGETHER {
                self.core.send_off(&mut leaving);
            }
        }
    }

    /// Takes the space of a record that is invalid, and never was in a chain.
    pub(crate) fn give_back_spare(&self, spare: Spare) {
        self.core.keep_spare(spare);
    }

    /// Space of one of the sizes at or above `from`, for a caller who is pinned.
    pub(crate) fn take_spare(&self, sizes: RangeInclusive<usize>, from: Address, _guard: &Guard<'_>) -> Option<Spare> {
        let spares = self.core.spares.as_ref()?;
        let spare = spares.free.lock().take(sizes, from)?;
        spares.used.add(1);
        Some(spare)
    }

    /// Counts a tombstone that became a record of its key again.
    pub(crate) fn count_revived_in_place(&self) {
        if let Some(spares) = &self.core.spares {
            spares.in_place.add(1);
        }
    }

    /// Has the log stay as it lies, apart from changes in place and its tail. What is free is forgotten. Who makes it waits until
    /// everybody has left, and then [sends off](Self::send_off_spares) those that are leaving.
    pub(crate) fn pause_spares(&self) -> SparesPause<'_> {
        let Some(spares) = &self.core.spares else { return SparesPause(None) };
        let mut pauses = spares.pauses.lock();
        *pauses += 1;
        spares.begin_anew(*pauses, || Address::MAX);
        SparesPause(Some(&self.core))
    }

    /// Has all records that have left their chains become invalid when everybody has left who is pinned at this moment.
    pub(crate) fn send_off_spares(&self) {
        self.core.send_off_all();
    }

    /// What became of space, if it is used again.
    pub(crate) fn spare_stats(&self) -> Option<RevivificationStats> {
        let spares = self.core.spares.as_ref()?;
        Some(RevivificationStats {
            in_place: spares.in_place.get(),
            freed: spares.let_go.get(),
            reused: spares.used.get(),
            dropped: spares.given_up.get(),
            free: spares.free.lock().count as u64,
        })
    }
}

impl LogCore {
    /// Bumps the epoch for those that are leaving, under their lock: whoever finds none there comes behind their action.
    fn send_off(&self, leaving: &mut Vec<Spare>) {
        if leaving.is_empty() {
            return;
        }
        let (core, records) = (self.this.clone(), std::mem::take(leaving));
        self.epoch.bump(move || {
            if let Some(core) = core.upgrade() {
                core.retire(&records);
            }
        });
    }

    fn send_off_all(&self) {
        if let Some(spares) = &self.spares {
            self.send_off(&mut spares.leaving.lock());
        }
    }

    /// Nobody looks at these records any more, and none of them is immutable yet: [`settle_below`](Self::settle_below) comes behind.
    fn retire(&self, records: &[Spare]) {
        let Some(spares) = &self.spares else { return };
        for spare in records {
            let record = RecordRef::new(self.frames.words(spare.at, size_of::<u64>()));
            record.invalidate();
            // Who has closed a record comes back for it after everybody has left, and must not find another in its place.
            if record.info().is_closed() {
                spares.given_up.add(1);
            } else {
                self.keep_spare(*spare);
            }
        }
        spares.on_their_way.fetch_sub(records.len(), Ordering::Relaxed);
    }

    fn keep_spare(&self, spare: Spare) {
        if let Some(spares) = &self.spares {
            let oldest = spares.from().max(self.pointers.mutable_from());
            if spare.at < oldest || !spares.free.lock().keep(spare, spares.max, oldest) {
                spares.given_up.add(1);
            }
        }
    }

    /// Makes everything below `to` immutable to everyone, now that everybody has left who may have found it mutable.
    pub(super) fn settle_below(self: &Arc<Self>, to: Address) {
        if self.spares.is_none() {
            return self.settle_at_once(to);
        }
        // Nobody lets go of a record there any more, but who came meanwhile may look at one that was let go of before. They
        // are invalid when the action behind theirs runs.
        self.send_off_all();
        let core = Arc::downgrade(self);
        self.epoch.bump(move || {
            if let Some(core) = core.upgrade() {
                core.settle_at_once(to);
            }
        });
    }

    fn settle_at_once(self: &Arc<Self>, to: Address) {
        self.pointers.advance_safe_read_only(to);
        self.pump();
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;

    fn spare(at: u64, size: usize) -> Spare {
        Spare { at: Address::new(at), size }
    }

    #[test]
    fn the_lowest_place_of_the_smallest_size_that_fits_is_taken() {
        let mut free = Free::default();
        for (at, size) in [(800, 32), (400, 32), (640, 40), (72, 48), (960, 64)] {
            assert!(free.keep(spare(at, size), 10, Address::INVALID));
        }
        assert_eq!(free.take(24..=24, Address::INVALID), None);
        assert_eq!(free.take(24..=56, Address::INVALID), Some(spare(400, 32)));
        assert_eq!(free.take(32..=40, Address::new(801)), None, "all lie below");
        assert_eq!(free.take(32..=40, Address::new(500)), Some(spare(800, 32)));
        assert_eq!(free.take(32..=40, Address::new(500)), Some(spare(640, 40)));
        assert_eq!(free.take(32..=64, Address::new(73)), Some(spare(960, 64)));
        assert_eq!((free.count, free.take(8..=4096, Address::INVALID)), (1, Some(spare(72, 48))));
        assert_eq!((free.count, free.by_size.len()), (0, 0));
    }

    #[test]
    fn what_can_be_of_no_use_makes_room() {
        let mut free = Free::default();
        for at in 1..=4 {
            assert!(free.keep(spare(at * 64, 64), 4, Address::INVALID));
        }
        assert!(!free.keep(spare(640, 64), 4, Address::INVALID));
        assert!(free.keep(spare(640, 64), 4, Address::new(130)));
        assert_eq!(free.count, 3, "two lay below");
        assert!(free.keep(spare(704, 24), 4, Address::new(130)));
        assert!(!free.keep(spare(768, 24), 4, Address::new(130)));
        assert_eq!(free.take(64..=64, Address::INVALID), Some(spare(192, 64)));
    }
}
