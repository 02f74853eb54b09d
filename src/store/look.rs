//! Looking at a value without making one.

use super::session::Session;
use crate::error::Result;
use crate::index::Slot;
use crate::kernel::{ShowOp, Shown, View};
use crate::record::{ByRef, Key, KeyBytes, Value};
use crate::utility::KeyHash;
use std::borrow::Borrow;
use std::cell::Cell;

/// Bytes that a session keeps to copy values to.
const KEPT_MAX: usize = 1 << 16;

impl<K: Key, V: Value> Session<K, V> {
    /// Calls `look` with the bytes of the value of `key`, and returns what that returns; `None` if the key is not in the store.
    /// Makes no value: if the record is in memory, its bytes are copied to a buffer that the session keeps, and nothing is
    /// allocated. `key` is the key, or what it can be borrowed as.
    ///
    /// The bytes are nobody else's while `look` runs, whatever becomes of the key meanwhile, and cannot be kept:
    ///
    /// ```compile_fail
    /// # fn example(session: &mut oxifaster::store::Session<String, Vec<u8>>) -> oxifaster::Result<()> {
    /// let mut kept: &[u8] = &[];
    /// session.read_with("key", |bytes| kept = bytes)?;
    /// assert!(kept.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Nor can the session be used meanwhile:
    ///
    /// ```compile_fail
    /// # fn example(session: &mut oxifaster::store::Session<String, Vec<u8>>) -> oxifaster::Result<()> {
    /// session.read_with("key", |_| session.delete("key"))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// ```
    /// # fn example(session: &mut oxifaster::store::Session<String, Vec<u8>>) -> oxifaster::Result<()> {
    /// let sum = session.read_with("key", |bytes| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>())?;
    /// assert!(sum.is_none_or(|sum| sum > 0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    #[inline(always)]
    pub fn read_with<Q: KeyBytes + ?Sized, T>(&mut self, key: &Q, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>>
    where
        K: Borrow<Q>,
    {
        match self.copy_from_memory(key) {
            Some(true) => {
                let seen = look(&self.copied);
                self.trim_copied();
                Ok(Some(seen))
            }
            Some(false) => Ok(None),
            None => Ok(self.read_by_steps(key)?.map(|value| look(value.as_bytes()))),
        }
    }

    /// Copies the value of `key` if memory can answer; false if it has none.
    #[inline(always)]
    fn copy_from_memory<Q: KeyBytes + ?Sized>(&mut self, key: &Q) -> Option<bool> {
        let (guard, account) = self.driver.pin_plain()?;
        let (now, view) = (self.database.kernel.now(), self.database.kernel.view(&guard));
        let slot = view.find(KeyHash::of_bytes(key.key_bytes()));
        let is_there = view.copy::<K, V>(key, slot, now, &mut self.copied)?;
        account.counters.reads.add(1);
        Some(is_there)
    }

    /// Gives the memory of a long value back.
    #[inline(always)]
    fn trim_copied(&mut self) {
        if self.copied.capacity() > KEPT_MAX {
            self.copied = Vec::new();
        }
    }

    /// Calls `look` with the place of each of `keys` and the bytes of its value, `None` if it has none: [`read_with`](Self::read_with)
    /// for many keys, which are looked up together as in [`read_batch`](Self::read_batch). The places come in no order if keys
    /// have to be read from the device, and each of them once. Allocates nothing as long as memory can answer.
    ///
    /// `look` must not block: what other sessions do may wait for it.
    ///
    /// ```
    /// # fn example(session: &mut oxifaster::store::Session<String, Vec<u8>>) -> oxifaster::Result<()> {
    /// let (keys, mut lengths) = (["one", "two"], [0; 2]);
    /// session.read_batch_with(&keys, |at, bytes| lengths[at] = bytes.map_or(0, <[u8]>::len))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`read`](Self::read), for the first key that fails.
    pub fn read_batch_with<Q: KeyBytes + ?Sized>(
        &mut self,
        keys: &[&Q],
        mut look: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<()>
    where
        K: Borrow<Q>,
    {
        let mut copied = std::mem::take(&mut self.copied);
        // Lent to each copy, and given back by who has looked at it.
        let lent = Cell::new(Some(&mut copied));
        let now = self.database.kernel.now();
        let at_once = |view: View<'_>, at: usize, slot: Slot<'_>| {
            let bytes = lent.take()?;
            let is_there = view.copy::<K, V>(keys[at], slot, now, bytes);
            if is_there == Some(true) {
                return Some(Shown::Bytes(bytes));
            }
            lent.set(Some(bytes));
            is_there.map(|_| Shown::Value(None))
        };
        let make = |at: usize| ShowOp::new(ByRef(keys[at]));
        let done = |at: usize, shown| match shown {
            Shown::Bytes(bytes) => {
                look(at, Some(bytes));
                lent.set(Some(bytes));
            }
            Shown::Value(value) => look(at, value.as_ref().map(V::as_bytes)),
        };
        let outcome = self.batch(keys.len(), |at| keys[at], |counters| &counters.reads, at_once, make, done);
        self.copied = copied;
        self.trim_copied();
        self.count_waits(outcome?);
        Ok(())
    }
}
