//! The cut: the one moment of all sessions. Decision 0009 has the picture, decision 0017 the order of its waits.

use super::Kernel;
use crate::address::Address;
use crate::checkpoint::state::Moment;
use crate::epoch::LightEpoch;
use crate::error::Result;
use crate::record::{Key, Value};

/// What a cut needs of the store: the sessions' books, and somebody who waits.
pub(crate) trait Surroundings {
    /// Has every session note that a version begins (see [`Account::expect`](crate::operation::Account::expect)).
    fn expect(&self, version: u64);

    /// True while a batched call of any session is under way.
    fn is_any_in_batch(&self) -> bool;

    /// Asks `done` again and again until it says yes.
    ///
    /// # Errors
    /// When that takes too long, or nobody wants it any more.
    fn wait_until(&self, done: &mut dyn FnMut() -> bool) -> Result<()>;

    /// Waits until everybody has left who is pinned at this moment.
    ///
    /// # Errors
    /// As for [`wait_until`](Self::wait_until).
    fn wait_for_pins(&self) -> Result<()>;
}

/// A cut. While it lives, the log below its end stays as it is. Dropping it lets records be changed in place again, except
/// below the address that [`keep_below`](Self::keep_below) was given, and operations take their short way in any case.
pub(crate) struct Cut<'k, K: Key, V: Value> {
    kernel: &'k Kernel<K, V>,
    epoch: &'k LightEpoch,
    moment: Moment,
    is_posted: bool,
    /// Below lie no records of the new version.
    pub(crate) start: Address,
    /// A block boundary above every record of the old version.
    pub(crate) end: Address,
    kept_below: Address,
}

impl<'k, K: Key, V: Value> Cut<'k, K, V> {
    /// Makes the cut. `kept_below` is what earlier ones keep as it is. `sessions` is called with the new version at the moment
    /// at which everything of the old one has been counted.
    ///
    /// When this returns, operations are on their short way again.
    ///
    /// # Errors
    /// Those of the surroundings. Operations are on their short way then, too.
    pub(crate) fn make(
        kernel: &'k Kernel<K, V>,
        epoch: &'k LightEpoch,
        around: &impl Surroundings,
        kept_below: Address,
        sessions: impl FnOnce(u64),
    ) -> Result<Self> {
        let version = kernel.versions.current();
        let (nowhere, moment) = (Address::INVALID, Moment::rest(version));
        let _pause = kernel.log.pause_spares();
        let mut cut = Self { kernel, epoch, moment, is_posted: false, start: nowhere, end: nowhere, kept_below };
        cut.advance(around)?; // Prepare: everybody looks at the moment, new batches wait
        kernel.log.send_off_spares(); // L14: before the next wait ends
        around.wait_until(&mut || !around.is_any_in_batch())?;
        cut.start = closed_tail(kernel, around)?;
        kernel.versions.set_start(cut.start);
        around.expect(version + 1);
        kernel.versions.set(version + 1);
        cut.advance(around)?; // InProgress: now nobody runs under the old version any more
        sessions(version + 1);
        cut.end = closed_tail(kernel, around)?;
        kernel.log.freeze(cut.end);
        // Capture. Operations of the new version were given space below the end, too, and until they have filled it (L7) a
        // copy would have zeros there, which say that nothing follows in the block (R1). The same wait lets the log settle.
        cut.advance(around)?;
        kernel.log.settle(cut.end);
        cut.withdraw();
        Ok(cut)
    }

    /// The version that was cut off.
    pub(crate) fn version(&self) -> u64 {
        self.moment.version - 1
    }

    /// Has everything below `address` stay as it is also when this is dropped.
    pub(crate) fn keep_below(&mut self, address: Address) {
        self.kept_below = address;
    }

    /// Posts the next moment, and waits until nobody is pinned any more who does not know of it.
    fn advance(&mut self, around: &impl Surroundings) -> Result<()> {
        self.moment = self.moment.next();
        self.is_posted = true;
        self.epoch.post(self.moment.word());
        around.wait_for_pins()
    }

    fn withdraw(&mut self) {
        if std::mem::take(&mut self.is_posted) {
            // If it was not made to its end, some may still run under the old version. That matters to a cut only.
            self.epoch.post(Moment::rest(self.kernel.versions.current()).word());
            self.epoch.withdraw();
        }
    }
}

impl<K: Key, V: Value> Drop for Cut<'_, K, V> {
    fn drop(&mut self) {
        self.withdraw();
        if self.end.is_valid() {
            self.kernel.log.thaw_to(self.kept_below);
        }
    }
}

/// Moves the tail to a block boundary, and returns it: all that was allocated lies below, all that will be does not. (The
/// tail as it is seen at a moment may step back, when a page cannot be turned.)
///
/// # Errors
/// Those of the surroundings.
pub(crate) fn closed_tail<K: Key, V: Value>(kernel: &Kernel<K, V>, around: &impl Surroundings) -> Result<Address> {
    let mut closed = None;
    around.wait_until(&mut || {
        closed = kernel.log.close_block();
        closed.is_some()
    })?;
    Ok(closed.unwrap_or(Address::INVALID))
}
