//! Overflow buckets, all allocated up front.

use super::bucket::{Bucket, WORDS};
use crate::error::Result;
use crate::memory::Words;
use crate::sync::{AtomicU64, Mutex, Ordering};

/// Set in [`Arena::next`].
const CLOSED: u64 = 1 << 63;

/// What asking for a bucket got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allocated {
    /// A bucket that nobody else has, all words 0.
    Bucket(u64),
    /// The arena is used up.
    UsedUp,
    /// The arena is closed: the table is being left for a larger one.
    Closed,
}

pub(super) struct Arena {
    words: Words,
    len: u64,
    /// Buckets handed out in order of number; never beyond `len`. With [`CLOSED`], no more are.
    next: AtomicU64,
    /// Buckets kept for chains that are still to be moved here from another table.
    kept: AtomicU64,
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
            kept: AtomicU64::new(0),
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
        self.next.load(Ordering::Relaxed) & !CLOSED
    }

    /// The same buckets in an arena for `len`, or for as many as are used already.
    pub(super) fn resized(self, len: u64) -> Result<Self> {
        let used = self.used();
        if self.len == len.max(used) {
            return Ok(self);
        }
        let resized = Self { returned: self.returned, ..Self::new(len.max(used))? };
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

    /// A bucket for a chain that grows.
    pub(super) fn allocate(&self) -> Allocated {
        // An old value is too large, which does no harm: it only falls. Acquire: buckets that are not kept any more because
        // they are in use have been counted by then.
        let kept = self.kept.load(Ordering::Acquire);
        let take_one = |next| if next & CLOSED == 0 && next + kept < self.len { Some(next + 1) } else { None };
        // Relaxed: the number is unique by the read-modify-write, and the bucket's words are 0 from birth.
        match self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_one) {
            Ok(number) => Allocated::Bucket(number),
            Err(next) if next & CLOSED != 0 => Allocated::Closed,
            Err(_) => self.returned.lock().pop().map_or(Allocated::UsedUp, Allocated::Bucket),
        }
    }

    /// One of the buckets that are kept. `None` never comes true as long as [`keep`](Self::keep) was told enough.
    pub(super) fn allocate_kept(&self) -> Option<u64> {
        let take_one = |next| if next < self.len { Some(next + 1) } else { None };
        match self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_one) {
            Ok(number) => Some(number),
            Err(_) => self.returned.lock().pop(),
        }
    }

    /// Hands out no more buckets. Returns how many are in use, which does not change any more.
    pub(super) fn close(&self) -> u64 {
        self.next.fetch_or(CLOSED, Ordering::AcqRel) & !CLOSED
    }

    /// Keeps so many buckets for [`allocate_kept`](Self::allocate_kept).
    pub(super) fn keep(&self, buckets: u64) {
        self.kept.store(buckets, Ordering::Relaxed);
    }

    /// So many of the buckets that were kept are in use now, or not needed.
    pub(super) fn keep_less(&self, buckets: u64) {
        self.kept.fetch_sub(buckets, Ordering::Release);
    }

    /// Begins anew, with buckets whose words are all 0 again.
    pub(super) fn reset(&self) {
        self.returned.lock().clear();
        self.keep(0);
        self.next.store(0, Ordering::Relaxed);
    }

    /// Takes back a bucket that was never linked.
    pub(super) fn give_back(&self, number: u64) {
        self.returned.lock().push(number);
    }
}
