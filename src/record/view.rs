//! A record where it lies, borrowed for as long as the thread stays pinned.

use super::info::{CLOSED, INVALID, TOMBSTONE};
use super::{
    Draft, Expiry, Held, Key, KeyBytes, KnownRecord, Latch, RecordInfo, RecordLayout, RecordSizes, Root, Seen, Value,
    ValueBytes,
};
use crate::address::Address;
use crate::error::Result;
use crate::memory::{bytes_of, load_bytes, store_bytes};
use crate::sync::{AtomicU64, Backoff, Ordering, Visible, after_exchange};
use crate::utility::KeyHash;
use std::ops::Range;

/// The words of one record in the log's memory, or more from its first one on, if its size is still to be told. The lifetime is
/// that of the guard under which the log handed them out.
#[derive(Clone, Copy)]
pub(crate) struct RecordRef<'g> {
    pub(super) words: &'g [AtomicU64],
}

/// What is to become of a value that was looked at, and maybe changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It stays as it was.
    Keep,
    /// It is what it was changed to.
    Set,
    /// It is deleted.
    Delete,
}

/// What became of a change in place.
pub(crate) enum Modified<V> {
    /// The value was changed.
    InPlace,
    /// It was left alone.
    Unchanged,
    /// It is to be deleted, as long as it is the one that was seen.
    Doomed(Seen),
    /// What it would become has no place in the record, which is as it was.
    Outgrown(V, Seen),
    /// The record is not changed any more: its value may be copied, unless it was deleted.
    Sealed,
}

/// What became of a deletion in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// The key was there, and is deleted.
    Now,
    /// It was deleted before.
    Before,
    /// The record is not changed any more.
    Sealed,
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

    /// How long its parts are. For a record that was found through the index, or is in a page that nobody writes any more.
    #[inline(always)]
    pub(crate) fn sizes<K: Key, V: Value>(self) -> RecordSizes {
        let layout = const { RecordLayout::of::<K, V>() };
        match layout.fixed_sizes() {
            Some(sizes) => sizes,
            None => layout.sizes_told(self.words.get(1).map_or(0, |word| word.load(Ordering::Relaxed))),
        }
    }

    /// The record together with its sizes.
    #[inline(always)]
    pub(crate) fn known<K: Key, V: Value>(self) -> KnownRecord<'g> {
        KnownRecord { record: self, sizes: self.sizes::<K, V>() }
    }

    /// Words of the record. Those of a record of any length were not counted when they were handed out.
    #[inline(always)]
    pub(super) fn part<K: Key, V: Value>(self, range: Range<usize>) -> &'g [AtomicU64] {
        if const { RecordLayout::of::<K, V>().fixed_sizes().is_some() } {
            &self.words[range]
        } else {
            match self.words.get(range) {
                Some(words) => words,
                None => no_words(),
            }
        }
    }

    /// Fills freshly allocated, unpublished words with a record. Publishing it in the index makes it visible.
    #[inline(always)]
    pub(crate) fn write<K: Key, V: Value>(
        self,
        info: RecordInfo,
        draft: Draft<'_, impl KeyBytes + ?Sized, impl ValueBytes + ?Sized>,
    ) {
        self.write_as::<K, V>(draft.sizes::<K, V>(), info, draft);
    }

    /// The same with parts of these sizes, which have room for those of the draft.
    #[inline]
    pub(crate) fn write_as<K: Key, V: Value>(
        self,
        sizes: RecordSizes,
        info: RecordInfo,
        draft: Draft<'_, impl KeyBytes + ?Sized, impl ValueBytes + ?Sized>,
    ) {
        let layout = const { RecordLayout::of::<K, V>() };
        if layout.fixed_sizes().is_none() {
            self.words[1].store(sizes.word(), Ordering::Relaxed);
        }
        store_bytes(&self.words[sizes.key_word()..sizes.latch_word()], draft.key.key_bytes());
        if layout.is_latched() {
            let len = V::FIXED.unwrap_or(draft.value.map_or(0, |value| value.value_bytes().len()));
            self.words[sizes.latch_word()].store(Latch::open(len), Ordering::Relaxed);
        }
        if let Some(value) = draft.value {
            self.store_expiry::<V>(sizes, value);
            store_bytes(&self.words[sizes.value_word()..], value.value_bytes());
        }
        let info = if draft.value.is_some() { info } else { info.with_tombstone() };
        self.words[0].store(info.word(), Ordering::Relaxed);
    }

    /// The same with a value of any length that nobody ever changes where it lies: `head`, and behind it `rest`. It never ends.
    pub(crate) fn write_sealed(self, sizes: RecordSizes, info: RecordInfo, key: &[u8], head: &[u64], rest: &[u8]) {
        let (value, len) = (sizes.value_word(), head.len() * 8 + rest.len());
        self.words[1].store(sizes.word(), Ordering::Relaxed);
        store_bytes(&self.words[sizes.key_word()..sizes.latch_word()], key);
        self.words[sizes.latch_word()].store(Latch::sealed(len), Ordering::Relaxed);
        if sizes.expires() {
            self.words[sizes.expiry_word()].store(Expiry::NEVER.word(), Ordering::Relaxed);
        }
        for (word, place) in head.iter().zip(&self.words[value..]) {
            place.store(*word, Ordering::Relaxed);
        }
        store_bytes(&self.words[value + head.len()..], rest);
        self.words[0].store(info.word(), Ordering::Relaxed);
    }

    /// Sets the word that says when the value ends, if there is one.
    #[inline(always)]
    pub(super) fn store_expiry<V: Value>(self, sizes: RecordSizes, value: &(impl ValueBytes + ?Sized)) {
        if const { V::EXPIRES } {
            self.words[sizes.expiry_word()].store(value.ends().word(), Ordering::Relaxed);
        }
    }

    #[inline(always)]
    pub(super) fn load_expiry<V: Value>(self, sizes: RecordSizes) -> Expiry {
        match const { V::EXPIRES } {
            true => Expiry::at_ms(self.words[sizes.expiry_word()].load(Ordering::Relaxed)),
            false => Expiry::NEVER,
        }
    }

    /// Takes the latch of a record of a value that may end, which was not published yet: who finds it waits.
    pub(crate) fn hold<K: Key, V: Value>(self) {
        self.latch(self.sizes::<K, V>()).hold();
    }

    /// Ends that, after it was published. If the value is not to be there, it has ended before all time.
    pub(crate) fn release<K: Key, V: Value>(self, is_there: bool) {
        let sizes = self.sizes::<K, V>();
        if !is_there {
            self.words[sizes.expiry_word()].store(Expiry::BEFORE_ALL.word(), Ordering::Relaxed);
        }
        self.latch(sizes).release();
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

    /// Marks a record that lost the race to be published.
    pub(crate) fn invalidate(self) {
        self.words[0].fetch_or(INVALID, Ordering::Release);
    }

    #[inline]
    pub(crate) fn key_is<K: Key, V: Value>(self, key: &(impl KeyBytes + ?Sized)) -> bool {
        self.known::<K, V>().key_is::<K, V>(key)
    }

    #[inline(always)]
    pub(super) fn key_words<K: Key, V: Value>(self, sizes: RecordSizes) -> &'g [AtomicU64] {
        self.part::<K, V>(sizes.key_word()..sizes.latch_word())
    }

    /// The hash of its key.
    #[inline]
    pub(crate) fn key_hash<K: Key, V: Value>(self) -> KeyHash {
        let sizes = self.sizes::<K, V>();
        let words = self.key_words::<K, V>(sizes);
        if let Some(size) = K::FIXED
            && let Ok(key) = K::build(size, |bytes| {
                load_bytes(words, bytes);
                size
            })
        {
            return KeyHash::of_bytes(key.as_bytes());
        }
        KeyHash::of_bytes(&bytes_of(words, sizes.key()))
    }

    #[inline(always)]
    pub(super) fn value_words<K: Key, V: Value>(self, sizes: RecordSizes) -> &'g [AtomicU64] {
        self.part::<K, V>(sizes.value_word()..sizes.record_words())
    }

    #[inline(always)]
    pub(super) fn latch(self, sizes: RecordSizes) -> Latch<'g> {
        Latch::new(&self.words[sizes.latch_word()])
    }

    /// Latch and value of a record that has a latch.
    #[inline(always)]
    pub(super) fn latched<K: Key, V: Value>(self, sizes: RecordSizes) -> (Latch<'g>, &'g [AtomicU64]) {
        if const { !V::EXPIRES && RecordLayout::of::<K, V>().fixed_sizes().is_none() }
            && let Some([latch, value @ ..]) = self.words.get(sizes.latch_word()..sizes.record_words())
        {
            return (Latch::new(latch), value); // one look at how far the words reach
        }
        let value = self.value_words::<K, V>(sizes);
        (self.latch(sizes), value)
    }

    /// A whole copy of the value, also while others write it.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if it is none of the type.
    #[inline(always)]
    pub(crate) fn value<K: Key, V: Value>(self) -> Result<V> {
        let mut seen = Seen::NOTHING;
        self.look::<K, V>(&mut seen)
    }

    /// What it holds, which nobody else writes if it is large.
    ///
    /// # Errors
    /// As for [`value`](Self::value).
    pub(crate) fn held<K: Key, V: Value>(self) -> Result<Held<V>> {
        if const { V::FIXED.is_none() } && self.info().is_large() {
            return self.root::<K, V>().map(Held::Large);
        }
        self.value::<K, V>().map(Held::Value)
    }

    #[cold]
    fn root<K: Key, V: Value>(self) -> Result<Root> {
        let mut bytes = Vec::new();
        self.known::<K, V>().copy_value::<K, V>(&mut bytes);
        Root::parse(&bytes)
    }

    /// The value. If it is latched, `seen` is what it takes to write another one in its place.
    #[inline(always)]
    fn look<K: Key, V: Value>(self, seen: &mut Seen) -> Result<V> {
        if const { V::FIXED.is_none() } && self.info().is_large() {
            return Err(self.root::<K, V>()?.refuse());
        }
        self.look_as::<K, V>(self.sizes::<K, V>(), seen)
    }

    /// The same of one that has these sizes and is no root of a large value.
    #[inline(always)]
    pub(super) fn look_as<K: Key, V: Value>(self, sizes: RecordSizes, seen: &mut Seen) -> Result<V> {
        if const { RecordLayout::of::<K, V>().is_latched() } {
            if const { V::EXPIRES } {
                return self.look_with_expiry::<K, V>(sizes, seen);
            }
            let (latch, words) = self.latched::<K, V>(sizes);
            if let Some(size) = V::FIXED {
                let copy = |bytes: &mut [u8]| {
                    load_bytes(words, bytes);
                    size
                };
                return latch.read(seen, |_| V::build(size, copy));
            }
            // Its bytes are made a value when the copy is known to be whole.
            return V::from_vec(latch.read(seen, |len| bytes_of(words, len)));
        }
        match self.value_words::<K, V>(sizes).first() {
            // Acquire: who sees this write also sees what its writer did before, such as other keys.
            Some(word) => value_of(word.load(Ordering::Acquire)),
            None => V::build(0, |_| 0),
        }
    }

    /// The same for a value that may end: what comes out of the latch together.
    #[inline(always)]
    fn look_with_expiry<K: Key, V: Value>(self, sizes: RecordSizes, seen: &mut Seen) -> Result<V> {
        let ((latch, words), mut expiry) = (self.latched::<K, V>(sizes), Expiry::NEVER);
        let mut value = match V::FIXED {
            Some(size) => V::build(size, |bytes| {
                latch.read(seen, |_| {
                    expiry = self.load_expiry::<V>(sizes);
                    load_bytes(words, bytes);
                    size
                })
            })?,
            None => V::from_vec(latch.read(seen, |len| {
                expiry = self.load_expiry::<V>(sizes);
                bytes_of(words, len)
            }))?,
        };
        value.set_expiry(expiry);
        Ok(value)
    }

    /// As [`KnownRecord::set_value`](super::KnownRecord::set_value).
    #[inline]
    pub(crate) fn set_value<K: Key, V: Value>(self, value: &(impl ValueBytes + ?Sized), visible: Visible) -> bool {
        self.known::<K, V>().set_value::<K, V>(value, visible)
    }

    /// Deletes the record's key where it lies. A record that may be sealed is deleted under its latch, so that who seals it sees
    /// the deletion, or who deletes it the seal.
    #[inline]
    pub(crate) fn delete<K: Key, V: Value>(self) -> Deleted {
        let mut is_first = false;
        if const { V::FIXED.is_some() } {
            is_first = self.set_tombstone();
        } else {
            let first = std::cell::Cell::new(false);
            let latch = self.latch(self.sizes::<K, V>());
            if !latch.write(None, Visible::Now, || first.set(self.set_tombstone())) {
                return Deleted::Sealed;
            }
            is_first |= first.get();
        }
        if is_first { Deleted::Now } else { Deleted::Before }
    }

    /// Sets the tombstone; false if it was set before.
    #[inline]
    fn set_tombstone(self) -> bool {
        let before = self.words[0].fetch_or(TOMBSTONE, Ordering::AcqRel);
        after_exchange();
        before & TOMBSTONE == 0
    }

    /// Replaces the value by what `modify` makes of it, as one step: nobody's change in between is lost. `modify` runs
    /// again on the newer value when somebody was faster. If it ends later than the one that was there, `may_last` is asked, under
    /// the latch, with when that one ended; a no counts as somebody who was faster.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if what is there is no value of the type.
    #[inline]
    pub(crate) fn modify_value<K: Key, V: Value>(
        self,
        modify: &mut impl FnMut(&mut V) -> Verdict,
        may_last: &impl Fn(Expiry) -> bool,
    ) -> Result<Modified<V>> {
        let mut backoff = Backoff::new();
        loop {
            match self.try_modify::<K, V>(modify, may_last)? {
                Some(modified) => return Ok(modified),
                None => backoff.wait(),
            }
        }
    }

    /// One attempt: `None` if somebody else was faster.
    #[inline]
    fn try_modify<K: Key, V: Value>(
        self,
        modify: &mut impl FnMut(&mut V) -> Verdict,
        may_last: &impl Fn(Expiry) -> bool,
    ) -> Result<Option<Modified<V>>> {
        let sizes = self.sizes::<K, V>();
        let words = self.value_words::<K, V>(sizes);
        if const { RecordLayout::of::<K, V>().is_latched() } {
            let (latch, is_fixed) = (self.latch(sizes), const { V::FIXED.is_some() });
            let mut seen = Seen::NOTHING;
            let mut value = self.look::<K, V>(&mut seen)?;
            let until = value.expiry();
            match modify(&mut value) {
                Verdict::Keep => return Ok(Some(Modified::Unchanged)),
                _ if seen.is_sealed() => return Ok(Some(Modified::Sealed)),
                Verdict::Delete => return Ok(Some(Modified::Doomed(seen))),
                Verdict::Set => {}
            }
            let len = value.as_bytes().len();
            if !is_fixed && len > words.len() * 8 {
                return Ok(Some(Modified::Outgrown(value, seen)));
            }
            let len = if is_fixed { None } else { Some(len) };
            let is_done = if const { V::EXPIRES } {
                latch.try_write_if(seen, len, Visible::Now, || {
                    let is_to_be = value.expiry() <= until || may_last(until);
                    if is_to_be {
                        self.store_expiry::<V>(sizes, &value);
                        store_bytes(words, value.as_bytes());
                    }
                    is_to_be
                })
            } else {
                latch.try_write(seen, len, Visible::Now, || store_bytes(words, value.as_bytes()))
            };
            return Ok(is_done.then_some(Modified::InPlace));
        }
        let Some(word) = words.first() else {
            // A value of no bytes.
            return Ok(Some(match modify(&mut V::build(0, |_| 0)?) {
                Verdict::Keep => Modified::Unchanged,
                Verdict::Set => Modified::InPlace,
                Verdict::Delete => Modified::Doomed(Seen::NOTHING),
            }));
        };
        let seen = word.load(Ordering::Acquire);
        let mut value: V = value_of(seen)?;
        match modify(&mut value) {
            Verdict::Keep => return Ok(Some(Modified::Unchanged)),
            Verdict::Delete => return Ok(Some(Modified::Doomed(Seen::NOTHING))),
            Verdict::Set => {}
        }
        if word.compare_exchange(seen, word_of::<V>(&value), Ordering::AcqRel, Ordering::Acquire).is_err() {
            return Ok(None);
        }
        after_exchange();
        Ok(Some(Modified::InPlace))
    }

    /// Has the value of one word stay as it is (R8), but for those who are pinned and have looked at the header before.
    pub(crate) fn close(self) {
        self.words[0].fetch_or(CLOSED, Ordering::AcqRel);
        after_exchange();
    }

    /// Seals the record (R7), if its value is the one that was seen. Whether it was deleted by then is to be looked at after.
    pub(crate) fn try_seal<K: Key, V: Value>(self, seen: Seen) -> bool {
        self.latch(self.sizes::<K, V>()).try_seal(seen)
    }

    /// Seals the record (R7), which has another one in front of it.
    pub(crate) fn seal<K: Key, V: Value>(self) {
        self.latch(self.sizes::<K, V>()).seal();
    }
}

/// Of a record that does not tell the truth about its length.
#[cold]
fn no_words() -> &'static [AtomicU64] {
    &[]
}

/// The value of at most 8 bytes in this word.
#[inline]
fn value_of<V: Value>(word: u64) -> Result<V> {
    let size = V::FIXED.unwrap_or_default();
    V::build(size, |bytes| {
        bytes.copy_from_slice(&word.to_le_bytes()[..size]);
        size
    })
}

/// The word of a value of at most 8 bytes.
#[inline]
pub(super) fn word_of<V: Value>(value: &(impl ValueBytes + ?Sized)) -> u64 {
    let size = V::FIXED.unwrap_or_default();
    let mut word = [0; 8];
    word[..size].copy_from_slice(value.value_bytes());
    u64::from_le_bytes(word)
}
