//! The proof of being pinned.

use super::slip::Slip;
use super::{LightEpoch, Participant};
use crate::sync::Arc;

/// Proof that the participant's row is pinned. While it lives, nothing that could be seen when it was made is taken away
/// (E1). Dropping it unpins; it does not run actions.
///
/// A guard stays on its thread:
///
/// ```compile_fail,E0277
/// let epoch = oxifaster::epoch::LightEpoch::new();
/// let mut participant = epoch.join();
/// let guard = participant.pin();
/// std::thread::scope(|scope| { scope.spawn(move || drop(guard)); });
/// ```
///
/// and a participant has one guard at a time, since a second one would unpin the first when dropped:
///
/// ```compile_fail,E0499
/// let epoch = oxifaster::epoch::LightEpoch::new();
/// let mut participant = epoch.join();
/// let outer = participant.pin();
/// let inner = participant.pin();
/// drop((outer, inner));
/// ```
#[must_use = "a guard that is dropped at once protects nothing"]
pub struct Guard<'p> {
    /// A shared reference to something that is not `Sync`: that is what keeps the guard on its thread.
    participant: &'p Participant,
    /// What was posted when the row was pinned, if anything was.
    notice: Option<u64>,
    heeds_locks: bool,
}

impl<'p> Guard<'p> {
    /// The caller has pinned the row.
    #[inline]
    pub(super) fn of_pinned(participant: &'p Participant, notice: Option<u64>, heeds_locks: bool) -> Self {
        Self { participant, notice, heeds_locks }
    }

    /// What was posted when the row had just been pinned: the same for all that is done under this guard (E6).
    #[inline]
    pub(crate) fn notice(&self) -> Option<u64> {
        self.notice
    }

    /// True if keys may be locked, and operations have to heed that.
    #[inline(always)]
    pub(crate) fn heeds_locks(&self) -> bool {
        self.heeds_locks
    }

    /// What the owner of the row and those who are given the guard tell each other.
    #[inline(always)]
    pub(crate) fn slip(&self) -> &'p Slip {
        self.participant.slip()
    }

    /// The epoch this guard is a proof for.
    #[inline]
    pub fn epoch(&self) -> &'p Arc<LightEpoch> {
        self.participant.epoch()
    }
}

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.participant.unpin();
    }
}

impl std::fmt::Debug for Guard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Guard({:?})", self.participant)
    }
}
