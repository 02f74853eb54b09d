//! Keeping the log as it is up to an address, for as long as a checkpoint copies it. Invariant L12 of [`crate::allocator`].
//!
//! ```text
//!   freeze(a)      settle(a)                         thaw_to(b)       actions of the epoch
//!   frozen = a --- everybody left --- settled = a ... settled = b --- everybody left, twice --- frozen = b
//!            fuzzy: some change it,           immutable:       fuzzy: first some copy it,            mutable
//!            nobody copies it                 may be copied    then some know of no copy
//! ```
//!
//! Once the first wait for everybody is over, nobody copies any more, and every copy is in the index. But somebody may have
//! pinned during it and looked into the index before the last copy was there. To them, the record is the newest of its key: if
//! they found it mutable, their change would go into a record that was replaced. So it takes a second wait, for them.

use super::hybrid_log::{HybridLog, LogCore};
use crate::address::Address;
use crate::sync::{Arc, AtomicU64, Ordering};

/// How far the log is kept as it is, apart from what is read-only for good.
#[derive(Debug)]
pub(super) struct Frozen {
    /// Below, who pins from now on changes nothing.
    frozen: AtomicU64,
    /// Below, nobody does.
    settled: AtomicU64,
}

impl Frozen {
    pub(super) fn none() -> Self {
        Self { frozen: AtomicU64::new(0), settled: AtomicU64::new(0) }
    }

    #[inline(always)]
    pub(super) fn frozen(&self) -> Address {
        Address::of_pointer(self.frozen.load(Ordering::Acquire))
    }

    #[inline]
    pub(super) fn settled(&self) -> Address {
        Address::of_pointer(self.settled.load(Ordering::Acquire))
    }
}

impl HybridLog {
    /// Lets nobody who pins from now on change a record below `to`, a block boundary that the tail has passed. For the one
    /// checkpoint under way.
    pub(crate) fn freeze(&self, to: Address) {
        self.core.pointers.frozen.frozen.store(to.get(), Ordering::Release);
    }

    /// Lets records below `to` be copied, now that everybody has left who was pinned when it was [frozen](Self::freeze).
    pub(crate) fn settle(&self, to: Address) {
        self.core.pointers.frozen.settled.store(to.get(), Ordering::Release);
    }

    /// Lets records be changed in place again from `to` on, once nobody takes them for immutable any more, and nobody has missed
    /// a copy of them. Does not wait for that: actions of the epoch do.
    pub(crate) fn thaw_to(&self, to: Address) {
        self.core.pointers.frozen.settled.store(to.get(), Ordering::Release);
        let (core, from) = (Arc::downgrade(&self.core), self.core.pointers.frozen.frozen());
        self.core.epoch.bump(move || {
            if let Some(core) = core.upgrade() {
                core.thaw_once_copies_are_seen(from, to);
            }
        });
    }

    /// Closes everything below `to` for good, and has it written. It is settled, so nobody has to be waited for.
    pub(crate) fn close_settled(&self, to: Address) {
        self.core.close_settled(to.min(self.core.pointers.frozen.settled()));
    }
}

impl LogCore {
    /// Nobody copies what is frozen below `from` any more.
    fn thaw_once_copies_are_seen(self: &Arc<Self>, from: Address, to: Address) {
        let core = Arc::downgrade(self);
        self.epoch.bump(move || {
            if let Some(core) = core.upgrade() {
                // A later checkpoint, if it has frozen more by now, thaws that itself.
                let frozen = &core.pointers.frozen.frozen;
                let _ = frozen.compare_exchange(from.get(), to.get(), Ordering::AcqRel, Ordering::Relaxed);
            }
        });
    }

    fn close_settled(self: &Arc<Self>, to: Address) {
        self.pointers.advance_read_only(to);
        self.pointers.advance_safe_read_only(to);
        self.pump();
    }
}
