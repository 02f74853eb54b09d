//! Whether a record is the newest of its key: what a scan asks of every record.

use super::above::{Above, Extent, Look};
use super::locked::step_of_key;
use super::{Descent, Fetch, Fetched, Kernel, KeyOperation};
use crate::address::Address;
use crate::device::IoDone;
use crate::epoch::Guard;
use crate::error::Result;
use crate::index::Slot;
use crate::operation::{Operation, Retry, Step};
use crate::record::{Key, Value};
use crate::utility::KeyHash;

/// Says whether a record is the newest of its key within an extent.
pub(crate) struct IsNewestOp<K> {
    key: K,
    above: Above,
}

impl<K: Key> IsNewestOp<K> {
    #[inline]
    pub(crate) const fn new(key: K, at: Address, extent: Extent) -> Self {
        Self { key, above: Above::new(at, extent) }
    }
}

impl<K: Key, V: Value> Operation<Kernel<K, V>> for IsNewestOp<K> {
    type Output = bool;

    fn step(&mut self, kernel: &Kernel<K, V>, guard: &Guard<'_>) -> Step<bool> {
        let hash = KeyHash::of_bytes(self.key.as_bytes());
        step_of_key(self, kernel, hash, guard)
    }

    fn resume(&mut self, kernel: &Kernel<K, V>, done: IoDone) -> Result<()> {
        self.above.resume(kernel, &self.key, done)
    }
}

impl<K: Key, V: Value> KeyOperation<K, V> for IsNewestOp<K> {
    const WRITES: bool = false;

    fn step_at<'g>(&mut self, kernel: &'g Kernel<K, V>, slot: Slot<'g>, guard: &'g Guard<'_>) -> Step<bool> {
        match self.above.look(kernel, &self.key, &slot, guard) {
            Look::Old => Step::Done(false),
            Look::Newest => Step::Done(true),
            Look::Disk => self.above.request(kernel).map_or(Step::Retry(Retry::Conflict), Step::Wait),
        }
    }
}

impl<K: Key, V: Value> Descent<K, V> for IsNewestOp<K> {
    fn wanted(&self) -> Option<Fetch> {
        self.above.wanted()
    }

    fn take_in(&mut self, kernel: &Kernel<K, V>, fetched: Fetched<K, V>) -> Option<bool> {
        self.above.take_in(kernel, &self.key, fetched).then_some(false)
    }
}
