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
    pub(crate) const OVERHEAD: usize = 24 + ID_SIZE;

    /// Bytes of a leaf in a log whose pages have room for records of `page` bytes: four fill a page, if it is not a large one.
    pub(crate) const fn leaf_size(page: usize) -> usize {
        const LARGEST: usize = 256 << 10;
        let record = page / 4 / 8 * 8 - Self::OVERHEAD;
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

    /// Takes the `len` bytes of this fragment out of those of its record, in place. Says where they begin.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it is another one.
    pub(crate) fn bytes_in(self, layout: RecordLayout, record: &[u8], len: usize) -> Result<usize> {
        match Self::parse(layout, record) {
            Some((found, key, bytes)) if found == self && key.is_empty() && bytes.len() == len => Ok(Self::OVERHEAD),
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
    pub(crate) fn log_bytes(&self) -> u64 {
        let fragments: u64 = (0..=self.level).map(|level| self.count(level)).sum();
        self.len + (fragments - self.count(0)) * 8 + fragments * Fragment::OVERHEAD as u64
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
        let is_leaf = leaf % 8 == 0 && (16..=1 << 30).contains(&leaf);
        let is_possible = is_leaf && (1..=Address::MAX.get()).contains(&len) && rest.is_empty();
        let below: Vec<_> = below.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let title = Address::from_word(place);
        let in_order = below.iter().zip(below.iter().skip(1)).all(|(one, next)| one < next);
        let in_log = below.first()? > &title.get() && below.last()? <= &Address::MAX.get();
        let is_aligned = below.iter().all(|at| at % 8 == 0);
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
