//! Copies of records for the index, which brings two chains together.

use super::find::Region;
use super::{Kernel, stamp};
use crate::address::Address;
use crate::allocator::Allocation;
use crate::epoch::Guard;
use crate::index::Copier;
use crate::record::{Key, Origin, RecordInfo, RecordLayout, RecordRef, Value};
use crate::sync::Ordering;

/// Copies records of a store's log, under a pin.
pub(crate) struct LogCopier<'k, K, V> {
    kernel: &'k Kernel<K, V>,
    guard: &'k Guard<'k>,
}

impl<'k, K: Key, V: Value> LogCopier<'k, K, V> {
    const LAYOUT: RecordLayout = RecordLayout::of::<K, V>();

    pub(crate) const fn new(kernel: &'k Kernel<K, V>, guard: &'k Guard<'k>) -> Self {
        Self { kernel, guard }
    }

    fn record(&self, at: Address) -> RecordRef<'_> {
        self.kernel.log.view(self.guard).record(at, Self::LAYOUT)
    }
}

impl<K: Key, V: Value> Copier for LogCopier<'_, K, V> {
    /// K2.
    fn is_settled(&self, at: Address) -> bool {
        self.kernel.region_of(at) == Region::Immutable
    }

    fn copy(&self, at: Address, onto: Address, is_last: bool) -> Option<Address> {
        let (log, source) = (&self.kernel.log, self.record(at));
        let size = source.sizes::<K, V>().record_size();
        let signed = if is_last { 0 } else { Origin::SIZE };
        // An error is one of those that waiting for room comes to.
        let Ok(Allocation::At(copy)) = log.allocate_urgent(size + signed, self.guard) else { return None };
        let info = RecordInfo::new(onto, stamp(self.kernel.moment(self.guard).version));
        let info = if is_last { info } else { info.with_origin() };
        if !is_last {
            let behind = Address::from_word(copy.get() + size as u64);
            for word in log.words(behind, Origin::SIZE, self.guard) {
                word.store(Origin::OF_PART.word(), Ordering::Relaxed);
            }
        }
        source.copy_to::<K, V>(log.space(copy, size, self.guard), info);
        Some(copy)
    }

    /// K5.
    fn withdraw(&self, at: Address) {
        self.record(at).invalidate();
    }
}
