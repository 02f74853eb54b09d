//! Values that end.
//!
//! An ended value is not there; its record stays, and hides what is older of its key as a tombstone does. So nothing has to
//! happen when a value ends, but two sessions must not disagree on whether it has: nobody may find a value that somebody was
//! told is over.
//!
//! ```text
//!  who finds it over      time t --- fence --- chain and record looked at (again): as they were
//!  who has it last        held, or published held --- fence --- time t': not over yet --- let go
//! ```
//!
//! * **E1** Who says of a value that it is over has looked at the time first, and at the record, and at where its chain begins,
//!   after. Or makes an exchange that fails if any of them is another.
//! * **E2** Who makes a value out of one that is there, and ends later, looks at the time while nobody can read the new one:
//!   under the latch, or of a new record under the latch that it is published with. If the old one is over by then, a value in
//!   place stays as it was, and a new record has ended before all time.
//!
//! Of the two fences one comes first. If it is that of E1, the other side is told at least the same time, and makes nothing last;
//! if it is that of E2, the one who looks again waits at the latch, and finds the new value. Who has a value end no later than
//! before need not look: whatever comes after its end is told so by either.

use super::Kernel;
use super::append::Around;
use crate::checkpoint::state::Moment;
use crate::epoch::Guard;
use crate::error::Result;
use crate::index::Slot;
use crate::operation::Retry;
use crate::record::{Draft, Expiry, Key, RecordRef, Value};
use crate::sync::{Ordering, fence};

impl<K: Key, V: Value> Kernel<K, V> {
    /// The time, if values may end; of no meaning otherwise.
    #[inline(always)]
    pub(crate) fn now(&self) -> u64 {
        if const { V::EXPIRES } { self.watch.now() } else { 0 }
    }

    /// E1, for a value of a record in the chain of `slot` that seemed to have ended by `now`.
    #[cold]
    pub(super) fn is_over(&self, slot: &Slot<'_>, record: RecordRef<'_>, now: u64, guard: &Guard<'_>) -> bool {
        self.index.begins_at(slot, guard) && record.value::<K, V>().is_ok_and(|value| value.expiry().is_over(now))
    }

    /// E2: whether a value may be made out of one that ends then, and go on for longer. Asked by who holds the new one.
    #[cold]
    pub(super) fn may_last(&self, until: Expiry) -> bool {
        fence(Ordering::SeqCst);
        !until.is_over(self.watch.now())
    }

    /// Appends a value that was made out of one that ends at `until`, and goes on for longer.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    #[cold]
    pub(super) fn append_lasting(
        &self,
        slot: Slot<'_>,
        draft: Draft<'_, K, V>,
        until: Expiry,
        moment: Moment,
        guard: &Guard<'_>,
    ) -> Result<Result<(), Retry>> {
        self.append_around(slot, draft, moment, guard, Lasting { kernel: self, until })
    }
}

/// A record that is published with its latch held.
struct Lasting<'k, K, V> {
    kernel: &'k Kernel<K, V>,
    until: Expiry,
}

impl<K: Key, V: Value> Around for Lasting<'_, K, V> {
    fn before(&self, record: RecordRef<'_>) {
        record.hold::<K, V>();
    }

    fn after(&self, record: RecordRef<'_>) -> bool {
        let may_last = self.kernel.may_last(self.until);
        record.release::<K, V>(may_last);
        may_last
    }
}
