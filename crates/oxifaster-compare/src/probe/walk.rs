//! The loops over keys: one after the other, and in groups whose cache misses overlap.
#![allow(unsafe_code)]

use super::matching::{Match, Portable, Wide, has_wide};
use super::store::{BUCKET_WORDS, ProbeStore};
use std::sync::atomic::{AtomicU64, Ordering};

/// Keys of a group: twice the cache lines that a core can have on their way.
const GROUP: usize = 32;

/// What is done with the record of a key: given its place in the batch, the key and the value word. Missing keys are `None`.
pub(crate) trait Visit: FnMut(usize, u64, Option<&AtomicU64>) {}

impl<F: FnMut(usize, u64, Option<&AtomicU64>)> Visit for F {}

/// Visits the keys one after the other; the processor overlaps what it can.
pub(crate) fn serial(store: &ProbeStore, keys: &[u64], visit: impl Visit) {
    #[cfg(target_arch = "x86_64")]
    if has_wide() {
        // SAFETY: P3.
        return unsafe { serial_wide(store, keys, visit) };
    }
    serial_with::<Portable>(store, keys, visit);
}

/// Visits the keys in groups: loads all buckets of a group together, then all records, then visits.
pub(crate) fn grouped(store: &ProbeStore, keys: &[u64], visit: impl Visit) {
    #[cfg(target_arch = "x86_64")]
    if has_wide() {
        // SAFETY: P3.
        return unsafe { grouped_wide(store, keys, visit) };
    }
    grouped_with::<Portable>(store, keys, visit);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,bmi1")]
fn serial_wide(store: &ProbeStore, keys: &[u64], visit: impl Visit) {
    serial_with::<Wide>(store, keys, visit);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,bmi1")]
fn grouped_wide(store: &ProbeStore, keys: &[u64], visit: impl Visit) {
    grouped_with::<Wide>(store, keys, visit);
}

#[inline(always)]
fn serial_with<M: Match>(store: &ProbeStore, keys: &[u64], mut visit: impl Visit) {
    for (at, key) in keys.iter().enumerate() {
        let (bucket, tag) = store.bucket(*key);
        let entry = find::<M>(store, bucket, tag);
        visit(at, *key, value(store, entry, *key));
    }
}

#[inline(always)]
fn grouped_with<M: Match>(store: &ProbeStore, keys: &[u64], mut visit: impl Visit) {
    let mut found = [(std::ptr::null::<AtomicU64>(), 0_u64); GROUP];
    let mut at = 0;
    for group in keys.chunks(GROUP) {
        for (found, key) in found.iter_mut().zip(group) {
            *found = store.bucket(*key);
            prefetch(found.0);
        }
        for (found, _) in found.iter_mut().zip(group) {
            found.1 = find::<M>(store, found.0, found.1);
            // The key's line, not the record's first: the chain's link is hardly ever needed.
            prefetch(store.record(found.1).wrapping_add(1));
        }
        for (found, key) in found.iter().zip(group) {
            visit(at, *key, value(store, found.1, *key));
            at += 1;
        }
    }
}

/// The entry with this tag, 0 if there is none.
#[inline(always)]
fn find<M: Match>(store: &ProbeStore, bucket: *const AtomicU64, tag: u64) -> u64 {
    // SAFETY: P2 and P3.
    let place = unsafe { M::place(bucket, tag) };
    if place >= BUCKET_WORDS {
        return find_further::<M>(store, bucket, tag);
    }
    // SAFETY: P2.
    unsafe { &*bucket.wrapping_add(place) }.load(Ordering::Acquire)
}

#[cold]
#[inline(never)]
fn find_further<M: Match>(store: &ProbeStore, bucket: *const AtomicU64, tag: u64) -> u64 {
    let mut bucket = bucket;
    loop {
        // SAFETY: P2.
        let link = unsafe { &*bucket.wrapping_add(BUCKET_WORDS - 1) }.load(Ordering::Acquire);
        if link == 0 {
            return 0;
        }
        bucket = store.next(link);
        // SAFETY: P2 and P3.
        let place = unsafe { M::place(bucket, tag) };
        if place < BUCKET_WORDS {
            // SAFETY: P2.
            return unsafe { &*bucket.wrapping_add(place) }.load(Ordering::Acquire);
        }
    }
}

/// The value of `key` in the chain of records that begins at `entry`'s address.
#[inline(always)]
fn value(store: &ProbeStore, entry: u64, key: u64) -> Option<&AtomicU64> {
    let mut record = store.record(entry);
    // SAFETY: P2; the record at address 0 exists and has the key 0 of no chain, which the test for the end excludes.
    while unsafe { &*record.wrapping_add(1) }.load(Ordering::Relaxed) != key {
        // SAFETY: P2.
        let previous = unsafe { &*record }.load(Ordering::Relaxed);
        if previous == 0 {
            return None;
        }
        record = store.record(previous);
    }
    if entry == 0 {
        return None;
    }
    // SAFETY: P2.
    Some(unsafe { &*record.wrapping_add(2) })
}

#[inline(always)]
fn prefetch(word: *const AtomicU64) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that no address makes fail; SSE belongs to every x86-64 processor.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(word.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = word;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Few buckets, so that chains of buckets and of records are walked.
    fn crowded() -> ProbeStore {
        let mut store = ProbeStore::new(50_000, 8_192).unwrap();
        for key in 0..50_000 {
            store.insert(key, key * 3).unwrap();
        }
        store
    }

    #[test]
    fn every_key_is_found_and_others_are_not() {
        let store = crowded();
        let keys: Vec<u64> = (0..60_000).rev().collect();
        for in_groups in [false, true] {
            let mut seen = 0;
            let visit = |at: usize, key: u64, value: Option<&AtomicU64>| {
                assert_eq!(key, keys[at]);
                assert_eq!(value.map(|word| word.load(Ordering::Relaxed)), (key < 50_000).then_some(key * 3));
                seen += 1;
            };
            if in_groups {
                grouped(&store, &keys, visit)
            } else {
                serial(&store, &keys, visit)
            }
            assert_eq!(seen, keys.len());
        }
    }
}
