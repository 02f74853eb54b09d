//! Copies of records for the index, which brings two chains together.

use super::find::Region;
use super::{Kernel, stamp};
use crate::address::Address;
use crate::allocator::Allocation;
use crate::epoch::Guard;
use crate::index::{Copier, Place};
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

    /// Appends a copy of a record that nobody changes, wherever it lies, in front of the chain that begins at `onto`. `None` if there is no
    /// room in memory.
    pub(crate) fn append(&self, source: RecordRef<'_>, onto: Address, place: Place) -> Option<Address> {
        let (log, size) = (&self.kernel.log, source.sizes::<K, V>().record_size());
        let sign = match place {
            Place::Alone => None,
            Place::Part => Some(Origin::OF_PART),
            Place::Last => Some(Origin::OF_LAST),
        };
        let signed = if sign.is_some() { Origin::SIZE } else { 0 };
        // An error is one of those that waiting for room comes to.
        let Ok(Allocation::At(copy)) = log.allocate_urgent(size + signed, self.guard) else { return None };
        let mut info = RecordInfo::new(onto, stamp(self.kernel.moment(self.guard).version));
        if let Some(sign) = sign {
            info = info.with_origin();
            let behind = Address::from_word(copy.get() + size as u64);
            for word in log.words(behind, Origin::SIZE, self.guard) {
                word.store(sign.word(), Ordering::Relaxed);
            }
        }
        source.copy_to::<K, V>(log.space(copy, size, self.guard), info);
        Some(copy)
    }
}

impl<K: Key, V: Value> Copier for LogCopier<'_, K, V> {
    /// K2.
    fn is_settled(&self, at: Address) -> bool {
        self.kernel.region_of(at) == Region::Immutable
    }

    fn copy(&self, at: Address, onto: Address, place: Place) -> Option<Address> {
        self.append(self.record(at), onto, place)
    }

    /// K5.
    fn withdraw(&self, at: Address) {
        self.record(at).invalidate();
    }
}
