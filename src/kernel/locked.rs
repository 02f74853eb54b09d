//! Steps of operations where keys may be locked. Invariants of [`crate::locks`].

use super::{Kernel, KeyOperation};
use crate::epoch::Guard;
use crate::locks::{LockMode, LockTable, Stripe};
use crate::operation::{Retry, Step};
use crate::record::{Key, Value};
use crate::utility::KeyHash;

impl<K: Key, V: Value> Kernel<K, V> {
    /// The locks of keys, if a key was ever locked.
    #[inline]
    pub(crate) fn locks(&self) -> Option<&LockTable> {
        self.locks.get()
    }

    /// As many stripes as there may be (S2), up to `wanted`.
    pub(crate) fn stripes(&self, wanted: usize) -> usize {
        wanted.min(usize::try_from(self.index.buckets_min()).unwrap_or(wanted))
    }

    /// Makes the table of locks, unless there is one.
    pub(crate) fn locks_or_new(&self, stripes: usize) -> &LockTable {
        self.locks.get_or_init(|| LockTable::new(stripes))
    }
}

/// Steps an operation from the entry of its key, and heeds locks if keys are ever locked.
#[inline(always)]
pub(super) fn step_of_key<K: Key, V: Value, O: KeyOperation<K, V>>(
    operation: &mut O,
    kernel: &Kernel<K, V>,
    hash: KeyHash,
    guard: &Guard<'_>,
) -> Step<O::Output> {
    if guard.heeds_locks() {
        step_heeding(operation, kernel, hash, guard)
    } else {
        step(operation, kernel, hash, guard)
    }
}

#[inline(always)]
fn step<K: Key, V: Value, O: KeyOperation<K, V>>(
    operation: &mut O,
    kernel: &Kernel<K, V>,
    hash: KeyHash,
    guard: &Guard<'_>,
) -> Step<O::Output> {
    operation.step_at(kernel, kernel.index.find(hash, guard), guard)
}

#[inline(never)]
fn step_heeding<K: Key, V: Value, O: KeyOperation<K, V>>(
    operation: &mut O,
    kernel: &Kernel<K, V>,
    hash: KeyHash,
    guard: &Guard<'_>,
) -> Step<O::Output> {
    let Some(locks) = kernel.locks() else { return step(operation, kernel, hash, guard) };
    let stripe = locks.stripe(hash);
    let own = guard.slip().own_lock().filter(|(own, is_shared)| *own == stripe.0 && !(*is_shared && O::APPENDS));
    if own.is_some() {
        return step(operation, kernel, hash, guard);
    }
    if O::APPENDS {
        let Some(_lock) = Exclusive::take(locks, stripe) else { return Step::Retry(Retry::Locked(stripe)) };
        return step(operation, kernel, hash, guard);
    }
    let Some(seen) = locks.seen(stripe) else { return Step::Retry(Retry::Locked(stripe)) };
    let outcome = step(operation, kernel, hash, guard);
    // It only looked, so that it can look again.
    if locks.is_still(stripe, seen) { outcome } else { Step::Retry(Retry::Conflict) }
}

/// The lock of one step; ended when dropped, also when a closure of the caller panics.
struct Exclusive<'l>(&'l LockTable, Stripe);

impl<'l> Exclusive<'l> {
    fn take(locks: &'l LockTable, stripe: Stripe) -> Option<Self> {
        // Not `then_some`: a lock that was not taken is not to be ended.
        locks.try_lock(stripe, LockMode::Exclusive).then(|| Self(locks, stripe))
    }
}

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        self.0.unlock(self.1, LockMode::Exclusive);
    }
}
