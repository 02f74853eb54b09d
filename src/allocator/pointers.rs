//! The region boundaries of a log. Invariant L1 of [`crate::allocator`].

use super::freeze::Frozen;
use super::state::LogState;
use crate::address::Address;
use crate::sync::MonotonicU64;

/// Where records begin: address 0 marks "no record", and the first block starts with a gap.
pub(crate) const FIRST: u64 = 64;

/// The boundaries that only grow, of which this is the one place that moves them; and what a checkpoint keeps as it is.
#[derive(Debug)]
pub(super) struct LogPointers {
    begin: MonotonicU64,
    safe_head: MonotonicU64,
    head: MonotonicU64,
    flushed: MonotonicU64,
    safe_read_only: MonotonicU64,
    read_only: MonotonicU64,
    pub(super) frozen: Frozen,
    /// `read_only`, or above every address if no record is ever changed in place.
    mutable_from: MonotonicU64,
}

/// The region boundaries of a log at one moment, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogAddresses {
    /// The oldest record.
    pub begin: Address,
    /// Frames below it are free for other pages.
    pub safe_head: Address,
    /// The oldest record in memory.
    pub head: Address,
    /// Everything below is on the device.
    pub flushed: Address,
    /// Everything below is immutable to everyone.
    pub safe_read_only: Address,
    /// Everything below is no longer updated in place.
    pub read_only: Address,
    /// Where the next record goes.
    pub tail: Address,
}

impl LogPointers {
    /// The boundaries of a log that begins its life in `state`: whatever is there is immutable.
    pub(super) fn at(state: &LogState) -> Self {
        let at = |address: Address| MonotonicU64::new(address.get());
        Self {
            begin: at(state.begin),
            safe_head: at(state.head),
            head: at(state.head),
            flushed: at(state.flushed),
            safe_read_only: at(state.end),
            read_only: at(state.end),
            frozen: Frozen::none(),
            mutable_from: at(state.end),
        }
    }

    #[inline]
    pub(super) fn begin(&self) -> Address {
        Address::of_pointer(self.begin.get())
    }

    pub(super) fn safe_head(&self) -> Address {
        Address::of_pointer(self.safe_head.get())
    }

    #[inline]
    pub(super) fn head(&self) -> Address {
        Address::of_pointer(self.head.get())
    }

    pub(super) fn flushed(&self) -> Address {
        Address::of_pointer(self.flushed.get())
    }

    #[inline]
    pub(super) fn safe_read_only(&self) -> Address {
        Address::of_pointer(self.safe_read_only.get())
    }

    #[inline]
    pub(super) fn read_only(&self) -> Address {
        Address::of_pointer(self.read_only.get())
    }

    /// From here on records are changed in place (L12).
    #[inline(always)]
    pub(super) fn mutable_from(&self) -> Address {
        Address::of_pointer(self.mutable_from.get()).max(self.frozen.frozen())
    }

    /// Below, nobody changes a record (L2, L12).
    #[inline]
    pub(super) fn immutable_below(&self) -> Address {
        self.safe_read_only().max(self.frozen.settled())
    }

    /// True if this call moved it.
    pub(super) fn advance_begin(&self, to: Address) -> bool {
        self.moved(&self.begin, to)
    }

    /// Closes every address there is and will be to updates in place, for good.
    pub(super) fn forbid_updates(&self) {
        self.mutable_from.advance_to(Address::MAX.within_cache().get());
    }

    /// True if updates in place were forbidden.
    pub(super) fn are_updates_forbidden(&self) -> bool {
        Address::of_pointer(self.mutable_from.get()) == Address::MAX.within_cache()
    }

    /// True if this call moved it.
    pub(super) fn advance_read_only(&self, to: Address) -> bool {
        // First, so that nobody finds an address mutable that is known to be closed.
        self.mutable_from.advance_to(to.get());
        self.moved(&self.read_only, to)
    }

    pub(super) fn advance_safe_read_only(&self, to: Address) -> bool {
        self.moved(&self.safe_read_only, to)
    }

    pub(super) fn advance_flushed(&self, to: Address) -> bool {
        self.moved(&self.flushed, to)
    }

    pub(super) fn advance_head(&self, to: Address) -> bool {
        self.moved(&self.head, to)
    }

    pub(super) fn advance_safe_head(&self, to: Address) -> bool {
        self.moved(&self.safe_head, to)
    }

    fn moved(&self, pointer: &MonotonicU64, to: Address) -> bool {
        let before = pointer.advance_to(to.get());
        debug_assert!(self.is_ordered(), "L1: {self:?}");
        before < to.get()
    }

    /// L1, except for the tail. Read from the lowest up: each only grows, so a later reading can only be larger.
    fn is_ordered(&self) -> bool {
        let begin = self.begin.get();
        let order = [&self.safe_head, &self.head, &self.flushed, &self.safe_read_only, &self.read_only];
        let mut below = 0;
        order.iter().all(|pointer| {
            let above = pointer.get();
            let ordered = below <= above;
            below = above;
            ordered
        }) && begin <= self.flushed.get()
    }

    pub(super) fn snapshot(&self, tail: impl FnOnce() -> Address) -> LogAddresses {
        // From the lowest up, so that the result is in order whatever moves meanwhile.
        let (begin, safe_head, head) = (self.begin(), self.safe_head(), self.head());
        let (flushed, safe_read_only, read_only) = (self.flushed(), self.safe_read_only(), self.read_only());
        LogAddresses { begin, safe_head, head, flushed, safe_read_only, read_only, tail: tail() }
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;

    #[test]
    fn only_the_call_that_moves_a_pointer_owns_the_step() {
        let pointers = LogPointers::at(&LogState::empty(1));
        let to = Address::new(4096);
        assert!(pointers.advance_read_only(to));
        assert!(!pointers.advance_read_only(to));
        assert!(!pointers.advance_read_only(Address::new(100)));
        assert_eq!(pointers.read_only(), to);
    }

    #[test]
    #[should_panic(expected = "L1")]
    #[cfg(debug_assertions)]
    fn a_head_beyond_what_is_flushed_is_caught() {
        LogPointers::at(&LogState::empty(1)).advance_head(Address::new(4096));
    }
}
