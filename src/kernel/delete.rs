//! Deleting a key.

use super::find::{Found, Region, Trace};
use super::locked::step_of_key;
use super::{Kernel, KeyOperation};
use crate::address::Address;
use crate::device::IoDone;
use crate::epoch::Guard;
use crate::error::Result;
use crate::index::Slot;
use crate::operation::{Operation, Retry, Step};
use crate::record::{Key, Value};
use crate::status::OperationStatus;
use crate::utility::KeyHash;

/// Deletes a key: in place if its record may be changed, by a tombstone in front of what is older otherwise. Never needs
/// the device, so it may leave a tombstone for a key that was not there.
pub(crate) struct DeleteOp<K> {
    key: K,
}

impl<K: Key> DeleteOp<K> {
    #[inline]
    pub(crate) fn new(key: &K) -> Self {
        Self { key: key.clone() }
    }
}

impl<K: Key, V: Value> Operation<Kernel<K, V>> for DeleteOp<K> {
    type Output = OperationStatus;

    fn step(&mut self, kernel: &Kernel<K, V>, guard: &Guard<'_>) -> Step<OperationStatus> {
        let hash = KeyHash::of_bytes(self.key.as_bytes());
        step_of_key(self, kernel, hash, guard)
    }

    fn resume(&mut self, _: &Kernel<K, V>, _: IoDone) -> Result<()> {
        Ok(()) // it asks the device for nothing
    }
}

impl<K: Key, V: Value> KeyOperation<K, V> for DeleteOp<K> {
    const WRITES: bool = true;

    #[inline]
    fn step_at<'g>(&mut self, kernel: &'g Kernel<K, V>, slot: Slot<'g>, guard: &'g Guard<'_>) -> Step<OperationStatus> {
        let moment = kernel.moment(guard);
        match kernel.trace(&self.key, &slot, Address::INVALID, guard) {
            Trace::End => return Step::Done(OperationStatus::NotFound),
            Trace::Record(found) => match kernel.region(&found, moment) {
                Region::Newer => return Step::Retry(Retry::Conflict),
                _ if found.info.is_tombstone() => return Step::Done(OperationStatus::NotFound),
                Region::Mutable => return Step::Done(delete_in_place(kernel, slot, found)),
                Region::Fuzzy | Region::Immutable => {}
            },
            Trace::Disk(_) | Trace::Floor => {}
        }
        match kernel.append(slot, &self.key, None, moment, guard) {
            Ok(Ok(())) => Step::Done(OperationStatus::Deleted),
            Ok(Err(retry)) => Step::Retry(retry),
            Err(error) => Step::Failed(error),
        }
    }
}

/// Sets the tombstone, and frees the index entry if the record is all there is in its chain, so that keys that come and
/// go do not fill the index.
fn delete_in_place<K: Key, V: Value>(kernel: &Kernel<K, V>, slot: Slot<'_>, found: Found<'_>) -> OperationStatus {
    if !found.record.set_tombstone() {
        return OperationStatus::NotFound;
    }
    if slot.address() == found.address && kernel.is_given_up(found.info.previous()) {
        // Somebody may have appended in front meanwhile: then the entry is theirs, and stays.
        let _ = kernel.index.try_free(slot);
    }
    OperationStatus::Deleted
}
