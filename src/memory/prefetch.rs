//! Asking for a cache line before it is needed.
//!
//! * **P1** A prefetch is a hint: it changes nothing that a program can see, and no address makes it fail.
#![allow(unsafe_code)]

use crate::sync::AtomicU64;

/// Starts loading the cache line of `word`.
#[inline]
pub(crate) fn prefetch(word: &AtomicU64) {
    #[cfg(all(target_arch = "x86_64", not(oxifaster_loom)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: P1; SSE, of which the instruction is a part, belongs to every x86-64 processor.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(word).cast()) }
    }
    #[cfg(not(all(target_arch = "x86_64", not(oxifaster_loom))))]
    let _ = word;
}
