//! The in-place update protocol for values of more than one word. Invariant R3 of [`crate::record`].
//!
//! The latch word holds the value's length in its low half and a stamp in its high half. A writer takes the latch by
//! moving an even stamp it has seen to the next odd one, writes, and moves on to the next even one. A reader copies the
//! value between two loads of the word and keeps the copy only if both gave the same even stamp.
//!
//! ```text
//!  63 ... 32 | 31     | 30 ... 0
//!  stamp     | sealed | length
//! ```
//!
//! A value that has outgrown its record goes on in a new one (R7). The old one is *sealed*: nobody changes it any more, so
//! whoever likes may copy it.
//!
//! The latch is held while a value is copied in, never while a user's code runs. A stamp comes round after 2^31 updates; a
//! thread that sleeps through exactly so many between its two looks at one record is not guarded against.

use crate::sync::{AtomicU64, Backoff, Ordering, Visible, fence};

const STAMP: u64 = 1 << 32;
/// Nobody may write any more.
const SEALED: u64 = 1 << 31;
const LEN_MASK: u64 = SEALED - 1;

/// The latch word of one record.
#[derive(Clone, Copy)]
pub(crate) struct Latch<'a>(&'a AtomicU64);

/// Proof of what a reader saw: the latch word around its copy.
#[derive(Clone, Copy)]
pub(crate) struct Seen(u64);

impl Seen {
    /// Of who has not looked: nothing can be written with it.
    pub(crate) const NOTHING: Self = Self(STAMP);

    /// Whether the record was sealed. What was done under the latch before is visible then.
    #[inline]
    pub(crate) const fn is_sealed(self) -> bool {
        self.0 & SEALED != 0
    }
}

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

    /// The word of a value that nobody is ever to change where it lies.
    #[inline]
    pub(crate) const fn sealed(len: usize) -> u64 {
        len as u64 | SEALED
    }

    /// The length that a word tells.
    #[inline]
    pub(crate) const fn len_in(word: u64) -> usize {
        (word & LEN_MASK) as usize
    }

    /// The word as it is at this moment.
    #[inline]
    pub(crate) fn seen(self) -> Seen {
        Seen(self.0.load(Ordering::Acquire))
    }

    /// Runs `copy`, with the length of the value, until it ran while nobody wrote; `seen` tells what was seen then.
    #[inline(always)]
    pub(crate) fn read<T>(self, seen: &mut Seen, mut copy: impl FnMut(usize) -> T) -> T {
        let mut backoff = Backoff::new();
        loop {
            // Acquire: the copy sees at least what was written before this stamp was set.
            let before = self.0.load(Ordering::Acquire);
            if before & STAMP == 0 {
                let copied = copy(Self::len_in(before));
                // Pairs with the release fence of `try_write`: if the copy saw any word of a later write, the load below
                // sees that writer's odd stamp, or a later one.
                fence(Ordering::Acquire);
                if self.0.load(Ordering::Relaxed) == before {
                    *seen = Seen(before);
                    return copied;
                }
            }
            backoff.wait();
        }
    }

    /// Runs `write`, which makes the value `len` bytes long, or leaves its length alone, if nobody has written since `seen`, nor
    /// sealed the record; false if somebody has.
    #[inline(always)]
    pub(crate) fn try_write(self, seen: Seen, len: Option<usize>, visible: Visible, write: impl FnOnce()) -> bool {
        let write = || {
            write();
            true
        };
        self.try_write_if(seen, len, visible, write)
    }

    /// The same for a `write` that may find, while it holds the latch, that it is not to write, and then has not; false as well.
    #[inline(always)]
    pub(crate) fn try_write_if(
        self,
        seen: Seen,
        len: Option<usize>,
        visible: Visible,
        write: impl FnOnce() -> bool,
    ) -> bool {
        if seen.0 & (STAMP | SEALED) != 0 {
            return false;
        }
        let odd = seen.0.wrapping_add(STAMP);
        // Acquire: what follows is not moved before the latch is held, and sees what the last holder wrote.
        if self.0.compare_exchange(seen.0, odd, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        // No word of `write` becomes visible before the odd stamp does.
        fence(Ordering::Release);
        let is_written = write();
        let even = odd.wrapping_add(STAMP);
        visible.publish(
            self.0,
            match len.filter(|_| is_written) {
                Some(len) => even & !LEN_MASK | len as u64 & LEN_MASK,
                None => even,
            },
        );
        is_written
    }

    /// Takes the latch of a record that was not published yet.
    pub(crate) fn hold(self) {
        self.0.store(self.0.load(Ordering::Relaxed) | STAMP, Ordering::Relaxed);
    }

    /// Ends that, after the record was published.
    pub(crate) fn release(self) {
        // Nobody else changes the word meanwhile. Release: who copies the value sees what its holder made of it.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(STAMP), Ordering::Release);
    }

    /// Runs `write` when it is this thread's turn; false if the record is sealed.
    #[inline(always)]
    pub(crate) fn write(self, len: Option<usize>, visible: Visible, write: impl Fn()) -> bool {
        let mut backoff = Backoff::new();
        loop {
            let seen = self.0.load(Ordering::Relaxed);
            if seen & SEALED != 0 {
                return false;
            }
            if seen & STAMP == 0 && self.try_write(Seen(seen), len, visible, &write) {
                return true;
            }
            backoff.wait();
        }
    }

    /// Seals the record if nobody has written since `seen`; false if somebody has, or it is sealed.
    pub(crate) fn try_seal(self, seen: Seen) -> bool {
        let is_open = seen.0 & (STAMP | SEALED) == 0;
        // Acquire: who seals sees a deletion that was made under the latch before.
        // Release: who sees the seal sees what was done under the latch before.
        is_open && self.0.compare_exchange(seen.0, seen.0 | SEALED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Seals the record, whatever its value is by then.
    pub(crate) fn seal(self) {
        let mut backoff = Backoff::new();
        loop {
            let seen = self.0.load(Ordering::Relaxed);
            if seen & SEALED != 0 || self.try_seal(Seen(seen)) {
                return;
            }
            backoff.wait();
        }
    }
}
