//! Positions in a log.
//!
//! An address is a plain 48-bit number, never a pointer: the only way from an address to bytes is to ask the log while
//! pinned. Addresses only grow; one is used twice only where space is used again (`allocator/spare.rs`).

use crate::sync::{AtomicU64, Ordering};
use std::fmt;

/// A position in a log: 48 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address(u64);

impl Address {
    /// Bits of an address.
    pub const BITS: u32 = 48;
    /// The largest address.
    pub const MAX: Self = Self((1 << Self::BITS) - 1);
    /// No record lies at address 0: it ends chains and marks free slots.
    pub const INVALID: Self = Self(0);
    /// Bits of the offset within a page in the default split (32 MiB pages).
    pub const DEFAULT_OFFSET_BITS: u32 = 25;

    /// The address with this value.
    ///
    /// # Panics
    /// If `value` has more than 48 bits.
    #[inline]
    pub const fn new(value: u64) -> Self {
        assert!(value <= Self::MAX.0, "an address has 48 bits");
        Self(value)
    }

    /// The address that a shared pointer of the log holds: made from an address, so no bit has to be taken off.
    #[inline]
    pub(crate) const fn of_pointer(value: u64) -> Self {
        debug_assert!(value <= Self::MAX.0);
        Self(value)
    }

    /// The low 48 bits of a word, the form in which addresses are stored in headers and index entries.
    #[inline]
    pub const fn from_word(word: u64) -> Self {
        Self(word & Self::MAX.0)
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// True for every address at which a record can lie.
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.0 != 0
    }

    /// The bit that tells an address in a read cache from one in the log. No log grows so far.
    const CACHED: u64 = 1 << (Self::BITS - 1);

    /// True for the address of a copy in a read cache.
    #[inline]
    pub(crate) const fn is_cached(self) -> bool {
        self.0 & Self::CACHED != 0
    }

    /// This address of a read cache's own log, told from those of the log.
    #[inline]
    pub(crate) const fn into_cached(self) -> Self {
        Self(self.0 | Self::CACHED)
    }

    /// The address in the read cache's own log.
    #[inline]
    pub(crate) const fn within_cache(self) -> Self {
        Self(self.0 & !Self::CACHED)
    }

    /// Page number in the default split (25-bit offset, 23-bit page). A log with other pages has its own
    /// [`PageGeometry`].
    pub const fn page(self) -> u64 {
        self.0 >> Self::DEFAULT_OFFSET_BITS
    }

    /// Offset within the page in the default split.
    pub const fn offset(self) -> u64 {
        self.0 & ((1 << Self::DEFAULT_OFFSET_BITS) - 1)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl From<Address> for u64 {
    fn from(address: Address) -> u64 {
        address.0
    }
}

/// A shared [`Address`].
#[derive(Debug)]
pub struct AtomicAddress(AtomicU64);

impl AtomicAddress {
    /// A shared address that starts at `address`.
    pub fn new(address: Address) -> Self {
        Self(AtomicU64::new(address.0))
    }

    /// The present address; what its writer did before storing it is visible.
    pub fn load(&self) -> Address {
        Address(self.0.load(Ordering::Acquire))
    }

    /// Stores `address`; what this thread did before is visible to who loads it.
    pub fn store(&self, address: Address) {
        self.0.store(address.0, Ordering::Release);
    }

    /// Replaces `current` by `new`; on failure returns the address found instead.
    pub fn compare_exchange(&self, current: Address, new: Address) -> Result<Address, Address> {
        self.0.compare_exchange(current.0, new.0, Ordering::AcqRel, Ordering::Acquire).map(Address).map_err(Address)
    }
}

/// How the addresses of one log divide into page number and offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageGeometry {
    page_bits: u32,
}

impl PageGeometry {
    /// The smallest page: 4 KiB. The model checker gets 64 bytes, so that it can go through all that happens to a page.
    pub const MIN_BITS: u32 = if cfg!(oxifaster_loom) { 6 } else { 12 };
    /// The largest page: 1 GiB.
    pub const MAX_BITS: u32 = 30;

    /// Pages of `1 << page_bits` bytes, or `None` outside [`MIN_BITS`](Self::MIN_BITS) to [`MAX_BITS`](Self::MAX_BITS).
    pub const fn new(page_bits: u32) -> Option<Self> {
        if page_bits < Self::MIN_BITS || page_bits > Self::MAX_BITS { None } else { Some(Self { page_bits }) }
    }

    /// Bits of the offset within a page.
    pub const fn page_bits(self) -> u32 {
        self.page_bits
    }

    /// Bytes of a page.
    #[inline]
    pub const fn page_size(self) -> u64 {
        1 << self.page_bits
    }

    /// The page that `address` lies on.
    #[inline]
    pub const fn page(self, address: Address) -> u64 {
        address.0 >> self.page_bits
    }

    /// Where on its page `address` lies.
    #[inline]
    pub const fn offset(self, address: Address) -> u64 {
        address.0 & (self.page_size() - 1)
    }

    /// Bytes from `address` to the end of its page.
    #[inline]
    pub const fn rest(self, address: Address) -> u64 {
        self.page_size() - self.offset(address)
    }

    /// The first address of a page.
    #[inline]
    pub const fn start_of(self, page: u64) -> Address {
        Address::new(page << self.page_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_split_is_25_and_23_bits() {
        let address = Address::new((7 << 25) | 9);
        assert_eq!((address.page(), address.offset()), (7, 9));
        assert_eq!(Address::MAX.page(), (1 << 23) - 1);
        assert_eq!(address.to_string(), "0xe000009");
    }

    #[test]
    fn geometry_takes_an_address_apart_and_puts_it_together() {
        let geometry = PageGeometry::new(12).unwrap();
        let address = Address::new(3 * 4096 + 17);
        assert_eq!((geometry.page(address), geometry.offset(address)), (3, 17));
        assert_eq!(geometry.start_of(3).get() + 17, address.get());
        assert_eq!(PageGeometry::new(11), None);
        assert_eq!(PageGeometry::new(31), None);
    }
}
