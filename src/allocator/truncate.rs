//! How far a log is known to be durable, and giving up its old end. Invariants L1, L4, L10 and L11 of [`crate::allocator`].
//!
//! ```text
//!   cut            nothing below shares a block with what comes later
//!   make_durable_below   written up to the cut, then synced: durable moves
//!   shift_begin    nobody looks below any more who begins to look now
//!   free_before    the device gives up what lies below
//! ```
//!
//! Who owns the log says when: what was moved has to be durable, and everybody to have left who may be looking, before the
//! device gives anything up.

use super::hybrid_log::HybridLog;
use crate::address::Address;
use crate::device::{IoRequest, access};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Backoff;
use std::time::{Duration, Instant};

impl HybridLog {
    /// Everything below was durable when somebody last saw to it.
    pub(crate) fn durable(&self) -> Address {
        Address::of_pointer(self.core.durable.get())
    }

    /// Moves the tail to a block boundary, and returns it: what is there now lies below, what comes later shares no block with
    /// it. Called while not pinned.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if a page is being turned for as long as `limit`.
    pub(crate) fn cut(&self, limit: Duration) -> Result<Address> {
        let (since, mut backoff) = (Instant::now(), Backoff::new());
        loop {
            if let Some(cut) = self.close_block() {
                return Ok(cut);
            }
            if backoff.is_slow() && since.elapsed() >= limit {
                return Err(too_long("the page at the tail to be turned", since));
            }
            self.help();
            backoff.wait();
        }
    }

    /// Closes what lies below `cut`, which [`cut`](Self::cut) or another closing call gave, to updates, has it written, and syncs
    /// the device. `check` is called now and then, to end the wait. Called while not pinned.
    ///
    /// # Errors
    /// That of the device if something cannot be written or synced; [`ErrorKind::Busy`] if nothing is written for `limit`; that of
    /// `check`.
    pub(crate) fn make_durable_below(
        &self,
        cut: Address,
        limit: Duration,
        check: impl Fn() -> Result<()>,
    ) -> Result<()> {
        self.close_below(cut);
        let (mut since, mut seen, mut backoff) = (Instant::now(), Address::INVALID, Backoff::new());
        loop {
            let flushed = self.addresses().flushed;
            if flushed >= cut {
                // Not more than was written before the sync began.
                self.sync_device(limit)?;
                self.core.durable.advance_to(flushed.get());
                return Ok(());
            }
            if let Some(failure) = self.flush_failure() {
                return Err(failure);
            }
            check()?;
            if flushed > seen {
                // As long as it goes on, it may take as long as there is to write.
                (seen, since) = (flushed, Instant::now());
            }
            if backoff.is_slow() && since.elapsed() >= limit {
                return Err(too_long("the log to be written", since));
            }
            self.help();
            backoff.wait();
        }
    }

    /// Gives up what lies below `begin`, where a record begins or may begin, for everybody who begins to look now. False if it
    /// was given up already. Its space is still taken: see [`free_before`](Self::free_before).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if not everything below is on the device yet, and so may be changed still.
    pub(crate) fn shift_begin(&self, begin: Address) -> Result<bool> {
        let flushed = self.addresses().flushed;
        if begin > flushed {
            return Err(Error::new(ErrorKind::Config, "a log cannot be truncated beyond what is on its device")
                .with("address", begin)
                .with("on the device up to", flushed)
                .help("have it written first, and truncate then"));
        }
        Ok(self.core.pointers.advance_begin(begin))
    }

    /// Has the device give up the blocks below that of `address`, at which nobody is looking any more.
    ///
    /// # Errors
    /// That of the device, or that it does not answer within `limit`.
    pub(crate) fn free_before(&self, address: Address, limit: Duration) -> Result<()> {
        let offset = self.geometry().device_offset(self.geometry().block_of(address));
        access(&**self.device(), IoRequest::truncate_before(offset), limit).map(drop)
    }
}

#[cold]
fn too_long(what: &'static str, since: Instant) -> Error {
    Error::new(ErrorKind::Busy, "waiting for others took too long")
        .with("waiting for", what)
        .with("milliseconds waited", since.elapsed().as_millis())
        .help("look for a hung device, or for a call that never returns")
}
