//! A tombstone that becomes a record of its key again, where it lies. Invariant R4 of [`crate::record`].

use super::info::TOMBSTONE;
use super::{Key, RecordRef, Value, ValueBytes};
use crate::memory::store_bytes;
use crate::sync::{Backoff, Ordering, Visible, after_exchange};
use std::cell::Cell;

/// What became of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revived {
    /// The key has the value.
    Now,
    /// It has one already, and keeps it.
    IsThere,
    /// The record is not changed any more.
    Sealed,
    /// The value has no place there.
    NoRoom,
}

impl RecordRef<'_> {
    /// Gives the key of a tombstone, whose values are latched, a value in its place: under the latch, so that who changes the value
    /// because he found the record alive before comes before the new value, or after all of it. If `only_deleted`, another one who
    /// was faster is left alone.
    pub(crate) fn revive<K: Key, V: Value>(self, value: &(impl ValueBytes + ?Sized), only_deleted: bool) -> Revived {
        let sizes = self.sizes::<K, V>();
        let (words, bytes, latch) = (self.value_words::<K, V>(sizes), value.value_bytes(), self.latch(sizes));
        if bytes.len() > words.len() * 8 {
            return Revived::NoRoom;
        }
        let mut backoff = Backoff::new();
        loop {
            let seen = latch.seen();
            if seen.is_sealed() {
                return Revived::Sealed;
            }
            let outcome = Cell::new(None);
            latch.try_write_if(seen, Some(bytes.len()), Visible::Now, || {
                if only_deleted && !self.info().is_tombstone() {
                    outcome.set(Some(Revived::IsThere));
                    return false;
                }
                self.store_expiry::<V>(sizes, value);
                store_bytes(words, bytes);
                self.words[0].fetch_and(!TOMBSTONE, Ordering::AcqRel);
                after_exchange();
                outcome.set(Some(Revived::Now));
                true
            });
            if let Some(outcome) = outcome.get() {
                return outcome;
            }
            backoff.wait();
        }
    }
}
