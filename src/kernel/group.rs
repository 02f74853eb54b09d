//! Several writes that take place together.
//!
//! Their records lie side by side in the log, in one space that was given out at once, and are made and published under one
//! pin: a checkpoint has all or none, since they are of one version. In a store whose changes are all in its log a mark goes
//! in front that says how far the group reaches, and what is recovered of the log never ends within it.
//!
//! Nothing can go wrong between the first record that is published and the last: the caller holds the stripes of all keys,
//! so nobody else appends to their chains (S2), and what else happens to an entry, such as a copy in a read cache that
//! comes or goes, does not put a record of the log in front.

use super::find::{Region, Trace};
use super::{Kernel, stamp};
use crate::address::Address;
use crate::allocator::Allocation;
use crate::device::IoDone;
use crate::epoch::Guard;
use crate::error::Result;
use crate::operation::{Operation, Retry, Step};
use crate::record::{Draft, Key, Mark, Origin, RecordInfo, Value};
use crate::sync::{Backoff, Ordering};
use crate::utility::KeyHash;

/// A value for a key, or the end of the key.
pub(crate) struct Write<K, V> {
    pub(crate) key: K,
    pub(crate) value: Option<V>,
}

impl<K: Key, V: Value> Write<K, V> {
    fn draft(&self) -> Draft<'_, K, V> {
        Draft { key: &self.key, value: self.value.as_ref() }
    }

    /// Bytes of its record, without an origin.
    fn size(&self) -> usize {
        self.draft().sizes::<K, V>().record_size()
    }
}

/// Makes all writes, of different keys whose stripes the caller holds exclusively, or none.
pub(crate) struct GroupOp<'w, K, V> {
    writes: &'w [Write<K, V>],
}

impl<'w, K: Key, V: Value> GroupOp<'w, K, V> {
    pub(crate) const fn new(writes: &'w [Write<K, V>]) -> Self {
        Self { writes }
    }

    /// Bytes of the log that the records of these writes take at most. None of them is larger than a page.
    pub(crate) fn bytes(writes: &[Write<K, V>]) -> usize {
        writes.iter().fold(Mark::SIZE, |sum, write| sum.saturating_add(write.size() + Origin::SIZE))
    }

    /// Bytes of the log that those take of which a record has to be made.
    fn size(&self, needed: &[bool], is_signed: bool) -> usize {
        let (mark, origin) = if is_signed { (Mark::SIZE, Origin::SIZE) } else { (0, 0) };
        let needed = self.writes.iter().zip(needed).filter(|(_, needed)| **needed);
        mark + needed.map(|(write, _)| write.size() + origin).sum::<usize>()
    }

    /// Whether a record has to be made; `None` if it cannot be made at this moment, which is over for this key.
    fn is_needed(&self, kernel: &Kernel<K, V>, write: &Write<K, V>, guard: &Guard<'_>) -> Option<bool> {
        let floor = match write.value {
            Some(_) => Address::from_word(kernel.log.mutable_from().get() - 1),
            None => Address::INVALID,
        };
        let slot = kernel.index.find(KeyHash::of_bytes(write.key.as_bytes()), guard);
        match kernel.trace(&write.key, &slot, floor, guard) {
            Trace::Record(found) if kernel.region(&found, kernel.moment(guard)) == Region::Newer => None,
            Trace::Record(found) => Some(write.value.is_some() || !found.info.is_tombstone()),
            Trace::End => Some(write.value.is_some()),
            Trace::Disk(_) | Trace::Floor => Some(true),
        }
    }

    /// Makes the records at `at`, where there is room for them, and publishes them.
    fn write_at(&self, kernel: &Kernel<K, V>, needed: &[bool], at: Address, guard: &Guard<'_>) {
        let origin = guard.slip().origin();
        let version = stamp(kernel.moment(guard).version);
        let mut next = at;
        if origin != 0 {
            let bytes = self.size(needed, true) as u64;
            Mark::of_group(bytes).write(kernel.log.words(at, Mark::SIZE, guard), version);
            next = Address::from_word(at.get() + Mark::SIZE as u64);
        }
        let (begin, mut last) = (next, next);
        let needed = || self.writes.iter().zip(needed).filter_map(|(write, needed)| needed.then_some(write));
        let behind = |at: Address, write: &Write<K, V>| {
            let size = write.size() + if origin == 0 { 0 } else { Origin::SIZE };
            Address::from_word(at.get() + size as u64)
        };
        // All of them are whole before the first can be seen: what walks the log goes from one to the next.
        for write in needed() {
            let mut info = RecordInfo::new(Address::INVALID, version);
            if origin != 0 {
                info = info.with_origin();
                let place = Address::from_word(next.get() + write.size() as u64);
                if let Some(word) = kernel.log.words(place, Origin::SIZE, guard).first() {
                    word.store(origin, Ordering::Relaxed);
                }
            }
            kernel.log.space(next, write.size(), guard).write::<K, V>(info, write.draft());
            next = behind(next, write);
        }
        next = begin;
        for write in needed() {
            self.publish(kernel, write, next, guard);
            last = next;
            next = behind(next, write);
        }
        if origin != 0 {
            guard.slip().note_change(last.get(), Origin::from_word(origin).next().word());
        }
    }

    fn publish(&self, kernel: &Kernel<K, V>, write: &Write<K, V>, at: Address, guard: &Guard<'_>) {
        let record = kernel.log.space(at, write.size(), guard);
        let hash = KeyHash::of_bytes(write.key.as_bytes());
        let mut backoff = Backoff::new();
        loop {
            let slot = kernel.index.find(hash, guard);
            record.put_in_front_of(kernel.newest(&slot, guard));
            match kernel.index.try_update(slot, at) {
                Ok(()) => return,
                Err(_) => backoff.wait(),
            }
        }
    }
}

impl<K: Key, V: Value> Operation<Kernel<K, V>> for GroupOp<'_, K, V> {
    type Output = ();

    fn step(&mut self, kernel: &Kernel<K, V>, guard: &Guard<'_>) -> Step<()> {
        let needed: Option<Vec<bool>> = self.writes.iter().map(|write| self.is_needed(kernel, write, guard)).collect();
        let Some(needed) = needed else { return Step::Retry(Retry::Conflict) };
        if !needed.contains(&true) {
            return Step::Done(());
        }
        match kernel.introduce(guard) {
            Ok(Ok(())) => {}
            Ok(Err(retry)) => return Step::Retry(retry),
            Err(error) => return Step::Failed(error),
        }
        match kernel.log.allocate(self.size(&needed, guard.slip().origin() != 0), guard) {
            Ok(Allocation::At(at)) => {
                self.write_at(kernel, &needed, at, guard);
                Step::Done(())
            }
            Ok(Allocation::NoRoom) => Step::Retry(Retry::Room),
            Err(error) => Step::Failed(error),
        }
    }

    fn resume(&mut self, _: &Kernel<K, V>, _: IoDone) -> Result<()> {
        Ok(()) // it asks the device for nothing
    }
}
