//! What the owner of a participant and those who work under its guards tell each other, without the layers between having to
//! pass it on.

use std::cell::Cell;

/// Nothing, and never looked at, in a store whose changes are not all in its log and where no key was ever locked.
#[derive(Debug, Default)]
pub(crate) struct Slip {
    /// Whose change the next one is; zero: nobody says.
    origin: Cell<u64>,
    /// Where the last change is in the log, since it was last taken; zero: there was none.
    changed_at: Cell<u64>,
    /// The session that the log does not know yet, or not in this version: its name, and its last serial number.
    stranger: Cell<Option<(u128, u64)>>,
    /// The lock that the owner himself holds on the key of the operation at hand: its stripe, and whether he shares it.
    own_lock: Cell<Option<(u32, bool)>>,
}

impl Slip {
    #[inline(always)]
    pub(crate) fn origin(&self) -> u64 {
        self.origin.get()
    }

    #[inline]
    pub(crate) fn set_origin(&self, origin: u64) {
        self.origin.set(origin);
    }

    /// Notes where a change is, and whose the next one will be.
    #[inline]
    pub(crate) fn note_change(&self, address: u64, next_origin: u64) {
        self.changed_at.set(address);
        self.origin.set(next_origin);
    }

    /// Where the last change is, if there was one since the last call.
    #[inline]
    pub(crate) fn take_change(&self) -> u64 {
        self.changed_at.take()
    }

    /// Has the session introduced before its next change.
    pub(crate) fn introduce(&self, guid: u128, serial: u64) {
        self.stranger.set(Some((guid, serial)));
    }

    /// Who is to be introduced.
    #[inline]
    pub(crate) fn stranger(&self) -> Option<(u128, u64)> {
        self.stranger.get()
    }

    /// Says which lock the owner holds himself on the key of the next operation, and whether he shares it with others.
    pub(crate) fn set_own_lock(&self, lock: Option<(u32, bool)>) {
        self.own_lock.set(lock);
    }

    /// The lock that the owner holds himself.
    pub(crate) fn own_lock(&self) -> Option<(u32, bool)> {
        self.own_lock.get()
    }

    /// Notes that the session has been introduced.
    pub(crate) fn note_introduced(&self) {
        self.stranger.set(None);
    }
}
