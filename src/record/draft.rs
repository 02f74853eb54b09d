//! A record that is to be written.

use super::{Key, KeyBytes, RecordInfo, RecordLayout, RecordRef, RecordSizes, Root, Value, ValueBytes};

/// What a record is filled with, in a store of these keys and values.
pub(crate) trait Content<K: Key, V: Value>: Copy {
    /// Bytes of the key.
    fn key_len(self) -> usize;

    /// Bytes of the value.
    fn value_len(self) -> usize;

    /// The sizes of the record.
    fn sizes(self) -> RecordSizes;

    /// Fills words that were just given out, as [`RecordRef::write_as`].
    fn write(self, record: RecordRef<'_>, sizes: RecordSizes, info: RecordInfo);

    /// Whether a record, which is none of a large value, is of the same key.
    fn is_of(self, record: RecordRef<'_>) -> bool;

    /// How much longer than it has to be the record may be, and whether it may lie below others that were written before it.
    fn slack(self) -> Option<usize>;
}

/// Key and value of a record to come; without a value, a tombstone.
pub(crate) struct Draft<'d, Q: ?Sized, W: ?Sized> {
    pub(crate) key: &'d Q,
    pub(crate) value: Option<&'d W>,
}

impl<'d, Q: KeyBytes + ?Sized, W: ValueBytes + ?Sized> Draft<'d, Q, W> {
    /// Of a value.
    #[inline(always)]
    pub(crate) const fn new(key: &'d Q, value: &'d W) -> Self {
        Self { key, value: Some(value) }
    }

    /// The sizes of the record in a store of these keys and values. A tombstone has room for a value only where all records do.
    #[inline(always)]
    pub(crate) fn sizes<K: Key, V: Value>(&self) -> RecordSizes {
        let layout = const { RecordLayout::of::<K, V>() };
        match layout.fixed_sizes() {
            Some(sizes) => sizes,
            None => layout.sizes(self.key.key_bytes().len(), self.value.map_or(0, |value| value.value_bytes().len())),
        }
    }
}

impl<'d, Q: KeyBytes + ?Sized> Draft<'d, Q, [u8]> {
    /// Of a tombstone.
    #[inline(always)]
    pub(crate) const fn tombstone(key: &'d Q) -> Self {
        Self { key, value: None }
    }
}

impl<Q: ?Sized, W: ?Sized> Clone for Draft<'_, Q, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Q: ?Sized, W: ?Sized> Copy for Draft<'_, Q, W> {}

impl<K: Key, V: Value, Q: KeyBytes + ?Sized, W: ValueBytes + ?Sized> Content<K, V> for Draft<'_, Q, W> {
    #[inline(always)]
    fn key_len(self) -> usize {
        self.key.key_bytes().len()
    }

    #[inline(always)]
    fn value_len(self) -> usize {
        self.value.map_or(0, |value| value.value_bytes().len())
    }

    #[inline(always)]
    fn sizes(self) -> RecordSizes {
        Draft::sizes::<K, V>(&self)
    }

    #[inline(always)]
    fn write(self, record: RecordRef<'_>, sizes: RecordSizes, info: RecordInfo) {
        record.write_as::<K, V>(sizes, info, self);
    }

    fn is_of(self, record: RecordRef<'_>) -> bool {
        record.key_is::<K, V>(self.key)
    }

    fn slack(self) -> Option<usize> {
        // A value of fixed length has room for itself, or for nothing.
        Some(if V::FIXED.is_some() { 0 } else { (Draft::sizes::<K, V>(&self).record_size() / 32 + 1) * 8 })
    }
}

/// Key and root of a large value to come, in a store with values of any length.
#[derive(Clone, Copy)]
pub(crate) struct RootDraft<'d> {
    key: &'d [u8],
    root: &'d [u8],
}

impl<'d> RootDraft<'d> {
    /// Of the bytes that [`Root::to_bytes`] made.
    pub(crate) fn new(key: &'d [u8], root: &'d [u8]) -> Self {
        debug_assert!(root.len() <= Root::SIZE_MAX, "a root has a bound");
        Self { key, root }
    }
}

impl<K: Key, V: Value> Content<K, V> for RootDraft<'_> {
    fn key_len(self) -> usize {
        self.key.len()
    }

    fn value_len(self) -> usize {
        self.root.len()
    }

    fn sizes(self) -> RecordSizes {
        RecordLayout::of::<K, V>().sizes(self.key.len(), self.root.len())
    }

    fn write(self, record: RecordRef<'_>, sizes: RecordSizes, info: RecordInfo) {
        record.write_sealed(sizes, info.with_large(), self.key, &[], self.root);
    }

    fn is_of(self, record: RecordRef<'_>) -> bool {
        record.key_is::<K, V>(self.key)
    }

    /// It lies above its fragments (R9).
    fn slack(self) -> Option<usize> {
        None
    }
}
