//! Commit records: what a log knows of itself, as of the stretch that the record ends.

use super::entry::{Header, Kind};
use crate::address::Address;
use crate::error::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;

/// The first bytes of every record, with the version of the format.
const MAGIC: &[u8; 8] = b"oxlog\0\0\x01";
/// The largest cookie.
pub(super) const COOKIE_MAX: usize = 4096;
/// The most cursors, and the longest name of one.
pub(super) const CURSORS_MAX: usize = 256;
pub(super) const NAME_MAX: usize = 128;

/// What becomes durable with a commit, beside the entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CommitRecord {
    /// Counts commits, from 0 for the one that made the log.
    pub(super) number: u64,
    /// Pages have `1 << page_bits` bytes.
    pub(super) page_bits: u32,
    /// Entries below are given up.
    pub(super) begin: u64,
    /// Everything below was durable before this record was written.
    pub(super) durable: u64,
    /// When, in milliseconds since 1970.
    pub(super) time: u64,
    /// Nothing is appended any more.
    pub(super) complete: bool,
    /// What the caller of the last commit with a cookie wanted to be kept.
    pub(super) cookie: Vec<u8>,
    /// Named places.
    pub(super) cursors: BTreeMap<String, u64>,
    /// Ranges that hold nothing: cut off, or not written whole before a crash.
    pub(super) holes: Vec<(u64, u64)>,
}

impl CommitRecord {
    /// The body of its entry.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut body = MAGIC.to_vec();
        serde_json::to_writer(&mut body, self)
            .map_err(|error| Error::new(ErrorKind::Limit, "writing down a commit").because(error))?;
        Ok(body)
    }

    /// `None` if the bytes are no commit record.
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body.strip_prefix(MAGIC)?).ok()
    }

    /// The record whose header is the word at the start of `bytes`, which lie at `address`, if it is one and whole; and its size.
    pub(super) fn at_start_of(bytes: &[u8], address: Address, generation: u32) -> Option<(Self, usize)> {
        let header = Header::of_word(u64::from_le_bytes(*bytes.first_chunk()?))?;
        if header.kind() != Some(Kind::Commit) {
            return None;
        }
        let body = bytes.get(8..8 + header.len())?;
        if !header.fits(body, address, generation) {
            return None;
        }
        Some((Self::decode(body)?, header.size()))
    }

    pub(super) fn begin(&self) -> Address {
        Address::from_word(self.begin)
    }

    pub(super) fn durable(&self) -> Address {
        Address::from_word(self.durable)
    }

    /// The end of the hole that `address` lies in.
    pub(super) fn behind_hole(holes: &[(u64, u64)], address: Address) -> Option<Address> {
        let at = address.get();
        holes.iter().find(|(from, to)| (*from..*to).contains(&at)).map(|(_, to)| Address::from_word(*to))
    }

    /// Adds a hole, if it is one.
    pub(super) fn add_hole(&mut self, hole: Range<Address>) {
        if hole.start < hole.end {
            self.holes.push((hole.start.get(), hole.end.get()));
        }
    }

    /// Moves the beginning on to `begin`, and forgets the holes below it.
    pub(super) fn begin_at(&mut self, begin: Address) {
        let begin = self.begin.max(begin.get());
        self.begin = begin;
        self.holes.retain(|(_, to)| *to > begin);
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Draft;
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was() {
        let mut record = CommitRecord { number: 7, page_bits: 20, begin: 64, durable: 4088, ..CommitRecord::default() };
        record.cookie = vec![0, 255];
        record.cursors.insert("a reader".to_owned(), 4096);
        record.add_hole(Address::new(100)..Address::new(200));
        record.add_hole(Address::new(10)..Address::new(20));
        record.begin_at(Address::new(65));
        assert_eq!((record.begin, record.holes.as_slice()), (65, [(100, 200)].as_slice()));
        let body = record.encode().unwrap();
        assert_eq!(CommitRecord::decode(&body), Some(record.clone()));
        let at = Address::new(800);
        let mut bytes = Draft::new(Kind::Commit, &body).at(at, 5).word().to_le_bytes().to_vec();
        bytes.extend(&body);
        assert_eq!(CommitRecord::at_start_of(&bytes, at, 5).map(|(record, _)| record), Some(record));
        assert_eq!(CommitRecord::at_start_of(&bytes, Address::new(808), 5), None, "a copy in another place");
        for byte in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[byte] ^= 1;
            assert_eq!(CommitRecord::at_start_of(&damaged, at, 5), None, "byte {byte}");
            assert_eq!(CommitRecord::at_start_of(&bytes[..byte], at, 5), None, "cut at {byte}");
        }
    }

    #[test]
    fn a_hole_is_left_where_it_ends() {
        let holes = [(100, 200), (400, 500)];
        let behind = |at| CommitRecord::behind_hole(&holes, Address::new(at)).map(Address::get);
        assert_eq!([99, 100, 199, 200, 450].map(behind), [None, Some(200), Some(200), None, Some(500)]);
    }
}
