//! Values that are larger than a page: a root in the chain of the key, and fragments that the root leads to.
//!
//! ```text
//!    title        leaf 0      leaf 1             list 0                        root
//!  +-----+----+ +----+-----+ +----+-----+      +----+-----------+      +-----+------------------+
//!  | key | id | | id |bytes| | id |bytes| .... | id | leaf 0, 1 | .... | key | length, list 0 .. |
//!  +-----+----+ +----+-----+ +----+-----+      +----+-----------+      +-----+------------------+
//!   addresses grow: the title is the lowest, the root the highest
//!
//!   id      title: 63..56 zero | 55..48 level | 47..0 address of the title        number: among those of its level
//!   root    length | 55..48 level of those below | 47..0 address of the title | bytes of a leaf | their addresses ..
//! ```
//!
//! A fragment says which value it is of, by the address of the title, which no other value ever has: so what is read is the one that
//! was meant, or an error. Leaves are of one length but for the last, and lists but for the last of a level: a place in the value
//! tells the way to it.

use super::{RecordInfo, RecordLayout, RecordRef, RecordSizes, Value};
use crate::address::Address;
use crate::error::{Error, ErrorKind, Result};

/// Bytes of a fragment's value that say which one it is.
const ID_SIZE: usize = 16;
const LEVEL_SHIFT: u32 = Address::BITS;
/// Bytes of a root's value without addresses.
const ROOT_SIZE: usize = 24;
/// Lists never stand so high.
const LEVELS_MAX: u8 = 8;

/// Which fragment of which value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// Where the value's title lies: of a title, itself.
    pub(crate) title: Address,
    /// 0 for a leaf, 1 for a list of leaves, and so on.
    pub(crate) level: u8,
    /// Among those of its level.
    pub(crate) number: u64,
}

impl Fragment {
    /// The level of a title.
    pub(crate) const TITLE: u8 = u8::MAX;

    /// Bytes of a record with a fragment of no bytes and without a key.
    pub(crate) const fn overhead(layout: RecordLayout) -> usize {
        Self::sizes(layout, 0, 0).record_size()
    }

    /// Bytes of a leaf in a log whose pages have room for records of `page` bytes: four fill a page, if it is not a large one.
    pub(crate) const fn leaf_size(layout: RecordLayout, page: usize) -> usize {
        const LARGEST: usize = 256 << 10;
        let record = page / 4 / 8 * 8 - Self::overhead(layout);
        if record < LARGEST { record } else { LARGEST }
    }

    /// The sizes of a fragment of `bytes` bytes, with a key of `key` bytes.
    pub(crate) const fn sizes(layout: RecordLayout, key: usize, bytes: usize) -> RecordSizes {
        layout.sizes(key, ID_SIZE + bytes)
    }

    fn words(self) -> [u64; 2] {
        [(self.level as u64) << LEVEL_SHIFT | self.title.get(), self.number]
    }

    /// Fills words that were just given out with the fragment of these bytes.
    pub(crate) fn write(self, record: RecordRef<'_>, layout: RecordLayout, version: u16, key: &[u8], bytes: &[u8]) {
        let sizes = Self::sizes(layout, key.len(), bytes.len());
        record.write_sealed(sizes, RecordInfo::fragment(version), key, &self.words(), bytes);
    }

    /// The fragment that the bytes of a record of a store with values of any length are, with its key and its bytes.
    pub(crate) fn parse(layout: RecordLayout, record: &[u8]) -> Option<(Self, &[u8], &[u8])> {
        let info = RecordInfo::from_word(word_at(record, 0)?);
        if layout.value_size().is_some() || !info.is_fragment() {
            return None;
        }
        let sizes = layout.sizes_told(word_at(record, 1)?);
        let (key, value) = (sizes.key_in(record), sizes.value_in(record));
        let len = super::Latch::len_in(word_at(record, sizes.latch_word())?);
        let value = value.get(..len)?;
        let (place, number) = (word_at(value, 0)?, word_at(value, 1)?);
        let level = u8::try_from(place >> LEVEL_SHIFT).ok()?;
        let fragment = Self { title: Address::from_word(place), level, number };
        Some((fragment, key, &value[ID_SIZE..]))
    }

    /// Whether these are the first bytes of its record, [as many](Self::overhead) as lie before its own, of which there are `len`.
    pub(crate) fn begins_with(self, layout: RecordLayout, head: &[u8], len: usize) -> bool {
        let sizes = Self::sizes(layout, 0, len);
        let is_word = |at: usize, word: u64| word_at(head, at) == Some(word);
        let has_len = word_at(head, sizes.latch_word()).is_some_and(|word| super::Latch::len_in(word) == ID_SIZE + len);
        let [place, number] = self.words();
        word_at(head, 0).is_some_and(|word| RecordInfo::from_word(word).is_fragment())
            && is_word(1, sizes.word())
            && has_len
            && is_word(sizes.value_word(), place)
            && is_word(sizes.value_word() + 1, number)
    }

    /// Takes the `len` bytes of this fragment out of those of its record, in place. Says where they begin.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it is another one.
    pub(crate) fn bytes_in(self, layout: RecordLayout, record: &[u8], len: usize) -> Result<usize> {
        match Self::parse(layout, record) {
            Some((found, key, bytes)) if found == self && key.is_empty() && bytes.len() == len => {
                Ok(Self::overhead(layout))
            }
            _ => Err(Error::new(ErrorKind::Corrupt, "a fragment of a large value is not where its root says")
                .with("title", self.title)
                .with("level", self.level)
                .with("number", self.number)),
        }
    }
}

/// What a record holds.
#[derive(Debug, Clone)]
pub(crate) enum Held<V> {
    Value(V),
    Large(Root),
}

impl<V: Value> Held<V> {
    /// Bytes of the value.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Value(value) => value.as_bytes().len() as u64,
            Self::Large(root) => root.len,
        }
    }

    /// The value.
    ///
    /// # Errors
    /// [`ErrorKind::LargeValue`] if it is a large one.
    #[inline]
    pub(crate) fn value(&self) -> Result<&V> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Large(root) => Err(root.refuse()),
        }
    }
}

/// The root of a large value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    /// Where its record lies, if that is known.
    pub(crate) at: Address,
    /// Bytes of the value.
    pub(crate) len: u64,
    /// Where the title lies, which no other value has.
    pub(crate) title: Address,
    /// Bytes of every leaf but the last.
    pub(crate) leaf: usize,
    /// Of the fragments below.
    pub(crate) level: u8,
    /// Where they are.
    pub(crate) below: Vec<Address>,
}

impl Root {
    /// Fragments that a root leads to at most.
    pub(crate) const BELOW_MAX: usize = 32;
    /// Bytes of the largest root.
    pub(crate) const SIZE_MAX: usize = ROOT_SIZE + Self::BELOW_MAX * 8;

    /// Addresses in a full list.
    pub(crate) const fn fan_out(&self) -> u64 {
        (self.leaf / 8) as u64
    }

    /// Leaves that a fragment of this level covers.
    pub(crate) fn leaves_below(&self, level: u8) -> u64 {
        self.fan_out().saturating_pow(u32::from(level))
    }

    /// Fragments of this level.
    pub(crate) fn count(&self, level: u8) -> u64 {
        self.len.div_ceil(self.leaf as u64).div_ceil(self.leaves_below(level))
    }

    /// Bytes of a fragment.
    pub(crate) fn bytes_of(&self, level: u8, number: u64) -> usize {
        match level.checked_sub(1) {
            None => (self.leaf as u64).min(self.len - (number * self.leaf as u64).min(self.len)) as usize,
            Some(below) => {
                let behind = self.count(below).saturating_sub(number * self.fan_out());
                self.fan_out().min(behind) as usize * 8
            }
        }
    }

    /// Bytes that the value takes in the log, without its root.
    pub(crate) fn log_bytes(&self, layout: RecordLayout) -> u64 {
        let fragments: u64 = (0..=self.level).map(|level| self.count(level)).sum();
        self.len + (fragments - self.count(0)) * 8 + fragments * Fragment::overhead(layout) as u64
    }

    /// As the bytes of a value.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let place = (self.level as u64) << LEVEL_SHIFT | self.title.get();
        let words = [self.len, place, self.leaf as u64].into_iter().chain(self.below.iter().map(|at| at.get()));
        words.flat_map(u64::to_le_bytes).collect()
    }

    /// Takes a root out of the bytes of a value. Accepts any bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if they are none.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        Self::try_parse(bytes).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "the root of a large value makes no sense").with("bytes", bytes.len())
        })
    }

    fn try_parse(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        let [len, place, leaf, below @ ..] = words else { return None };
        let [len, place, leaf] = [len, place, leaf].map(|word| u64::from_le_bytes(*word));
        let level = u8::try_from(place >> LEVEL_SHIFT).ok().filter(|level| *level <= LEVELS_MAX)?;
        let is_leaf = leaf.is_multiple_of(8) && (16..=1 << 30).contains(&leaf);
        let is_possible = is_leaf && (1..=Address::MAX.get()).contains(&len) && rest.is_empty();
        let below: Vec<_> = below.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let title = Address::from_word(place);
        let in_order = below.iter().zip(below.iter().skip(1)).all(|(one, next)| one < next);
        let in_log = below.first()? > &title.get() && below.last()? <= &Address::MAX.get();
        let is_aligned = below.iter().all(|at| at.is_multiple_of(8));
        let below = below.into_iter().map(Address::from_word).collect();
        let root = Self { at: Address::INVALID, len, title, leaf: leaf as usize, level, below };
        let is_whole = || root.count(level) == root.below.len() as u64 && root.below.len() <= Self::BELOW_MAX;
        (is_possible && title.is_valid() && is_aligned && in_order && in_log && is_whole()).then_some(root)
    }

    /// Why a call that gives values does not give this one.
    #[cold]
    pub(crate) fn refuse(&self) -> Error {
        Error::new(ErrorKind::LargeValue, "the value of this key is a large one, which is not made as a whole")
            .with("bytes", self.len)
            .help("read it piece by piece, by Session::read_into or Session::value_reader; it can be replaced and deleted as any other")
    }
}

fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at * 8..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;
    use crate::memory::{load_bytes, words_for};
    use crate::record::{Content, RootDraft};
    use crate::sync::AtomicU64;
    use proptest::prelude::*;

    const LAYOUT: RecordLayout = RecordLayout::new(Some(8), None);

    fn bytes_of(size: usize, write: impl FnOnce(RecordRef<'_>)) -> Vec<u8> {
        let words: Vec<AtomicU64> = (0..words_for(size)).map(|_| AtomicU64::new(0)).collect();
        write(RecordRef::new(&words));
        let mut bytes = vec![0; size];
        load_bytes(&words, &mut bytes);
        bytes
    }

    #[test]
    fn golden_bytes_of_a_fragment() {
        let fragment = Fragment { title: Address::new(0x40), level: 2, number: 3 };
        let bytes = bytes_of(48, |record| fragment.write(record, LAYOUT, 5, &[], &[1, 2, 3]));
        let mut golden = vec![0, 0, 0, 0, 0, 0, 5, 0xd0]; // present, invalid, 60
        golden.extend([0, 0, 0, 0, 3, 0, 0, 0]); // no key, 3 words
        golden.extend([19, 0, 0, 0x80, 0, 0, 0, 0]); // length 19, sealed
        golden.extend([0x40, 0, 0, 0, 0, 0, 2, 0]);
        golden.extend([3, 0, 0, 0, 0, 0, 0, 0]);
        golden.extend([1, 2, 3, 0, 0, 0, 0, 0]);
        assert_eq!(bytes, golden);
        assert_eq!(LAYOUT.size_in(&bytes), Some(48));
        assert_eq!(Fragment::parse(LAYOUT, &bytes), Some((fragment, &[][..], &[1, 2, 3][..])));
        assert_eq!(fragment.bytes_in(LAYOUT, &bytes, 3).unwrap(), 40);
        assert!(fragment.begins_with(LAYOUT, &bytes[..40], 3));
        assert!(!fragment.begins_with(LAYOUT, &bytes[..39], 3) && !fragment.begins_with(LAYOUT, &bytes[..40], 4));
        for other in [
            Fragment { title: Address::new(0x48), ..fragment },
            Fragment { level: 1, ..fragment },
            Fragment { number: 4, ..fragment },
        ] {
            assert_eq!(other.bytes_in(LAYOUT, &bytes, 3).unwrap_err().kind(), ErrorKind::Corrupt);
            assert!(!other.begins_with(LAYOUT, &bytes[..40], 3));
        }
        assert!(fragment.bytes_in(LAYOUT, &bytes, 2).is_err(), "another length");
        assert_eq!(
            Fragment::parse(RecordLayout::fixed(8, 100), &bytes),
            None,
            "there are none where values have one length"
        );
    }

    #[test]
    fn golden_bytes_of_a_root() {
        let below = vec![Address::new(0x80), Address::new(0x100)];
        let root = Root { at: Address::INVALID, len: 30, title: Address::new(0x40), leaf: 16, level: 0, below };
        let (key, value) = (7u64.to_le_bytes(), root.to_bytes());
        let draft = RootDraft::new(&key, &value);
        let info = RecordInfo::new(Address::new(0x50), 5);
        let sizes = Content::<u64, Vec<u8>>::sizes(draft);
        let bytes = bytes_of(72, |record| Content::<u64, Vec<u8>>::write(draft, record, sizes, info));
        let mut golden = vec![0x50, 0, 0, 0, 0, 0, 5, 0x90]; // present, 60
        golden.extend([8, 0, 0, 0, 5, 0, 0, 0]);
        golden.extend([7, 0, 0, 0, 0, 0, 0, 0]);
        golden.extend([40, 0, 0, 0x80, 0, 0, 0, 0]); // length 40, sealed
        golden.extend([30, 0x40, 16, 0x80].into_iter().flat_map(u64::to_le_bytes));
        golden.extend(0x100u64.to_le_bytes());
        assert_eq!(bytes, golden);
        let record = RecordLayout::parse::<u64, Vec<u8>>(&bytes).unwrap();
        assert_eq!((record.key, record.value.clone(), record.large_len()), (7, None, Some(30)));
        assert_eq!(record.large, Some(root));
        let record = RecordLayout::parse::<u64, [u8; 40]>(&bytes[..]);
        assert!(
            record.is_err() || record.is_ok_and(|record| record.large_len().is_none()),
            "only where values are of any length"
        );
    }

    #[test]
    fn a_root_that_makes_no_sense_is_refused() {
        let good = Root {
            at: Address::INVALID,
            len: 1000,
            title: Address::new(64),
            leaf: 64,
            level: 1,
            below: vec![Address::new(128), Address::new(256)],
        };
        assert_eq!(Root::parse(&good.to_bytes()).unwrap(), good);
        let bad = [
            Root { len: 0, ..good.clone() },
            Root { len: 1025, ..good.clone() },
            Root { len: u64::MAX, ..good.clone() },
            Root { title: Address::INVALID, ..good.clone() },
            Root { title: Address::new(128), ..good.clone() },
            Root { leaf: 0, ..good.clone() },
            Root { leaf: 60, ..good.clone() },
            Root { level: 9, ..good.clone() },
            Root { below: Vec::new(), ..good.clone() },
            Root { below: vec![Address::new(256), Address::new(128)], ..good.clone() },
            Root { below: vec![Address::new(128), Address::new(129)], ..good.clone() },
        ];
        for root in bad {
            assert_eq!(Root::parse(&root.to_bytes()).unwrap_err().kind(), ErrorKind::Corrupt, "{root:?}");
        }
        assert!(Root::parse(&good.to_bytes()[..39]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_root_or_an_error(words in proptest::collection::vec(prop_oneof![0u64..5000, any::<u64>()], 0..12)) {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            if let Ok(root) = Root::parse(&bytes) {
                prop_assert_eq!(&root.to_bytes(), &bytes);
                prop_assert!(root.log_bytes(LAYOUT) >= root.len);
            }
            let _ = Fragment::parse(RecordLayout::new(None, None), &bytes);
            let fragment = Fragment { title: Address::new(64), level: 0, number: 0 };
            prop_assert!(!fragment.begins_with(LAYOUT, &bytes[..bytes.len().min(32)], 3));
        }
    }
}
