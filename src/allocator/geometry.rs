//! The sizes of a log, checked once and derived from there on.

use super::block::{BLOCK_PAYLOAD, BLOCK_SIZE};
use crate::address::{Address, PageGeometry};
use crate::error::{Error, ErrorKind, Result};
use std::num::NonZeroU64;

/// Sizes of one log: page size, frames in memory, the mutable part, and the place of a page on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogGeometry {
    page: PageGeometry,
    frames: NonZeroU64,
    mutable_pages: u64,
    /// In the bits of a float.
    mutable_fraction: u64,
    blocks_per_page: u64,
}

impl LogGeometry {
    /// The fewest frames a log can work with: the page being filled, one being written, one being emptied, one spare.
    pub const MIN_FRAMES: u64 = 4;
    /// The most frames of a log.
    pub const MAX_FRAMES: u64 = 1 << 20;

    /// A log with pages of `1 << page_bits` bytes, `frames` of which are in memory, and of these the share
    /// `mutable_fraction` (0.0 to 1.0) open to in-place updates. At least the page being filled is mutable; a few frames
    /// are always left for pages being written and emptied.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names the value that is out of range.
    pub fn new(page_bits: u32, frames: u64, mutable_fraction: f64) -> Result<Self> {
        let Some(page) = PageGeometry::new(page_bits) else {
            return Err(Error::new(ErrorKind::Config, "page_size_bits is out of range")
                .with("page_size_bits", page_bits)
                .with("smallest", PageGeometry::MIN_BITS)
                .with("largest", PageGeometry::MAX_BITS));
        };
        let Some(frames) = NonZeroU64::new(frames).filter(|n| (Self::MIN_FRAMES..=Self::MAX_FRAMES).contains(&n.get()))
        else {
            return Err(Error::new(ErrorKind::Config, "the log's memory holds too few or too many pages")
                .with("pages in memory", frames)
                .with("smallest", Self::MIN_FRAMES)
                .with("largest", Self::MAX_FRAMES)
                .with("page size", page.page_size())
                .help("change log_memory_size (or the memory budget) or page_size_bits"));
        };
        Self::check_fraction(mutable_fraction)?;
        let mutable_pages = Self::mutable_pages_of(frames.get(), mutable_fraction);
        let blocks_per_page = page.page_size().div_ceil(BLOCK_PAYLOAD as u64);
        Ok(Self { page, frames, mutable_pages, mutable_fraction: mutable_fraction.to_bits(), blocks_per_page })
    }

    /// That a number is a share.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is none.
    pub(crate) fn check_fraction(mutable_fraction: f64) -> Result<()> {
        if (0.0..=1.0).contains(&mutable_fraction) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Config, "mutable_fraction is out of range")
            .with("mutable_fraction", mutable_fraction)
            .with("smallest", 0.0)
            .with("largest", 1.0))
    }

    /// That the log works with so many of its frames.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if those are too few, or more than there are.
    pub(crate) fn check_frames_in_use(self, frames: u64) -> Result<()> {
        if (Self::MIN_FRAMES..=self.frames.get()).contains(&frames) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Config, "the log cannot have so many pages in memory")
            .with("pages asked", frames)
            .with("smallest", Self::MIN_FRAMES)
            .with("largest", self.frames)
            .with("page size", self.page.page_size())
            .help("what the store was opened with is the most that its log can have in memory"))
    }

    /// Pages that are open to in-place updates, of so many in memory.
    pub(crate) fn mutable_pages_of(frames: u64, mutable_fraction: f64) -> u64 {
        let lead = (frames / 8).max(2);
        ((frames as f64 * mutable_fraction) as u64).clamp(1, frames.saturating_sub(lead).max(1))
    }

    /// How addresses divide into page and offset.
    #[inline]
    pub const fn page(self) -> PageGeometry {
        self.page
    }

    /// Pages in memory.
    pub const fn frames(self) -> u64 {
        self.frames.get()
    }

    /// Pages open to in-place updates, the one being filled included.
    pub const fn mutable_pages(self) -> u64 {
        self.mutable_pages
    }

    /// The share of the pages that are open to in-place updates.
    pub(crate) const fn mutable_fraction(self) -> f64 {
        f64::from_bits(self.mutable_fraction)
    }

    /// Bytes of memory the frames take.
    pub const fn memory_bytes(self) -> u64 {
        self.frames.get() * self.page.page_size()
    }

    /// The block that the byte at `address` lies in, counted over the whole device.
    pub const fn block_of(self, address: Address) -> u64 {
        self.page.page(address) * self.blocks_per_page + self.page.offset(address) / BLOCK_PAYLOAD as u64
    }

    /// The first address of the block that the byte at `address` lies in.
    pub(crate) const fn block_start(self, address: Address) -> Address {
        let offset = self.page.offset(address);
        Address::new(address.get() - offset % BLOCK_PAYLOAD as u64)
    }

    /// Where a block begins on the device.
    pub const fn device_offset(self, block: u64) -> u64 {
        block * BLOCK_SIZE as u64
    }

    /// The first address of a block.
    pub(crate) const fn start_of_block(self, block: u64) -> Address {
        let (page, index) = (block / self.blocks_per_page, block % self.blocks_per_page);
        Address::new((page << self.page.page_bits()) + index * BLOCK_PAYLOAD as u64)
    }

    /// Bytes of the log in a block: fewer than others in the last one of a page.
    pub(crate) const fn payload_of_block(self, block: u64) -> usize {
        let rest = self.page.page_size() - block % self.blocks_per_page * BLOCK_PAYLOAD as u64;
        if rest < BLOCK_PAYLOAD as u64 { rest as usize } else { BLOCK_PAYLOAD }
    }

    /// Blocks of a page.
    pub(crate) const fn blocks_per_page(self) -> u64 {
        self.blocks_per_page
    }

    /// The next address at or after `offset` of `page` where a block of the device begins; the page's end if none does.
    pub(crate) const fn block_boundary(self, offset: u64) -> u64 {
        let boundary = offset.next_multiple_of(BLOCK_PAYLOAD as u64);
        if boundary < self.page.page_size() { boundary } else { self.page.page_size() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_sizes_are_named() {
        assert_eq!(LogGeometry::new(11, 8, 0.5).unwrap_err().field("page_size_bits"), Some("11"));
        assert_eq!(LogGeometry::new(12, 3, 0.5).unwrap_err().field("pages in memory"), Some("3"));
        for wrong in [-0.1, 1.1, f64::NAN] {
            assert_eq!(LogGeometry::new(12, 8, wrong).unwrap_err().kind(), ErrorKind::Config);
        }
    }

    #[test]
    fn every_mutable_fraction_leaves_room_to_flush_and_to_fill() {
        for frames in 4..40 {
            for percent in 0..=100 {
                let geometry = LogGeometry::new(12, frames, f64::from(percent) / 100.0).unwrap();
                assert!(geometry.mutable_pages() >= 1 && geometry.mutable_pages() + 2 <= frames);
            }
        }
    }

    #[test]
    fn pages_lie_one_after_the_other_on_the_device() {
        let geometry = LogGeometry::new(12, 8, 0.5).unwrap();
        assert_eq!(geometry.block_of(Address::new(4087)), 0);
        assert_eq!(geometry.block_of(Address::new(4088)), 1);
        assert_eq!(geometry.block_of(Address::new(4096)), 2);
        assert_eq!(geometry.device_offset(2), 8192);
        for (block, start, payload) in [(0, 0, 4088), (1, 4088, 8), (2, 4096, 4088), (3, 8184, 8)] {
            assert_eq!((geometry.start_of_block(block).get(), geometry.payload_of_block(block)), (start, payload));
        }
        assert_eq!(
            (geometry.block_boundary(1), geometry.block_boundary(4088), geometry.block_boundary(4089)),
            (4088, 4088, 4096)
        );
    }
}
