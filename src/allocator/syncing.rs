//! Syncs that begin when what they are for was written, on the thread that learns of it: who waits for both is woken once.
//! Invariant L10 of [`crate::allocator`].

use super::hybrid_log::LogCore;
use crate::address::Address;
use crate::device::{CompletionQueue, IoDone, IoRequest, Token, answer};
use crate::error::Result;
use crate::sync::{Arc, Mutex};
use std::time::Duration;

/// The syncs that wait for writes.
pub(super) struct Plan(Mutex<Vec<Planned>>);

struct Planned {
    /// What is to be written before.
    end: Address,
    queue: Arc<CompletionQueue>,
}

impl Plan {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl LogCore {
    /// Begins the syncs whose turn has come, now that the device has written everything below `flushed`.
    pub(super) fn begin_syncs(&self, flushed: Address) {
        // Who plans one and then looks how far it is written, and who has written and then looks here: one of the two finds both.
        let due: Vec<Planned> = self.syncs.0.lock().extract_if(.., |planned| planned.end <= flushed).collect();
        for Planned { queue, .. } in due {
            self.device.submit(IoRequest::sync(), queue, flushed.get());
        }
    }
}

/// A sync of everything below an address, which one thread waits for.
pub(super) struct PlannedSync<'c> {
    core: &'c LogCore,
    queue: Arc<CompletionQueue>,
}

impl<'c> PlannedSync<'c> {
    pub(super) fn new(core: &'c LogCore, end: Address) -> Self {
        let queue = CompletionQueue::new();
        core.syncs.0.lock().push(Planned { end, queue: Arc::clone(&queue) });
        Self { core, queue }
    }

    /// What came of it, if that is known within `nap`.
    pub(super) fn outcome_within(&self, nap: Duration) -> Option<Result<()>> {
        self.queue.take_within(nap).map(|done| self.note(done))
    }

    /// What came of it: it has begun, or does so now, since everything below its end was written.
    ///
    /// # Errors
    /// The device's, or [`ErrorKind::DeviceFailed`](crate::ErrorKind::DeviceFailed) if it does not answer within `limit`.
    pub(super) fn outcome(&self, limit: Duration) -> Result<()> {
        self.core.begin_syncs(self.core.pointers.flushed());
        answer(&*self.core.device, &self.queue, 0, limit).and_then(|done| self.note(done))
    }

    /// The token says how far it was written when the sync began: not more than that is durable.
    fn note(&self, (written, done): (Token, IoDone)) -> Result<()> {
        done.result?;
        self.core.durable.advance_to(written);
        Ok(())
    }
}

impl Drop for PlannedSync<'_> {
    fn drop(&mut self) {
        self.core.syncs.0.lock().retain(|planned| !Arc::ptr_eq(&planned.queue, &self.queue));
    }
}
