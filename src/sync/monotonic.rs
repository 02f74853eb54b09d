//! A number that only grows: the pointers of a log.

use super::{AtomicU64, Ordering};

/// A shared `u64` that can only be moved forward.
#[derive(Debug)]
pub(crate) struct MonotonicU64(AtomicU64);

impl MonotonicU64 {
    pub(crate) fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// The present value; everything its writer did before advancing to it is visible.
    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Moves forward to `value` if that is forward, and returns the value before the call. The one who sees
    /// `before < value` moved it, and owns the step from `before` to `value`.
    pub(crate) fn advance_to(&self, value: u64) -> u64 {
        self.0.fetch_max(value, Ordering::AcqRel)
    }
}
