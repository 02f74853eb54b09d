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
    /// The number of the first entry that is not.
    pub(super) begin_number: u64,
    /// Everything below was durable before this record was written.
    pub(super) durable: u64,
    /// The first entry at or behind `counted` has the number `entries`.
    pub(super) counted: u64,
    pub(super) entries: u64,
    /// When, in milliseconds since 1970. Never less than in a record before.
    pub(super) time: u64,
    /// Everything below was appended before that.
    pub(super) appended: u64,
    /// Nothing is appended any more.
    pub(super) complete: bool,
    /// What the caller of the last commit with a cookie wanted to be kept.
    pub(super) cookie: Vec<u8>,
    /// It came with this commit.
    pub(super) named: bool,
    /// Named places.
    pub(super) cursors: BTreeMap<String, u64>,
    /// Ranges that hold nothing: cut off, or not written whole before a crash.
    pub(super) holes: Vec<(u64, u64)>,
    /// The address at place `j` is that of the last record before this one whose number is a multiple of `2^j`.
    pub(super) links: Vec<u64>,
}

impl CommitRecord {
    /// The body of its entry.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut body = Vec::with_capacity(512); // most fit
        body.extend_from_slice(MAGIC);
        serde_json::to_writer(&mut body, self)
            .map_err(|error| Error::new(ErrorKind::Limit, "writing down a commit").because(error))?;
        Ok(body)
    }

    /// `None` if the bytes are no commit record, or none that can lie at `at`.
    pub(super) fn decode(body: &[u8], at: Address) -> Option<Self> {
        let record: Self = serde_json::from_slice(body.strip_prefix(MAGIC)?).ok()?;
        record.may_lie_at(at).then_some(record)
    }

    /// A record speaks of what lies before it, and no count is near its end.
    fn may_lie_at(&self, at: Address) -> bool {
        const LARGEST: u64 = u64::MAX >> 2;
        let (at, number) = (at.get(), self.number.max(self.entries).max(self.begin_number));
        let places = [self.begin, self.durable, self.counted, self.appended];
        number < LARGEST
            && places.iter().chain(&self.links).all(|place| *place <= at)
            && self.holes.iter().all(|(from, to)| from < to && *to <= at)
            && self.cursors.values().all(|place| *place <= Address::MAX.get())
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
        Some((Self::decode(body, address)?, header.size()))
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

    /// Adds a hole, if it is one. Those within it are no longer needed.
    pub(super) fn add_hole(&mut self, hole: Range<Address>) {
        let (start, end) = (hole.start.get(), hole.end.get());
        if start < end {
            self.holes.retain(|(from, to)| *from < start || *to > end);
            self.holes.push((start, end));
        }
    }

    /// The links of the record after this one, which lies at `address`.
    pub(super) fn links_behind(&self, address: Address) -> Vec<u64> {
        let mut links = self.links.clone();
        let levels = if self.number == 0 { 1 } else { self.number.trailing_zeros() as usize + 1 };
        links.resize(links.len().max(levels), Address::INVALID.get());
        links[..levels].fill(address.get());
        links
    }

    /// Moves the beginning on to `begin`, where the entry of this number is, and forgets the holes below it.
    pub(super) fn begin_at(&mut self, begin: Address, number: u64) {
        if begin > self.begin() {
            (self.begin, self.begin_number) = (begin.get(), number);
            self.holes.retain(|(_, to)| *to > begin.get());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Draft;
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was() {
        let mut record = CommitRecord { number: 7, page_bits: 20, begin: 64, ..CommitRecord::default() };
        record.cookie = vec![0, 255];
        record.cursors.insert("a reader".to_owned(), 4096);
        record.add_hole(Address::new(100)..Address::new(200));
        record.add_hole(Address::new(10)..Address::new(20));
        record.begin_at(Address::new(65), 3);
        record.begin_at(Address::new(64), 2);
        assert_eq!((record.begin, record.begin_number, record.holes.as_slice()), (65, 3, [(100, 200)].as_slice()));
        record.add_hole(Address::new(90)..Address::new(210));
        assert_eq!(record.holes, [(90, 210)]);
        let at = Address::new(800);
        record.durable = 800;
        let body = record.encode().unwrap();
        assert_eq!(CommitRecord::decode(&body, at), Some(record.clone()));
        assert_eq!(CommitRecord::decode(&body, Address::new(792)), None, "more durable than there was");
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
    fn links_lead_to_the_last_multiples_of_the_powers_of_two() {
        let (mut links, level) = (Vec::new(), |number: u64| if number == 0 { 0 } else { number.trailing_zeros() });
        for number in 0..100u64 {
            for (at, link) in links.iter().enumerate() {
                let last = (0..number).rev().find(|before| level(*before) >= at as u32);
                assert_eq!(*link, last.map_or(0, |last| 64 + last), "record {number}, link {at}");
            }
            let record = CommitRecord { number, links, ..CommitRecord::default() };
            links = record.links_behind(Address::new(64 + number));
        }
        assert_eq!(links.len(), 7);
    }

    #[test]
    fn a_hole_is_left_where_it_ends() {
        let holes = [(100, 200), (400, 500)];
        let behind = |at| CommitRecord::behind_hole(&holes, Address::new(at)).map(Address::get);
        assert_eq!([99, 100, 199, 200, 450].map(behind), [None, Some(200), Some(200), None, Some(500)]);
    }
}
