//! Who has keys locked, and who has the index shrink: never both (W11).
//!
//! ```text
//!   who locks keys         counted in --- fence --- is it shut? then counted out again, and comes back later
//!   who has it shrink      shut       --- fence --- is somebody counted in? then it waits a while, and gives up
//! ```
//!
//! Of the two fences one comes first, so at least one of them sees the other.

use crate::index::MemIndex;
use crate::sync::{AtomicBool, AtomicU64, Ordering, fence};

/// Those who have keys locked, or are about to.
#[derive(Default)]
pub(in crate::index) struct Lockers {
    count: AtomicU64,
    is_shut: AtomicBool,
}

impl MemIndex {
    /// Keeps the index from shrinking until [`end_locking`](Self::end_locking). False, and nothing done, if it shrinks or is about to.
    pub(crate) fn begin_to_lock(&self) -> bool {
        let Lockers { count, is_shut } = &self.growth.lockers;
        count.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // Acquire: what was done meanwhile is there.
        if !is_shut.load(Ordering::Acquire) {
            return true;
        }
        self.end_locking();
        false
    }

    /// Ends what [`begin_to_lock`](Self::begin_to_lock) began.
    pub(crate) fn end_locking(&self) {
        // Release: whoever finds nobody counted in finds what they did.
        self.growth.lockers.count.fetch_sub(1, Ordering::Release);
    }

    /// Lets nobody lock keys any more who does not have any locked. There may be some who do: they are to be waited for.
    pub(crate) fn shut_lockers_out(&self) {
        self.growth.lockers.is_shut.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Whether somebody has keys locked, as far as it is known when they are shut out.
    pub(crate) fn has_lockers(&self) -> bool {
        self.growth.lockers.count.load(Ordering::Acquire) > 0
    }

    /// Lets them in again.
    pub(crate) fn let_lockers_in(&self) {
        self.growth.lockers.is_shut.store(false, Ordering::Release);
    }
}
