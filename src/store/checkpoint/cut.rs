//! The cut: the one moment of all sessions. Decision 0009 has the picture.

use super::control::Control;
use crate::address::Address;
use crate::checkpoint::SessionCut;
use crate::checkpoint::state::Moment;
use crate::error::Result;
use crate::operation::{Retry, Stall};
use crate::record::{Key, Value};
use crate::store::database::Database;
use crate::sync::{Arc, AtomicBool, Ordering};

/// A cut that was made, during which records of the old version are left alone. Dropping it lets operations take their short
/// way again (C2).
pub(super) struct Cut<'d, K: Key, V: Value> {
    database: &'d Database<K, V>,
    control: &'d Control,
    moment: Moment,
    /// Below lie no records of the new version.
    pub(super) start: Address,
    /// A block boundary above every record of the old version.
    pub(super) end: Address,
    pub(super) sessions: Vec<SessionCut>,
}

impl<'d, K: Key, V: Value> Cut<'d, K, V> {
    /// Makes the cut.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy) if a call of a session takes too long to end; the control's.
    pub(super) fn make(database: &'d Database<K, V>, control: &'d Control) -> Result<Self> {
        let version = database.kernel.versions.current();
        let nowhere = Address::INVALID;
        let moment = Moment::rest(version);
        let mut cut = Self { database, control, moment, start: nowhere, end: nowhere, sessions: Vec::new() };
        cut.post()?; // from here on everybody looks at the moment
        cut.start = closed_tail(database, control)?;
        database.kernel.versions.set_start(cut.start);
        database.for_each_account(|account| account.expect(version + 1));
        cut.advance()?; // Prepare: new batches wait
        cut.wait_until(|| !database.is_any_in_batch())?;
        database.kernel.versions.set(version + 1);
        cut.advance()?; // InProgress: now nobody runs under the old version any more
        cut.advance()?; // Capture
        cut.sessions = database.cut_sessions_before(version + 1);
        cut.end = closed_tail(database, control)?;
        // Operations of the new version were given space below, too. Until they have filled it (L7), a copy would have zeros
        // there, and zeros say that nothing follows in the block (R1): what does would be missing after a recovery.
        wait_for_pins(database, control)?;
        Ok(cut)
    }

    /// The version that was cut off.
    pub(super) fn version(&self) -> u64 {
        self.moment.version - 1
    }

    fn advance(&mut self) -> Result<()> {
        self.moment = self.moment.next();
        self.post()
    }

    /// Posts the moment, and waits until nobody is pinned any more who does not know of it.
    fn post(&self) -> Result<()> {
        self.database.epoch.post(self.moment.word());
        wait_for_pins(self.database, self.control)
    }

    /// See [`wait_until`].
    pub(super) fn wait_until(&self, done: impl FnMut() -> bool) -> Result<()> {
        wait_until(self.database, self.control, done)
    }
}

/// Waits, within the store's limit, and helps meanwhile.
///
/// # Errors
/// [`ErrorKind::Busy`](crate::ErrorKind::Busy) when the limit has passed; the control's.
fn wait_until<K: Key, V: Value>(
    database: &Database<K, V>,
    control: &Control,
    mut done: impl FnMut() -> bool,
) -> Result<()> {
    let mut stall = Stall::new();
    while !done() {
        control.check()?;
        stall.wait(&database.kernel, Retry::Cut)?;
    }
    Ok(())
}

/// Waits until everybody has left who is pinned at this moment.
pub(super) fn wait_for_pins<K: Key, V: Value>(database: &Database<K, V>, control: &Control) -> Result<()> {
    let left = Arc::new(AtomicBool::new(false));
    let action = Arc::clone(&left);
    database.epoch.bump(move || action.store(true, Ordering::Release));
    wait_until(database, control, || left.load(Ordering::Acquire))
}

/// Moves the tail to a block boundary, and returns it: all that was allocated lies below, all that will be does not. (The
/// tail as it is seen at a moment may step back, when a page cannot be turned.)
pub(super) fn closed_tail<K: Key, V: Value>(database: &Database<K, V>, control: &Control) -> Result<Address> {
    let mut closed = None;
    wait_until(database, control, || {
        closed = database.kernel.log.close_block();
        closed.is_some()
    })?;
    Ok(closed.unwrap_or(Address::INVALID))
}

impl<K: Key, V: Value> Drop for Cut<'_, K, V> {
    fn drop(&mut self) {
        // If it was not made to its end, some may still run under the old version. That matters to a cut only.
        let versions = &self.database.kernel.versions;
        self.database.epoch.post(Moment::rest(versions.current()).word());
        self.database.epoch.withdraw();
    }
}
