//! Read-modify-write, and everything that is one: conditional insert is the same walk with other logic.

use super::below::Below;
use super::find::{Found, Region, Trace};
use super::locked::step_of_key;
use super::logic::Logic;
use super::{Kernel, KeyOperation};
use crate::address::Address;
use crate::device::IoDone;
use crate::epoch::Guard;
use crate::error::Result;
use crate::index::Slot;
use crate::operation::{Operation, Retry, Step};
use crate::record::{Draft, Expiry, Held, Key, Modified, RecordLayout, RecordRef, Revived, Seen, Value, Verdict};
use crate::status::OperationStatus;
use crate::sync::{Arc, AtomicBool, Ordering};
use crate::utility::KeyHash;
use std::cell::Cell;

/// Replaces a key's value by what `logic` makes of it, as one step.
pub(crate) struct RmwOp<K, V, L> {
    key: K,
    logic: L,
    below: Below<V>,
    /// A record that is closed, and whether everybody has left who may not know.
    closed: Option<(Address, Arc<AtomicBool>)>,
}

impl<K: Key, V: Value, L: Logic<V>> RmwOp<K, V, L> {
    #[inline]
    pub(crate) const fn new(key: K, logic: L) -> Self {
        Self { key, logic, below: Below::Unknown, closed: None }
    }

    /// The same operation, as far as it has come, with its logic in another form.
    pub(crate) fn map_logic<M>(self, map: impl FnOnce(L) -> M) -> RmwOp<K, V, M> {
        RmwOp { key: self.key, logic: map(self.logic), below: self.below, closed: self.closed }
    }

    /// The logic, with what it has learned.
    pub(super) fn logic_mut(&mut self) -> &mut L {
        &mut self.logic
    }

    /// The key has a record in memory.
    #[inline]
    fn on_record(
        &mut self,
        kernel: &Kernel<K, V>,
        slot: Slot<'_>,
        found: Found<'_>,
        guard: &Guard<'_>,
    ) -> Step<OperationStatus> {
        match kernel.region(&found, kernel.moment(guard)) {
            Region::Newer => Step::Retry(Retry::Conflict),
            region if kernel.may_be_revived(found.info) => self.on_tombstone(kernel, slot, found, region, guard),
            _ if found.info.is_tombstone() => self.append(kernel, slot, None, guard), // R4: for good, whatever the region
            Region::Mutable if found.info.is_closed() => self.on_closed(kernel, slot, found, guard),
            Region::Mutable if const { V::EXPIRES } => self.in_place(kernel, slot, found, guard),
            Region::Mutable => {
                let mut update = |value: &mut V| self.logic.update(value);
                match found.record.modify_value::<K, V>(&mut update, &|_| true) {
                    Ok(Modified::InPlace) => Step::Done(OperationStatus::InPlace),
                    Ok(Modified::Unchanged) => Step::Done(OperationStatus::Unchanged),
                    Ok(Modified::Outgrown(value, seen)) => {
                        self.outgrow(kernel, slot, found.record, (&value, seen, Expiry::NEVER), guard)
                    }
                    Ok(Modified::Doomed(seen)) => self.doom(kernel, slot, found, seen, guard),
                    Ok(Modified::Sealed) => self.copy(kernel, slot, found.record, guard),
                    Err(error) => Step::Failed(error),
                }
            }
            Region::Fuzzy => Step::Retry(Retry::Fuzzy), // K2
            Region::Immutable => self.copy(kernel, slot, found.record, guard),
        }
    }

    /// Changes a value that may end where it lies, if it can be. One that has ended is none: another begins in its place, unless it was
    /// deleted before, which made its record one that nothing begins in (R4).
    fn in_place(
        &mut self,
        kernel: &Kernel<K, V>,
        slot: Slot<'_>,
        found: Found<'_>,
        guard: &Guard<'_>,
    ) -> Step<OperationStatus> {
        let (now, logic) = (Cell::new(kernel.now()), &mut self.logic);
        let (until, record, was_deleted) = (Cell::new(Expiry::NEVER), found.record, Cell::new(false));
        let modified = record.modify_value::<K, V>(
            &mut |value: &mut V| {
                until.set(value.expiry());
                match until.get().is_over(now.get()) {
                    false => logic.update(value),
                    true if record.info().is_tombstone() => {
                        was_deleted.set(true);
                        Verdict::Keep
                    }
                    true => begin_anew(logic, value),
                }
            },
            &|until| {
                // It was over before, and a new one begins; or it is not over; or it is by now.
                if until.is_over(now.get()) {
                    return !record.info().is_tombstone();
                }
                let may_last = kernel.may_last(until);
                if !may_last {
                    now.set(kernel.now());
                }
                may_last
            },
        );
        let now = now.get();
        let was_over = until.get().is_over(now);
        match modified {
            Ok(_) if was_deleted.get() => Step::Retry(Retry::Conflict),
            Ok(Modified::InPlace) if was_over => Step::Done(OperationStatus::Created),
            Ok(Modified::InPlace) => Step::Done(OperationStatus::InPlace),
            Ok(Modified::Unchanged) if was_over && !kernel.is_over(&slot, record, now, guard) => {
                Step::Retry(Retry::Conflict) // E1
            }
            Ok(Modified::Unchanged) => Step::Done(OperationStatus::Unchanged),
            Ok(Modified::Outgrown(value, seen)) => {
                // What begins anew lasts as long as it likes.
                let until = if was_over { Expiry::NEVER } else { until.get() };
                self.outgrow(kernel, slot, record, (&value, seen, until), guard)
            }
            Ok(Modified::Doomed(seen)) => self.doom(kernel, slot, found, seen, guard),
            Ok(Modified::Sealed) => self.copy(kernel, slot, record, guard),
            Err(error) => Step::Failed(error),
        }
    }

    /// The key was deleted by a tombstone that may become its record again (V4 of `revive`).
    #[cold]
    fn on_tombstone(
        &mut self,
        kernel: &Kernel<K, V>,
        slot: Slot<'_>,
        found: Found<'_>,
        region: Region,
        guard: &Guard<'_>,
    ) -> Step<OperationStatus> {
        match region {
            Region::Mutable => {}
            Region::Immutable => return self.copy(kernel, slot, found.record, guard),
            Region::Fuzzy => return Step::Retry(Retry::Fuzzy), // K2
            Region::Newer => return Step::Retry(Retry::Conflict),
        }
        let Some(value) = self.logic.create() else { return Step::Done(OperationStatus::Unchanged) };
        match found.record.revive::<K, V>(&value, true) {
            Revived::Now => {
                kernel.log.count_revived_in_place();
                return Step::Done(OperationStatus::Created);
            }
            Revived::IsThere => return Step::Retry(Retry::Conflict),
            Revived::NoRoom => found.record.seal::<K, V>(),
            Revived::Sealed => {}
        }
        if !found.record.info().is_tombstone() {
            return Step::Retry(Retry::Conflict);
        }
        self.publish(kernel, slot, Some(&value), OperationStatus::Created, guard)
    }

    /// Appends what the logic makes of a record that nobody changes any more.
    fn copy(
        &mut self,
        kernel: &Kernel<K, V>,
        slot: Slot<'_>,
        record: RecordRef<'_>,
        guard: &Guard<'_>,
    ) -> Step<OperationStatus> {
        // A header that was read above may be from before a deletion in place that has ended since. Only now is it certain
        // that nobody changes the record any more, so it is looked at once more.
        let lives = !record.info().is_tombstone();
        match lives.then(|| record.value::<K, V>()).transpose() {
            Ok(old) => self.append(kernel, slot, old, guard),
            Err(error) => Step::Failed(error),
        }
    }

    /// The record is to be deleted because of the value it has: which must be its last one then.
    #[cold]
    fn doom(
        &mut self,
        kernel: &Kernel<K, V>,
        slot: Slot<'_>,
        found: Found<'_>,
        seen: Seen,
        guard: &Guard<'_>,
    ) -> Step<OperationStatus> {
        if const { !RecordLayout::of::<K, V>().is_latched() } {
            found.record.close(); // R8
            return self.on_closed(kernel, slot, found, guard);
        }
        if !found.record.try_seal::<K, V>(seen) || found.record.info().is_tombstone() {
            return Step::Retry(Retry::Conflict);
        }
        self.publish(kernel, slot, None, OperationStatus::Deleted, guard)
    }

    /// The record is closed: once nobody can still be changing it, it is copied like one that is immutable.
    #[cold]
    fn on_closed(
        &mut self,
        kernel: &Kernel<K, V>,
        slot: Slot<'_>,
        found: Found<'_>,
        guard: &Guard<'_>,
    ) -> Step<OperationStatus> {
        if const { RecordLayout::of::<K, V>().is_latched() } {
            return self.copy(kernel, slot, found.record, guard); // the root of a large value, as it ever was
        }
        match &self.closed {
            Some((address, have_left)) if *address == found.address => {
                if have_left.load(Ordering::Acquire) {
                    return self.copy(kernel, slot, found.record, guard);
                }
            }
            _ => self.closed = Some((found.address, kernel.log.when_pins_end())),
        }
        Step::Retry(Retry::Fuzzy)
    }

    /// Appends a value that has no place in the record from whose value it was made, as that was seen: one that ended at `until`.
    #[cold]
    fn outgrow(
        &mut self,
        kernel: &Kernel<K, V>,
        slot: Slot<'_>,
        record: RecordRef<'_>,
        (value, seen, until): (&V, Seen, Expiry),
        guard: &Guard<'_>,
    ) -> Step<OperationStatus> {
        if let Err(error) = kernel.check_size(self.key.as_bytes().len(), value.as_bytes().len()) {
            return Step::Failed(error);
        }
        if !record.try_seal::<K, V>(seen) || record.info().is_tombstone() {
            return Step::Retry(Retry::Conflict);
        }
        // If it cannot be published, whoever comes next finds the record sealed, and copies it.
        if const { V::EXPIRES } {
            return self.publish_until(kernel, slot, value, OperationStatus::Copied, until, guard);
        }
        self.publish(kernel, slot, Some(value), OperationStatus::Copied, guard)
    }

    /// Appends what the logic makes of `old`.
    fn append(
        &mut self,
        kernel: &Kernel<K, V>,
        slot: Slot<'_>,
        old: Option<V>,
        guard: &Guard<'_>,
    ) -> Step<OperationStatus> {
        if const { V::EXPIRES } {
            return self.append_unless_over(kernel, slot, old, guard);
        }
        let (new, status) = match old {
            Some(mut value) => match self.logic.update(&mut value) {
                Verdict::Keep => return Step::Done(OperationStatus::Unchanged),
                Verdict::Set => (Some(value), OperationStatus::Copied),
                Verdict::Delete => (None, OperationStatus::Deleted),
            },
            None => match self.logic.create() {
                None => return Step::Done(OperationStatus::Unchanged),
                value => (value, OperationStatus::Created),
            },
        };
        self.publish(kernel, slot, new.as_ref(), status, guard)
    }

    /// The same for values that may end: one that has ended is none.
    fn append_unless_over(
        &mut self,
        kernel: &Kernel<K, V>,
        slot: Slot<'_>,
        old: Option<V>,
        guard: &Guard<'_>,
    ) -> Step<OperationStatus> {
        let until = old.as_ref().map_or(Expiry::NEVER, V::expiry);
        let was_over = until.is_over(kernel.now());
        if let Some(mut value) = old.filter(|_| !was_over) {
            return match self.logic.update(&mut value) {
                Verdict::Keep => Step::Done(OperationStatus::Unchanged),
                Verdict::Set => self.publish_until(kernel, slot, &value, OperationStatus::Copied, until, guard),
                Verdict::Delete => self.publish(kernel, slot, None, OperationStatus::Deleted, guard),
            };
        }
        match self.logic.create() {
            None if was_over && !kernel.index.begins_at(&slot, guard) => Step::Retry(Retry::Conflict), // E1
            None => Step::Done(OperationStatus::Unchanged),
            // E1: the exchange fails if there is a newer one.
            value => self.publish(kernel, slot, value.as_ref(), OperationStatus::Created, guard),
        }
    }

    /// Appends a record of this value, made out of one that ends at `until` (E2).
    fn publish_until(
        &self,
        kernel: &Kernel<K, V>,
        slot: Slot<'_>,
        value: &V,
        status: OperationStatus,
        until: Expiry,
        guard: &Guard<'_>,
    ) -> Step<OperationStatus> {
        if value.expiry() <= until {
            return self.publish(kernel, slot, Some(value), status, guard);
        }
        match kernel.append_lasting(slot, Draft::new(&self.key, value), until, kernel.moment(guard), guard) {
            Ok(Ok(())) => Step::Done(status),
            Ok(Err(retry)) => Step::Retry(retry),
            Err(error) => Step::Failed(error),
        }
    }

    /// Appends a record of this value, or a tombstone.
    fn publish(
        &self,
        kernel: &Kernel<K, V>,
        slot: Slot<'_>,
        value: Option<&V>,
        status: OperationStatus,
        guard: &Guard<'_>,
    ) -> Step<OperationStatus> {
        match kernel.append(slot, Draft { key: &self.key, value }, kernel.moment(guard), guard) {
            Ok(Ok(())) => Step::Done(status),
            Ok(Err(retry)) => Step::Retry(retry),
            Err(error) => Step::Failed(error),
        }
    }
}

/// The value of a key whose value has ended.
fn begin_anew<V: Value>(logic: &mut impl Logic<V>, value: &mut V) -> Verdict {
    match logic.create() {
        Some(new) => {
            *value = new;
            Verdict::Set
        }
        None => Verdict::Keep,
    }
}

impl<K: Key, V: Value, L: Logic<V>> Operation<Kernel<K, V>> for RmwOp<K, V, L> {
    type Output = OperationStatus;

    #[inline]
    fn step(&mut self, kernel: &Kernel<K, V>, guard: &Guard<'_>) -> Step<OperationStatus> {
        if let Some(request) = self.below.request(kernel) {
            return Step::Wait(request);
        }
        let hash = KeyHash::of_bytes(self.key.as_bytes());
        step_of_key(self, kernel, hash, guard)
    }

    fn resume(&mut self, kernel: &Kernel<K, V>, done: IoDone) -> Result<()> {
        self.below.resume(kernel, &self.key, done)
    }
}

impl<K: Key, V: Value, L: Logic<V>> KeyOperation<K, V> for RmwOp<K, V, L> {
    const WRITES: bool = true;

    #[inline]
    fn step_at<'g>(&mut self, kernel: &'g Kernel<K, V>, slot: Slot<'g>, guard: &'g Guard<'_>) -> Step<OperationStatus> {
        match kernel.trace(&self.key, &slot, self.below.floor(), guard) {
            Trace::Record(found) => self.on_record(kernel, slot, found, guard),
            Trace::End => self.append(kernel, slot, None, guard),
            Trace::Floor => {
                let known = match &self.below {
                    Below::Known { value, .. } => value.as_ref().map(Held::value), // K4
                    Below::Unknown | Below::Walking { .. } => None,
                };
                match known.transpose().map(Option::<&V>::cloned) {
                    Ok(old) => self.append(kernel, slot, old, guard),
                    Err(error) => Step::Failed(error),
                }
            }
            Trace::Disk(address) => {
                if let Some(copy) = kernel.cached(&self.key, &slot, guard) {
                    return match copy.record.value::<K, V>() {
                        Ok(old) => self.append(kernel, slot, Some(old), guard),
                        Err(error) => Step::Failed(error),
                    };
                }
                // Also when something was known: the chain has grown since, and what was added is on the device by now.
                self.below.walk(kernel, kernel.newest(&slot, guard), address);
                self.below.request(kernel).map_or(Step::Retry(Retry::Conflict), Step::Wait)
            }
        }
    }
}
