//! Memory on huge pages.
#![allow(unsafe_code)]

use std::io;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// Zeroed words of anonymous memory, advised to lie on 2 MiB pages and touched, so that no measurement pays for faults.
pub(crate) struct Pages {
    start: NonNull<AtomicU64>,
    words: usize,
    bytes: usize,
}

// SAFETY: P1; the mapping is owned by this value alone and has no tie to a thread.
unsafe impl Send for Pages {}
// SAFETY: P1; what is shared are atomic words.
unsafe impl Sync for Pages {}

const HUGE: usize = 2 << 20;

impl Pages {
    /// `words` words, all zero.
    pub(crate) fn zeroed(words: usize) -> io::Result<Self> {
        let bytes = (words * 8).next_multiple_of(HUGE);
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: P1; a fresh anonymous mapping that the kernel places.
        let mapped = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // The kernel may refuse huge pages; then the probe runs on small ones, which the report's share shows.
        // SAFETY: P1; the range is the mapping above.
        let _ = unsafe { libc::madvise(mapped, bytes, libc::MADV_HUGEPAGE) };
        let start = NonNull::new(mapped.cast()).ok_or_else(io::Error::last_os_error)?;
        let pages = Self { start, words, bytes };
        for word in pages.iter().step_by(512) {
            word.store(0, std::sync::atomic::Ordering::Relaxed);
        }
        Ok(pages)
    }

    /// The place of a word. Mappings begin on a page, so every eighth word begins a cache line.
    #[inline(always)]
    pub(crate) fn at(&self, word: usize) -> *const AtomicU64 {
        debug_assert!(word < self.words);
        // SAFETY: P1 and P2; callers pass offsets below the length.
        unsafe { self.start.as_ptr().add(word) }
    }
}

impl Deref for Pages {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: P1.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: P1; mapped in `zeroed` with this length, and unmapped once.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
