//! The two kinds of words a bucket is made of. The picture is in [`crate::index`].

use crate::address::Address;
use crate::utility::KeyHash;

const HIGHEST: u64 = 1 << 63;
const SECOND_HIGHEST: u64 = 1 << 62;
const TAG_SHIFT: u32 = Address::BITS;

const _: () = assert!(TAG_SHIFT + KeyHash::TAG_BITS + 2 == u64::BITS);

/// A slot's word: free, tentative, or an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(pub(super) u64);

impl Entry {
    pub(super) const FREE: Self = Self(0);

    /// An entry in force.
    #[inline]
    pub(super) const fn new(tag: u16, address: Address) -> Self {
        debug_assert!(address.is_valid());
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
        self.0 & (HIGHEST | SECOND_HIGHEST) == SECOND_HIGHEST && Address::from_word(self.0).is_valid()
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
    pub(super) const SATURATING: u64 = HIGHEST | SECOND_HIGHEST;

    #[inline]
    pub(super) const fn of_word(word: u64) -> Self {
        if word == Self::END {
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
        let low = Address::new(1);
        for (tag, other) in [(0, 1), (1, 0), (0x3fff, 0x3ffe)] {
            for address in [low, Address::MAX] {
                let entry = Entry::new(tag, address);
                assert!(entry.is_in_force(tag) && entry.has_tag(tag) && !entry.is_tentative());
                assert!(!entry.is_in_force(other) && !entry.has_tag(other));
                let tentative = entry.tentative();
                assert!(!tentative.is_in_force(tag) && tentative.has_tag(tag) && tentative.is_tentative());
                assert_eq!(Address::from_word(tentative.0), address);
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
