//! The sizes and places of the parts of one record.

use super::RecordLayout;
use crate::memory::words_for;

/// How long the parts of one record are. Of types with a fixed length it is a constant; of others it stands in the record's
/// second word, which is there for nothing else: bytes of the key in the low half, words of the value in the high one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordSizes {
    layout: RecordLayout,
    key: usize,
    value_words: usize,
}

impl RecordSizes {
    #[inline(always)]
    pub(super) const fn new(layout: RecordLayout, key: usize, value: usize) -> Self {
        Self { layout, key, value_words: words_for(value) }
    }

    #[inline(always)]
    pub(super) const fn from_word(layout: RecordLayout, word: u64) -> Self {
        Self { layout, key: word as u32 as usize, value_words: (word >> 32) as usize }
    }

    /// The record's second word, if it has one for that.
    #[inline(always)]
    pub(super) const fn word(self) -> u64 {
        self.key as u64 | (self.value_words as u64) << 32
    }

    /// Bytes of the key.
    #[inline(always)]
    pub(crate) const fn key(self) -> usize {
        self.key
    }

    /// Bytes that there is room for in the record's value.
    #[inline(always)]
    pub(crate) const fn capacity(self) -> usize {
        self.value_words * 8
    }

    /// Whether a value of `len` bytes has its place in the record.
    #[inline(always)]
    pub(crate) const fn has_room_for(self, len: usize) -> bool {
        words_for(len) <= self.value_words
    }

    /// Bytes of the record, a multiple of 8, without what a header says that follows.
    #[inline(always)]
    pub(crate) const fn record_size(self) -> usize {
        self.record_words() * 8
    }

    #[inline(always)]
    pub(crate) const fn key_word(self) -> usize {
        if self.layout.key_size().is_some() && self.layout.value_size().is_some() { 1 } else { 2 }
    }

    #[inline(always)]
    pub(crate) const fn latch_word(self) -> usize {
        self.key_word() + words_for(self.key)
    }

    /// Whether values may end.
    pub(crate) const fn expires(self) -> bool {
        self.layout.expires()
    }

    /// Of values that may end: behind the latch, which they always have.
    #[inline(always)]
    pub(crate) const fn expiry_word(self) -> usize {
        self.latch_word() + 1
    }

    #[inline(always)]
    pub(crate) const fn value_word(self) -> usize {
        self.latch_word() + self.layout.is_latched() as usize + self.layout.expires() as usize
    }

    #[inline(always)]
    pub(crate) const fn record_words(self) -> usize {
        self.value_word() + self.value_words
    }

    /// The same, with all that a space of `size` bytes has left as room for the value.
    pub(crate) const fn filling(self, size: usize) -> Self {
        Self { value_words: (size / 8).saturating_sub(self.value_word()), ..self }
    }

    /// The key in the bytes of the whole record.
    #[inline]
    pub(super) fn key_in(self, record: &[u8]) -> &[u8] {
        let from = self.key_word() * 8;
        record.get(from..from + self.key).unwrap_or_default()
    }

    /// The room for the value in the bytes of the whole record.
    #[inline]
    pub(super) fn value_in(self, record: &[u8]) -> &[u8] {
        record.get(self.value_word() * 8..self.record_size()).unwrap_or_default()
    }
}
