//! Sector-aligned buffers. Invariants M1 and M2 of [`crate::memory`].
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// An owned, zeroed buffer whose start is aligned for direct disk access.
pub struct AlignedBuf {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: M2; the pointer `start` is owned like a Box's, and no thread-bound state exists beside it.
unsafe impl Send for AlignedBuf {}
// SAFETY: M2; a shared reference to the buffer gives shared bytes only.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// Alignment of every buffer: the largest sector size in use.
    pub const ALIGN: usize = 4096;

    /// A buffer of no bytes; allocates nothing.
    pub const fn empty() -> Self {
        Self { start: NonNull::dangling(), len: 0 }
    }

    /// A zeroed buffer of `len` bytes.
    ///
    /// # Panics
    /// Aborts like any allocation when the system has no memory left; panics if `len` is near `isize::MAX`.
    pub fn zeroed(len: usize) -> Self {
        if len == 0 {
            return Self::empty();
        }
        let layout = Self::layout(len);
        // SAFETY: M1; the layout has a non-zero size.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Self { start, len }
    }

    #[expect(clippy::panic, reason = "documented at `zeroed`: no caller asks for half of the address space")]
    fn layout(len: usize) -> Layout {
        match Layout::from_size_align(len, Self::ALIGN) {
            Ok(layout) => layout,
            Err(_) => panic!("a buffer of {len} bytes is not possible"),
        }
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: M1; allocated in `zeroed` with this very layout, and dropped once.
            unsafe { dealloc(self.start.as_ptr(), Self::layout(self.len)) }
        }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: M1 (valid and initialised for `len`), M2 (shared through `&self`).
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: M1 (valid and initialised for `len`), M2 (exclusive through `&mut self`).
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl std::fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuf({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_zeroed_aligned_and_writable() {
        let mut buf = AlignedBuf::zeroed(10_000);
        assert!(buf.iter().all(|byte| *byte == 0));
        assert_eq!(buf.as_ptr() as usize % AlignedBuf::ALIGN, 0);
        buf[9_999] = 7;
        assert_eq!(buf[9_999], 7);
        assert_eq!(AlignedBuf::empty().len(), 0);
    }
}
