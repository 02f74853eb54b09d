//! What lies in the log: entries, their parts, and commit records, all with one header.
//!
//! ```text
//!  63        62..60   59..28     27..0
//! | present | kind   | CRC-32C  | bytes of the body |   body, padded with zeros to whole words
//!
//!  kind 0  entry        body = the data
//!       1  part         body = address of the part before (0: none), then data: not the last part of a large entry
//!       2  last part    body = address of the part before, bytes of the whole entry, then data
//!       3  commit       body = a commit record
//! ```
//!
//! The checksum covers the body, the header without it, the entry's address and the log's generation. So bytes that were an
//! entry elsewhere, and now lie within the data of another, are never taken for one. A zero word where a header could be means that nothing follows
//! before the next block boundary.

use crate::address::Address;
use crate::utility::{crc32c, crc32c_append};

const PRESENT: u64 = 1 << 63;
const KIND_SHIFT: u32 = 60;
const CHECKSUM_SHIFT: u32 = 28;
/// The largest body.
pub(super) const BODY_MAX: usize = (1 << CHECKSUM_SHIFT) - 1;
/// Bytes of a header.
pub(super) const HEADER: usize = 8;
/// Bytes before the data of a part, and of a last part.
pub(super) const PART_HEAD: usize = 8;
pub(super) const LAST_HEAD: usize = 16;

/// What an entry in the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Entry,
    Part,
    Last,
    Commit,
}

/// What is known of a header before the entry has a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draft {
    bare: u64,
    sum: u32,
}

impl Draft {
    pub(super) fn new(kind: Kind, body: &[u8]) -> Self {
        Self { bare: PRESENT | (kind as u64) << KIND_SHIFT | body.len() as u64, sum: crc32c(body) }
    }

    /// Bytes of header and body, a multiple of 8.
    pub(super) const fn size(self) -> usize {
        Header(self.bare).size()
    }

    /// The header of the entry at `address` of the log whose blocks carry `generation`.
    pub(super) fn at(self, address: Address, generation: u32) -> Header {
        Header(self.bare | u64::from(checksum(self.sum, self.bare, address, generation)) << CHECKSUM_SHIFT)
    }
}

/// The header of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header(u64);

impl Header {
    /// The header in this word; `None` for the zeros between entries.
    pub(super) const fn of_word(word: u64) -> Option<Self> {
        if word & PRESENT == 0 { None } else { Some(Self(word)) }
    }

    pub(super) const fn word(self) -> u64 {
        self.0
    }

    pub(super) const fn kind(self) -> Option<Kind> {
        match (self.0 >> KIND_SHIFT) & 7 {
            0 => Some(Kind::Entry),
            1 => Some(Kind::Part),
            2 => Some(Kind::Last),
            3 => Some(Kind::Commit),
            _ => None,
        }
    }

    /// Bytes of the body.
    pub(super) const fn len(self) -> usize {
        self.0 as usize & BODY_MAX
    }

    /// Bytes of header and body, a multiple of 8.
    pub(super) const fn size(self) -> usize {
        HEADER + self.len().next_multiple_of(8)
    }

    /// True if these are the bytes that the header was made for, in the place that it was made for.
    pub(super) fn fits(self, body: &[u8], address: Address, generation: u32) -> bool {
        let bare = self.0 & !(u64::from(u32::MAX) << CHECKSUM_SHIFT);
        body.len() == self.len()
            && checksum(crc32c(body), bare, address, generation) == (self.0 >> CHECKSUM_SHIFT) as u32
    }
}

fn checksum(sum_of_body: u32, bare: u64, address: Address, generation: u32) -> u32 {
    let mut place = [0; 20];
    place[..8].copy_from_slice(&bare.to_le_bytes());
    place[8..16].copy_from_slice(&address.get().to_le_bytes());
    place[16..].copy_from_slice(&generation.to_le_bytes());
    crc32c_append(sum_of_body, &place)
}

/// The first word of a part's body: where the part before it is.
pub(super) fn address_in(body: &[u8]) -> Option<Address> {
    word_in(body, 0).filter(|word| *word <= Address::MAX.get()).map(Address::new)
}

/// Word `at` of a body.
pub(super) fn word_in(body: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*body.get(at * 8..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Address = Address::new(4096);

    #[test]
    fn a_header_knows_its_body_and_its_place() {
        let header = Draft::new(Kind::Last, b"something").at(AT, 7);
        assert_eq!((header.kind(), header.len(), header.size()), (Some(Kind::Last), 9, 24));
        assert!(header.fits(b"something", AT, 7));
        assert!(!header.fits(b"somethinG", AT, 7) && !header.fits(b"somethin", AT, 7));
        assert!(!header.fits(b"something", Address::new(4104), 7) && !header.fits(b"something", AT, 8));
        let other = Draft::new(Kind::Entry, b"something").at(AT, 7);
        assert_eq!(Header::of_word(0), None);
        for bit in 0..63 {
            let damaged = Header::of_word(other.word() ^ 1 << bit);
            assert!(!damaged.is_some_and(|header| header.fits(b"something", AT, 7)), "bit {bit}");
        }
    }

    #[test]
    fn golden_bytes_of_version_one() {
        // Present, an entry, 3 bytes; the CRC-32C of "abc", the header without it, the address and the generation.
        let bare: u64 = 0x8000_0000_0000_0003;
        let bytes = [b"abc".as_slice(), &bare.to_le_bytes(), &AT.get().to_le_bytes(), &7u32.to_le_bytes()].concat();
        let expected = bare | u64::from(crc32c(&bytes)) << 28;
        assert_eq!((Draft::new(Kind::Entry, b"abc").at(AT, 7).word(), expected), (GOLDEN, expected));
    }

    const GOLDEN: u64 = 0x80fa_34b2_3000_0003;
}
