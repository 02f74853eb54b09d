//! What memory can answer at once: index and log as seen under one pin, with what every operation needs at hand.

use super::Kernel;
use super::find::seek;
use crate::address::Address;
use crate::allocator::LogView;
use crate::cache::CacheView;
use crate::epoch::Guard;
use crate::index::{IndexView, Slot};
use crate::memory::Purpose;
use crate::record::{Key, KeyBytes, KnownRecord, Modified, RecordLayout, RecordRef, Value, ValueBytes, Verdict};
use crate::status::OperationStatus;
use crate::sync::Visible;
use crate::utility::KeyHash;

/// Index and log under one pin. Its calls answer what takes no more than looking and changing in place, and leave the rest
/// to the operations.
#[derive(Clone, Copy)]
pub(crate) struct View<'g> {
    index: IndexView<'g>,
    log: LogView<'g>,
    cache: Option<CacheView<'g>>,
    /// Bytes of most records, if they may have any length, and were not asked for before.
    typical: usize,
}

impl<K: Key, V: Value> Kernel<K, V> {
    /// What is there under this pin.
    #[inline(always)]
    pub(crate) fn view<'g>(&'g self, guard: &'g Guard<'_>) -> View<'g> {
        View {
            index: self.index.view(guard),
            log: self.log.view(guard),
            cache: self.cache.as_ref().map(|cache| cache.view(guard)),
            typical: if const { Self::LAYOUT.record_size().is_some() } { 0 } else { self.typical_size.get() as usize },
        }
    }
}

impl<'g> View<'g> {
    /// True if no slot that is found is open.
    #[inline(always)]
    pub(crate) fn is_whole(self) -> bool {
        self.index.is_whole()
    }

    /// Starts loading the bucket of a hash.
    #[inline(always)]
    pub(crate) fn prefetch_bucket(self, hash: KeyHash) {
        self.index.prefetch(hash);
    }

    /// The same for records that were asked for before, all of them.
    #[inline(always)]
    pub(crate) fn of_what_was_asked_for(self) -> Self {
        Self { typical: 0, ..self }
    }

    /// The entry that keys of this hash share; open while the index grows ([`Slot::is_open`]).
    #[inline(always)]
    pub(crate) fn find(self, hash: KeyHash) -> Slot<'g> {
        self.index.find(hash)
    }

    /// Starts loading the newest record of a chain.
    #[inline(always)]
    pub(crate) fn prefetch_record<K: Key, V: Value>(self, slot: &Slot<'_>, purpose: Purpose) {
        let layout = const { RecordLayout::of::<K, V>() };
        if slot.leads_to(self.log.head()) {
            self.log.prefetch(slot.address(), layout, self.typical, purpose);
        } else if let Some(cache) = self.cache {
            cache.prefetch(slot.address(), layout);
        }
    }

    /// The newest record of a chain, if it is on the device, above the record at `at`, and has no copy in front of it.
    #[cfg(not(oxifaster_loom))]
    #[inline(always)]
    pub(crate) fn on_device_above(self, slot: &Slot<'_>, at: Address) -> Option<Address> {
        debug_assert!(!slot.is_open(), "an open slot says nothing");
        let newest = slot.address();
        (at < newest && newest < self.log.head() && !newest.is_cached()).then_some(newest)
    }

    /// The record of `key`, if it is the newest of its chain, in memory, and live: nearly every key that is in memory has
    /// such a one, because different keys rarely share an entry.
    #[inline(always)]
    pub(crate) fn newest<K: Key, V: Value>(
        self,
        key: &(impl KeyBytes + ?Sized),
        slot: Slot<'_>,
    ) -> Option<KnownRecord<'g>> {
        self.first_live::<K, V>(key, &slot, self.log.head())
    }

    /// The value of `key`, or that it has none; `None` if memory does not say, or what it says is no value, or one that has ended
    /// by `now`.
    #[inline(always)]
    pub(crate) fn read<K: Key, V: Value>(
        self,
        key: &(impl KeyBytes + ?Sized),
        slot: Slot<'_>,
        now: u64,
    ) -> Option<Option<V>> {
        debug_assert!(!slot.is_open(), "an open slot says nothing");
        match self.newest::<K, V>(key, slot) {
            Some(record) => match record.value::<K, V>() {
                Ok(value) if value.expiry().is_over(now) => None,
                Ok(value) => Some(Some(value)),
                Err(_) => None,
            },
            None => {
                let found = self.read_further::<K, V>(key, slot.address());
                if const { V::EXPIRES }
                    && let Some(Some(value)) = &found
                    && value.expiry().is_over(now)
                {
                    return None;
                }
                found
            }
        }
    }

    #[inline(never)]
    fn read_further<K: Key, V: Value>(self, key: &(impl KeyBytes + ?Sized), mut address: Address) -> Option<Option<V>> {
        if let Some(cache) = self.cache {
            match cache.find::<K, V>(key, address) {
                // An old copy is to be renewed, which takes more than looking.
                Ok(copy) => return if copy.is_old { None } else { copy.record.value::<K, V>().ok().map(Some) },
                Err(behind) => address = behind,
            }
        }
        match seek::<K, V>(self.log, key, address, self.log.head().max(self.log.begin())) {
            Ok(found) if found.info.is_tombstone() => Some(None),
            Ok(found) => found.record.value::<K, V>().ok().map(Some),
            Err(below) if below < self.log.begin() => Some(None),
            Err(_) => None,
        }
    }

    /// Puts the bytes of the value of `key` into `bytes`, in place of what is there; false if it has no value. `None` if memory does not
    /// say, or what it says has ended by `now`: then what is in `bytes` is nothing.
    #[inline(always)]
    pub(crate) fn copy<K: Key, V: Value>(
        self,
        key: &(impl KeyBytes + ?Sized),
        slot: Slot<'_>,
        now: u64,
        bytes: &mut Vec<u8>,
    ) -> Option<bool> {
        match self.newest::<K, V>(key, slot) {
            Some(record) => record.copy_unless_over::<K, V>(now, bytes).then_some(true),
            None => self.copy_further::<K, V>(key, slot, now, bytes),
        }
    }

    #[inline(never)]
    fn copy_further<K: Key, V: Value>(
        self,
        key: &(impl KeyBytes + ?Sized),
        slot: Slot<'_>,
        now: u64,
        bytes: &mut Vec<u8>,
    ) -> Option<bool> {
        let address = slot.address();
        if slot.is_open() {
            return None; // it says nothing
        }
        if self.cache.is_some_and(|cache| cache.behind(address) != address) {
            return None; // a copy, which may have to be renewed: that takes more than looking
        }
        match seek::<K, V>(self.log, key, address, self.log.head().max(self.log.begin())) {
            Ok(found) if found.info.is_tombstone() => Some(false),
            Ok(found) if found.info.is_open() => {
                found.record.known::<K, V>().copy_unless_over::<K, V>(now, bytes).then_some(true)
            }
            Err(below) if below < self.log.begin() => Some(false),
            Ok(_) | Err(_) => None,
        }
    }

    /// Gives `key` the value if its record can be changed in place; false, and nothing done, otherwise.
    #[inline(always)]
    pub(crate) fn set<K: Key, V: Value>(
        self,
        key: &(impl KeyBytes + ?Sized),
        value: &(impl ValueBytes + ?Sized),
        slot: Slot<'_>,
        visible: Visible,
    ) -> bool {
        let limit = self.log.mutable_from();
        // R4 if somebody deletes it at this moment.
        match self.first_live::<K, V>(key, &slot, limit) {
            Some(record) => record.set_value::<K, V>(value, visible),
            None => self
                .mutable_further::<K, V>(key, slot.address(), limit)
                .is_some_and(|record| record.set_value::<K, V>(value, visible)),
        }
    }

    /// Replaces the value of `key` by what `modify` makes of it if its record can be changed in place, and its value has not ended
    /// by `now`, nor comes to end later.
    #[inline(always)]
    pub(crate) fn modify<K: Key, V: Value>(
        self,
        key: &K,
        slot: Slot<'_>,
        now: u64,
        modify: &mut impl FnMut(&mut V) -> bool,
    ) -> Option<OperationStatus> {
        let mut takes_more = false;
        let mut verdict = |value: &mut V| {
            let until = value.expiry();
            if const { V::EXPIRES } {
                takes_more = until.is_over(now);
            }
            if takes_more || !modify(value) {
                return Verdict::Keep;
            }
            if const { V::EXPIRES } {
                takes_more = value.expiry() > until;
            }
            if takes_more { Verdict::Keep } else { Verdict::Set }
        };
        match self.mutable::<K, V>(key, slot)?.modify_value::<K, V>(&mut verdict, &|_| true) {
            Ok(_) if takes_more => None,
            Ok(Modified::InPlace) => Some(OperationStatus::InPlace),
            Ok(Modified::Unchanged) => Some(OperationStatus::Unchanged),
            Ok(Modified::Doomed(_) | Modified::Outgrown(..) | Modified::Sealed) | Err(_) => None,
        }
    }

    #[inline(always)]
    fn mutable<K: Key, V: Value>(self, key: &(impl KeyBytes + ?Sized), slot: Slot<'_>) -> Option<RecordRef<'g>> {
        let limit = self.log.mutable_from();
        match self.first_live::<K, V>(key, &slot, limit) {
            Some(record) => Some(record.record()),
            None => self.mutable_further::<K, V>(key, slot.address(), limit),
        }
    }

    #[inline(never)]
    fn mutable_further<K: Key, V: Value>(
        self,
        key: &(impl KeyBytes + ?Sized),
        mut address: Address,
        limit: Address,
    ) -> Option<RecordRef<'g>> {
        if let Some(cache) = self.cache {
            address = cache.behind(address);
        }
        let found = seek::<K, V>(self.log, key, address, limit).ok()?;
        if found.info.is_open() { Some(found.record) } else { None }
    }

    /// The newest record of the chain if it is the key's, lives and is not closed, and is not below `limit`.
    #[inline(always)]
    fn first_live<K: Key, V: Value>(
        self,
        key: &(impl KeyBytes + ?Sized),
        slot: &Slot<'_>,
        limit: Address,
    ) -> Option<KnownRecord<'g>> {
        if !slot.leads_to(limit) {
            return None;
        }
        let layout = const { RecordLayout::of::<K, V>() };
        let record = self.log.record(slot.address(), layout);
        if const { RecordLayout::of::<K, V>().record_size().is_none() } && self.typical > 0 {
            // Where its parts lie is known when its beginning is there: they come along with it.
            record.prefetch_rest(self.typical.saturating_sub(1) / 8);
        }
        let (info, record) = (record.info(), record.known::<K, V>());
        if info.is_open() && record.key_is::<K, V>(key) { Some(record) } else { None }
    }
}
