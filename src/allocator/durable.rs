//! Making everything that is in the log durable. Invariants L4, L10 and L15 of [`crate::allocator`].

use super::hybrid_log::HybridLog;
use super::syncing::PlannedSync;
use super::through::KeptWrite;
use crate::address::Address;
use crate::device::{IoRequest, access};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Backoff;
use std::time::{Duration, Instant};

/// How long a thread sleeps at most when nobody may tell it that a pin has ended.
const NAP: Duration = Duration::from_micros(200);

impl HybridLog {
    /// Makes durable all that is in the log at this moment: closes its last block, has everything below written, and syncs the
    /// device. Returns the address up to which the log is durable, a block boundary: none of these blocks is written again.
    /// Called while not pinned.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceFailed`] if something cannot be written or synced, or the device takes longer than `limit` for
    /// anything; [`ErrorKind::Busy`] if somebody stays pinned for so long.
    pub(crate) fn make_durable(&self, limit: Duration) -> Result<Address> {
        let end = self.cut(limit)?;
        self.make_durable_below(end, limit, || Ok(()))?;
        Ok(end)
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
            self.help();
            check(since, limit)?;
            backoff.wait();
        }
    }

    /// Takes up what somebody else has appended on the device, up to `end`, a block boundary, and given up below `begin`. Nobody
    /// appends to this log.
    pub(crate) fn follow(&self, begin: Address, end: Address) {
        let pointers = &self.core.pointers;
        // None of it is in memory. From the top down (L1), and the tail last: nobody looks beyond it.
        pointers.advance_read_only(end);
        pointers.advance_safe_read_only(end);
        pointers.advance_flushed(end);
        pointers.advance_head(end);
        pointers.advance_safe_head(end);
        pointers.advance_begin(begin);
        self.core.head_wanted.advance_to(end.get());
        self.core.durable.advance_to(end.get());
        self.core.tail.follow(end);
    }

    /// Everything below was durable when somebody last saw to it.
    pub(crate) fn durable(&self) -> Address {
        Address::of_pointer(self.core.durable.get())
    }

    /// Makes everything below `end`, a block boundary that the tail was moved to, durable: closes it to updates, has it written,
    /// and syncs the device. `go_on` is asked now and then whether that is still wanted. Called while not pinned.
    ///
    /// # Errors
    /// As for [`make_durable`](Self::make_durable), and that of `go_on`.
    pub(crate) fn make_durable_below(
        &self,
        end: Address,
        limit: Duration,
        go_on: impl Fn() -> Result<()>,
    ) -> Result<()> {
        let kept = KeptWrite::of(&self.core, end);
        self.close_below(end);
        if kept.is_some_and(|kept| kept.try_within(limit)) {
            return Ok(());
        }
        let sync = PlannedSync::new(&self.core, end);
        let (mut since, mut seen, mut done) = (Instant::now(), Address::INVALID, None);
        while done.is_none() {
            self.help();
            let flushed = self.addresses().flushed;
            if flushed >= end {
                break;
            }
            if let Some(failure) = self.flush_failure() {
                return Err(Error::new(ErrorKind::DeviceFailed, "the log cannot be written to its device")
                    .with("durable up to at most", flushed)
                    .because(failure)
                    .help("repair the device or free some space, and open the log again"));
            }
            if flushed > seen {
                (seen, since) = (flushed, Instant::now());
            }
            check(since, limit)?;
            go_on()?;
            done = sync.outcome_within(NAP);
        }
        done.unwrap_or_else(|| sync.outcome(limit)).map_err(|failure| {
            Error::new(ErrorKind::DeviceFailed, "the log cannot be made durable")
                .with("written up to", end)
                .because(failure)
                .help("nobody can know what of it reached the device: repair it, and open the log again")
        })
    }

    /// Gives up everything below `begin`, which is durable, as far as nobody can be looking at it any more: what is in memory
    /// leaves it, and the device may free its space. Returns the address that the log begins with now; another call goes on.
    ///
    /// # Errors
    /// Those of the device.
    pub(crate) fn truncate_before(&self, begin: Address, limit: Duration) -> Result<Address> {
        let begin = self.geometry().block_start(begin);
        self.evict_until(begin);
        self.help();
        let reached = begin.min(self.addresses().safe_head);
        if self.core.pointers.advance_begin(reached) {
            let offset = self.geometry().device_offset(self.geometry().block_of(reached));
            access(&**self.device(), IoRequest::truncate_before(offset), limit)?;
        }
        Ok(self.begin())
    }
}

fn check(since: Instant, limit: Duration) -> Result<()> {
    if since.elapsed() < limit {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Busy, "waiting for writes of the log took too long")
        .with("milliseconds waited", since.elapsed().as_millis())
        .help("look for a hung device, or raise the wait limit"))
}
