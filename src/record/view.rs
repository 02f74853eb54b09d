//! A record where it lies, borrowed for as long as the thread stays pinned.

use super::info::{INVALID, TOMBSTONE};
use super::{Key, Latch, RecordInfo, RecordLayout, Value};
use crate::address::Address;
use crate::memory::{equals_bytes, load_bytes, store_bytes};
use crate::status::OperationStatus;
use crate::sync::{AtomicU64, Backoff, Ordering, Visible, after_exchange};
use crate::utility::KeyHash;

/// The words of one record in the log's memory. The lifetime is that of the guard under which the log handed them out.
#[derive(Clone, Copy)]
pub(crate) struct RecordRef<'g> {
    words: &'g [AtomicU64],
}

impl<'g> RecordRef<'g> {
    #[inline]
    pub(crate) const fn new(words: &'g [AtomicU64]) -> Self {
        Self { words }
    }

    /// The header; what its writer wrote before publishing the record is visible.
    #[inline]
    pub(crate) fn info(self) -> RecordInfo {
        RecordInfo::from_word(self.words[0].load(Ordering::Acquire))
    }

    /// Fills freshly allocated, unpublished words with a record. Publishing it in the index makes it visible.
    #[inline]
    pub(crate) fn write<K: Key, V: Value>(self, info: RecordInfo, key: &K, value: Option<&V>) {
        let layout = const { RecordLayout::of::<K, V>() };
        store_bytes(&self.words[layout.key_word()..layout.latch_word()], key.as_bytes());
        if layout.is_latched() {
            self.words[layout.latch_word()].store(Latch::open(V::SIZE), Ordering::Relaxed);
        }
        if let Some(value) = value {
            store_bytes(&self.words[layout.value_word()..], value.as_bytes());
        }
        self.words[0].store(info.word(), Ordering::Relaxed);
    }

    /// Leads the chain on to `previous`. For a copy in a read cache only, by the one thread that makes room there (R2).
    pub(crate) fn lead_on_to(self, previous: Address) {
        let info = RecordInfo::new(previous, self.info().version());
        self.words[0].store(info.word(), Ordering::Release);
    }

    /// Leads on to `previous`. For a record that was not published yet.
    pub(crate) fn put_in_front_of(self, previous: Address) {
        let info = RecordInfo::from_word(self.words[0].load(Ordering::Relaxed));
        self.words[0].store(info.leading_to(previous).word(), Ordering::Relaxed);
    }

    /// The key.
    pub(crate) fn key<K: Key, V: Value>(self) -> K {
        let layout = const { RecordLayout::of::<K, V>() };
        K::build(|bytes| load_bytes(&self.words[layout.key_word()..layout.latch_word()], bytes))
    }

    /// Marks a record that lost the race to be published.
    pub(crate) fn invalidate(self) {
        self.words[0].fetch_or(INVALID, Ordering::Release);
    }

    /// Deletes the record's key where it lies; false if it was deleted before.
    #[inline]
    pub(crate) fn set_tombstone(self) -> bool {
        let before = self.words[0].fetch_or(TOMBSTONE, Ordering::AcqRel);
        after_exchange();
        before & TOMBSTONE == 0
    }

    #[inline]
    pub(crate) fn key_is<K: Key, V: Value>(self, key: &K) -> bool {
        let layout = const { RecordLayout::of::<K, V>() };
        equals_bytes(&self.words[layout.key_word()..layout.latch_word()], key.as_bytes())
    }

    /// The hash of its key.
    #[inline]
    pub(crate) fn key_hash<K: Key, V: Value>(self) -> KeyHash {
        let layout = const { RecordLayout::of::<K, V>() };
        let words = &self.words[layout.key_word()..layout.latch_word()];
        KeyHash::of_bytes(K::build(|bytes| load_bytes(words, bytes)).as_bytes())
    }

    #[inline]
    fn value_words<K: Key, V: Value>(self) -> &'g [AtomicU64] {
        let layout = const { RecordLayout::of::<K, V>() };
        &self.words[layout.value_word()..layout.record_words()]
    }

    #[inline]
    fn latch<K: Key, V: Value>(self) -> Latch<'g> {
        let layout = const { RecordLayout::of::<K, V>() };
        Latch::new(&self.words[layout.latch_word()])
    }

    /// A whole copy of the value, also while others write it.
    #[inline]
    pub(crate) fn value<K: Key, V: Value>(self) -> V {
        let words = self.value_words::<K, V>();
        if const { RecordLayout::of::<K, V>().is_latched() } {
            return self.latch::<K, V>().read(|| V::build(|bytes| load_bytes(words, bytes))).0;
        }
        match words.first() {
            // Acquire: who sees this write also sees what its writer did before, such as other keys.
            Some(word) => value_of(word.load(Ordering::Acquire)),
            None => V::build(|_| {}),
        }
    }

    /// Replaces the value where it lies.
    #[inline]
    pub(crate) fn set_value<K: Key, V: Value>(self, value: &V, visible: Visible) {
        let words = self.value_words::<K, V>();
        if const { RecordLayout::of::<K, V>().is_latched() } {
            self.latch::<K, V>().write(visible, || store_bytes(words, value.as_bytes()));
        } else if let Some(word) = words.first() {
            visible.publish(word, word_of(value));
        }
    }

    /// Replaces the value by what `modify` makes of it, as one step: nobody's change in between is lost. `modify` runs
    /// again on the newer value when somebody was faster, and leaves the record alone by returning false.
    #[inline]
    pub(crate) fn modify_value<K: Key, V: Value>(self, modify: &mut impl FnMut(&mut V) -> bool) -> OperationStatus {
        let mut backoff = Backoff::new();
        loop {
            match self.try_modify::<K, V>(modify) {
                Some(true) => return OperationStatus::InPlace,
                Some(false) => return OperationStatus::Unchanged,
                None => backoff.wait(),
            }
        }
    }

    /// One attempt: whether the value was changed, or `None` if somebody else was faster.
    #[inline]
    fn try_modify<K: Key, V: Value>(self, modify: &mut impl FnMut(&mut V) -> bool) -> Option<bool> {
        let words = self.value_words::<K, V>();
        if const { RecordLayout::of::<K, V>().is_latched() } {
            let latch = self.latch::<K, V>();
            let (mut value, seen) = latch.read(|| V::build(|bytes| load_bytes(words, bytes)));
            if !modify(&mut value) {
                return Some(false);
            }
            return latch.try_write(seen, Visible::Now, || store_bytes(words, value.as_bytes())).then_some(true);
        }
        let Some(word) = words.first() else {
            return Some(modify(&mut V::build(|_| {}))); // a value of no bytes
        };
        let seen = word.load(Ordering::Acquire);
        let mut value: V = value_of(seen);
        if !modify(&mut value) {
            return Some(false);
        }
        word.compare_exchange(seen, word_of(&value), Ordering::AcqRel, Ordering::Acquire).ok()?;
        after_exchange();
        Some(true)
    }
}

/// The value of at most 8 bytes in this word.
#[inline]
fn value_of<V: Value>(word: u64) -> V {
    V::build(|bytes| bytes.copy_from_slice(&word.to_le_bytes()[..V::SIZE]))
}

/// The word of a value of at most 8 bytes.
#[inline]
fn word_of<V: Value>(value: &V) -> u64 {
    let mut word = [0; 8];
    word[..V::SIZE].copy_from_slice(value.as_bytes());
    u64::from_le_bytes(word)
}
