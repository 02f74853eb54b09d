//! Sizes and places within a record.

use super::{Key, Mark, Origin, RecordInfo, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::words_for;

/// Where the parts of a record lie. A plain value: what walks a log needs no key or value type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordLayout {
    key_size: usize,
    value_size: usize,
}

impl RecordLayout {
    /// The layout of records with keys of `key_size` and values of `value_size` bytes.
    pub const fn new(key_size: usize, value_size: usize) -> Self {
        Self { key_size, value_size }
    }

    /// The layout of records of these types.
    pub const fn of<K: Key, V: Value>() -> Self {
        Self::new(K::SIZE, V::SIZE)
    }

    /// Bytes of a key.
    pub const fn key_size(self) -> usize {
        self.key_size
    }

    /// Bytes of a value.
    pub const fn value_size(self) -> usize {
        self.value_size
    }

    /// Bytes of a whole record, a multiple of 8.
    #[inline]
    pub const fn record_size(self) -> usize {
        self.record_words() * 8
    }

    /// Bytes of the record with this header.
    #[inline]
    pub(crate) const fn size_of(self, info: RecordInfo) -> usize {
        if info.is_mark() { Mark::SIZE } else { self.record_size() + if info.has_origin() { Origin::SIZE } else { 0 } }
    }

    /// True if values need a latch: they are more than one word.
    #[inline]
    pub(crate) const fn is_latched(self) -> bool {
        self.value_size > 8
    }

    #[inline]
    pub(crate) const fn key_word(self) -> usize {
        1
    }

    #[inline]
    pub(crate) const fn latch_word(self) -> usize {
        1 + words_for(self.key_size)
    }

    #[inline]
    pub(crate) const fn value_word(self) -> usize {
        self.latch_word() + self.is_latched() as usize
    }

    #[inline]
    pub(crate) const fn record_words(self) -> usize {
        self.value_word() + words_for(self.value_size)
    }

    /// Takes a record out of bytes that came from a device. Accepts any bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if no record of this layout can begin here.
    pub fn parse<K: Key, V: Value>(bytes: &[u8]) -> Result<Record<K, V>> {
        let layout = const { Self::of::<K, V>() };
        let Some(bytes) = bytes.get(..layout.record_size()) else {
            return Err(Error::new(ErrorKind::Corrupt, "reading a record: it is cut off")
                .with("bytes there", bytes.len())
                .with("record size", layout.record_size()));
        };
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at * 8..at * 8 + 8]);
            u64::from_le_bytes(word)
        };
        let info = RecordInfo::from_word(word(0));
        let length = if layout.is_latched() { word(layout.latch_word()) as u32 as usize } else { layout.value_size };
        if !info.is_present() || length != layout.value_size {
            return Err(Error::new(ErrorKind::Corrupt, "reading a record: no record begins here")
                .with("header", format_args!("{:#x}", info.word()))
                .with("value length", length)
                .with("value length expected", layout.value_size));
        }
        let field = |at: usize, size: usize| &bytes[at * 8..at * 8 + size];
        Ok(Record {
            info,
            key: K::build(|key| key.copy_from_slice(field(layout.key_word(), layout.key_size))),
            value: V::build(|value| value.copy_from_slice(field(layout.value_word(), layout.value_size))),
        })
    }
}

/// A record that was taken out of a log.
#[derive(Debug, Clone)]
pub struct Record<K, V> {
    /// Its header.
    pub info: RecordInfo,
    /// Its key.
    pub key: K,
    /// Its value; all zeros in a tombstone.
    pub value: V,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_those_of_the_format() {
        assert_eq!(RecordLayout::of::<u64, u64>().record_size(), 24);
        assert_eq!(RecordLayout::of::<u64, ()>().record_size(), 16);
        assert_eq!(RecordLayout::of::<u64, [u8; 100]>().record_size(), 8 + 8 + 8 + 104);
        assert_eq!(RecordLayout::of::<[u8; 9], u8>().record_size(), 8 + 16 + 8);
        assert_eq!(RecordLayout::of::<u128, [u64; 2]>().record_size(), 8 + 16 + 8 + 16);
    }

    #[test]
    fn golden_bytes_of_version_one() {
        let mut bytes = vec![0x40, 0, 0, 0, 0, 0, 5, 0x80, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11];
        bytes.extend([9, 0, 0, 0, 2, 0, 0, 0]); // length 9, stamp 2
        bytes.extend([1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0, 0, 0, 0, 0]);
        let record = RecordLayout::parse::<u64, [u8; 9]>(&bytes).unwrap();
        assert_eq!(record.info, RecordInfo::new(Address::new(0x40), 5));
        assert_eq!((record.key, record.value), (0x1122_3344_5566_7788, [1, 2, 3, 4, 5, 6, 7, 8, 9]));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_record_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = RecordLayout::parse::<u64, u64>(&bytes);
            let _ = RecordLayout::parse::<[u8; 13], [u8; 100]>(&bytes);
        }
    }
}
