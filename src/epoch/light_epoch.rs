//! The table of rows, the current epoch, and what of it is safe.

use super::Participant;
use super::drain::DrainList;
use super::participant::Row;
use crate::sync::{Arc, AtomicU64, CachePadded, Mutex, Ordering, barriers_are_free, heavy_barrier, light_barrier};
use std::fmt;

/// The epoch's word: its number above, flags below. A pin loads it anyway, so asking for a flag costs nothing more.
///
/// Actions wait or run: time to drain.
pub(super) const WAITING: u64 = 1;
/// This process has no barrier that is free for the pinning side.
pub(super) const FENCES: u64 = 1 << 1;
/// Something is under way that operations have to take into account.
pub(super) const ATTENTION: u64 = 1 << 2;
/// Keys may be locked: operations have to heed that, from now on.
pub(super) const LOCKS: u64 = 1 << 3;
/// From one epoch to the next.
pub(super) const STEP: u64 = 1 << 4;
pub(super) const FLAGS: u64 = STEP - 1;

/// An epoch: participants pin it, and what they might see is taken away only after they have left.
///
/// See [the module](crate::epoch) for the guarantee and an example.
pub struct LightEpoch {
    /// The number and the flags. Read by every pin, written by bumps, so it shares its line with nothing else.
    word: CachePadded<AtomicU64>,
    /// What guards that ask for attention are told.
    notice: AtomicU64,
    table: Mutex<Table>,
    actions: DrainList,
}

/// Every participant's row.
struct Table {
    rows: Vec<Arc<Row>>,
    /// A row that held up the first waiting action when the rows were last looked at, and the epoch it held. As long as
    /// it still does there is no point in looking at the others: a long pin must not make every other operation pay for
    /// a walk over the table.
    blocker: Option<(Arc<Row>, u64)>,
}

impl LightEpoch {
    /// An epoch without participants, at number 1.
    pub fn new() -> Arc<Self> {
        // The choice of the barrier is made here and never changes (B2).
        let flags = if barriers_are_free() { 0 } else { FENCES };
        Arc::new(Self {
            word: CachePadded::new(AtomicU64::new(STEP | flags)),
            notice: AtomicU64::new(0),
            table: Mutex::new(Table { rows: Vec::new(), blocker: None }),
            actions: DrainList::new(),
        })
    }

    /// Registers a row. Any number of participants can join.
    pub fn join(self: &Arc<Self>) -> Participant {
        let row = Arc::new(Row::new());
        self.table.lock().rows.push(Arc::clone(&row));
        Participant::new(self, row)
    }

    /// Takes the row of a leaving participant out of the table.
    pub(super) fn leave(&self, row: &Arc<Row>) {
        let mut table = self.table.lock();
        if let Some(position) = table.rows.iter().position(|known| Arc::ptr_eq(known, row)) {
            table.rows.swap_remove(position);
        }
    }

    #[cfg(test)]
    #[cfg(not(oxifaster_loom))]
    pub(super) fn rows(&self) -> usize {
        self.table.lock().rows.len()
    }

    /// The number of the current epoch.
    #[inline]
    pub fn current(&self) -> u64 {
        self.word() / STEP
    }

    #[inline]
    pub(super) fn word(&self) -> u64 {
        // Acquire: pairs with the increment in `bump`. Who pins at an epoch after a bump sees the state as it was left
        // by the bump's caller, so it need not be waited for.
        self.word.load(Ordering::Acquire)
    }

    /// Registers `action` to run once every thread that may have seen the state before this call has left.
    ///
    /// First unlink, then bump. The action runs on whichever thread drains, in the order of registration; it should be
    /// short and must not wait for a participant.
    pub fn bump(&self, action: impl FnOnce() + Send + 'static) {
        let bump = || {
            let before = self.word.fetch_add(STEP, Ordering::AcqRel) & !FLAGS;
            self.word.fetch_or(WAITING, Ordering::Release);
            before
        };
        self.actions.register(bump, Box::new(action));
    }

    /// Has every guard from now on carry this [`notice`](super::Guard::notice).
    ///
    /// A [`bump`](Self::bump) after this call tells when nobody is pinned any more who has not seen it (E6).
    pub(crate) fn post(&self, notice: u64) {
        self.notice.store(notice, Ordering::Release);
        self.word.fetch_or(ATTENTION, Ordering::AcqRel);
    }

    /// Guards need no longer carry the notice. Some still may.
    pub(crate) fn withdraw(&self) {
        self.word.fetch_and(!ATTENTION, Ordering::AcqRel);
    }

    /// Has every guard from now on say that locks of keys are to be heeded, for good.
    ///
    /// A [`bump`](Self::bump) after this call tells when nobody is pinned any more who does not know (E6).
    pub(crate) fn heed_locks(&self) {
        self.word.fetch_or(LOCKS, Ordering::AcqRel);
    }

    /// The notice that was posted last.
    pub(super) fn notice(&self) -> u64 {
        self.notice.load(Ordering::Acquire)
    }

    /// True if actions are waiting or running: time to call [`drain`](Self::drain). Meant to be asked after every
    /// operation, while not pinned; it costs one load.
    #[inline]
    pub fn has_pending(&self) -> bool {
        // The row was cleared, now the flag is read; a drainer sets the flag, then reads the rows. The barriers on
        // both sides let one see the other (B1), so an action that this thread held up is not left behind (E5).
        light_barrier();
        self.word() & WAITING != 0
    }

    /// Runs every action whose epoch is safe, in order of registration. Returns true if none is left waiting afterwards.
    ///
    /// To be called while not pinned: a thread's own pin holds its actions up. If another thread is draining at the
    /// moment, returns false at once, and that thread looks again on behalf of this one.
    ///
    /// # Panics
    /// If an action panics. The action counts as run, and the ones behind it stay for the next call.
    pub fn drain(&self) -> bool {
        // Who finds the list held up by somebody else need not ask for another look: the one who holds it up will. The
        // blocker is stored under the same lock as the rows are read, so either it was stored by a look at the rows that
        // came before this thread's unpin and is still pinned, or that look already saw this thread's row as it is now.
        if self.actions.span().is_some_and(|(first, _)| self.is_blocked(first)) {
            return false;
        }
        let mut role = self.actions.try_enter();
        while let Some(draining) = role {
            draining.begin_pass();
            // An action may bump in turn, so a pass that ran something is followed by another one: a loop, because
            // recursion would go as deep as such a chain is long.
            while self.run_safe() {
                draining.begin_pass();
            }
            role = draining.leave();
        }
        self.word() & WAITING == 0
    }

    /// Runs what is safe now. Returns true if something ran, so that more may have become runnable.
    fn run_safe(&self) -> bool {
        // Which actions are waiting is read before the rows. What is registered later may have been unlinked after a
        // row was read, so it is not judged by this look at the rows.
        let Some((first, last)) = self.actions.span() else { return false };
        let safe = self.safe_epoch(first, last);
        self.run_up_to(safe);
        safe >= first
    }

    fn run_up_to(&self, safe: u64) {
        self.actions.run_up_to(safe, || {
            self.word.fetch_and(!WAITING, Ordering::AcqRel);
        });
    }

    /// The largest epoch up to `last` that no row holds up, where actions of epochs `first` to `last` are waiting; 0 if
    /// nothing can be concluded.
    fn safe_epoch(&self, first: u64, last: u64) -> u64 {
        if self.is_blocked(first) {
            return 0;
        }
        // The unlinking stores happen before this barrier, by way of the list's lock in `bump` and `span`. A thread
        // whose pin is not seen below ran its light barrier after this one, and sees the unlinked state (B1). A thread
        // whose pin is already over when its row is read has released its reads with the 0 that is read here (E2). One
        // that joins after the table is locked has that lock's release behind it.
        if !heavy_barrier() {
            return 0;
        }
        let mut table = self.table.lock();
        let oldest =
            table.rows.iter().map(|row| (row.epoch(), row)).filter(|(epoch, _)| *epoch > 0).min_by_key(|r| r.0);
        let (safe, blocker) = match oldest {
            // A row at `e` was pinned by a thread that saw the bump to `e`, and with it everything that was unlinked
            // before. It holds up epoch `e` and later ones (E1).
            Some((epoch, row)) => {
                let blocker = (epoch <= last).then(|| (Arc::clone(row), epoch));
                (last.min(epoch - 1), blocker)
            }
            None => (last, None),
        };
        table.blocker = blocker;
        safe
    }

    /// True if the row that held up the list the last time still holds its first action up. No barrier is needed: an old
    /// value of the row gives a "yes" that its owner puts right, since it asks for a drain after unpinning (E5).
    fn is_blocked(&self, first: u64) -> bool {
        let table = self.table.lock();
        table.blocker.as_ref().is_some_and(|(row, epoch)| *epoch <= first && row.epoch() == *epoch)
    }
}

impl Drop for LightEpoch {
    fn drop(&mut self) {
        // Every participant keeps the epoch alive, so none is left, and everything is safe (E3: each action runs).
        self.run_up_to(u64::MAX);
    }
}

impl fmt::Debug for LightEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LightEpoch")
            .field("current", &self.current())
            .field("has_pending", &self.has_pending())
            .finish_non_exhaustive()
    }
}
