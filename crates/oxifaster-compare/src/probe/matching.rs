//! The branch-free search for a tag in a bucket: one comparison of all entries, with the widest registers there are.
#![allow(unsafe_code)]

use super::store::{BUCKET_WORDS, TAG_SHIFT};
use std::sync::atomic::{AtomicU64, Ordering};

/// A way to compare all entries of a bucket with a tag.
pub(crate) trait Match {
    /// The place of the first entry with this tag, which includes the mark of use; a place of at least 8 if there is none.
    ///
    /// # Safety
    /// `bucket` leads to the eight words of a bucket (P1), and the processor has the instructions (P3).
    unsafe fn place(bucket: *const AtomicU64, tag: u64) -> usize;
}

/// Eight lanes at once.
pub(crate) struct Wide;

/// Without vector instructions: all words are compared, none of the comparisons is a branch.
pub(crate) struct Portable;

#[cfg(target_arch = "x86_64")]
impl Match for Wide {
    #[inline]
    #[target_feature(enable = "avx512f,bmi1")]
    unsafe fn place(bucket: *const AtomicU64, tag: u64) -> usize {
        use std::arch::x86_64::{
            _mm512_cmpeq_epi64_mask, _mm512_load_si512, _mm512_set1_epi64, _mm512_srli_epi64, _tzcnt_u32,
        };
        // SAFETY: the caller's promise; buckets begin on a cache line. Each lane is a word that others may change as a
        // whole; which of their values it is makes no difference.
        let words = unsafe { _mm512_load_si512(bucket.cast()) };
        let hits = _mm512_cmpeq_epi64_mask(_mm512_srli_epi64::<TAG_SHIFT>(words), _mm512_set1_epi64(tag as i64));
        _tzcnt_u32(u32::from(hits)) as usize
    }
}

impl Match for Portable {
    #[inline]
    unsafe fn place(bucket: *const AtomicU64, tag: u64) -> usize {
        let mut hits = 0_u32;
        for at in 0..BUCKET_WORDS {
            // SAFETY: the caller's promise.
            let word = unsafe { &*bucket.wrapping_add(at) }.load(Ordering::Relaxed);
            hits |= u32::from(word >> TAG_SHIFT == tag) << at;
        }
        hits.trailing_zeros() as usize
    }
}

/// Whether this processor has what [`Wide`] needs.
pub(crate) fn has_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("bmi1");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[cfg(test)]
mod tests {
    use super::super::pages::Pages;
    use super::*;

    #[test]
    fn both_ways_find_every_place_and_nothing_else() {
        let bucket = Pages::zeroed(8).unwrap();
        for at in 0..7 {
            bucket[at].store((0x4000 | at as u64) << TAG_SHIFT | 9, Ordering::Relaxed);
        }
        bucket[7].store(0x0000_4000_0000_4000, Ordering::Relaxed);
        for tag in 0..9 {
            let expected = if tag < 7 { tag } else { 32 };
            let tag = 0x4000 | tag as u64;
            // SAFETY: the eight words of `bucket`.
            assert_eq!(unsafe { Portable::place(bucket.at(0), tag) }, expected);
            #[cfg(target_arch = "x86_64")]
            if has_wide() {
                // SAFETY: the eight words of `bucket`, and the processor was asked.
                assert_eq!(unsafe { Wide::place(bucket.at(0), tag) }, expected);
            }
        }
    }
}
