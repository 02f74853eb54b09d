//! The walk down a chain in memory, shared by all operations.

use super::Kernel;
use crate::address::Address;
use crate::allocator::LogView;
use crate::epoch::Guard;
use crate::index::Slot;
use crate::record::{Key, KeyBytes, RecordInfo, RecordLayout, RecordRef, Value};

/// Where a walk ended.
pub(crate) enum Trace<'g> {
    /// At the newest record of the key.
    Record(Found<'g>),
    /// At a record that is on the device, without having met the key.
    Disk(Address),
    /// At the floor that was given.
    Floor,
    /// At the end of the chain: the key has no record.
    End,
}

/// A record of the key that was looked for.
#[derive(Clone, Copy)]
pub(crate) struct Found<'g> {
    pub(crate) address: Address,
    pub(crate) record: RecordRef<'g>,
    pub(crate) info: RecordInfo,
}

/// What may be done with a record in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Region {
    /// It may be changed in place (K3).
    Mutable,
    /// It may not, but others may still be doing it.
    Fuzzy,
    /// Nobody changes it any more (K2).
    Immutable,
    /// It belongs to a later version than the operation, which is to begin anew under that one.
    Newer,
}

/// Walks a chain from `address` down to the newest record of `key`, or to the first address below `limit`, which is at least
/// the view's head.
#[inline(always)]
pub(super) fn seek<'g, K: Key, V: Value>(
    log: LogView<'g>,
    key: &(impl KeyBytes + ?Sized),
    mut address: Address,
    limit: Address,
) -> Result<Found<'g>, Address> {
    while address >= limit {
        let record = log.record(address, const { RecordLayout::of::<K, V>() });
        let info = record.info();
        if record.key_is::<K, V>(key) && !info.is_invalid() {
            return Ok(Found { address, record, info });
        }
        address = info.previous();
    }
    Err(address)
}

impl<K: Key, V: Value> Kernel<K, V> {
    /// Walks the chain of `slot` from its newest record in the log down to the first one of `key`, or to one at or below `floor`.
    #[inline]
    pub(crate) fn trace<'g>(
        &'g self,
        key: &(impl KeyBytes + ?Sized),
        slot: &Slot<'g>,
        floor: Address,
        guard: &'g Guard<'_>,
    ) -> Trace<'g> {
        debug_assert!(!slot.is_open(), "an open slot says nothing");
        let log = self.log.view(guard);
        // What was given up may still be in memory, and a chain that was joined may lead there without what hid it.
        let limit = log.head().max(log.begin()).max(Address::new(floor.get() + 1));
        match seek::<K, V>(log, key, self.newest(slot, guard), limit) {
            Ok(found) => Trace::Record(found),
            Err(below) if below < self.log.begin() => Trace::End,
            Err(below) if below <= floor => Trace::Floor,
            Err(below) => Trace::Disk(below),
        }
    }

    /// What may be done with the record at `address` for as long as this pin lasts, as far as the log is concerned.
    #[inline]
    pub(crate) fn region_of(&self, address: Address) -> Region {
        if address >= self.log.mutable_from() {
            Region::Mutable
        } else if address >= self.log.immutable_below() {
            Region::Fuzzy
        } else {
            Region::Immutable
        }
    }
}
