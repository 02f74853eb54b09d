//! Between the addresses of a log and the numbers of its blocks.

use crate::address::{Address, PageGeometry};
use crate::allocator::BLOCK_PAYLOAD;

const PAYLOAD: u64 = BLOCK_PAYLOAD as u64;

/// Where the blocks of a log lie, for those who know no more of it than the size of its pages.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockMap {
    page: PageGeometry,
    blocks_per_page: u64,
}

impl BlockMap {
    /// `None` if no log has pages of `1 << page_bits` bytes.
    pub(super) fn new(page_bits: u32) -> Option<Self> {
        let page = PageGeometry::new(page_bits)?;
        Some(Self { page, blocks_per_page: page.page_size().div_ceil(PAYLOAD) })
    }

    pub(super) const fn page_size(self) -> u64 {
        self.page.page_size()
    }

    /// Where on its page `address` lies.
    pub(super) const fn page_offset(self, address: Address) -> u64 {
        self.page.offset(address)
    }

    /// The block that the byte at `address` lies in.
    pub(super) const fn block_of(self, address: Address) -> u64 {
        self.page.page(address) * self.blocks_per_page + self.page.offset(address) / PAYLOAD
    }

    /// The first address of a block.
    pub(super) const fn start_of(self, block: u64) -> Address {
        let (page, index) = (block / self.blocks_per_page, block % self.blocks_per_page);
        Address::from_word((page << self.page.page_bits()) + index * PAYLOAD)
    }

    /// Bytes of the log in a block: fewer than others in the last one of a page.
    pub(super) const fn len_of(self, block: u64) -> u64 {
        let rest = self.page.page_size() - (block % self.blocks_per_page) * PAYLOAD;
        if rest < PAYLOAD { rest } else { PAYLOAD }
    }

    /// Whether a block begins at `address`.
    pub(super) const fn is_boundary(self, address: Address) -> bool {
        self.page.offset(address).is_multiple_of(PAYLOAD)
    }

    /// How many blocks hold the addresses between two boundaries.
    pub(super) const fn blocks_between(self, from: Address, to: Address) -> u64 {
        self.block_of(to) - self.block_of(from)
    }

    /// The first address of the page behind that of `address`, as a number: it may be one beyond the last address.
    pub(super) const fn page_end(self, address: Address) -> u64 {
        (self.page.page(address) + 1) << self.page.page_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::LogGeometry;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_map_agrees_with_the_log_and_with_itself(page_bits in 12u32..=30, address in 0u64..1 << 48) {
            let (map, address) = (BlockMap::new(page_bits).unwrap(), Address::new(address));
            let log = LogGeometry::new(page_bits, 8, 0.5).unwrap();
            let block = map.block_of(address);
            prop_assert_eq!(block, log.block_of(address));
            let start = map.start_of(block);
            prop_assert!(map.is_boundary(start) && map.block_of(start) == block);
            prop_assert!(start <= address && address.get() < start.get() + map.len_of(block));
            let next = start.get() + map.len_of(block);
            if next <= Address::MAX.get() {
                prop_assert!(map.is_boundary(Address::new(next)));
                prop_assert_eq!(map.block_of(Address::new(next)), block + 1);
                prop_assert_eq!(map.blocks_between(start, Address::new(next)), 1);
            }
            prop_assert!(map.page_end(address) > address.get() && map.page_end(address) >= next);
        }
    }
}
