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
use crate::record::{Deleted, Draft, Key, KeyBytes, Value};
use crate::status::OperationStatus;
use crate::utility::KeyHash;

/// Deletes a key: in place if its record may be changed, by a tombstone in front of what is older otherwise. Never needs
/// the device, so it may leave a tombstone for a key that was not there.
pub(crate) struct DeleteOp<Q> {
    key: Q,
}

impl<Q: KeyBytes> DeleteOp<Q> {
    #[inline]
    pub(crate) const fn new(key: Q) -> Self {
        Self { key }
    }
}

impl<K: Key, V: Value, Q: KeyBytes> Operation<Kernel<K, V>> for DeleteOp<Q> {
    type Output = OperationStatus;

    fn step(&mut self, kernel: &Kernel<K, V>, guard: &Guard<'_>) -> Step<OperationStatus> {
        let hash = KeyHash::of_bytes(self.key.key_bytes());
        step_of_key(self, kernel, hash, guard)
    }

    fn resume(&mut self, _: &Kernel<K, V>, _: IoDone) -> Result<()> {
        Ok(()) // it asks the device for nothing
    }
}

impl<K: Key, V: Value, Q: KeyBytes> KeyOperation<K, V> for DeleteOp<Q> {
    const WRITES: bool = true;

    #[inline]
    fn step_at<'g>(&mut self, kernel: &'g Kernel<K, V>, slot: Slot<'g>, guard: &'g Guard<'_>) -> Step<OperationStatus> {
        if K::FIXED.is_some_and(|size| size != self.key.key_bytes().len()) {
            return Step::Done(OperationStatus::NotFound); // bytes that no key of the store has
        }
        let moment = kernel.moment(guard);
        match kernel.trace(&self.key, &slot, Address::INVALID, guard) {
            Trace::End => return Step::Done(OperationStatus::NotFound),
            Trace::Record(found) => match kernel.region(&found, moment) {
                Region::Newer => return Step::Retry(Retry::Conflict),
                _ if found.info.is_tombstone() => return Step::Done(OperationStatus::NotFound),
                // What is closed may be copied at this moment.
                Region::Mutable if !found.info.is_closed() => {
                    if let Some(status) = delete_in_place(kernel, slot, found, guard) {
                        return Step::Done(status);
                    }
                }
                Region::Mutable | Region::Fuzzy | Region::Immutable => {}
            },
            Trace::Disk(_) | Trace::Floor => {}
        }
        match kernel.append(slot, Draft::tombstone(&self.key), moment, guard) {
            Ok(Ok(())) => Step::Done(OperationStatus::Deleted),
            Ok(Err(retry)) => Step::Retry(retry),
            Err(error) => Step::Failed(error),
        }
    }
}

/// Sets the tombstone, and frees the index entry if the record is all there is in its chain, so that keys that come and
/// go do not fill the index. `None` if the record is about to be replaced: the deletion is then to come in front of it as well.
fn delete_in_place<K: Key, V: Value>(
    kernel: &Kernel<K, V>,
    slot: Slot<'_>,
    found: Found<'_>,
    guard: &Guard<'_>,
) -> Option<OperationStatus> {
    match found.record.delete::<K, V>() {
        Deleted::Now => {}
        Deleted::Before => return Some(OperationStatus::NotFound),
        Deleted::Sealed => return None,
    }
    kernel.forget(slot, &found, guard);
    Some(OperationStatus::Deleted)
}
