//! A record whose sizes are known, so that who finds it by its key and goes on with its value looks at them once.

use super::view::word_of;
use super::{Expiry, Key, KeyBytes, RecordLayout, RecordRef, RecordSizes, Seen, Value, ValueBytes};
use crate::error::Result;
use crate::memory::{Purpose, equals_bytes, load_any, load_bytes, prefetch_behind, store_any, store_bytes};
use crate::sync::{AtomicU64, Ordering, Visible};

/// Words of a cache line.
const LINE_WORDS: usize = 8;

/// A record and how long its parts are.
#[derive(Clone, Copy)]
pub(crate) struct KnownRecord<'g> {
    pub(super) record: RecordRef<'g>,
    pub(super) sizes: RecordSizes,
}

impl RecordRef<'_> {
    /// Starts loading what lies behind the cache line of its first word, up to `last` words further, if that is not too much.
    #[inline(always)]
    pub(crate) fn prefetch_rest(self, last: usize) {
        let Some(first) = self.words.first() else { return };
        if last > LINE_WORDS {
            prefetch_behind(first, LINE_WORDS, Purpose::Read);
        }
        prefetch_behind(first, last, Purpose::Read);
    }
}

impl<'g> KnownRecord<'g> {
    /// A constant again where all records have the same, whatever way the record came.
    #[inline(always)]
    fn sizes<K: Key, V: Value>(self) -> RecordSizes {
        match const { RecordLayout::of::<K, V>().fixed_sizes() } {
            Some(sizes) => sizes,
            None => self.sizes,
        }
    }

    /// The record alone.
    #[inline(always)]
    pub(crate) const fn record(self) -> RecordRef<'g> {
        self.record
    }

    #[inline(always)]
    pub(crate) fn key_is<K: Key, V: Value>(self, key: &(impl KeyBytes + ?Sized)) -> bool {
        let bytes = key.key_bytes();
        let sizes = self.sizes::<K, V>();
        bytes.len() == sizes.key() && equals_bytes(self.record.key_words::<K, V>(sizes), bytes)
    }

    /// As [`RecordRef::value`], of a record that is no root of a large value.
    #[inline(always)]
    pub(crate) fn value<K: Key, V: Value>(self) -> Result<V> {
        let mut seen = Seen::NOTHING;
        self.record.look_as::<K, V>(self.sizes::<K, V>(), &mut seen)
    }

    /// As [`copy_value`](Self::copy_value), of a value that may end; returns when it does.
    #[inline(always)]
    fn copy_with_expiry<K: Key, V: Value>(self, bytes: &mut Vec<u8>) -> Expiry {
        let ((latch, words), mut seen) = (self.record.latched::<K, V>(self.sizes::<K, V>()), Seen::NOTHING);
        latch.read(&mut seen, |len| {
            load_all(words, len, bytes);
            self.record.load_expiry::<V>(self.sizes::<K, V>())
        })
    }

    /// Puts a whole copy of the value's bytes into `bytes`, in place of what is there, also while others write it.
    #[inline(always)]
    pub(crate) fn copy_value<K: Key, V: Value>(self, bytes: &mut Vec<u8>) {
        if const { RecordLayout::of::<K, V>().is_latched() } {
            let ((latch, words), mut seen) = (self.record.latched::<K, V>(self.sizes::<K, V>()), Seen::NOTHING);
            return latch.read(&mut seen, |len| match V::FIXED {
                Some(size) => {
                    bytes.resize(size, 0);
                    load_bytes(words, &mut bytes[..size]);
                }
                None => load_all(words, len, bytes),
            });
        }
        // Acquire: as for the value itself.
        let words = self.record.value_words::<K, V>(self.sizes::<K, V>());
        let word = words.first().map_or(0, |word| word.load(Ordering::Acquire));
        bytes.clear();
        bytes.extend_from_slice(&word.to_le_bytes()[..V::FIXED.unwrap_or_default()]);
    }

    /// The same unless the value has ended by `now`; then it is false, and the copy is nothing.
    #[inline(always)]
    pub(crate) fn copy_unless_over<K: Key, V: Value>(self, now: u64, bytes: &mut Vec<u8>) -> bool {
        if const { V::EXPIRES } {
            return !self.copy_with_expiry::<K, V>(bytes).is_over(now);
        }
        self.copy_value::<K, V>(bytes);
        true
    }

    /// Replaces the value where it lies. False if it has no place there: nothing was done.
    #[inline(always)]
    pub(crate) fn set_value<K: Key, V: Value>(self, value: &(impl ValueBytes + ?Sized), visible: Visible) -> bool {
        debug_assert!(V::FIXED.is_none_or(|size| size == value.value_bytes().len()), "all values have one length");
        if const { RecordLayout::of::<K, V>().is_latched() } {
            let (latch, words) = self.record.latched::<K, V>(self.sizes::<K, V>());
            let (bytes, is_fixed) = (value.value_bytes(), const { V::FIXED.is_some() });
            if !is_fixed && bytes.len() > words.len() * 8 {
                return false;
            }
            let len = if is_fixed { None } else { Some(bytes.len()) };
            if const { V::EXPIRES } {
                return latch.write(len, visible, || {
                    self.record.store_expiry::<V>(self.sizes::<K, V>(), value);
                    store_bytes(words, bytes);
                });
            }
            return latch.write(len, visible, || match is_fixed {
                true => store_bytes(words, bytes),
                false => store_any(words, bytes),
            });
        }
        if let Some(word) = self.record.value_words::<K, V>(self.sizes::<K, V>()).first() {
            visible.publish(word, word_of::<V>(value));
        }
        true
    }
}

/// Puts the first `len` bytes of `words`, or as many as there are, in place of what is in `bytes`.
#[inline(always)]
fn load_all(words: &[AtomicU64], len: usize, bytes: &mut Vec<u8>) {
    let len = len.min(words.len() * 8);
    if bytes.len() != len {
        resize(bytes, len);
    }
    load_any(words, &mut bytes[..len]);
}

/// Kept out of line: values that are looked at after each other are often of one length.
#[inline(never)]
fn resize(bytes: &mut Vec<u8>, len: usize) {
    bytes.resize(len, 0);
}
