//! Reading a key.

use super::below::Below;
use super::find::Trace;
use super::locked::step_of_key;
use super::{Kernel, KeyOperation};
use crate::address::Address;
use crate::device::IoDone;
use crate::epoch::Guard;
use crate::error::Result;
use crate::index::Slot;
use crate::operation::{Operation, Retry, Step};
use crate::record::{ByRef, Held, Key, KeyBytes, Value};
use crate::utility::KeyHash;

/// The newest value of a key at the moment its chain was looked up.
pub(crate) struct ReadOp<Q, V> {
    key: Q,
    below: Below<V>,
    /// Where the log began when the search on the device did.
    begin: Address,
}

impl<Q: KeyBytes, V: Value> ReadOp<Q, V> {
    #[inline]
    pub(crate) const fn new(key: Q) -> Self {
        Self { key, below: Below::Unknown, begin: Address::INVALID }
    }
}

impl<Q: ToOwned + ?Sized, V> ReadOp<ByRef<'_, Q>, V> {
    /// The same, as far as it has come, with a key of its own.
    pub(crate) fn into_owned(self) -> ReadOp<Q::Owned, V> {
        ReadOp { key: self.key.0.to_owned(), below: self.below, begin: self.begin }
    }
}

impl<K: Key, V: Value, Q: KeyBytes> Operation<Kernel<K, V>> for ReadOp<Q, V> {
    type Output = Option<V>;

    #[inline]
    fn step(&mut self, kernel: &Kernel<K, V>, guard: &Guard<'_>) -> Step<Option<V>> {
        match &mut self.below {
            Below::Unknown => {}
            // It was the newest before the time was looked at: whether it still is, is seen below (E1 of `expiry`).
            Below::Known { value: Some(Held::Value(value)), .. } if value.expiry().is_over(kernel.now()) => {}
            Below::Known { top, value: Some(held) } => {
                let value = match held.value() {
                    Ok(value) => value,
                    Err(error) => return Step::Failed(error),
                };
                kernel.keep(&self.key, value, *top, guard);
                return Step::Done(Some(value.clone()));
            }
            // As long as nothing was truncated, it is certain. Otherwise the record may have been moved to above what was
            // searched, and is looked for there.
            Below::Known { value: None, .. } if kernel.log.begin() == self.begin => return Step::Done(None),
            Below::Known { value: None, .. } => {}
            Below::Walking { .. } => {
                return self.below.request(kernel).map_or_else(|| Step::Done(None), Step::Wait);
            }
        }
        let hash = KeyHash::of_bytes(self.key.key_bytes());
        step_of_key(self, kernel, hash, guard)
    }

    fn resume(&mut self, kernel: &Kernel<K, V>, done: IoDone) -> Result<()> {
        self.below.resume(kernel, &self.key, done)
    }
}

impl<K: Key, V: Value, Q: KeyBytes> KeyOperation<K, V> for ReadOp<Q, V> {
    const WRITES: bool = false;

    #[inline]
    fn step_at<'g>(&mut self, kernel: &'g Kernel<K, V>, slot: Slot<'g>, guard: &'g Guard<'_>) -> Step<Option<V>> {
        let now = kernel.now();
        if let Some(copy) = kernel.cached(&self.key, &slot, guard) {
            let value = match copy.record.value::<K, V>() {
                Ok(value) => value,
                Err(error) => return Step::Failed(error),
            };
            if value.expiry().is_over(now) {
                return none_if(kernel.index.begins_at(&slot, guard));
            }
            if copy.is_old {
                kernel.renew(slot, &self.key, &value, guard);
            }
            return Step::Done(Some(value));
        }
        match kernel.trace(&self.key, &slot, self.below.floor(), guard) {
            Trace::Record(found) if found.info.is_tombstone() => Step::Done(None),
            Trace::Record(found) => match found.record.value::<K, V>() {
                Ok(value) if value.expiry().is_over(now) => none_if(kernel.is_over(&slot, found.record, now, guard)),
                Ok(value) => Step::Done(Some(value)),
                Err(error) => Step::Failed(error),
            },
            // What is known there has ended.
            Trace::Floor if const { V::EXPIRES } => none_if(kernel.index.begins_at(&slot, guard)),
            Trace::Floor | Trace::End => Step::Done(None),
            Trace::Disk(address) => {
                self.begin = kernel.log.begin();
                self.below.walk(kernel, kernel.newest(&slot, guard), address);
                self.below.request(kernel).map_or_else(|| Step::Done(None), Step::Wait)
            }
        }
    }
}

/// That the key has no value, if that is certain.
fn none_if<V>(is_certain: bool) -> Step<Option<V>> {
    if is_certain { Step::Done(None) } else { Step::Retry(Retry::Conflict) }
}
