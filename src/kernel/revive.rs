//! Space that is used again, in stores that do so. Decision 0027 has the dangers, and why each of them is none.
//!
//! ```text
//!   entry --> A (outgrown, or a tombstone) --> older          entry --> A (a tombstone)
//!   entry --> B, in the space of another ----> older          entry free
//!             A: nobody comes to it any more: let go
//! ```
//!
//! * **V1** Only the newest record of a chain leaves it: by the exchange that puts a newer one of its key in front of what was behind
//!   it, or by the one that frees the entry, if nothing ever was behind it. So no record is let go of that another one leads to.
//! * **V2** A record comes to lie above the newest one of its chain, as one from the tail does. So what an operation remembers of a
//!   chain while the device is asked (K4) stays true: chains that have anything on the device are never emptied, and grow upwards.
//! * **V3** Who frees an entry lets go of its record, or nothing that comes to lie below that is used again, so that the tombstone, which
//!   is still in the log, is older by its place than whatever its key is given later.
//! * **V4** A tombstone with a record behind it may become a record of its key again, under its latch. It does not leave by the freeing
//!   of its entry, and who goes by it being a tombstone (a read-modify-write, which makes a value out of none) does so under the latch
//!   as well, or seals it first.

use super::Kernel;
use super::append::Around;
use super::find::Found;
use super::stamp;
use crate::address::Address;
use crate::allocator::{Allocation, Spare};
use crate::checkpoint::state::Moment;
use crate::epoch::Guard;
use crate::error::Result;
use crate::index::Slot;
use crate::operation::Retry;
use crate::record::{Content, Key, RecordInfo, RecordLayout, Value};
use crate::sync::{Ordering, fence};

impl<K: Key, V: Value> Kernel<K, V> {
    /// From where on records may leave their chains and spares may be used. To be asked when the entry has been found.
    fn spares_from(&self, guard: &Guard<'_>) -> Address {
        // Who finds no entry has not loaded a word of it in any order. What was known to who freed it is to be known here (V3).
        fence(Ordering::Acquire);
        self.log.spares_from(self.index.table_at_rest(), guard)
    }

    /// As [`append_around`](Self::append_around), of a record of `size` bytes, where space is used again.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    #[inline(never)]
    pub(super) fn append_reviving(
        &self,
        slot: Slot<'_>,
        (draft, size): (impl Content<K, V>, usize),
        moment: Moment,
        guard: &Guard<'_>,
        around: impl Around,
    ) -> Result<Result<(), Retry>> {
        let (top, from) = (self.newest(&slot, guard), self.spares_from(guard));
        let (leaves, previous) = self.behind(top, draft, from, guard);
        let above = from.max(Address::from_word(top.get() + 1)); // V2
        let spare = draft.slack().and_then(|slack| self.log.take_spare(size..=size + slack, above, guard));
        let space = match spare {
            Some(spare) => spare,
            None => match self.log.allocate(size, guard)? {
                Allocation::At(at) => Spare { at, size },
                Allocation::NoRoom => return Ok(Err(Retry::Room)),
            },
        };
        let record = self.log.space(space.at, space.size, guard);
        let sizes = draft.sizes().filling(space.size);
        draft.write(record, sizes, RecordInfo::new(previous, stamp(moment.version)));
        around.before(record);
        if self.index.try_update(slot, space.at).is_err() {
            record.invalidate(); // K5
            self.log.give_back_spare(space);
            return Ok(Err(Retry::Conflict));
        }
        if let Some(spare) = leaves {
            self.log.let_go(spare, guard);
        }
        Ok(if around.after(record) { Ok(()) } else { Err(Retry::Conflict) })
    }

    /// What leaves the chain that begins with `top` when a record of `draft` is put in front of it, and where that leads to (V1).
    fn behind(
        &self,
        top: Address,
        draft: impl Content<K, V>,
        from: Address,
        guard: &Guard<'_>,
    ) -> (Option<Spare>, Address) {
        if top < from || !self.log.may_leave() {
            return (None, top);
        }
        let record = self.log.view(guard).record(top, const { RecordLayout::of::<K, V>() });
        let info = record.info();
        if !info.may_leave() || !draft.is_of(record) {
            return (None, top);
        }
        (Some(Spare { at: top, size: record.sizes::<K, V>().record_size() }), info.previous())
    }

    /// Frees the entry of a tombstone if that is all there is in its chain.
    pub(super) fn forget(&self, slot: Slot<'_>, found: &Found<'_>, guard: &Guard<'_>) {
        if slot.address() != found.address {
            return;
        }
        // In all cases: somebody may have appended in front meanwhile. Then the entry is theirs, and stays.
        if !self.log.has_spares() {
            if self.is_given_up(found.info.previous()) {
                let _ = self.index.try_free(slot);
            }
            return;
        }
        let leaves = found.address >= self.spares_from(guard);
        // V2; and V3: it leaves, or lies below what will.
        if found.info.previous().is_valid() || leaves && !self.log.may_leave() {
            return;
        }
        if self.index.try_free(slot).is_ok() && leaves {
            let size = found.record.sizes::<K, V>().record_size();
            self.log.let_go(Spare { at: found.address, size }, guard);
        }
    }

    /// Whether somebody may give the key of this tombstone a value where it lies, as long as it is mutable (V4).
    #[inline]
    pub(super) fn may_be_revived(&self, info: RecordInfo) -> bool {
        let is_latched = const { RecordLayout::of::<K, V>().is_latched() };
        is_latched && info.is_tombstone() && self.log.has_spares() && info.previous().is_valid() && !info.is_closed()
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use crate::device::MemoryDisk;
    use crate::directory::MemoryDirectory;
    use crate::store::{CheckpointOptions, FasterKv, FasterKvConfig, RecoveryTarget};
    use crate::utility::KeyHash;
    use std::collections::HashMap;

    const BUCKETS: u64 = 256;

    /// Three keys that share one entry of an index of one bucket. When that is split, the first and the last go on to share one, and
    /// the other one has another.
    fn keys_of_one_entry() -> [u64; 3] {
        let hash = |key: u64| KeyHash::of_bytes(&key.to_le_bytes());
        let (tag, mut known) = (hash(0).tag(), HashMap::new());
        for key in (1..).filter(|key| hash(*key).tag() == tag) {
            if let Some(first) = known.insert(hash(key).bucket(BUCKETS - 1), key) {
                let other = known.values().find(|other| **other != key).copied();
                return [first, other.unwrap_or_default(), key];
            }
        }
        [0; 3]
    }

    /// Has everything that has left become spare, and gives the spares to other keys.
    fn use_what_is_free(store: &FasterKv<u64, Vec<u8>, MemoryDisk>) {
        let mut session = store.start_session();
        let others = || (0..64).map(|number| u64::MAX - number);
        others().for_each(|key| session.upsert(key, vec![9; 8]).unwrap());
        others().for_each(|key| session.upsert(key, vec![9; 16]).unwrap());
        (0..64).for_each(|number| session.upsert(u64::MAX / 2 - number, vec![8; 8]).unwrap());
        assert!(store.stats().revivification.unwrap().reused >= 32);
    }

    /// V1: a chain that was split has two entries that lead into it. Their records stay where they are.
    #[test]
    fn what_two_entries_lead_to_does_not_leave() {
        let keys = keys_of_one_entry();
        let config = FasterKvConfig::default()
            .with_memory_budget(4 << 20)
            .with_log_memory_size(1 << 20)
            .with_table_size(1)
            .with_index_growth(false)
            .with_revivification(true);
        let store: FasterKv<u64, Vec<u8>, _> = FasterKv::open(config, MemoryDisk::new()).unwrap();
        let mut session = store.start_session();
        keys.iter().for_each(|key| session.upsert(*key, vec![1; 8]).unwrap());
        store.grow_index(BUCKETS).unwrap();
        // The way to the first goes by way of it.
        session.upsert(keys[1], vec![2; 100]).unwrap();
        assert_eq!(store.stats().revivification.unwrap().freed, 0);
        use_what_is_free(&store);
        let found = keys.map(|key| session.read(&key).unwrap());
        assert_eq!(found, [Some(vec![1; 8]), Some(vec![2; 100]), Some(vec![1; 8])]);
        // What comes after does leave.
        session.upsert(keys[1], vec![3; 200]).unwrap();
        assert!(store.stats().revivification.unwrap().freed > 64);
        assert_eq!(session.read(&keys[1]).unwrap(), Some(vec![3; 200]));
    }

    /// Two keys that share one entry of an index of so many buckets, and others that share none with them.
    fn keys_of_one_chain() -> ([u64; 2], impl Iterator<Item = u64>) {
        let place = |key: u64| {
            let hash = KeyHash::of_bytes(&key.to_le_bytes());
            (hash.tag(), hash.bucket(BUCKETS - 1))
        };
        let mut known = HashMap::new();
        let pair = (0..).find_map(|key| known.insert(place(key), key).map(|first| [first, key])).unwrap_or_default();
        let shared = place(pair[0]);
        (pair, (1 << 32..).filter(move |key| place(*key) != shared))
    }

    /// V2: a spare below the newest record of a chain is not for that chain. A recovery that has no image of the index takes the highest
    /// record of a chain for its newest one, and would not find what lies below and leads up to it.
    #[test]
    fn a_record_comes_to_lie_above_the_newest_one_of_its_chain() {
        let config = || {
            FasterKvConfig::default()
                .with_memory_budget(4 << 20)
                .with_log_memory_size(1 << 20)
                .with_table_size(BUCKETS)
                .with_index_growth(false)
                .with_revivification(true)
        };
        let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
        let store: FasterKv<u64, Vec<u8>, _> = FasterKv::open(config(), disk.clone()).unwrap();
        let mut session = store.start_session();
        let ([first, second], others) = keys_of_one_chain();
        let others: Vec<u64> = others.take(65).collect();
        let (gone, other) = (&others[..64], others[64]);
        gone.iter().for_each(|key| session.upsert(*key, vec![9; 8]).unwrap());
        session.upsert(first, vec![1; 8]).unwrap();
        gone.iter().for_each(|key| session.delete(key).unwrap());
        let stats = || store.stats().revivification.unwrap();
        session.upsert(second, vec![2; 8]).unwrap();
        assert_eq!(stats().reused, 0, "all of them lie below");
        session.upsert(other, vec![3; 8]).unwrap();
        assert_eq!(stats().reused, 1, "there are some: {:?}", stats());
        store.checkpoint_to(&directory, &CheckpointOptions::default()).unwrap();
        drop((session, store));
        let recovered = FasterKv::recover_from(&directory, RecoveryTarget::Latest, config(), disk, &|_| ());
        let store: FasterKv<u64, Vec<u8>, _> = recovered.unwrap().0;
        let mut session = store.start_session();
        let found = [first, second, other].map(|key| session.read(&key).unwrap());
        assert_eq!(found, [Some(vec![1; 8]), Some(vec![2; 8]), Some(vec![3; 8])]);
    }
}
