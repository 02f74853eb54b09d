//! A new record at the tail, published as the newest of its chain.

use super::{Kernel, stamp};
use crate::address::Address;
use crate::allocator::Allocation;
use crate::checkpoint::state::Moment;
use crate::epoch::Guard;
use crate::error::{Error, ErrorKind, Result};
use crate::index::Slot;
use crate::operation::Retry;
use crate::record::{Content, Key, Mark, Origin, RecordInfo, RecordLayout, RecordRef, Value};
use crate::sync::Ordering;

/// What is done to a record just before it is published, and just after, under the same pin.
pub(super) trait Around {
    fn before(&self, _: RecordRef<'_>) {}

    /// False if the record has come to nothing, and stands in the chain as one that does not count.
    fn after(&self, _: RecordRef<'_>) -> bool {
        true
    }
}

/// Nothing.
impl Around for () {}

impl<K: Key, V: Value> Kernel<K, V> {
    /// Appends the record of `draft` in front of the chain of `slot`, with the moment's version. Gives a reason to retry if there is
    /// no room, or if the entry is no longer what `slot` saw (K1).
    ///
    /// # Errors
    /// What [`HybridLog::allocate`](crate::allocator::HybridLog::allocate) gives, and as for [`check_size`](Self::check_size).
    #[inline(always)]
    pub(crate) fn append(
        &self,
        slot: Slot<'_>,
        draft: impl Content<K, V>,
        moment: Moment,
        guard: &Guard<'_>,
    ) -> Result<Result<(), Retry>> {
        self.append_around(slot, draft, moment, guard, ())
    }

    /// The same, with more done to the record.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    #[inline(always)]
    pub(super) fn append_around(
        &self,
        slot: Slot<'_>,
        draft: impl Content<K, V>,
        moment: Moment,
        guard: &Guard<'_>,
        around: impl Around,
    ) -> Result<Result<(), Retry>> {
        let size = self.size_of(draft)?;
        if self.index.is_blocked(&slot) {
            return Ok(Err(Retry::Conflict)); // not to use up the log while others are waited for
        }
        if guard.slip().origin() != 0 {
            return self.append_with_origin(slot, draft, moment, guard, around);
        }
        if self.log.has_spares() {
            return self.append_reviving(slot, (draft, size), moment, guard, around);
        }
        let allocation = self.log.allocate(size, guard)?;
        Ok(self.fill(allocation, slot, draft, moment, guard, around))
    }

    /// The same for what compaction moves, which makes room for others.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub(super) fn append_moved(
        &self,
        slot: Slot<'_>,
        draft: impl Content<K, V>,
        moment: Moment,
        guard: &Guard<'_>,
    ) -> Result<Result<(), Retry>> {
        if self.index.is_blocked(&slot) {
            return Ok(Err(Retry::Conflict));
        }
        let allocation = self.log.allocate_urgent(draft.sizes().record_size(), guard)?;
        Ok(self.fill(allocation, slot, draft, moment, guard, ()))
    }

    /// Bytes of the record of `draft`, without its origin.
    #[inline(always)]
    fn size_of(&self, draft: impl Content<K, V>) -> Result<usize> {
        if let Some(size) = const { RecordLayout::of::<K, V>().record_size() } {
            return Ok(size);
        }
        self.check_size(draft.key_len(), draft.value_len())?;
        let size = draft.sizes().record_size();
        self.typical_size.note(size);
        Ok(size)
    }

    /// That a record with a key and a value of so many bytes has its place on a page.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if it has not.
    pub(crate) fn check_size(&self, key: usize, value: usize) -> Result<()> {
        let largest = self.log.record_size_max() - Origin::SIZE;
        // What is larger than a page by itself is not even added up.
        let size = match key.max(value) <= largest {
            true => Self::LAYOUT.sizes(key, value).record_size(),
            false => key.max(value),
        };
        if size <= largest {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Limit, "a record does not fit on a page of the log")
            .with("bytes of the key", key)
            .with("bytes of the value", value)
            .with("largest record", largest)
            .help("write a large value by Session::upsert_from; or raise page_size_bits, or the memory budget from which it is derived, of a new store"))
    }

    #[inline(never)]
    fn fill(
        &self,
        allocation: Allocation,
        slot: Slot<'_>,
        draft: impl Content<K, V>,
        moment: Moment,
        guard: &Guard<'_>,
        around: impl Around,
    ) -> Result<(), Retry> {
        let Allocation::At(address) = allocation else { return Err(Retry::Room) };
        let record = self.log.space(address, draft.sizes().record_size(), guard);
        draft.write(record, draft.sizes(), RecordInfo::new(self.newest(&slot, guard), stamp(moment.version)));
        around.before(record);
        self.index.try_update(slot, address).map_err(|_| {
            record.invalidate(); // K5
            Retry::Conflict
        })?;
        if around.after(record) { Ok(()) } else { Err(Retry::Conflict) }
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

    /// Sets the word at `at` that says whose change the record before it is.
    #[inline(always)]
    fn sign(&self, at: Address, origin: Origin, guard: &Guard<'_>) {
        if let Some(word) = self.log.words(at, Origin::SIZE, guard).first() {
            word.store(origin.word(), Ordering::Relaxed);
        }
    }

    /// The same for a store whose changes are all in its log: the record says whose change it is. A session that the log does
    /// not know is introduced first.
    #[inline(never)]
    fn append_with_origin(
        &self,
        slot: Slot<'_>,
        draft: impl Content<K, V>,
        moment: Moment,
        guard: &Guard<'_>,
        around: impl Around,
    ) -> Result<Result<(), Retry>> {
        let (size, version, origin) =
            (draft.sizes().record_size(), stamp(moment.version), Origin::from_word(guard.slip().origin()));
        if let Err(retry) = self.introduce(guard)? {
            return Ok(Err(retry));
        }
        let Allocation::At(address) = self.log.allocate(size + Origin::SIZE, guard)? else {
            return Ok(Err(Retry::Room));
        };
        let last = Address::from_word(address.get() + size as u64);
        self.sign(last, origin, guard);
        let record = self.log.space(address, size, guard);
        let info = RecordInfo::new(self.newest(&slot, guard), version).with_origin();
        draft.write(record, draft.sizes(), info);
        around.before(record);
        Ok(match self.index.try_update(slot, address) {
            Ok(()) if !around.after(record) => {
                // Nobody's change, then: the number is for the record that is made in its stead.
                self.sign(last, origin.before(), guard);
                Err(Retry::Conflict)
            }
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
