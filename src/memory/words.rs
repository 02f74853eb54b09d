//! Shared memory as atomic words. Invariant M3 of [`crate::memory`].
//!
//! Log pages and index buckets are read while others write them. Making every access an atomic word access removes the
//! data race by construction, and with it the need for `unsafe` in everything built on top. A relaxed 8-byte load or store
//! is a plain `mov` on the machines we run on.
#![allow(unsafe_code)]

#[cfg(not(oxifaster_loom))]
use super::AlignedBuf;
use crate::sync::AtomicU64;
use std::ops::Deref;

/// Owned, zeroed memory that is seen as atomic words only.
pub(crate) struct Words {
    #[cfg(not(oxifaster_loom))]
    buf: AlignedBuf,
    #[cfg(oxifaster_loom)]
    cells: Box<[AtomicU64]>,
}

/// Size and alignment of the pages that keep address translation cheap.
#[cfg(not(oxifaster_loom))]
const HUGE_PAGE: usize = 2 << 20;

impl Words {
    /// `len` words of zero. Large areas start at a huge-page boundary and ask the system for huge pages.
    pub(crate) fn zeroed(len: usize) -> Self {
        #[cfg(oxifaster_loom)]
        return Self { cells: (0..len).map(|_| AtomicU64::new(0)).collect() };
        #[cfg(not(oxifaster_loom))]
        {
            let bytes = len * size_of::<AtomicU64>();
            let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { AlignedBuf::ALIGN };
            let words = Self { buf: AlignedBuf::zeroed_with_align(bytes, align) };
            words.advise_huge_pages();
            words
        }
    }

    /// Asks for huge pages; a refusal costs speed, nothing else.
    #[cfg(all(target_os = "linux", not(oxifaster_loom)))]
    fn advise_huge_pages(&self) {
        let whole = self.buf.len() / HUGE_PAGE * HUGE_PAGE;
        if whole > 0 {
            // SAFETY: M1; the range lies within the buffer, and the advice changes how it is mapped, not what it holds.
            let _ = unsafe {
                rustix::mm::madvise(self.buf.as_ptr().as_ptr().cast(), whole, rustix::mm::Advice::LinuxHugepage)
            };
        }
    }

    #[cfg(all(not(target_os = "linux"), not(oxifaster_loom)))]
    fn advise_huge_pages(&self) {}
}

impl Deref for Words {
    type Target = [AtomicU64];

    #[inline]
    fn deref(&self) -> &[AtomicU64] {
        #[cfg(oxifaster_loom)]
        return &self.cells;
        #[cfg(not(oxifaster_loom))]
        {
            let len = self.buf.len() / size_of::<AtomicU64>();
            // SAFETY: M1 (valid, initialised, aligned beyond 8), M3 (nobody sees these bytes but as atomic words).
            unsafe { std::slice::from_raw_parts(self.buf.as_ptr().as_ptr().cast::<AtomicU64>(), len) }
        }
    }
}

#[cfg(all(test, not(oxifaster_loom)))]
mod tests {
    use super::*;
    use crate::sync::Ordering;

    #[test]
    fn words_start_at_zero_and_keep_what_is_stored() {
        let words = Words::zeroed(HUGE_PAGE / 4);
        assert_eq!(words.len(), HUGE_PAGE / 4);
        assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        words[5].store(9, Ordering::Relaxed);
        assert_eq!(words[5].load(Ordering::Relaxed), 9);
    }
}
