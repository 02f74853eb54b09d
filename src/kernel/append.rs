//! A new record at the tail, published as the newest of its chain.

use super::{Kernel, stamp};
use crate::address::Address;
use crate::allocator::Allocation;
use crate::checkpoint::state::Moment;
use crate::epoch::Guard;
use crate::error::Result;
use crate::index::Slot;
use crate::operation::Retry;
use crate::record::{Key, Mark, Origin, RecordInfo, Value};
use crate::sync::Ordering;

impl<K: Key, V: Value> Kernel<K, V> {
    /// Appends a record of `key` with `value`, or a tombstone without one, in front of the chain of `slot`, with the moment's
    /// version. Gives a reason
    /// to retry if there is no room, or if the entry is no longer what `slot` saw (K1).
    ///
    /// # Errors
    /// What [`HybridLog::allocate`](crate::allocator::HybridLog::allocate) gives.
    pub(crate) fn append(
        &self,
        slot: Slot<'_>,
        key: &K,
        value: Option<&V>,
        moment: Moment,
        guard: &Guard<'_>,
    ) -> Result<Result<(), Retry>> {
        if guard.slip().origin() != 0 {
            return self.append_with_origin(slot, key, value, moment, guard);
        }
        let allocation = self.log.allocate(Self::LAYOUT.record_size(), guard)?;
        Ok(self.fill(allocation, slot, key, value, moment, guard))
    }

    /// The same for what compaction moves, which makes room for others.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub(super) fn append_moved(
        &self,
        slot: Slot<'_>,
        key: &K,
        value: Option<&V>,
        moment: Moment,
        guard: &Guard<'_>,
    ) -> Result<Result<(), Retry>> {
        let allocation = self.log.allocate_urgent(Self::LAYOUT.record_size(), guard)?;
        Ok(self.fill(allocation, slot, key, value, moment, guard))
    }

    #[inline]
    fn fill(
        &self,
        allocation: Allocation,
        slot: Slot<'_>,
        key: &K,
        value: Option<&V>,
        moment: Moment,
        guard: &Guard<'_>,
    ) -> Result<(), Retry> {
        let Allocation::At(address) = allocation else { return Err(Retry::Room) };
        let size = Self::LAYOUT.record_size();
        let record = self.log.record(address, size, guard);
        let info = RecordInfo::new(self.newest(&slot, guard), stamp(moment.version));
        record.write(if value.is_some() { info } else { info.with_tombstone() }, key, value);
        self.index.try_update(slot, address).map_err(|_| {
            record.invalidate(); // K5
            Retry::Conflict
        })
    }

    /// Tells the log the name of the session whose change comes next, if it does not know it yet.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub(super) fn introduce(&self, guard: &Guard<'_>) -> Result<Result<(), Retry>> {
        let slip = guard.slip();
        if let Some((guid, serial)) = slip.stranger() {
            let Allocation::At(address) = self.log.allocate(Mark::SIZE, guard)? else {
                return Ok(Err(Retry::Room));
            };
            let mark = Mark { guid, session: Origin::from_word(slip.origin()).session(), serial };
            mark.write(self.log.words(address, Mark::SIZE, guard), stamp(self.moment(guard).version));
            slip.note_introduced();
        }
        Ok(Ok(()))
    }

    /// The same for a store whose changes are all in its log: the record says whose change it is. A session that the log does
    /// not know is introduced first.
    #[inline(never)]
    fn append_with_origin(
        &self,
        slot: Slot<'_>,
        key: &K,
        value: Option<&V>,
        moment: Moment,
        guard: &Guard<'_>,
    ) -> Result<Result<(), Retry>> {
        let (size, version, origin) =
            (Self::LAYOUT.record_size(), stamp(moment.version), Origin::from_word(guard.slip().origin()));
        if let Err(retry) = self.introduce(guard)? {
            return Ok(Err(retry));
        }
        let Allocation::At(address) = self.log.allocate(size + Origin::SIZE, guard)? else {
            return Ok(Err(Retry::Room));
        };
        let last = Address::from_word(address.get() + size as u64);
        if let Some(word) = self.log.words(last, Origin::SIZE, guard).first() {
            word.store(origin.word(), Ordering::Relaxed);
        }
        let record = self.log.record(address, size, guard);
        let info = RecordInfo::new(self.newest(&slot, guard), version).with_origin();
        record.write(if value.is_some() { info } else { info.with_tombstone() }, key, value);
        Ok(match self.index.try_update(slot, address) {
            Ok(()) => {
                guard.slip().note_change(address.get(), origin.next().word());
                Ok(())
            }
            Err(_) => {
                record.invalidate(); // K5
                Err(Retry::Conflict)
            }
        })
    }
}
