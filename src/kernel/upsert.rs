//! Writing a value without looking at the old one.

use super::find::{Region, Trace};
use super::locked::step_of_key;
use super::{Kernel, KeyOperation};
use crate::address::Address;
use crate::device::IoDone;
use crate::epoch::Guard;
use crate::error::Result;
use crate::index::Slot;
use crate::operation::{Operation, Retry, Step};
use crate::record::{ByRef, Draft, Key, KeyBytes, Revived, Value, ValueBytes};
use crate::status::OperationStatus;
use crate::sync::Visible;
use crate::utility::KeyHash;
use std::marker::PhantomData;

/// Gives a key a value: in place if its record may be changed, by a new record otherwise. Never needs the device. In a store of
/// `K` and `V`, which may be given as something with the same bytes.
pub(crate) struct UpsertOp<K, V, Q = K, W = V> {
    key: Q,
    value: W,
    store: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: Value> UpsertOp<K, V> {
    #[inline]
    pub(crate) const fn new(key: K, value: V) -> Self {
        Self { key, value, store: PhantomData }
    }
}

impl<'r, K, V, Q: ?Sized, W: ?Sized> UpsertOp<K, V, ByRef<'r, Q>, ByRef<'r, W>> {
    /// The same with a key and a value that stay with the caller. Where all have one length, so have these.
    #[inline]
    pub(crate) const fn by_ref(key: &'r Q, value: &'r W) -> Self {
        Self { key: ByRef(key), value: ByRef(value), store: PhantomData }
    }
}

impl<K: Key, V: Value, Q: KeyBytes, W: ValueBytes> Operation<Kernel<K, V>> for UpsertOp<K, V, Q, W> {
    type Output = OperationStatus;

    #[inline]
    fn step(&mut self, kernel: &Kernel<K, V>, guard: &Guard<'_>) -> Step<OperationStatus> {
        let hash = KeyHash::of_bytes(self.key.key_bytes());
        step_of_key(self, kernel, hash, guard)
    }

    fn resume(&mut self, _: &Kernel<K, V>, _: IoDone) -> Result<()> {
        Ok(()) // it asks the device for nothing
    }
}

impl<K: Key, V: Value, Q: KeyBytes, W: ValueBytes> KeyOperation<K, V> for UpsertOp<K, V, Q, W> {
    const WRITES: bool = true;

    #[inline]
    fn step_at<'g>(&mut self, kernel: &'g Kernel<K, V>, slot: Slot<'g>, guard: &'g Guard<'_>) -> Step<OperationStatus> {
        // Older records than the mutable ones make no difference: a new one goes in front of them whatever they are.
        let floor = Address::from_word(kernel.log.mutable_from().get() - 1);
        let trace = kernel.trace(&self.key, &slot, floor, guard);
        let moment = kernel.moment(guard);
        let mut outgrown = None;
        if let Trace::Record(found) = &trace {
            match kernel.region(found, moment) {
                Region::Newer => return Step::Retry(Retry::Conflict),
                Region::Mutable if found.info.is_open() => {
                    // R4 if somebody deletes it at this moment.
                    if found.record.set_value::<K, V>(&self.value, Visible::Now) {
                        return Step::Done(OperationStatus::InPlace);
                    }
                    outgrown = Some(found.record); // R7: it has no place there, and goes in front
                }
                Region::Mutable if kernel.may_be_revived(found.info) => {
                    if found.record.revive::<K, V>(&self.value, false) == Revived::Now {
                        kernel.log.count_revived_in_place();
                        return Step::Done(OperationStatus::InPlace);
                    }
                    outgrown = Some(found.record); // V4
                }
                Region::Mutable | Region::Fuzzy | Region::Immutable => {}
            }
        }
        let status = if matches!(trace, Trace::End) { OperationStatus::Created } else { OperationStatus::Copied };
        match kernel.append(slot, Draft::new(&self.key, &self.value), moment, guard) {
            Ok(Ok(())) => {
                if let Some(record) = outgrown {
                    record.seal::<K, V>();
                }
                Step::Done(status)
            }
            Ok(Err(retry)) => Step::Retry(retry),
            Err(error) => Step::Failed(error),
        }
    }
}
