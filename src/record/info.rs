//! The header word of a record.

use crate::address::Address;

/// A record's header: the address of the next older record of the chain, a version, and flags.
///
/// ```text
///  63       62       61         60        59    58       57..48   47..0
/// | present | invalid | tombstone | closed | mark | origin | version | previous |
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordInfo(u64);

const PRESENT: u64 = 1 << 63;
pub(crate) const INVALID: u64 = 1 << 62;
pub(crate) const TOMBSTONE: u64 = 1 << 61;
/// The value of one word is not changed any more where it lies.
pub(crate) const CLOSED: u64 = 1 << 60;
/// The same bit where values are of any length, which are never closed: the root of a large value; with `INVALID`, a fragment of one.
const LARGE: u64 = CLOSED;
/// What the name of a session takes instead of a key and a value. An invalid record, to those who look for records.
const MARK: u64 = 1 << 59;
/// One more word behind the value.
const ORIGIN: u64 = 1 << 58;
const VERSION_SHIFT: u32 = Address::BITS;
const VERSION_MASK: u64 = (1 << 10) - 1;

// The fields do not overlap.
const _: () = assert!(
    (PRESENT | INVALID | TOMBSTONE | CLOSED | MARK | ORIGIN) & (VERSION_MASK << VERSION_SHIFT) == 0
        && (VERSION_MASK << VERSION_SHIFT) & Address::MAX.get() == 0
);

impl RecordInfo {
    /// As many versions as a header can tell apart.
    pub const VERSIONS: u64 = VERSION_MASK + 1;

    /// The header of a live record whose chain goes on at `previous`.
    #[inline]
    pub const fn new(previous: Address, version: u16) -> Self {
        Self(PRESENT | ((version as u64 & VERSION_MASK) << VERSION_SHIFT) | previous.get())
    }

    /// The header in this word, whatever it is.
    #[inline]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// The word.
    #[inline]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// The same header as a tombstone.
    #[inline]
    #[must_use]
    pub const fn with_tombstone(self) -> Self {
        Self(self.0 | TOMBSTONE)
    }

    /// The same header as that of a record that is no part of the store.
    #[inline]
    #[must_use]
    pub(crate) const fn invalidated(self) -> Self {
        Self(self.0 | INVALID)
    }

    /// The same header as that of a record which says who wrote it: a word with the number of a session, and of its operation,
    /// lies behind the value.
    #[inline]
    #[must_use]
    pub(crate) const fn with_origin(self) -> Self {
        Self(self.0 | ORIGIN)
    }

    /// The same header with another address of the next older record.
    #[inline]
    #[must_use]
    pub(crate) const fn leading_to(self, previous: Address) -> Self {
        Self(self.0 & !Address::MAX.get() | previous.get())
    }

    /// True if the record says who wrote it.
    #[inline]
    pub const fn has_origin(self) -> bool {
        self.0 & ORIGIN != 0
    }

    /// The header of a mark, which says which session has a number from here on. It is invalid as a record.
    #[inline]
    pub(crate) const fn mark(version: u16) -> Self {
        Self(Self::new(Address::INVALID, version).0 | INVALID | MARK)
    }

    /// The header of a fragment of a large value. It is invalid as a record.
    #[inline]
    pub(crate) const fn fragment(version: u16) -> Self {
        Self(Self::new(Address::INVALID, version).0 | INVALID | LARGE)
    }

    /// In a store with values of any length: true for what may be a fragment of a large value.
    #[inline]
    pub(crate) const fn is_fragment(self) -> bool {
        self.0 & (INVALID | LARGE | MARK | PRESENT) == INVALID | LARGE | PRESENT
    }

    /// The same header as that of the root of a large value, in a store with values of any length.
    #[inline]
    #[must_use]
    pub(crate) const fn with_large(self) -> Self {
        Self(self.0 | LARGE)
    }

    /// In a store with values of any length: true for the root of a large value.
    #[inline]
    pub(crate) const fn is_large(self) -> bool {
        self.0 & (LARGE | INVALID | TOMBSTONE | PRESENT) == LARGE | PRESENT
    }

    /// True for a mark.
    #[inline]
    pub const fn is_mark(self) -> bool {
        self.0 & (MARK | INVALID) == MARK | INVALID
    }

    /// The next older record of the chain, or [`Address::INVALID`].
    #[inline]
    pub const fn previous(self) -> Address {
        Address::from_word(self.0)
    }

    /// The store's version when the record was written, modulo 1024.
    pub const fn version(self) -> u16 {
        ((self.0 >> VERSION_SHIFT) & VERSION_MASK) as u16
    }

    /// True for a record that is there, was published, and is no tombstone. One comparison.
    #[inline]
    pub(crate) const fn is_live(self) -> bool {
        self.0 & (INVALID | TOMBSTONE | PRESENT) == PRESENT
    }

    /// The same for one whose value may also be changed where it lies, if nothing else is against it. One comparison.
    #[inline]
    pub(crate) const fn is_open(self) -> bool {
        self.0 & (INVALID | TOMBSTONE | CLOSED | PRESENT) == PRESENT
    }

    /// True for what may be the header of a record or of a mark: a mark is always invalid as a record.
    pub(crate) const fn is_possible(self) -> bool {
        self.is_present() && (self.0 & MARK == 0 || self.is_mark())
    }

    /// True if the value is not changed any more where it lies.
    #[inline]
    pub(crate) const fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    /// False for the zeros between records.
    #[inline]
    pub const fn is_present(self) -> bool {
        self.0 & PRESENT != 0
    }

    /// True for a record that lost the race to be published, or that left its chain.
    #[inline]
    pub const fn is_invalid(self) -> bool {
        self.0 & INVALID != 0
    }

    /// True for what can leave its chain: a record of the store, deleted or not, that nobody comes back to by its address as one does
    /// to what is closed, or is the root of a large value.
    pub(crate) const fn may_leave(self) -> bool {
        self.0 & (INVALID | CLOSED | MARK | ORIGIN | PRESENT) == PRESENT
    }

    /// True for the record of a deleted key.
    #[inline]
    pub const fn is_tombstone(self) -> bool {
        self.0 & TOMBSTONE != 0
    }
}

impl std::fmt::Debug for RecordInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordInfo")
            .field("previous", &self.previous())
            .field("version", &self.version())
            .field("present", &self.is_present())
            .field("invalid", &self.is_invalid())
            .field("tombstone", &self.is_tombstone())
            .field("closed", &self.is_closed())
            .field("origin", &self.has_origin())
            .field("mark", &self.is_mark())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_disturb_each_other() {
        let info = RecordInfo::new(Address::MAX, 1023);
        assert_eq!((info.previous(), info.version()), (Address::MAX, 1023));
        assert!(info.is_present() && !info.is_invalid() && !info.is_tombstone());
        let deleted = RecordInfo::new(Address::new(64), 1).with_tombstone();
        assert_eq!((deleted.previous().get(), deleted.version(), deleted.is_tombstone()), (64, 1, true));
        assert!(!RecordInfo::from_word(0).is_present());
        let told = deleted.with_origin();
        assert!(
            told.has_origin() && !told.is_mark() && told.is_tombstone() && !told.is_live() && !deleted.has_origin()
        );
        let root = RecordInfo::new(Address::new(64), 3).with_large();
        assert!(root.is_large() && root.is_live() && !root.is_open() && !root.is_fragment());
        assert!(!root.invalidated().is_large() && !root.with_tombstone().is_large() && !deleted.is_large());
        assert!(
            info.may_leave()
                && deleted.may_leave()
                && !root.may_leave()
                && !told.may_leave()
                && !info.invalidated().may_leave()
        );
        let fragment = RecordInfo::fragment(3);
        assert!(fragment.is_fragment() && fragment.is_invalid() && !fragment.is_mark() && !fragment.is_large());
        let mark = RecordInfo::mark(1023);
        assert!(!mark.is_fragment());
        assert!(mark.is_mark() && mark.is_invalid() && mark.is_present() && !mark.has_origin() && !mark.is_live());
    }
}
