//! The last store of a write that answers its caller.

use super::{AtomicU64, Ordering};

/// Stores `word` such that it is visible to everyone before anything this thread reads afterwards.
///
/// A plain store may still sit in the processor's store buffer when the caller goes on: two threads that each write one
/// key and then read the other's could both miss the other's write, and the store would not be linearizable. On x86 an
/// exchange is a full barrier and cheaper than a fence; elsewhere the fence is needed beside it.
#[inline]
pub(crate) fn publish(cell: &AtomicU64, word: u64) {
    cell.swap(word, Ordering::SeqCst);
    after_exchange();
}

/// What [`publish`] does after its exchange, for writes that end with another read-modify-write.
///
/// Nothing on x86, where each is a full barrier. Under loom it is a fence as elsewhere: loom takes every exchange for
/// acquire and release, whatever is asked for, and models sequential consistency for fences only.
#[inline]
pub(crate) fn after_exchange() {
    #[cfg(any(oxifaster_loom, not(target_arch = "x86_64")))]
    super::fence(Ordering::SeqCst);
}

/// When the last store of a write has to be visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visible {
    /// Before anything that this thread reads afterwards, as with [`publish`].
    Now,
    /// With the caller's [`publish_all`], which comes before it answers: one barrier for many writes.
    Later,
}

impl Visible {
    /// Stores `word`.
    #[inline(always)]
    pub(crate) fn publish(self, cell: &AtomicU64, word: u64) {
        match self {
            Self::Now => publish(cell, word),
            Self::Later => cell.store(word, Ordering::Release),
        }
    }
}

/// Makes everything that was written [`Visible::Later`] visible before anything that this thread reads afterwards.
#[inline]
pub(crate) fn publish_all() {
    super::fence(Ordering::SeqCst);
}
