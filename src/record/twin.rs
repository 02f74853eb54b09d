//! A record and its copy elsewhere in the log, which is another record of the same key.

use super::{Key, RecordInfo, RecordRef, Value};
use crate::sync::{AtomicU64, Ordering};

impl<'r> RecordRef<'r> {
    /// Copies the record, which nobody changes, to words that were just given out, under another header: it is a tombstone or the root
    /// of a large value if this one is.
    #[cfg(not(oxifaster_loom))]
    pub(crate) fn copy_to<K: Key, V: Value>(self, to: RecordRef<'_>, info: RecordInfo) {
        let words = self.part::<K, V>(0..self.sizes::<K, V>().record_words());
        for (word, place) in words.iter().zip(to.words).skip(1) {
            place.store(word.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let own = self.info();
        let info = if own.is_tombstone() { info.with_tombstone() } else { info };
        let info = if V::FIXED.is_none() && own.is_large() { info.with_large() } else { info };
        to.words[0].store(info.word(), Ordering::Relaxed);
    }

    /// True if both are of one key.
    pub(crate) fn has_key_of<K: Key, V: Value>(self, other: Self) -> bool {
        let sizes = [self.sizes::<K, V>(), other.sizes::<K, V>()];
        let [own, others] = [self.key_words::<K, V>(sizes[0]), other.key_words::<K, V>(sizes[1])];
        let words = |words: &'r [AtomicU64]| words.iter().map(|word| word.load(Ordering::Relaxed));
        sizes[0].key() == sizes[1].key() && words(own).eq(words(others))
    }
}
