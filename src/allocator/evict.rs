//! Moving the region boundaries. Always: advance the pointer, bump the epoch with an action, and in the action advance the
//! pointer's safe twin and do the work. Invariants L1 to L5 of [`crate::allocator`].

use super::hybrid_log::LogCore;
use crate::address::Address;
use crate::sync::{Arc, Ordering, fence};
use std::task::Waker;

impl LogCore {
    /// Closes everything below `to` (a block boundary) to in-place updates, and has it written once that is safe.
    pub(super) fn shift_read_only(self: &Arc<Self>, to: Address) {
        if self.pointers.advance_read_only(to) {
            let core = Arc::downgrade(self);
            self.epoch.bump(move || {
                if let Some(core) = core.upgrade() {
                    core.settle_below(to);
                }
            });
        }
    }

    /// Asks for head to be moved to `to`; it moves as far as the device holds everything, now and with each write.
    pub(super) fn want_head(self: &Arc<Self>, to: Address) {
        self.head_wanted.advance_to(to.get());
        self.shift_head();
    }

    pub(super) fn shift_head(self: &Arc<Self>) {
        // Who asks for head moves `head_wanted` and then reads `flushed`; who finishes a write moves `flushed` and then reads
        // `head_wanted`. With a fence between on both sides one of the two sees the other; without it both could see the
        // old, and nobody would come back to it.
        fence(Ordering::SeqCst);
        let (wanted, flushed, page) =
            (Address::of_pointer(self.head_wanted.get()), self.pointers.flushed(), self.geometry.page());
        // L4. What is written ends at a block, which may be within a record: the device would give its beginning only. A page
        // begins with a record, and so does what somebody wants.
        let to = if wanted <= flushed { wanted } else { page.start_of(page.page(flushed)) };
        if self.pointers.advance_head(to) {
            let core = Arc::downgrade(self);
            self.epoch.bump(move || {
                if let Some(core) = core.upgrade() {
                    core.close_frames(to);
                }
            });
        }
    }

    /// Empties the frames of the pages below `to`, which nobody looks at any more (L3), and frees them for other pages.
    fn close_frames(self: &Arc<Self>, to: Address) {
        let page = self.geometry.page();
        for closed in page.page(self.pointers.safe_head())..page.page(to) {
            self.empty_frame(closed);
        }
        self.pointers.advance_safe_head(to);
        self.tell_progress();
    }

    /// Wakes who waits for a write or for frames.
    pub(super) fn tell_progress(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        waiting.into_iter().for_each(Waker::wake);
    }
}
