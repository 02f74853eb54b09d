//! Looking a key up without making its value, if that is a large one.

use super::below::Below;
use super::find::Trace;
use super::locked::step_of_key;
use super::{Kernel, KeyOperation};
use crate::address::Address;
use crate::device::IoDone;
use crate::epoch::Guard;
use crate::error::Result;
use crate::index::Slot;
use crate::operation::{Operation, Step};
use crate::record::{Held, Key, KeyBytes, Root, Value};
use crate::utility::KeyHash;

/// What a key has at the moment its chain was looked up: [`ReadOp`](super::ReadOp) for those who know what to do with a root.
pub(crate) struct LookOp<Q, V> {
    key: Q,
    below: Below<V>,
    /// Where the log began when the search on the device did.
    begin: Address,
}

impl<Q: KeyBytes, V: Value> LookOp<Q, V> {
    pub(crate) const fn new(key: Q) -> Self {
        Self { key, below: Below::Unknown, begin: Address::INVALID }
    }
}

impl<K: Key, V: Value, Q: KeyBytes> Operation<Kernel<K, V>> for LookOp<Q, V> {
    type Output = Option<Held<V>>;

    fn step(&mut self, kernel: &Kernel<K, V>, guard: &Guard<'_>) -> Step<Option<Held<V>>> {
        match &self.below {
            Below::Known { value: Some(held), .. } => return Step::Done(Some(held.clone())),
            // As in a read: if something was truncated meanwhile, the record may have been moved.
            Below::Known { value: None, .. } if kernel.log.begin() == self.begin => return Step::Done(None),
            Below::Walking { .. } => {
                return self.below.request(kernel).map_or_else(|| Step::Done(None), Step::Wait);
            }
            Below::Unknown | Below::Known { value: None, .. } => {}
        }
        let hash = KeyHash::of_bytes(self.key.key_bytes());
        step_of_key(self, kernel, hash, guard)
    }

    fn resume(&mut self, kernel: &Kernel<K, V>, done: IoDone) -> Result<()> {
        self.below.resume(kernel, &self.key, done)
    }
}

impl<K: Key, V: Value, Q: KeyBytes> KeyOperation<K, V> for LookOp<Q, V> {
    const WRITES: bool = false;

    fn step_at<'g>(&mut self, kernel: &'g Kernel<K, V>, slot: Slot<'g>, guard: &'g Guard<'_>) -> Step<Option<Held<V>>> {
        if let Some(copy) = kernel.cached(&self.key, &slot, guard) {
            return match copy.record.value::<K, V>() {
                Ok(value) => Step::Done(Some(Held::Value(value))),
                Err(error) => Step::Failed(error),
            };
        }
        match kernel.trace(&self.key, &slot, self.below.floor(), guard) {
            Trace::Record(found) if found.info.is_tombstone() => Step::Done(None),
            Trace::Record(found) => match found.record.held::<K, V>() {
                Ok(Held::Large(root)) => Step::Done(Some(Held::Large(Root { at: found.address, ..root }))),
                Ok(held) => Step::Done(Some(held)),
                Err(error) => Step::Failed(error),
            },
            Trace::Floor | Trace::End => Step::Done(None),
            Trace::Disk(address) => {
                self.begin = kernel.log.begin();
                self.below.walk(kernel, kernel.newest(&slot, guard), address);
                self.below.request(kernel).map_or_else(|| Step::Done(None), Step::Wait)
            }
        }
    }
}
