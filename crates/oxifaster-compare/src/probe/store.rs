//! The bare index and log.
#![allow(unsafe_code)]

use super::pages::Pages;
use crate::hash;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Words of a bucket: seven entries and the number of the next bucket, one more than its place in the arena.
pub(crate) const BUCKET_WORDS: usize = 8;
const ENTRIES: usize = BUCKET_WORDS - 1;
/// Words of a record: address of the previous one of the chain, key, value.
pub(crate) const RECORD_WORDS: usize = 3;
/// Entries keep the address below and 14 bits of tag with the mark of use above.
pub(crate) const TAG_SHIFT: u32 = 48;
const IN_USE: u64 = 1 << 14;
const ADDRESS: u64 = (1 << TAG_SHIFT) - 1;

/// Index and log in three arrays. Keys are put in by one thread, before others read and change them.
pub(crate) struct ProbeStore {
    pub(super) index: Pages,
    pub(super) overflow: Pages,
    pub(super) log: Pages,
    mask: u64,
    overflow_used: usize,
    log_used: usize,
}

impl ProbeStore {
    /// A store for `keys` keys in `buckets` buckets, a power of two.
    pub(crate) fn new(keys: u64, buckets: u64) -> io::Result<Self> {
        Ok(Self {
            index: Pages::zeroed(buckets as usize * BUCKET_WORDS)?,
            overflow: Pages::zeroed((buckets as usize / 4 + 64) * BUCKET_WORDS)?,
            log: Pages::zeroed((keys as usize + 1) * RECORD_WORDS)?,
            mask: buckets - 1,
            overflow_used: 0,
            // Address 0 says that a chain ends.
            log_used: RECORD_WORDS,
        })
    }

    /// Appends a key that is not there yet.
    pub(crate) fn insert(&mut self, key: u64, value: u64) -> io::Result<()> {
        let (bucket, tag) = self.bucket(key);
        let address = self.log_used;
        if address + RECORD_WORDS > self.log.len() {
            return Err(io::Error::other("the probe's log is full"));
        }
        let entry = tag << TAG_SHIFT | address as u64;
        let mut bucket = bucket;
        let previous = 'placed: loop {
            for at in 0..ENTRIES {
                // SAFETY: P2.
                let slot = unsafe { &*bucket.wrapping_add(at) };
                let word = slot.load(Ordering::Relaxed);
                if word == 0 || word >> TAG_SHIFT == tag {
                    slot.store(entry, Ordering::Relaxed);
                    break 'placed word & ADDRESS;
                }
            }
            // SAFETY: P2.
            let link = unsafe { &*bucket.wrapping_add(ENTRIES) };
            if link.load(Ordering::Relaxed) == 0 {
                if (self.overflow_used + 1) * BUCKET_WORDS > self.overflow.len() {
                    return Err(io::Error::other("the probe's overflow buckets are used up"));
                }
                self.overflow_used += 1;
                link.store(self.overflow_used as u64, Ordering::Relaxed);
            }
            bucket = self.next(link.load(Ordering::Relaxed));
        };
        for (at, word) in [previous, key, value].into_iter().enumerate() {
            self.log[address + at].store(word, Ordering::Relaxed);
        }
        self.log_used += RECORD_WORDS;
        Ok(())
    }

    /// The bucket where the chain of `key` begins, and its tag with the mark of use.
    #[inline(always)]
    pub(super) fn bucket(&self, key: u64) -> (*const AtomicU64, u64) {
        let hash = hash::of_key(key);
        (self.index.at((hash & self.mask) as usize * BUCKET_WORDS), hash >> 50 | IN_USE)
    }

    /// The overflow bucket of this number.
    #[inline(always)]
    pub(super) fn next(&self, number: u64) -> *const AtomicU64 {
        self.overflow.at((number as usize - 1) * BUCKET_WORDS)
    }

    /// The record at the address in this entry.
    #[inline(always)]
    pub(super) fn record(&self, entry: u64) -> *const AtomicU64 {
        self.log.at((entry & ADDRESS) as usize)
    }
}
