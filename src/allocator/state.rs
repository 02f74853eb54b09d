//! Where a log begins its life: empty, or at a cut.

use super::geometry::LogGeometry;
use super::history::History;
use super::pointers::FIRST;
use crate::address::Address;

/// The state in which a log begins. All that is in it is immutable.
#[derive(Debug, Clone)]
pub(crate) struct LogState {
    /// The oldest record.
    pub(crate) begin: Address,
    /// The oldest record that is going to be in memory.
    pub(crate) head: Address,
    /// Everything below is on the device.
    pub(crate) flushed: Address,
    /// Where the log goes on: a block boundary.
    pub(crate) end: Address,
    pub(crate) history: History,
}

impl LogState {
    /// An empty log, whose blocks will carry `generation`.
    pub(crate) fn empty(generation: u32) -> Self {
        Self::empty_from(Address::new(FIRST), generation)
    }

    /// An empty log whose first record lies at `first`.
    pub(crate) fn empty_from(first: Address, generation: u32) -> Self {
        Self { begin: first, head: first, flushed: first, end: first, history: History::of_new(generation) }
    }

    /// The block boundary below which everything is on the device: a log's first block is not, before its first record.
    pub(super) fn written(&self) -> Address {
        if self.flushed.get() <= FIRST { Address::INVALID } else { self.flushed }
    }
}

impl LogGeometry {
    /// The oldest address that can be in memory while records are written to the page of `tail`, and the next page can be
    /// opened.
    pub(crate) fn oldest_in_memory(self, tail: Address) -> Address {
        let page = (self.page().page(tail) + 2).saturating_sub(self.frames());
        self.page().start_of(page).max(Address::new(FIRST))
    }
}
