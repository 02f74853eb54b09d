//! Sector-aligned buffers. Invariants M1 and M2 of [`crate::memory`].
#![allow(unsafe_code)]

use crate::error::{Error, ErrorKind, Result};
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
    /// Aborts like any allocation when the system has no memory left. [`try_zeroed`](Self::try_zeroed) does not.
    pub fn zeroed(len: usize) -> Self {
        let refused = || handle_alloc_error(Self::layout(len).unwrap_or(Layout::new::<Self>()));
        Self::try_zeroed(len).unwrap_or_else(|_| refused())
    }

    /// A zeroed buffer of `len` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the system has no memory for it.
    pub fn try_zeroed(len: usize) -> Result<Self> {
        if len == 0 {
            return Ok(Self::empty());
        }
        let start = Self::layout(len).and_then(|layout| {
            // SAFETY: M1; the layout has a non-zero size.
            NonNull::new(unsafe { alloc_zeroed(layout) })
        });
        match start {
            Some(start) => Ok(Self { start, len }),
            None => Err(no_memory(len)),
        }
    }

    fn layout(len: usize) -> Option<Layout> {
        Layout::from_size_align(len, Self::ALIGN).ok()
    }
}

/// The error of an access whose buffer of `len` bytes the system has no memory for.
#[cold]
pub(crate) fn no_memory(len: usize) -> Error {
    Error::new(ErrorKind::Limit, "the system has no memory for a buffer")
        .with("bytes", len)
        .help("free some memory, or lower the memory budget")
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if self.len > 0 {
            let Some(layout) = Self::layout(self.len) else { return };
            // SAFETY: M1; allocated in `try_zeroed` with this very layout, and dropped once.
            unsafe { dealloc(self.start.as_ptr(), layout) }
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

    #[test]
    fn a_buffer_for_which_there_is_no_memory_is_an_error() {
        for len in [usize::MAX, isize::MAX as usize - AlignedBuf::ALIGN] {
            assert_eq!(AlignedBuf::try_zeroed(len).unwrap_err().kind(), ErrorKind::Limit);
        }
    }
}
