//! The ring of page frames. Invariants L3 and L5 of [`crate::allocator`].

use super::geometry::LogGeometry;
use crate::address::{Address, PageGeometry};
use crate::error::Result;
use crate::memory::{Words, prefetch};
use crate::sync::{AtomicU64, Ordering};
use crate::utility::FastDivisor;

/// The memory of a log: frame `page % frames` holds page `page`.
pub(super) struct FrameRing {
    words: Words,
    page: PageGeometry,
    frames: FastDivisor,
}

impl FrameRing {
    pub(super) fn new(geometry: LogGeometry) -> Result<Self> {
        Ok(Self {
            words: Words::zeroed((geometry.memory_bytes() / 8) as usize)?,
            page: geometry.page(),
            frames: FastDivisor::new(geometry.frame_divisor()),
        })
    }

    /// The memory of all frames.
    pub(super) fn memory(&self) -> &Words {
        &self.words
    }

    /// The words of the `len` bytes at `address`, all on one page. They are those of `address` only as long as L3 holds;
    /// the log lends them for the lifetime of a guard.
    #[inline]
    pub(super) fn words(&self, address: Address, len: usize) -> &[AtomicU64] {
        let frame = self.frames.remainder(self.page.page(address));
        let start = ((frame << self.page.page_bits()) | self.page.offset(address)) as usize / 8;
        &self.words[start..start + len / 8]
    }

    /// Starts loading the first words of what lies at `address` in memory, or of what took its place.
    #[inline]
    pub(super) fn prefetch(&self, address: Address) {
        prefetch(&self.words(address, 8)[0]);
    }

    /// Zeros the frame of a page that is closed, for the next page.
    pub(super) fn wipe(&self, page: u64) {
        for word in self.words(self.page.start_of(page), self.page.page_size() as usize) {
            word.store(0, Ordering::Relaxed);
        }
    }
}
