//! Giving keys their values.

use super::session::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::UpsertOp;
use crate::record::{Key, KeyBytes, Value, ValueBytes};
use crate::sync::Visible;
use crate::utility::KeyHash;
use std::borrow::Borrow;

impl<K: Key, V: Value> Session<K, V> {
    /// Gives `key` the value `value`, whatever it had. Never reads the device.
    ///
    /// # Errors
    /// If the log needs room and cannot make it: [`ErrorKind::DeviceFailed`] if the
    /// device cannot be written to, [`ErrorKind::Limit`] if it keeps nothing,
    /// [`ErrorKind::Busy`] if a session stands in the way for too long. The store is unchanged.
    #[inline(always)]
    pub fn upsert(&mut self, key: K, value: V) -> Result<()> {
        if self.set_at_once(&key, &value) {
            return Ok(());
        }
        self.upsert_by_steps(UpsertOp::new(key, value))
    }

    /// Gives a key a value, neither of which has to be made: they are what keys and values can be borrowed as, such as `str` in
    /// a store of type `String`, and stay with the caller. Allocates nothing as long as memory can answer.
    ///
    /// ```
    /// # use oxifaster::device::MemoryDisk;
    /// # use oxifaster::store::{FasterKv, FasterKvConfig};
    /// # fn main() -> oxifaster::Result<()> {
    /// let config = FasterKvConfig::default().with_memory_budget(1 << 20);
    /// let store: FasterKv<String, Vec<u8>, _> = FasterKv::open(config, MemoryDisk::new())?;
    /// let mut session = store.start_session();
    /// session.upsert_ref("key", &b"value"[..])?;
    /// assert_eq!(session.read("key")?.as_deref(), Some(&b"value"[..]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`upsert`](Self::upsert), and [`ErrorKind::Config`] if all keys or all values have one
    /// length, and this is another.
    #[inline(always)]
    pub fn upsert_ref<Q, W>(&mut self, key: &Q, value: &W) -> Result<()>
    where
        K: Borrow<Q>,
        V: Borrow<W>,
        Q: KeyBytes + ?Sized,
        W: ValueBytes + ?Sized,
    {
        check_lengths::<K, V>(key.key_bytes().len(), value.value_bytes().len())?;
        if self.set_at_once(key, value) {
            return Ok(());
        }
        self.upsert_by_steps(UpsertOp::by_ref(key, value))
    }

    /// Gives the key the value where its record lies; false, and nothing done, if that takes more.
    #[inline(always)]
    fn set_at_once<Q: KeyBytes + ?Sized, W: ValueBytes + ?Sized>(&mut self, key: &Q, value: &W) -> bool {
        if let Some((guard, account)) = self.driver.pin_plain() {
            let view = self.database.kernel.view(&guard);
            if view.set::<K, V>(key, value, view.find(KeyHash::of_bytes(key.key_bytes())), Visible::Now) {
                account.counters.upserts.add(1);
                return true;
            }
        }
        false
    }

    #[inline(never)]
    fn upsert_by_steps<Q: KeyBytes, W: ValueBytes>(&mut self, mut operation: UpsertOp<K, V, Q, W>) -> Result<()> {
        self.run_change(&mut operation, |counters| &counters.upserts).map(drop)
    }

    /// Gives `key` a value of `len` bytes, which `fill` writes; what it is given holds zeros. For values of any length; of a type
    /// with one length, `len` is that.
    ///
    /// # Errors
    /// As for [`upsert`](Self::upsert), and before `fill` is called [`ErrorKind::Limit`] if a record of
    /// that length does not fit on a page of the log; [`ErrorKind::Config`] if no value has that length;
    /// [`ErrorKind::Corrupt`] if the bytes are no value of the type.
    pub fn upsert_with(&mut self, key: K, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        check_lengths::<K, V>(key.as_bytes().len(), len)?;
        self.database.kernel.check_size(key.as_bytes().len(), len)?;
        let value = V::build(len, |bytes| {
            fill(bytes);
            len
        })?;
        self.upsert(key, value)
    }
}

/// That a key and a value may have these lengths.
///
/// # Errors
/// [`ErrorKind::Config`] if all have another.
#[inline(always)]
pub(super) fn check_lengths<K: Key, V: Value>(key: usize, value: usize) -> Result<()> {
    if K::FIXED.is_none_or(|size| size == key) && V::FIXED.is_none_or(|size| size == value) {
        return Ok(());
    }
    Err(of_other_lengths::<K, V>(key, value))
}

#[cold]
fn of_other_lengths<K: Key, V: Value>(key: usize, value: usize) -> Error {
    let (what, length, size) = match K::FIXED.filter(|size| *size != key) {
        Some(size) => ("no key of the store has this length", key, size),
        None => ("no value of the store has this length", value, V::FIXED.unwrap_or(value)),
    };
    Error::new(ErrorKind::Config, what).with("length", length).with("length of all", size)
}
