//! Overflow buckets, all allocated up front.

use super::bucket::{Bucket, WORDS};
use crate::error::Result;
use crate::memory::Words;
use crate::sync::{AtomicU64, Mutex, Ordering};

pub(super) struct Arena {
    words: Words,
    len: u64,
    /// Buckets handed out in order of number; never beyond `len`.
    next: AtomicU64,
    /// Buckets that lost the race for their link and are still all free. Races are rare, and so is the lock.
    returned: Mutex<Vec<u64>>,
}

impl Arena {
    /// An arena of `len` buckets; the caller has checked that they fit the address space.
    pub(super) fn new(len: u64) -> Result<Self> {
        Ok(Self {
            words: Words::zeroed(len as usize * WORDS)?,
            len,
            next: AtomicU64::new(0),
            returned: Mutex::new(Vec::new()),
        })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The memory of all buckets.
    pub(super) fn memory(&self) -> &Words {
        &self.words
    }

    /// Buckets that were handed out, those that came back included.
    pub(super) fn used(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// The same buckets in an arena for `len`, or for as many as are used already.
    pub(super) fn resized(self, len: u64) -> Result<Self> {
        let (used, returned) = (self.used(), self.returned);
        if self.len == len.max(used) {
            return Ok(Self { words: self.words, len: self.len, next: self.next, returned });
        }
        let resized = Self { returned, ..Self::new(len.max(used))? };
        resized.next.store(used, Ordering::Relaxed);
        for (to, from) in resized.words.iter().zip(&self.words[..used as usize * WORDS]) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        Ok(resized)
    }

    #[inline]
    pub(super) fn bucket(&self, number: u64) -> Option<Bucket<'_>> {
        self.words.as_chunks().0.get(usize::try_from(number).ok()?).map(Bucket)
    }

    /// A bucket that nobody else has, all words 0; `None` if the arena is used up.
    pub(super) fn allocate(&self) -> Option<u64> {
        let take_one = |next| if next < self.len { Some(next + 1) } else { None };
        // Relaxed: the number is unique by the read-modify-write, and the bucket's words are 0 from birth.
        match self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_one) {
            Ok(number) => Some(number),
            Err(_) => self.returned.lock().pop(),
        }
    }

    /// Takes back a bucket that was never linked.
    pub(super) fn give_back(&self, number: u64) {
        self.returned.lock().push(number);
    }
}
