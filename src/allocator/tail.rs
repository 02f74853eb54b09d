//! The tail: where records are given their place. Invariant L6 of [`crate::allocator`].
//!
//! One word holds the page and the offset on it, so that one `fetch_add` reserves space. The offset's field is wide enough
//! for the overshoot of every thread that can be between its look at the word and its addition.

use crate::address::{Address, PageGeometry};
use crate::sync::{AtomicU64, CachePadded, Ordering};

const OFFSET_BITS: u32 = 38;
const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;

/// Page and offset in one word.
#[derive(Debug)]
pub(super) struct Tail {
    /// On a cache line of its own: every append writes it.
    word: CachePadded<AtomicU64>,
    page: PageGeometry,
}

/// What a reservation got.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reserved {
    /// Space.
    At(Address),
    /// The page is full, and this caller is the one to turn it. It must call [`Tail::turn`] or [`Tail::give_back`].
    MustTurn {
        /// The full page.
        page: u64,
        /// Where its last record ends.
        offset: u64,
    },
    /// The page is full, and somebody else is turning it.
    Full,
}

const fn pack(page: u64, offset: u64) -> u64 {
    page << OFFSET_BITS | offset
}

const fn unpack(word: u64) -> (u64, u64) {
    (word >> OFFSET_BITS, word & OFFSET_MASK)
}

impl Tail {
    /// Pages that can be numbered: by the word, and by an address, whose top bit is reserved for read caches.
    pub(super) const fn pages(&self) -> u64 {
        let by_word = 1 << (64 - OFFSET_BITS);
        let by_address = 1 << (Address::BITS - 1 - self.page.page_bits());
        if by_word < by_address { by_word } else { by_address }
    }

    pub(super) fn new(page: PageGeometry, start: Address) -> Self {
        Self { word: CachePadded::new(AtomicU64::new(pack(page.page(start), page.offset(start)))), page }
    }

    /// Reserves `len` bytes, at most a page.
    #[inline]
    pub(super) fn reserve(&self, len: u64) -> Reserved {
        // While a page is being turned the offset stays put: waiting threads do not add to it over and over, which could
        // carry into the page number.
        if unpack(self.word.load(Ordering::Relaxed)).1 > self.page.page_size() {
            return Reserved::Full;
        }
        let (page, offset) = unpack(self.word.fetch_add(len, Ordering::AcqRel));
        if offset + len <= self.page.page_size() {
            return Reserved::At(Address::new(self.page.start_of(page).get() + offset));
        }
        // The additions form one sequence; exactly one starts within the page and ends beyond it.
        if offset <= self.page.page_size() { Reserved::MustTurn { page, offset } } else { Reserved::Full }
    }

    /// Opens `page` with `len` bytes reserved on it, for who was told to turn.
    pub(super) fn turn(&self, page: u64, len: u64) -> Address {
        self.overwrite(pack(page, len));
        self.page.start_of(page)
    }

    /// Puts the tail back where it was, for who was told to turn but has no frame for the next page. What others added
    /// meanwhile gave them nothing, so nothing is lost.
    pub(super) fn give_back(&self, page: u64, offset: u64) {
        self.overwrite(pack(page, offset));
    }

    /// An exchange where a store would do: it follows the others' additions in the word's one order by construction, and
    /// the model checker, which orders a store after those only that it knows of, sees it too.
    fn overwrite(&self, word: u64) {
        self.word.swap(word, Ordering::AcqRel);
    }

    /// Moves the tail to `end`, in a log that nobody appends to.
    pub(super) fn follow(&self, end: Address) {
        self.overwrite(pack(self.page.page(end), self.page.offset(end)));
    }

    /// Moves the tail up to where `boundary` says the next block begins: what comes later shares no block with what is there.
    /// Returns where it was and where it is; what lies between is its caller's. `None` while a page is being turned.
    pub(super) fn close_block(&self, boundary: impl Fn(u64) -> u64) -> Option<(Address, Address)> {
        let mut seen = self.word.load(Ordering::Acquire);
        loop {
            let (page, offset) = unpack(seen);
            if offset > self.page.page_size() {
                return None;
            }
            let closed = boundary(offset);
            match self.word.compare_exchange(seen, pack(page, closed), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    let at = |offset: u64| Address::new(self.page.start_of(page).get() + offset);
                    return Some((at(offset), at(closed)));
                }
                Err(now) => seen = now,
            }
        }
    }

    /// Where the next record goes; `None` while a page is being turned. All that was reserved lies below.
    pub(super) fn address_at_rest(&self) -> Option<Address> {
        let (page, offset) = unpack(self.word.load(Ordering::Acquire));
        (offset <= self.page.page_size()).then(|| Address::new(self.page.start_of(page).get() + offset))
    }

    /// Where the next record goes, roughly: the end of the page while it is being turned.
    pub(super) fn address(&self) -> Address {
        let (page, offset) = unpack(self.word.load(Ordering::Acquire));
        Address::new(self.page.start_of(page).get() + offset.min(self.page.page_size()))
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;

    fn tail() -> Tail {
        Tail::new(PageGeometry::new(12).unwrap(), Address::new(64))
    }

    #[test]
    fn the_one_who_crosses_the_end_turns_the_page() {
        let tail = tail();
        assert_eq!(tail.reserve(4000), Reserved::At(Address::new(64)));
        assert_eq!(tail.reserve(100), Reserved::MustTurn { page: 0, offset: 4064 });
        assert_eq!(tail.reserve(8), Reserved::Full);
        tail.give_back(0, 4064);
        assert_eq!(tail.reserve(32), Reserved::At(Address::new(4064)));
        assert_eq!(tail.address(), Address::new(4096));
        assert_eq!(tail.address_at_rest(), Some(Address::new(4096)));
        assert_eq!(tail.reserve(8), Reserved::MustTurn { page: 0, offset: 4096 });
        assert_eq!((tail.address(), tail.address_at_rest()), (Address::new(4096), None));
        assert_eq!(tail.turn(1, 8), Address::new(4096));
        assert_eq!(tail.reserve(8), Reserved::At(Address::new(4104)));
    }

    #[test]
    fn the_end_of_the_last_page_is_an_address_for_every_page_size() {
        for bits in PageGeometry::MIN_BITS..=PageGeometry::MAX_BITS {
            let page = PageGeometry::new(bits).unwrap();
            let tail = Tail::new(page, Address::new(64));
            let last = tail.pages() - 1;
            assert_eq!(tail.turn(last, 64), page.start_of(last));
            assert_eq!(tail.reserve(page.page_size()), Reserved::MustTurn { page: last, offset: 64 });
            assert_eq!(tail.address(), page.start_of(last + 1));
        }
    }

    #[test]
    fn closing_a_block_leaves_a_gap_once() {
        let tail = tail();
        let boundary = |offset: u64| offset.next_multiple_of(4088).min(4096);
        let at = Address::new;
        assert_eq!(tail.close_block(boundary), Some((at(64), at(4088))));
        assert_eq!(tail.close_block(boundary), Some((at(4088), at(4088))));
        assert_eq!(tail.reserve(8), Reserved::At(Address::new(4088)));
        assert_eq!(tail.reserve(8), Reserved::MustTurn { page: 0, offset: 4096 });
        assert_eq!(tail.close_block(boundary), None);
    }
}
