//! A record that is to be written.

use super::{Key, KeyBytes, RecordLayout, RecordSizes, Value};

/// Key and value of a record to come; without a value, a tombstone.
pub(crate) struct Draft<'d, Q: ?Sized, V> {
    pub(crate) key: &'d Q,
    pub(crate) value: Option<&'d V>,
}

impl<'d, Q: KeyBytes + ?Sized, V: Value> Draft<'d, Q, V> {
    /// Of a value.
    #[inline(always)]
    pub(crate) const fn new(key: &'d Q, value: &'d V) -> Self {
        Self { key, value: Some(value) }
    }

    /// Of a tombstone.
    #[inline(always)]
    pub(crate) const fn tombstone(key: &'d Q) -> Self {
        Self { key, value: None }
    }

    /// The sizes of the record in a store of these keys. A tombstone has room for a value only where all records do.
    #[inline(always)]
    pub(crate) fn sizes<K: Key>(&self) -> RecordSizes {
        let layout = const { RecordLayout::of::<K, V>() };
        match layout.fixed_sizes() {
            Some(sizes) => sizes,
            None => layout.sizes(self.key.key_bytes().len(), self.value.map_or(0, |value| value.as_bytes().len())),
        }
    }
}

impl<Q: ?Sized, V> Clone for Draft<'_, Q, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Q: ?Sized, V> Copy for Draft<'_, Q, V> {}
