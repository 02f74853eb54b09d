//! The read cache.

use super::config::log_config;
use crate::address::Address;
use crate::allocator::{Allocation, FIRST, HybridLog, LogGeometry, LogHandle, LogView};
use crate::device::NullDisk;
use crate::epoch::{Guard, LightEpoch};
use crate::error::Result;
use crate::index::{MemIndex, Slot};
use crate::memory::{Purpose, Words};
use crate::record::{Draft, Key, KeyBytes, RecordInfo, RecordLayout, RecordRef, Value, ValueBytes};
use crate::stats::{ReadCacheStats, SharedCounter};
use crate::sync::{Arc, Mutex};
use crate::utility::KeyHash;
use std::ops::Range;

/// Pages that are kept free for copies to come, while the oldest are being emptied.
const PAGES_FREE: u64 = 2;
/// How often an entry is tried to be led past the copies that leave.
const TAKE_OUT_MAX: usize = 64;

/// Copies of records that are on the device. See [`crate::cache`].
pub(crate) struct ReadCache {
    log: HybridLog,
    /// Held by who makes room.
    making_room: Mutex<()>,
    added: SharedCounter,
    renewed: SharedCounter,
    pages_left: SharedCounter,
}

/// A copy of a key's newest record.
#[derive(Clone, Copy)]
pub(crate) struct Copied<'g> {
    pub(crate) record: RecordRef<'g>,
    /// It is going to leave unless it is copied anew.
    pub(crate) is_old: bool,
}

impl ReadCache {
    /// An empty cache.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the system does not give the memory.
    pub(crate) fn new(geometry: LogGeometry, record_size: usize, epoch: &Arc<LightEpoch>) -> Result<Self> {
        let log = HybridLog::new(log_config(geometry, record_size), Arc::clone(epoch), Arc::new(NullDisk::new()))?;
        Ok(Self {
            log,
            making_room: Mutex::new(()),
            added: SharedCounter::default(),
            renewed: SharedCounter::default(),
            pages_left: SharedCounter::default(),
        })
    }

    /// A look at the copies, for somebody who goes before the cache does.
    pub(crate) fn handle(&self) -> LogHandle {
        self.log.handle()
    }

    /// The memory of the copies.
    pub(crate) fn memory(&self) -> &Words {
        self.log.memory()
    }

    pub(crate) fn stats(&self) -> ReadCacheStats {
        ReadCacheStats { added: self.added.get(), renewed: self.renewed.get(), pages_left: self.pages_left.get() }
    }

    /// The cache under one pin.
    #[inline(always)]
    pub(crate) fn view<'g>(&'g self, guard: &'g Guard<'_>) -> CacheView<'g> {
        CacheView { log: self.log.view(guard) }
    }

    /// See [`CacheView::behind`].
    pub(crate) fn behind(&self, address: Address, guard: &Guard<'_>) -> Address {
        self.view(guard).behind(address)
    }

    /// See [`CacheView::find`].
    pub(crate) fn find<'g, K: Key, V: Value>(
        &'g self,
        key: &(impl KeyBytes + ?Sized),
        address: Address,
        guard: &'g Guard<'_>,
    ) -> Result<Copied<'g>, Address> {
        self.view(guard).find::<K, V>(key, address)
    }

    /// Adds a copy of a record that was read from the device when the newest record in the log of its chain was `newest`,
    /// unless something was added to the chain since.
    pub(crate) fn add<K: Key, V: Value>(
        &self,
        index: &MemIndex,
        key: &(impl KeyBytes + ?Sized),
        value: &V,
        newest: Address,
        guard: &Guard<'_>,
    ) {
        let slot = index.find(KeyHash::of_bytes(key.key_bytes()), guard);
        let is_as_it_was = self.find::<K, V>(key, slot.address(), guard).is_err_and(|behind| behind == newest);
        if is_as_it_was && newest.is_valid() && self.put::<K, V>(index, slot, Draft::new(key, value), guard) {
            self.added.add(1);
        }
    }

    /// Copies a copy anew that was found in the chain of `slot` and is old.
    pub(crate) fn renew<K: Key, V: Value>(
        &self,
        index: &MemIndex,
        slot: Slot<'_>,
        key: &(impl KeyBytes + ?Sized),
        value: &V,
        guard: &Guard<'_>,
    ) {
        if self.put::<K, V>(index, slot, Draft::new(key, value), guard) {
            self.renewed.add(1);
        }
    }

    /// Puts a copy in front of the chain of `slot`, if nothing has happened to the entry since it was found (C1).
    fn put<K: Key, V: Value>(
        &self,
        index: &MemIndex,
        slot: Slot<'_>,
        draft: Draft<'_, impl KeyBytes + ?Sized, impl ValueBytes + ?Sized>,
        guard: &Guard<'_>,
    ) -> bool {
        let size = draft.sizes::<K, V>().record_size();
        if size > self.log.record_size_max() {
            return false; // the log's pages may be larger than those of the cache
        }
        let Ok(Allocation::At(address)) = self.log.allocate(size, guard) else {
            self.make_room::<K, V>(index, guard);
            return false; // C4
        };
        let record = self.log.space(address, size, guard);
        record.write::<K, V>(RecordInfo::new(slot.address(), 0), draft);
        let is_put = index.try_update(slot, address.into_cached()).is_ok();
        if !is_put {
            record.invalidate();
        }
        let page = self.log.geometry().page();
        if page.offset(address) == 0 && page.page(address) + PAGES_FREE >= self.log.geometry().frames() {
            self.make_room::<K, V>(index, guard);
        }
        is_put
    }

    /// Takes the copies of the oldest page out of their chains and has its frame used again, if nobody else is at it and
    /// nobody can still be writing to it.
    #[cold]
    fn make_room<K: Key, V: Value>(&self, index: &MemIndex, guard: &Guard<'_>) {
        let Some(_turn) = self.making_room.try_lock() else { return };
        let (page, addresses) = (self.log.geometry().page(), self.log.addresses());
        let oldest = page.page(addresses.head);
        let end = page.start_of(oldest + 1);
        if end > addresses.safe_read_only {
            return;
        }
        let start = page.start_of(oldest).max(Address::new(FIRST));
        let (layout, view) = (const { RecordLayout::of::<K, V>() }, self.log.view(guard));
        let mut at = start;
        while at.get() + layout.record_size().unwrap_or(layout.head_size()) as u64 <= end.get() {
            let record = view.record(at, layout);
            let info = record.info();
            if !info.is_present() {
                break; // the rest of the page was too small for another one
            }
            if !info.is_invalid() {
                let is_out = self.take_out(index, record.key_hash::<K, V>(), &(start..end), guard);
                if !is_out {
                    return; // C4: the page leaves another time
                }
            }
            at = Address::from_word(at.get() + record.sizes::<K, V>().record_size() as u64);
        }
        self.pages_left.add(1);
        self.log.evict_until(end); // C3
    }

    /// Takes the copies at addresses in `leaving` out of the chain of `hash`. False if the entry is one that nobody can change for the
    /// time being, or all others do.
    fn take_out(&self, index: &MemIndex, hash: KeyHash, leaving: &Range<Address>, guard: &Guard<'_>) -> bool {
        let view = self.view(guard);
        let is_leaving = |address: Address| address.is_cached() && leaving.contains(&address.within_cache());
        let behind = |mut address: Address| {
            while is_leaving(address) {
                address = view.record(address).info().previous();
            }
            address
        };
        for _ in 0..TAKE_OUT_MAX {
            let slot = index.find(hash, guard);
            let first = slot.address();
            if is_leaving(first) {
                // Whether or not somebody was faster, the entry is looked at again.
                let _ = index.try_update(slot, behind(first));
                continue;
            }
            let mut at = first;
            while at.is_cached() {
                let copy = view.record(at);
                let previous = copy.info().previous();
                if is_leaving(previous) {
                    copy.lead_on_to(behind(previous)); // C2
                }
                at = copy.info().previous();
            }
            return true;
        }
        false
    }
}

/// A [`ReadCache`] under one pin.
#[derive(Clone, Copy)]
pub(crate) struct CacheView<'g> {
    log: LogView<'g>,
}

impl<'g> CacheView<'g> {
    /// The header of a copy.
    fn record(self, address: Address) -> RecordRef<'g> {
        self.log.header(address.within_cache())
    }

    /// Where the chain that begins at `address` goes on in the log.
    #[inline]
    pub(crate) fn behind(self, mut address: Address) -> Address {
        while address.is_cached() {
            address = self.record(address).info().previous();
        }
        address
    }

    /// The first copy of `key` in the chain that begins at `address`, or where the chain goes on in the log.
    #[inline]
    pub(crate) fn find<K: Key, V: Value>(
        self,
        key: &(impl KeyBytes + ?Sized),
        mut address: Address,
    ) -> Result<Copied<'g>, Address> {
        while address.is_cached() {
            let within = address.within_cache();
            let record = self.log.record(within, const { RecordLayout::of::<K, V>() });
            if record.key_is::<K, V>(key) {
                return Ok(Copied { record, is_old: within < self.log.mutable_from() });
            }
            address = record.info().previous();
        }
        Err(address)
    }

    /// Starts loading a copy.
    #[inline]
    pub(crate) fn prefetch(self, address: Address, layout: RecordLayout) {
        if address.is_cached() {
            self.log.prefetch(address.within_cache(), layout, layout.planned_size(), Purpose::Read);
        }
    }
}
