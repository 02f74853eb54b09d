//! What the records of a store look like, and what is taken out of their bytes.

use super::{Expiry, Held, Key, Latch, Mark, Origin, RecordInfo, RecordSizes, Root, Value, made_of};
use crate::address::Address;
use crate::error::{Error, ErrorKind, Result};

/// Whether all keys and all values of a store have the same length, and which. A plain value: what walks a log needs no key
/// or value type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordLayout {
    key_size: Option<usize>,
    value_size: Option<usize>,
    expires: bool,
}

impl RecordLayout {
    /// The layout of records with keys of `key_size` and values of `value_size` bytes, or of any length.
    #[inline(always)]
    pub const fn new(key_size: Option<usize>, value_size: Option<usize>) -> Self {
        Self { key_size, value_size, expires: false }
    }

    /// The layout of records that all have keys of `key_size` and values of `value_size` bytes.
    #[inline(always)]
    pub const fn fixed(key_size: usize, value_size: usize) -> Self {
        Self::new(Some(key_size), Some(value_size))
    }

    /// The same for values that may end, or for values that may not.
    #[inline(always)]
    #[must_use]
    pub const fn with_expiry(self, expires: bool) -> Self {
        Self { expires, ..self }
    }

    /// The layout of records of these types.
    #[inline(always)]
    pub const fn of<K: Key, V: Value>() -> Self {
        Self::new(K::FIXED, V::FIXED).with_expiry(V::EXPIRES)
    }

    /// Bytes of a key, if all have as many.
    #[inline(always)]
    pub const fn key_size(self) -> Option<usize> {
        self.key_size
    }

    /// Bytes of a value, if all have as many.
    #[inline(always)]
    pub const fn value_size(self) -> Option<usize> {
        self.value_size
    }

    /// Whether values may end, and each record says when.
    #[inline(always)]
    pub const fn expires(self) -> bool {
        self.expires
    }

    /// Bytes of a whole record, a multiple of 8, if all have as many.
    #[inline(always)]
    pub const fn record_size(self) -> Option<usize> {
        match self.fixed_sizes() {
            Some(sizes) => Some(sizes.record_size()),
            None => None,
        }
    }

    /// Bytes of a record, where memory is planned before there is any.
    #[inline(always)]
    pub(crate) const fn planned_size(self) -> usize {
        const KEY: usize = 16;
        const VALUE: usize = 64;
        let key = match self.key_size {
            Some(size) => size,
            None => KEY,
        };
        let value = match self.value_size {
            Some(size) => size,
            None => VALUE,
        };
        self.sizes(key, value).record_size()
    }

    /// The sizes of every record, if they are the same.
    #[inline(always)]
    pub(crate) const fn fixed_sizes(self) -> Option<RecordSizes> {
        match (self.key_size, self.value_size) {
            (Some(key), Some(value)) => Some(self.sizes(key, value)),
            _ => None,
        }
    }

    /// The sizes of a record with a key of `key` bytes and room for a value of `value` bytes.
    #[inline(always)]
    pub(crate) const fn sizes(self, key: usize, value: usize) -> RecordSizes {
        RecordSizes::new(self, key, value)
    }

    /// The sizes of a record that begins with these words.
    #[inline(always)]
    pub(crate) const fn sizes_told(self, told: u64) -> RecordSizes {
        match self.fixed_sizes() {
            Some(sizes) => sizes,
            None => RecordSizes::from_word(self, told),
        }
    }

    /// True if values need a latch: they are more than one word, or may be, or have an expiry.
    #[inline(always)]
    pub(crate) const fn is_latched(self) -> bool {
        match self.value_size {
            Some(size) => size > 8 || self.expires,
            None => true,
        }
    }

    /// Bytes that tell how long the record is that begins with them.
    #[inline(always)]
    pub(crate) const fn head_size(self) -> usize {
        if self.fixed_sizes().is_some() { 8 } else { 16 }
    }

    /// Bytes of the record that begins with `bytes`, all of it; `None` if more of them are needed to tell.
    #[inline]
    pub(crate) fn size_in(self, bytes: &[u8]) -> Option<usize> {
        let info = RecordInfo::from_word(word_at(bytes, 0)?);
        if info.is_mark() {
            return Some(Mark::SIZE);
        }
        let sizes = match self.fixed_sizes() {
            Some(sizes) => sizes,
            None => RecordSizes::from_word(self, word_at(bytes, 1)?),
        };
        Some(sizes.record_size() + if info.has_origin() { Origin::SIZE } else { 0 })
    }

    /// The key in the bytes of a record that was [split](Self::split) before.
    #[inline]
    pub(crate) fn key_in(self, record: &[u8]) -> &[u8] {
        self.sizes_told(word_at(record, 1).unwrap_or_default()).key_in(record)
    }

    /// Takes a record apart. Accepts any bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if no record of this layout can begin here, or it is cut off.
    #[inline]
    pub(crate) fn split(self, bytes: &[u8]) -> Result<RecordParts<'_>> {
        let word = |at: usize| word_at(bytes, at).unwrap_or_default();
        let info = RecordInfo::from_word(word(0));
        let sizes = self.sizes_told(word(1));
        let Some(record) = bytes.get(..sizes.record_size()) else {
            return Err(Error::new(ErrorKind::Corrupt, "reading a record: it is cut off")
                .with("bytes there", bytes.len())
                .with("record size", sizes.record_size()));
        };
        let latch = if self.is_latched() { word(sizes.latch_word()) } else { 0 };
        let is_record = info.is_present() && !info.is_mark() && self.key_size.is_none_or(|size| size == sizes.key());
        // A tombstone that never had a value has no room for one.
        let never_had_any = info.is_tombstone() && sizes.capacity() == 0;
        let len = if never_had_any { Some(0) } else { self.value_len(sizes, latch) };
        let Some(len) = len.filter(|_| is_record) else {
            return Err(Error::new(ErrorKind::Corrupt, "reading a record: no record begins here")
                .with("header", format_args!("{:#x}", info.word()))
                .with("key length", sizes.key())
                .with("room for the value", sizes.capacity())
                .with("value length", Latch::len_in(latch)));
        };
        let value = sizes.value_in(record).get(..len).filter(|_| !info.is_tombstone());
        let expiry = if self.expires { Expiry::at_ms(word(sizes.expiry_word())) } else { Expiry::NEVER };
        Ok(RecordParts { info, key: sizes.key_in(record), value, expiry })
    }

    /// The length of the value of a record of these sizes, if it can be one.
    #[inline]
    fn value_len(self, sizes: RecordSizes, latch: u64) -> Option<usize> {
        let len = match self.value_size {
            Some(size) => {
                let is_told = !self.is_latched() || Latch::len_in(latch) == size;
                is_told.then_some(size)
            }
            None => Some(Latch::len_in(latch)),
        };
        len.filter(|len| sizes.has_room_for(*len))
    }

    /// Takes a record out of bytes that came from a device. Accepts any bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if no record of this layout can begin here, or its key or value is none of the type.
    pub fn parse<K: Key, V: Value>(bytes: &[u8]) -> Result<Record<K, V>> {
        let layout = const { Self::of::<K, V>() };
        let RecordParts { info, key, value, expiry } = layout.split(bytes)?;
        let key = made_of(key)?;
        if const { V::FIXED.is_none() } && info.is_large() {
            let large = value.map(Root::parse).transpose()?;
            return Ok(Record { info, key, value: None, large });
        }
        let mut value = value.map(made_of::<V>).transpose()?;
        if let Some(value) = &mut value {
            value.set_expiry(expiry);
        }
        Ok(Record { info, key, value, large: None })
    }
}

impl RecordParts<'_> {
    /// The key.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it is none of the type.
    pub(crate) fn key<K: Key>(&self) -> Result<K> {
        made_of(self.key)
    }
}

/// The word at this place, if the bytes reach so far.
#[inline]
fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at * 8..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
}

/// The parts of a record, as they lie in its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordParts<'b> {
    pub(crate) info: RecordInfo,
    pub(crate) key: &'b [u8],
    /// `None` in a tombstone.
    pub(crate) value: Option<&'b [u8]>,
    /// Of no meaning in a tombstone.
    pub(crate) expiry: Expiry,
}

/// A record that was taken out of a log.
#[derive(Debug, Clone)]
pub struct Record<K, V> {
    /// Its header.
    pub info: RecordInfo,
    /// Its key.
    pub key: K,
    /// Its value; `None` in a tombstone, and if the value is a [large](crate::store::ValueReader) one.
    pub value: Option<V>,
    pub(crate) large: Option<Root>,
}

impl<K, V> Record<K, V> {
    /// Bytes of its value, if that is a [large](crate::store::ValueReader) one.
    pub fn large_len(&self) -> Option<u64> {
        self.large.as_ref().map(|root| root.len)
    }

    /// What it holds, with the address at which it lies; `None` if it is a tombstone.
    #[inline]
    pub(crate) fn held_at(self, at: Address) -> Option<Held<V>> {
        match self.large {
            None => self.value.map(Held::Value),
            Some(root) => Some(Held::Large(Root { at, ..root })),
        }
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;
    use crate::record::Expiring;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_those_of_the_format() {
        assert_eq!(RecordLayout::of::<u64, u64>().record_size(), Some(24));
        assert_eq!(RecordLayout::of::<u64, ()>().record_size(), Some(16));
        assert_eq!(RecordLayout::of::<u64, [u8; 100]>().record_size(), Some(8 + 8 + 8 + 104));
        assert_eq!(RecordLayout::of::<[u8; 9], u8>().record_size(), Some(8 + 16 + 8));
        assert_eq!(RecordLayout::of::<u128, [u64; 2]>().record_size(), Some(8 + 16 + 8 + 16));
        let text = RecordLayout::of::<String, Vec<u8>>();
        assert_eq!(text.record_size(), None);
        assert_eq!(text.sizes(5, 0).record_size(), 8 + 8 + 8 + 8);
        assert_eq!(text.sizes(16, 100).record_size(), 8 + 8 + 16 + 8 + 104);
        assert_eq!(RecordLayout::of::<u64, Expiring<u64>>().record_size(), Some(8 + 8 + 8 + 8 + 8), "latch and expiry");
        assert_eq!(RecordLayout::of::<u64, Expiring<()>>().record_size(), Some(8 + 8 + 8 + 8));
        assert_eq!(RecordLayout::of::<u64, Expiring<[u8; 100]>>().record_size(), Some(8 + 8 + 8 + 8 + 104));
        assert_eq!(RecordLayout::of::<String, Expiring<Vec<u8>>>().sizes(16, 100).record_size(), 144 + 8);
        assert_eq!(RecordLayout::of::<String, u64>().sizes(5, 8).record_size(), 8 + 8 + 8 + 8, "a word needs no latch");
    }

    #[test]
    fn golden_bytes_of_version_one() {
        let mut bytes = vec![0x40, 0, 0, 0, 0, 0, 5, 0x80, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11];
        bytes.extend([9, 0, 0, 0, 2, 0, 0, 0]); // length 9, stamp 2
        bytes.extend([1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0, 0, 0, 0, 0]);
        let record = RecordLayout::parse::<u64, [u8; 9]>(&bytes).unwrap();
        assert_eq!(record.info, RecordInfo::new(Address::new(0x40), 5));
        assert_eq!((record.key, record.value), (0x1122_3344_5566_7788, Some([1, 2, 3, 4, 5, 6, 7, 8, 9])));
        bytes[19] = 0x80; // sealed, by who deletes the key on a condition: nothing to who reads it
        assert_eq!(RecordLayout::parse::<u64, [u8; 9]>(&bytes).unwrap().value, record.value);
        bytes[16] = 8;
        assert!(RecordLayout::parse::<u64, [u8; 9]>(&bytes).is_err(), "of another length");
    }

    #[test]
    fn golden_bytes_of_a_record_of_any_length() {
        let mut bytes = vec![0x40, 0, 0, 0, 0, 0, 5, 0x80];
        bytes.extend([3, 0, 0, 0, 2, 0, 0, 0]); // a key of 3 bytes, 2 words for the value
        bytes.extend(*b"key\0\0\0\0\0");
        bytes.extend([9, 0, 0, 0, 2, 0, 0, 0]); // length 9, stamp 2
        bytes.extend([1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0, 0, 0, 0, 0]);
        let layout = RecordLayout::of::<String, Vec<u8>>();
        for short in 0..16 {
            assert_eq!(layout.size_in(&bytes[..short]), None);
        }
        assert_eq!(layout.size_in(&bytes[..16]), Some(bytes.len()));
        let record = RecordLayout::parse::<String, Vec<u8>>(&bytes).unwrap();
        assert_eq!((record.key.as_str(), record.value), ("key", Some(vec![1, 2, 3, 4, 5, 6, 7, 8, 9])));
        bytes[27] = 0x80; // sealed, which is nothing to who reads it
        assert_eq!(RecordLayout::parse::<String, Vec<u8>>(&bytes).unwrap().value.map(|value| value.len()), Some(9));
        bytes[24] = 17;
        assert_eq!(RecordLayout::parse::<String, Vec<u8>>(&bytes).unwrap_err().field("value length"), Some("17"));
        for len in 0..bytes.len() {
            let error = RecordLayout::parse::<String, Vec<u8>>(&bytes[..len]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn golden_bytes_of_a_record_of_a_value_that_ends() {
        let mut bytes = vec![0x40, 0, 0, 0, 0, 0, 5, 0x80, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11];
        bytes.extend([2, 0, 0, 0, 4, 0, 0, 0]); // length 2, stamp 4
        bytes.extend([0x00, 0x10, 0xa5, 0xd4, 0xe8, 0, 0, 0]); // ends at 1,000,000,000,000 milliseconds
        bytes.extend([7, 8, 0, 0, 0, 0, 0, 0]);
        let record = RecordLayout::parse::<u64, Expiring<u16>>(&bytes).unwrap();
        assert_eq!(record.value, Some(Expiring::until(0x0807, Expiry::at_ms(1_000_000_000_000))));
        bytes[24..32].fill(0xff);
        let record = RecordLayout::parse::<u64, Expiring<u16>>(&bytes).unwrap();
        assert_eq!((record.key, record.value), (0x1122_3344_5566_7788, Some(Expiring::from(0x0807))));
        bytes[7] = 0xa0;
        assert_eq!(RecordLayout::parse::<u64, Expiring<u16>>(&bytes).unwrap().value, None);
        assert!(RecordLayout::parse::<u64, Expiring<u16>>(&bytes[..39]).is_err());

        let mut bytes = vec![0x40, 0, 0, 0, 0, 0, 5, 0x80, 3, 0, 0, 0, 1, 0, 0, 0];
        bytes.extend(*b"key\0\0\0\0\0");
        bytes.extend([5, 0, 0, 0, 2, 0, 0, 0]); // length 5, stamp 2
        bytes.extend(258u64.to_le_bytes());
        bytes.extend(*b"value\0\0\0");
        let layout = RecordLayout::of::<String, Expiring<String>>();
        assert_eq!(layout.size_in(&bytes[..16]), Some(bytes.len()));
        let record = RecordLayout::parse::<String, Expiring<String>>(&bytes).unwrap();
        assert_eq!(record.value, Some(Expiring::until("value".to_owned(), Expiry::at_ms(258))));
    }

    #[test]
    fn a_tombstone_of_any_length_needs_no_room_for_a_value() {
        let mut bytes = vec![0x40, 0, 0, 0, 0, 0, 5, 0xa0, 3, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(*b"key\0\0\0\0\0");
        let record = RecordLayout::parse::<String, u64>(&bytes).unwrap();
        assert!(record.info.is_tombstone() && record.value.is_none() && record.key == "key");
        bytes[7] = 0x80;
        assert!(RecordLayout::parse::<String, u64>(&bytes).is_err(), "a value of a word has its word");
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_record_or_an_error(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
            lengths in any::<Option<(u8, u8)>>(),
        ) {
            if let (Some((key, value)), Some(word)) = (lengths, bytes.get_mut(8..16)) {
                word.copy_from_slice(&(u64::from(key) | u64::from(value) << 32).to_le_bytes());
            }
            let _ = RecordLayout::parse::<u64, u64>(&bytes);
            let _ = RecordLayout::parse::<[u8; 13], [u8; 100]>(&bytes);
            let _ = RecordLayout::parse::<String, Vec<u8>>(&bytes);
            let _ = RecordLayout::parse::<Vec<u8>, u64>(&bytes);
            let _ = RecordLayout::parse::<Vec<u8>, [u8; 100]>(&bytes);
            let _ = RecordLayout::parse::<u64, Vec<u8>>(&bytes);
            let _ = RecordLayout::parse::<u64, Expiring<u64>>(&bytes);
            let _ = RecordLayout::parse::<Vec<u8>, Expiring<Vec<u8>>>(&bytes);
        }
    }
}
