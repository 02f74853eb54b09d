//! Asking for a cache line before it is needed.
//!
//! * **P1** A prefetch is a hint: it changes nothing that a program can see, and no address makes it fail.
#![allow(unsafe_code)]

use crate::sync::AtomicU64;

/// What a cache line is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be read.
    Read,
    /// To be written as well: it is taken away from other processors' caches at once.
    Write,
}

/// Starts loading the cache line of `word`.
#[inline(always)]
pub(crate) fn prefetch(word: &AtomicU64, purpose: Purpose) {
    prefetch_behind(word, 0, purpose);
}

/// Starts loading the cache line of what lies so many words behind `word`, if anything does (P1).
#[inline(always)]
pub(crate) fn prefetch_behind(word: &AtomicU64, words: usize, purpose: Purpose) {
    #[cfg(all(target_arch = "x86_64", not(oxifaster_loom)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let place = std::ptr::from_ref(word).wrapping_add(words);
        match purpose {
            // SAFETY: P1; SSE, of which the instruction is a part, belongs to every x86-64 processor.
            Purpose::Read => unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) },
            // SAFETY: P1; 64-bit processors that do not know the instruction do nothing on it.
            Purpose::Write => unsafe {
                std::arch::asm!("prefetchw [{}]", in(reg) place, options(nostack, readonly, preserves_flags));
            },
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(oxifaster_loom))))]
    let _ = (word, words, purpose);
}

/// Starts loading all of `bytes`.
#[cfg(all(target_os = "linux", feature = "io_uring"))]
pub(crate) fn prefetch_bytes(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: P1; SSE, of which the instruction is a part, belongs to every x86-64 processor.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}
