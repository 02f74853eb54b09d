//! The in-place update protocol for values of more than one word. Invariant R3 of [`crate::record`].
//!
//! The latch word holds the value's length in its low half and a stamp in its high half. A writer takes the latch by
//! moving an even stamp it has seen to the next odd one, writes, and moves on to the next even one. A reader copies the
//! value between two loads of the word and keeps the copy only if both gave the same even stamp.
//!
//! The latch is held while a value is copied in, never while a user's code runs. A stamp comes round after 2^31 updates; a
//! thread that sleeps through exactly so many between its two looks at one record is not guarded against.

use crate::sync::{AtomicU64, Backoff, Ordering, Visible, fence};

const STAMP: u64 = 1 << 32;

/// The latch word of one record.
#[derive(Clone, Copy)]
pub(crate) struct Latch<'a>(&'a AtomicU64);

/// Proof of what a reader saw: the latch word around its copy.
#[derive(Clone, Copy)]
pub(crate) struct Seen(u64);

impl<'a> Latch<'a> {
    #[inline]
    pub(crate) const fn new(word: &'a AtomicU64) -> Self {
        Self(word)
    }

    /// The word of a value that nobody holds.
    #[inline]
    pub(crate) const fn open(len: usize) -> u64 {
        len as u64
    }

    /// Runs `copy` until it ran while nobody wrote.
    #[inline]
    pub(crate) fn read<T>(self, mut copy: impl FnMut() -> T) -> (T, Seen) {
        let mut backoff = Backoff::new();
        loop {
            // Acquire: the copy sees at least what was written before this stamp was set.
            let before = self.0.load(Ordering::Acquire);
            if before & STAMP == 0 {
                let copied = copy();
                // Pairs with the release fence of `try_write`: if the copy saw any word of a later write, the load below
                // sees that writer's odd stamp, or a later one.
                fence(Ordering::Acquire);
                if self.0.load(Ordering::Relaxed) == before {
                    return (copied, Seen(before));
                }
            }
            backoff.wait();
        }
    }

    /// Runs `write` if nobody has written since `seen`; false if somebody has.
    #[inline]
    pub(crate) fn try_write(self, seen: Seen, visible: Visible, write: impl FnOnce()) -> bool {
        let odd = seen.0.wrapping_add(STAMP);
        // Acquire: what follows is not moved before the latch is held, and sees what the last holder wrote.
        if self.0.compare_exchange(seen.0, odd, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        // No word of `write` becomes visible before the odd stamp does.
        fence(Ordering::Release);
        write();
        visible.publish(self.0, odd.wrapping_add(STAMP));
        true
    }

    /// Runs `write` when it is this thread's turn.
    #[inline]
    pub(crate) fn write(self, visible: Visible, write: impl Fn()) {
        let mut backoff = Backoff::new();
        loop {
            let seen = self.0.load(Ordering::Relaxed);
            if seen & STAMP == 0 && self.try_write(Seen(seen), visible, &write) {
                return;
            }
            backoff.wait();
        }
    }
}
