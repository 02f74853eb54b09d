//! The two kinds of words a bucket is made of. The picture is in [`crate::index`].

use crate::address::Address;
use crate::sync::{AtomicU64, Ordering};
use crate::utility::KeyHash;

const HIGHEST: u64 = 1 << 63;
const SECOND_HIGHEST: u64 = 1 << 62;
const TAG_SHIFT: u32 = Address::BITS;
/// Set in the slots of a bucket that is being taken apart (W2 of [`super::growth`]). Records lie at multiples of 8, so no
/// address has it, and it is none of the bits by which a tag is looked for.
const FROZEN: u64 = 1;
/// The same in an overflow word, whose lowest bit may be part of a number.
const FROZEN_END: u64 = 1 << 60;

const _: () = assert!(TAG_SHIFT + KeyHash::TAG_BITS + 2 == u64::BITS);

/// A slot's word: free, tentative, or an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(pub(super) u64);

impl Entry {
    pub(super) const FREE: Self = Self(0);

    /// An entry in force.
    #[inline]
    pub(super) const fn new(tag: u16, address: Address) -> Self {
        debug_assert!(address.is_valid() && address.get() & FROZEN == 0);
        Self(Self::upper(tag) << TAG_SHIFT | address.get())
    }

    /// The same entry with another address.
    pub(super) const fn with_address(self, address: Address) -> Self {
        Self(self.0 & !Address::MAX.get() | address.get())
    }

    /// The upper bits of an entry in force with this tag: no other word of a bucket has the same.
    #[inline]
    pub(super) const fn upper(tag: u16) -> u64 {
        debug_assert!(tag >> KeyHash::TAG_BITS == 0);
        SECOND_HIGHEST >> TAG_SHIFT | tag as u64
    }

    #[inline]
    pub(super) const fn tentative(self) -> Self {
        Self(self.0 | HIGHEST)
    }

    #[inline]
    pub(super) const fn is_tentative(self) -> bool {
        self.0 & HIGHEST != 0
    }

    /// True for an entry in force with this tag.
    #[inline]
    pub(super) const fn is_in_force(self, tag: u16) -> bool {
        self.0 >> TAG_SHIFT == Self::upper(tag)
    }

    /// True for the word of some entry in force.
    pub(super) const fn is_plain(self) -> bool {
        self.0 & (HIGHEST | SECOND_HIGHEST) == SECOND_HIGHEST && self.address().is_valid()
    }

    /// The address in a slot's or a catch-all's word.
    #[inline(always)]
    pub(super) const fn address(self) -> Address {
        Address::from_word(self.0 & !FROZEN)
    }

    /// Keeps everybody from changing the slot from now on; returns what is in it.
    pub(super) fn freeze(slot: &AtomicU64) -> Self {
        Self(slot.fetch_or(FROZEN, Ordering::AcqRel) & !FROZEN)
    }

    /// Takes that back. What was tentative when the slot was frozen is withdrawn: its owner finds that out (I2).
    pub(super) fn thaw(slot: &AtomicU64) {
        // Nobody changes a word that is frozen.
        let entry = Self(slot.load(Ordering::Relaxed) & !FROZEN);
        slot.store(if entry.is_tentative() { Self::FREE.0 } else { entry.0 }, Ordering::Release);
    }

    /// Has a frozen entry lead elsewhere, if it is of this tag.
    pub(super) fn lead(slot: &AtomicU64, tag: u16, address: Address) {
        // Nobody changes a word that is frozen. Release: who finds the record finds what is in it.
        if Self(slot.load(Ordering::Relaxed)).is_in_force(tag) {
            slot.store(Self::new(tag, address).0 | FROZEN, Ordering::Release);
        }
    }

    /// True if nobody may change the word's slot any more.
    #[inline]
    pub(super) const fn is_frozen(self) -> bool {
        self.0 & FROZEN != 0
    }

    /// The tag of an entry.
    pub(super) const fn tag(self) -> u64 {
        (self.0 & !(HIGHEST | SECOND_HIGHEST)) >> TAG_SHIFT
    }

    /// True for an entry with this tag, in force or tentative.
    #[inline]
    pub(super) const fn has_tag(self, tag: u16) -> bool {
        Self(self.0 & !HIGHEST).is_in_force(tag)
    }
}

/// What a bucket's last word says.
///
/// In a table that another one is split into, the words of the first buckets tell how far that is: 0 not begun,
/// [`SPLITTING`](Self::SPLITTING), and anything else done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overflow {
    /// The chain ends here and can grow.
    End,
    /// The chain goes on at this bucket of the arena.
    Link(u64),
    /// The chain ends here for good, but the catch-all cannot be used yet.
    Saturating,
    /// The chain ends here for good; the word is the head of the catch-all chain.
    Saturated,
}

impl Overflow {
    pub(super) const END: u64 = 0;
    /// The end of a chain that was filled from another table.
    pub(super) const FILLED_END: u64 = 1 << 61;
    pub(super) const SATURATING: u64 = HIGHEST | SECOND_HIGHEST;
    /// Its chain is being filled. For who wants to add to it, it is as good as one that is being saturated.
    pub(super) const SPLITTING: u64 = HIGHEST | SECOND_HIGHEST | 1;

    #[inline]
    pub(super) const fn of_word(word: u64) -> Self {
        if word & !(Self::FILLED_END | FROZEN_END) == Self::END {
            Self::End
        } else if word & HIGHEST == 0 {
            Self::Link(Address::from_word(word).get().wrapping_sub(1))
        } else if word & SECOND_HIGHEST != 0 {
            Self::Saturating
        } else {
            Self::Saturated
        }
    }

    pub(super) const fn link_to(bucket: u64) -> u64 {
        debug_assert!(bucket < Address::MAX.get());
        bucket + 1
    }

    /// The word of a catch-all chain that begins at `address`, which may be invalid: an empty chain.
    #[inline]
    pub(super) const fn catch_all(address: Address) -> u64 {
        HIGHEST | address.get()
    }

    /// Keeps everybody from changing the word from now on; returns what it is.
    pub(super) fn freeze(word: &AtomicU64) -> u64 {
        word.fetch_or(FROZEN_END, Ordering::AcqRel) & !FROZEN_END
    }

    /// Takes that back.
    pub(super) fn thaw(word: &AtomicU64) {
        word.fetch_and(!FROZEN_END, Ordering::AcqRel);
    }

    /// True if nobody may change the word any more.
    #[inline]
    pub(super) const fn is_frozen(word: u64) -> bool {
        word & FROZEN_END != 0
    }

    /// True for the word of a catch-all chain that can be used. An entry in force never looks like one (I2).
    #[inline]
    pub(super) const fn is_catch_all(word: u64) -> bool {
        matches!(Self::of_word(word), Self::Saturated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_entry_in_force_with_the_tag_matches() {
        let low = Address::new(8);
        for (tag, other) in [(0, 1), (1, 0), (0x3fff, 0x3ffe)] {
            for address in [low, Address::new(Address::MAX.get() - 7)] {
                let entry = Entry::new(tag, address);
                assert!(entry.is_in_force(tag) && entry.has_tag(tag) && !entry.is_tentative());
                assert!(!entry.is_in_force(other) && !entry.has_tag(other));
                let tentative = entry.tentative();
                assert!(!tentative.is_in_force(tag) && tentative.has_tag(tag) && tentative.is_tentative());
                assert_eq!(tentative.address(), address);
                let slot = AtomicU64::new(entry.0);
                assert_eq!(Entry::freeze(&slot), entry);
                let frozen = Entry(slot.into_inner());
                assert!(frozen.is_frozen() && !entry.is_frozen() && frozen.is_in_force(tag));
                assert_eq!(frozen.address(), address, "who looks it up notices nothing");
            }
            assert!(!Entry::FREE.is_in_force(tag) && !Entry::FREE.has_tag(tag));
        }
    }

    #[test]
    fn overflow_words_tell_what_they_are() {
        assert_eq!(Overflow::of_word(0), Overflow::End);
        assert_eq!(Overflow::of_word(Overflow::link_to(0)), Overflow::Link(0));
        assert_eq!(Overflow::of_word(Overflow::link_to(77)), Overflow::Link(77));
        assert_eq!(Overflow::of_word(Overflow::SATURATING), Overflow::Saturating);
        assert_eq!(Overflow::of_word(Overflow::catch_all(Address::INVALID)), Overflow::Saturated);
        assert!(Overflow::is_catch_all(Overflow::catch_all(Address::MAX)));
        assert!(!Overflow::is_catch_all(Overflow::SATURATING));
        assert_eq!(Overflow::of_word(Overflow::FILLED_END), Overflow::End);
        assert_eq!(Overflow::of_word(Overflow::SPLITTING), Overflow::Saturating);
        let words =
            [0, Overflow::FILLED_END, Overflow::link_to(6), Overflow::SATURATING, Overflow::catch_all(Address::MAX)];
        for word in words {
            let cell = AtomicU64::new(word);
            assert_eq!(Overflow::freeze(&cell), word);
            let frozen = cell.into_inner();
            assert_eq!((Overflow::of_word(frozen), Overflow::is_frozen(frozen)), (Overflow::of_word(word), true));
            assert!(
                !(0..1 << 14).any(|tag| Entry(frozen).is_in_force(tag)),
                "the last word is never taken for an entry"
            );
        }
    }

    #[test]
    fn no_word_makes_the_reader_panic() {
        for bits in 0..64 {
            for word in [1u64 << bits, !(1u64 << bits), u64::MAX << bits, u64::MAX >> bits] {
                let _ = Overflow::of_word(word);
                let _ = Entry(word).is_in_force(0x3fff) | Entry(word).has_tag(0);
            }
        }
    }
}
