//! Where a log begins its life: empty, or at a cut.

use super::block::BLOCK_SIZE;
use super::geometry::LogGeometry;
use super::history::History;
use super::pointers::FIRST;
use crate::address::Address;
use crate::error::{Error, ErrorKind, Result};

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

    /// This state of an empty log, or if its first block lies below `offset`, where its device begins, that of one which begins
    /// with the first page behind.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if no address is left there.
    pub(crate) fn at_or_behind(self, offset: u64, geometry: LogGeometry) -> Result<Self> {
        if geometry.device_offset(geometry.block_of(self.begin)) >= offset {
            return Ok(self);
        }
        let page = offset.div_ceil(geometry.blocks_per_page() * BLOCK_SIZE as u64);
        let first = page.checked_mul(geometry.page().page_size()).filter(|first| *first < Address::MAX.get());
        let first = first.ok_or_else(|| {
            Error::new(ErrorKind::Limit, "the device begins behind all addresses of a log")
                .with("begin", offset)
                .help("use another device, or remove the files of this one")
        })?;
        let first = Address::new(first);
        Ok(Self { begin: first, head: first, flushed: first, end: first, ..self })
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
