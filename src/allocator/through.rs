//! Small writes that the thread that waits for them makes durable by itself. Invariant L15 of [`crate::allocator`].

use super::hybrid_log::LogCore;
use crate::address::Address;
use crate::device::CompletionSink;
use crate::sync::Arc;
use std::time::Duration;

/// The next write, kept for one thread. As long as it is kept, no other begins.
pub(super) struct KeptWrite<'c> {
    core: &'c Arc<LogCore>,
    end: Address,
    is_kept: bool,
}

impl<'c> KeptWrite<'c> {
    /// Keeps the write of everything below `end` that is not durable, if it is one small write.
    pub(super) fn of(core: &'c Arc<LogCore>, end: Address) -> Option<Self> {
        let may_be = !core.volatile && core.flush.lock().keep(end, Address::of_pointer(core.durable.get()));
        may_be.then_some(Self { core, end, is_kept: true })
    }

    /// Makes the write, and makes it durable, if everybody has left who may be changing something in it and the device can do that here.
    /// True if everything below its end is durable now. If it is not, the write is under way, or its turn comes as that of any other.
    pub(super) fn try_within(mut self, limit: Duration) -> bool {
        let core = self.core;
        core.epoch.drain();
        self.is_kept = false;
        let Some(chunk) = core.flush.lock().take_kept(self.end, core.pointers.safe_read_only()) else { return false };
        match core.device.write_through(core.write_request(chunk), limit) {
            Ok(done) => {
                let is_written = done.result.is_ok();
                core.complete(chunk.token, done);
                // L15: what lies below the write was durable before it. Of what it wrote as little as it says is.
                let is_durable = is_written && core.pointers.flushed() >= chunk.end();
                if is_durable {
                    core.durable.advance_to(chunk.end().get());
                }
                is_durable
            }
            Err(request) => {
                core.device.submit(request, Arc::clone(core) as Arc<dyn CompletionSink>, chunk.token);
                false
            }
        }
    }
}

impl Drop for KeptWrite<'_> {
    fn drop(&mut self) {
        if self.is_kept {
            self.core.flush.lock().let_go();
        }
    }
}
