//! A row of the epoch's table and its owner.

use super::light_epoch::{ATTENTION, FLAGS, LOCKS, STEP};
use super::slip::Slip;
use super::{Guard, LightEpoch};
use crate::sync::{Arc, AtomicU64, CachePadded, Ordering, compiler_barrier, light_barrier};
use std::fmt;

/// The epoch its owner is pinned at, or 0. On a cache line of its own, because its owner writes it twice per operation.
pub(super) struct Row(CachePadded<AtomicU64>);

impl Row {
    pub(super) fn new() -> Self {
        Self(CachePadded::new(AtomicU64::new(0)))
    }

    /// The epoch of the row, 0 if not pinned. Acquire: pairs with `set`, so that whoever sees a later value of the row
    /// has all that its owner did under the earlier ones behind it (E2).
    pub(super) fn epoch(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Release on *every* store, not only when unpinning: a drainer may see the owner's next pin without ever having seen
    /// the 0 before it, and concludes from it that the earlier pin is over. It costs nothing where stores are ordered.
    #[inline]
    fn set(&self, epoch: u64) {
        self.0.store(epoch, Ordering::Release);
    }
}

/// The right to pin: a session's row in the table of a [`LightEpoch`]. It can move between threads but serves one at a
/// time, and its row is given back when it is dropped.
pub struct Participant {
    epoch: Arc<LightEpoch>,
    row: Arc<Row>,
    /// What its owner tells those who are given its guards, and they tell it. Makes it `Send`, but not `Sync`: one row tells
    /// one thread's story.
    slip: Slip,
}

impl Participant {
    pub(super) fn new(epoch: &Arc<LightEpoch>, row: Arc<Row>) -> Self {
        Self { epoch: Arc::clone(epoch), row, slip: Slip::default() }
    }

    /// Pins: until the guard is dropped, nothing that can be seen from now on is taken away.
    ///
    /// Keep pins short, and do not hold one while waiting: every action of the epoch waits for it.
    #[inline]
    pub fn pin(&mut self) -> Guard<'_> {
        if self.try_enter() { Guard::of_pinned(self, None, false) } else { self.pin_flagged() }
    }

    /// Pins, unless actions wait or something asks for attention: the short way of operations that need not know.
    #[inline(always)]
    pub(crate) fn pin_plain(&mut self) -> Option<Guard<'_>> {
        if self.try_enter() { Some(Guard::of_pinned(self, None, false)) } else { None }
    }

    /// Pins the row unless there is something to be told.
    #[inline(always)]
    fn try_enter(&self) -> bool {
        // The last guard's end comes before this load, as a light barrier has it (E5).
        compiler_barrier();
        // Should the epoch be bumped between the load and the store, the row holds a number that is too small, which
        // holds up more actions than needed, never fewer (E1).
        self.row.set(self.epoch.word() & !FLAGS);
        // Of this barrier and the one in `safe_epoch`, one comes first (B1). If this one, the drainer sees the row. If
        // the other, every load from here on sees the state as it was unlinked, and there is nothing to protect. Without
        // the flag for fences the light barrier is one of the compiler only.
        compiler_barrier();
        // Not from the load above: whoever set a flag in between may have looked at the rows before this one was set (E6).
        if self.epoch.word() & FLAGS != 0 {
            self.row.set(0);
            return false;
        }
        true
    }

    /// Pins while there is something to be told.
    #[cold]
    #[inline(never)]
    fn pin_flagged(&mut self) -> Guard<'_> {
        light_barrier();
        self.row.set(self.epoch.word() & !FLAGS);
        light_barrier();
        // Looked for while pinned, behind the barrier: either the row holds up what is bumped after the flag was set, or the
        // flag is seen here. The same goes for a later notice.
        let word = self.epoch.word();
        let notice = (word & ATTENTION != 0).then(|| self.epoch.notice());
        Guard::of_pinned(self, notice, word & LOCKS != 0)
    }

    /// What its owner and those who are given its guards tell each other.
    #[inline(always)]
    pub(crate) fn slip(&self) -> &Slip {
        &self.slip
    }

    /// The epoch whose table holds this row.
    #[inline]
    pub fn epoch(&self) -> &Arc<LightEpoch> {
        &self.epoch
    }

    /// For the guard only. Release: what was done while pinned happens before the actions that waited for it (E2).
    #[inline]
    pub(super) fn unpin(&self) {
        self.row.set(0);
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        // A guard that was forgotten instead of dropped has left the row pinned; its borrow is over all the same.
        self.row.set(0);
        self.epoch.leave(&self.row);
    }
}

impl fmt::Debug for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row.epoch() {
            0 => f.write_str("Participant(not pinned)"),
            epoch => write!(f, "Participant(pinned at {})", epoch / STEP),
        }
    }
}
