//! The ring of page frames. Invariants L3 and L5 of [`crate::allocator`].

use super::geometry::LogGeometry;
use crate::address::{Address, PageGeometry};
use crate::error::Result;
#[cfg(not(oxifaster_loom))]
use crate::memory::page_size;
use crate::memory::{Purpose, Words, prefetch, prefetch_behind};
use crate::sync::{AtomicU64, Ordering};
use crate::utility::FastDivisor;
use std::num::NonZeroU64;

/// Bytes of a cache line.
const LINE: usize = 64;

/// The memory of a log: frame `page % frames` holds page `page`.
pub(super) struct FrameRing {
    words: Words,
    page: PageGeometry,
    /// The bytes of all frames: page by page, the ring takes addresses modulo this.
    bytes: u64,
    divisor: FastDivisor,
    /// A multiple of `bytes` at or below the addresses in memory, most of the time: with it the remainder takes no division.
    base: AtomicU64,
}

impl FrameRing {
    pub(super) fn new(geometry: LogGeometry) -> Result<Self> {
        let bytes = geometry.memory_bytes();
        Ok(Self {
            words: Words::zeroed((bytes / 8) as usize)?,
            page: geometry.page(),
            bytes,
            divisor: FastDivisor::new(NonZeroU64::new(bytes).unwrap_or(NonZeroU64::MIN)),
            base: AtomicU64::new(0),
        })
    }

    /// Notes that `page` is the oldest one in memory.
    pub(super) fn come_round(&self, page: u64) {
        let start = self.page.start_of(page).get();
        self.base.store(start - self.divisor.remainder(start), Ordering::Relaxed);
    }

    /// The memory of all frames.
    pub(super) fn memory(&self) -> &Words {
        &self.words
    }

    /// The words of the `len` bytes at `address`, all on one page. They are those of `address` only as long as L3 holds;
    /// the log lends them for the lifetime of a guard.
    #[inline(always)]
    pub(super) fn words(&self, address: Address, len: usize) -> &[AtomicU64] {
        let start = self.place(address);
        match self.words.get(start..start + len / 8) {
            Some(words) => words,
            None => self.words_by_division(address, len),
        }
    }

    /// All words from those at `address` on, as far as the memory reaches; there is one at least.
    #[inline(always)]
    pub(super) fn words_from(&self, address: Address) -> &[AtomicU64] {
        let place = self.place(address);
        if place < self.words.len() { &self.words[place..] } else { &self.words[self.place_by_division(address)..] }
    }

    /// Where the words of `address` begin, unless the base is out of date.
    #[inline(always)]
    fn place(&self, address: Address) -> usize {
        // From a multiple of the ring's size the distance, less that size if it is as large, is the remainder if it lies in
        // the ring. If the multiple is out of date it does not, and the division says where the address is.
        let distance = address.get().wrapping_sub(self.base.load(Ordering::Relaxed));
        let (less, is_less) = distance.overflowing_sub(self.bytes);
        (if is_less { distance } else { less }) as usize / 8
    }

    #[cold]
    fn words_by_division(&self, address: Address, len: usize) -> &[AtomicU64] {
        let start = self.place_by_division(address);
        &self.words[start..start + len / 8]
    }

    #[cold]
    fn place_by_division(&self, address: Address) -> usize {
        self.divisor.remainder(address.get()) as usize / 8
    }

    /// Starts loading the `size` bytes at `address` in memory, or what took their place: all of them up to 192, of more the
    /// beginning and the end.
    #[inline(always)]
    pub(super) fn prefetch(&self, address: Address, size: usize, purpose: Purpose) {
        let words = self.words(address, size);
        prefetch(&words[0], purpose);
        if size > 2 * LINE {
            prefetch(&words[LINE / 8], purpose);
        }
        prefetch(&words[size / 8 - 1], purpose);
    }

    /// The same for as many bytes as may be there.
    #[inline(always)]
    pub(super) fn prefetch_about(&self, address: Address, size: usize, purpose: Purpose) {
        let first = &self.words_from(address)[0];
        prefetch(first, purpose);
        if size > 2 * LINE {
            prefetch_behind(first, LINE / 8, purpose);
        }
        prefetch_behind(first, size.saturating_sub(1) / 8, purpose);
    }

    /// Gives the memory of a frame that holds no page back to the system, which zeros it. False if it could not be, and is what it
    /// was.
    #[cfg(not(oxifaster_loom))]
    pub(super) fn discard(&self, page: u64) -> bool {
        let start = self.divisor.remainder(self.page.start_of(page).get()) as usize / 8;
        let words = start..start + self.page.page_size() as usize / 8;
        // The system takes whole pages: others' words with them, if its own are larger.
        self.page.page_size().is_multiple_of(page_size() as u64) && self.words.discard(words)
    }

    /// The models' memory stays: what becomes of a frame is seen all the same.
    #[cfg(oxifaster_loom)]
    pub(super) fn discard(&self, page: u64) -> bool {
        self.wipe(page);
        true
    }

    /// Zeros the frame of a page that is closed, for the next page.
    pub(super) fn wipe(&self, page: u64) {
        for word in self.words(self.page.start_of(page), self.page.page_size() as usize) {
            word.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_place_however_old_the_base_is() {
        let ring = FrameRing::new(LogGeometry::new(12, 5, 0.5).unwrap()).unwrap();
        let place = |address: u64| {
            let word: *const AtomicU64 = &ring.words(Address::new(address), 8)[0];
            (word.addr() - ring.words.as_ptr().addr()) as u64
        };
        for oldest in [0, 1, 4, 5, 6, 23, 1000] {
            ring.come_round(oldest);
            for address in (0..2000 * 4096).step_by(1016) {
                assert_eq!(place(address), address % (5 * 4096));
            }
        }
    }
}
