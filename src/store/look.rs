//! Looking at a value without making one.

use super::session::Session;
use crate::error::Result;
use crate::record::{Key, KeyBytes, Value};
use crate::utility::KeyHash;
use std::borrow::Borrow;

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
    pub fn read_with<Q: KeyBytes + ?Sized, T>(&mut self, key: &Q, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>>
    where
        K: Borrow<Q>,
    {
        if self.copy_from_memory(key) {
            let seen = look(&self.copied);
            if self.copied.capacity() > KEPT_MAX {
                self.copied = Vec::new();
            }
            return Ok(Some(seen));
        }
        Ok(self.read_by_steps(key)?.map(|value| look(value.as_bytes())))
    }

    /// Copies the value of `key` if its record is the newest of its chain and in memory, and it has not ended.
    fn copy_from_memory<Q: KeyBytes + ?Sized>(&mut self, key: &Q) -> bool {
        let Some((guard, account)) = self.driver.pin_plain() else { return false };
        let (now, view) = (self.database.kernel.now(), self.database.kernel.view(&guard));
        let record = view.newest::<K, V>(key, view.find(KeyHash::of_bytes(key.key_bytes())));
        if let Some(record) = record {
            if const { !V::EXPIRES } {
                record.copy_value::<K, V>(&mut self.copied);
            } else if record.copy_with_expiry::<K, V>(&mut self.copied).is_over(now) {
                return false;
            }
            account.counters.reads.add(1);
        }
        record.is_some()
    }
}
