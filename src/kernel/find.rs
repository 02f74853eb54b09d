//! The walk down a chain in memory, shared by all operations.

use super::Kernel;
use crate::address::Address;
use crate::epoch::Guard;
use crate::index::Slot;
use crate::record::{Key, RecordInfo, RecordRef, Value};

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
}

impl<K: Key, V: Value> Kernel<K, V> {
    /// Walks the chain of `slot` from its newest record down to the first one of `key`, or to one at or below `floor`.
    #[inline]
    pub(crate) fn trace<'g>(&'g self, key: &K, slot: &Slot<'g>, floor: Address, guard: &'g Guard<'_>) -> Trace<'g> {
        let mut address = slot.address();
        // After the entry, under this pin: every record at or above this head stays where it is until the pin ends (L3),
        // and the chain only descends from here.
        let (head, begin) = (self.log.head(), self.log.begin());
        loop {
            if address < begin {
                return Trace::End;
            }
            if address <= floor {
                return Trace::Floor;
            }
            if address < head {
                return Trace::Disk(address);
            }
            let record = self.log.record(address, Self::LAYOUT.record_size(), guard);
            let info = record.info();
            if record.key_is::<K, V>(key) && !info.is_invalid() {
                return Trace::Record(Found { address, record, info });
            }
            address = info.previous();
        }
    }

    /// What may be done with the record at `address` for as long as this pin lasts.
    #[inline]
    pub(crate) fn region(&self, address: Address) -> Region {
        if address >= self.log.read_only() {
            Region::Mutable
        } else if address >= self.log.safe_read_only() {
            Region::Fuzzy
        } else {
            Region::Immutable
        }
    }
}
