//! Who wrote a record: a session, by a number that a mark explains, and which of its operations it was.
//!
//! ```text
//!  a record:  header with `origin` | key | value | origin
//!  a mark:    header with `mark` | low and high half of the session's name | origin | serial number before
//!
//!  origin:    63..40 number of the session, from 1 | 39..0 low bits of the serial number
//! ```

use super::RecordInfo;
use crate::sync::{AtomicU64, Ordering};

/// The number of a session in this log, and the low bits of the serial number of one of its operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin(u64);

const SERIAL_BITS: u32 = 40;
const SERIAL_MASK: u64 = (1 << SERIAL_BITS) - 1;

impl Origin {
    /// The largest number of a session.
    pub(crate) const SESSIONS_MAX: u64 = (1 << (u64::BITS - SERIAL_BITS)) - 1;
    /// Serial numbers that are further apart are not told from their low bits.
    pub(crate) const DISTANCE_MAX: u64 = 1 << (SERIAL_BITS - 1);
    /// Bytes that it takes in a record.
    pub(crate) const SIZE: usize = 8;
    /// Nobody's: of a copy that counts only together with those in front of it, which were made after it. Without the last of them, what
    /// it is a copy of counts.
    #[cfg(not(oxifaster_loom))]
    pub(crate) const OF_PART: Self = Self(0);
    /// Nobody's: of the last of several copies, which leads to the others.
    #[cfg(not(oxifaster_loom))]
    pub(crate) const OF_LAST: Self = Self(1);

    /// The operation `serial` of the session with this number, from 1 to [`SESSIONS_MAX`](Self::SESSIONS_MAX).
    #[inline]
    pub(crate) const fn new(session: u64, serial: u64) -> Self {
        Self(session << SERIAL_BITS | (serial & SERIAL_MASK))
    }

    #[inline]
    pub(crate) const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[inline]
    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    /// That of a record with these bytes, which has one.
    #[cfg(not(oxifaster_loom))]
    pub(crate) fn in_record(bytes: &[u8]) -> Option<Self> {
        bytes.last_chunk().map(|word| Self(u64::from_le_bytes(*word)))
    }

    /// The number of the session.
    pub(crate) const fn session(self) -> u64 {
        self.0 >> SERIAL_BITS
    }

    /// The serial number, given one of the same session that is less than [`DISTANCE_MAX`](Self::DISTANCE_MAX) below. Given a
    /// larger one, that.
    pub(crate) const fn serial_after(self, before: u64) -> u64 {
        let distance = (self.0 & SERIAL_MASK).wrapping_sub(before) & SERIAL_MASK;
        if distance < Self::DISTANCE_MAX { before + distance } else { before }
    }

    /// That of the operation before.
    pub(crate) const fn before(self) -> Self {
        Self::new(self.session(), (self.0 & SERIAL_MASK).wrapping_sub(1))
    }

    /// That of the next operation.
    #[inline]
    pub(crate) const fn next(self) -> Self {
        Self::new(self.session(), (self.0 & SERIAL_MASK) + 1)
    }
}

/// Which session has a number from here on; or, without a number, how large the index is, or that a group begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Names the session.
    pub(crate) guid: u128,
    /// Its number.
    pub(crate) session: u64,
    /// The serial number of its last operation before.
    pub(crate) serial: u64,
}

/// In place of a session's name.
const GROUP: u128 = 1;

impl Mark {
    /// Bytes of a mark in the log.
    pub(crate) const SIZE: usize = 40;

    /// Not of a session: that from here on chains may be those of a table with so many buckets.
    pub(crate) const fn of_table(buckets: u64) -> Self {
        Self { guid: 0, session: 0, serial: buckets }
    }

    /// The buckets of a table, if this is the mark of one.
    pub(crate) const fn buckets(self) -> Option<u64> {
        if self.session == 0 && self.guid == 0 { Some(self.serial) } else { None }
    }

    /// Not of a session: that what follows, up to `bytes` from where the mark begins, is there as a whole or not at all.
    pub(crate) const fn of_group(bytes: u64) -> Self {
        Self { guid: GROUP, session: 0, serial: bytes }
    }

    /// How far a group reaches from the beginning of the mark, if this is the mark of one.
    pub(crate) const fn group_bytes(self) -> Option<u64> {
        if self.session == 0 && self.guid == GROUP { Some(self.serial) } else { None }
    }

    /// Fills freshly allocated words with a mark.
    pub(crate) fn write(self, words: &[AtomicU64], version: u16) {
        let origin = Origin::new(self.session, self.serial);
        let values =
            [RecordInfo::mark(version).word(), self.guid as u64, (self.guid >> 64) as u64, origin.word(), self.serial];
        for (word, value) in words.iter().zip(values).rev() {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// The mark in these bytes, which begin with its header. `None` if they are too few.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| bytes.get(at * 8..at * 8 + 8)?.first_chunk().map(|word| u64::from_le_bytes(*word));
        let (low, high, origin, serial) = (word(1)?, word(2)?, word(3)?, word(4)?);
        Some(Self {
            guid: u128::from(high) << 64 | u128::from(low),
            session: Origin::from_word(origin).session(),
            serial,
        })
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_is_found_again_from_its_low_bits() {
        let far = Origin::DISTANCE_MAX - 1;
        for serial in [1, 2, SERIAL_MASK - 1, SERIAL_MASK, SERIAL_MASK + 1, SERIAL_MASK * 5 + 17] {
            let origin = Origin::new(7, serial);
            assert_eq!(origin.session(), 7);
            for before in [serial, serial - 1, serial.saturating_sub(1000), serial.saturating_sub(far)] {
                assert_eq!(origin.serial_after(before), serial, "after {before}");
            }
            assert_eq!(origin.next(), Origin::new(7, serial + 1));
        }
        assert_eq!(Origin::new(Origin::SESSIONS_MAX, 1).session(), Origin::SESSIONS_MAX);
        assert_eq!(Origin::new(7, 5).serial_after(9), 9, "numbers do not go back");
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let mark = Mark { guid: u128::MAX - 5, session: 9, serial: 1 << 50 };
        let words: Vec<AtomicU64> = (0..5).map(|_| AtomicU64::new(0)).collect();
        mark.write(&words, 3);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        assert_eq!(bytes.len(), Mark::SIZE);
        assert_eq!(Mark::parse(&bytes), Some(mark));
        assert_eq!(Mark::parse(&bytes[..39]), None);
        assert!(RecordInfo::from_word(words[0].load(Ordering::Relaxed)).is_mark());
    }
}
