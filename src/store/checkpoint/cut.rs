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
        cut.start = database.kernel.log.addresses().tail;
        database.kernel.versions.set_start(cut.start);
        database.for_each_account(|account| account.expect(version + 1));
        cut.advance()?; // Prepare: new batches wait
        cut.wait_until(|| !database.is_any_in_batch())?;
        database.kernel.versions.set(version + 1);
        cut.advance()?; // InProgress: now nobody runs under the old version any more
        cut.advance()?; // Capture
        cut.sessions = database.cut_sessions_before(version + 1);
        let mut end = None;
        cut.wait_until(|| {
            end = database.kernel.log.close_block();
            end.is_some()
        })?;
        cut.end = end.unwrap_or(nowhere);
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
        let known = Arc::new(AtomicBool::new(false));
        let action = Arc::clone(&known);
        self.database.epoch.post(self.moment.word());
        self.database.epoch.bump(move || action.store(true, Ordering::Release));
        self.wait_until(|| known.load(Ordering::Acquire))
    }

    /// Waits, within the store's limit, and helps meanwhile.
    pub(super) fn wait_until(&self, mut done: impl FnMut() -> bool) -> Result<()> {
        let mut stall = Stall::new();
        while !done() {
            self.control.check()?;
            stall.wait(&self.database.kernel, Retry::Cut)?;
        }
        Ok(())
    }
}

impl<K: Key, V: Value> Drop for Cut<'_, K, V> {
    fn drop(&mut self) {
        // If it was not made to its end, some may still run under the old version. That matters to a cut only.
        let versions = &self.database.kernel.versions;
        self.database.epoch.post(Moment::rest(versions.current()).word());
        self.database.epoch.withdraw();
    }
}
