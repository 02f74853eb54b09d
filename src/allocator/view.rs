//! What of a log is in memory, for those who look at it under one pin.

use super::hybrid_log::{Allocation, LogCore};
use crate::address::Address;
use crate::memory::Purpose;
use crate::record::{RecordInfo, RecordLayout, RecordRef};
use crate::sync::{Arc, AtomicU64};

/// The part of a log that is in memory, as seen under one pin.
#[derive(Clone, Copy)]
pub(crate) struct LogView<'g> {
    pub(super) core: &'g LogCore,
}

impl<'g> LogView<'g> {
    /// Under this pin every record at or above this head, and every newer one, stays where it is (L3).
    #[inline(always)]
    pub(crate) fn head(self) -> Address {
        self.core.pointers.head()
    }

    /// Under this pin every record at or above this boundary may be changed in place.
    #[inline(always)]
    pub(crate) fn mutable_from(self) -> Address {
        self.core.pointers.mutable_from()
    }

    /// The oldest record there is.
    #[inline]
    pub(crate) fn begin(self) -> Address {
        self.core.pointers.begin()
    }

    /// The record at `address`, which is not below a [`head`](Self::head) of this pin. Where it is of any length, all that lies
    /// behind it is lent as well: no record crosses a page.
    #[inline(always)]
    pub(crate) fn record(self, address: Address, layout: RecordLayout) -> RecordRef<'g> {
        RecordRef::new(match layout.record_size() {
            Some(size) => self.core.frames.words(address, size),
            None => self.core.frames.words_from(address),
        })
    }

    /// The header of the record at `address`, and no more.
    #[inline(always)]
    pub(crate) fn header(self, address: Address) -> RecordRef<'g> {
        RecordRef::new(self.core.frames.words(address, size_of::<RecordInfo>()))
    }

    /// Starts loading the record at `address`, if it is in memory; of one of any length, as many bytes as are `typical`.
    #[inline(always)]
    pub(crate) fn prefetch(self, address: Address, layout: RecordLayout, typical: usize, purpose: Purpose) {
        if address >= self.head() {
            match layout.record_size() {
                Some(size) => self.core.frames.prefetch(address, size, purpose),
                None => self.core.frames.prefetch_about(address, typical, purpose),
            }
        }
    }
}

/// A look at a log. The log does not go before it.
pub(crate) struct LogHandle(pub(super) Arc<LogCore>);

impl LogHandle {
    /// What is in memory, for a caller who is pinned.
    #[inline]
    pub(crate) fn view(&self) -> LogView<'_> {
        LogView { core: &self.0 }
    }

    /// Appends what is no record: has `write` fill `size` bytes at the tail, if there is room in memory. For a caller who is pinned, and who may
    /// have the turn of the compaction for which others wait.
    pub(crate) fn append(&self, size: usize, write: impl FnOnce(&[AtomicU64])) -> bool {
        let Ok(Allocation::At(address)) = self.0.allocate_urgent(size) else { return false };
        write(self.0.frames.words(address, size));
        true
    }

    /// Whether whoever writes appends.
    pub(crate) fn forbids_updates(&self) -> bool {
        self.0.pointers.are_updates_forbidden()
    }
}
