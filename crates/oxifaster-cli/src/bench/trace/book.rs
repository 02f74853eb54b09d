//! What one player, or all of them, did.

use super::line::Verb;
use super::model::Reply;
use crate::bench::tally::histogram;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

/// Faults that are kept with their particulars; the others are only counted.
const KEPT: usize = 10;

/// One answer that was not the right one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Fault {
    pub(super) line: u64,
    pub(super) operation: &'static str,
    pub(super) expected: String,
    pub(super) found: String,
}

/// Requests of one kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Page {
    /// Those that found their key, or, of an `add`, that did not.
    pub(super) successful: u64,
    /// In nanoseconds; `None` if there was no request.
    pub(super) latencies: Option<Histogram<u64>>,
}

impl Page {
    pub(super) fn requests(&self) -> u64 {
        self.latencies.as_ref().map_or(0, Histogram::len)
    }
}

/// Requests counted by kind, with what came of them.
#[derive(Debug, Default)]
pub(super) struct Book {
    pages: [Page; Verb::ALL.len()],
    /// Bytes of values that were read.
    pub(super) bytes_read: u64,
    /// Bytes of values that came with requests and were stored.
    pub(super) bytes_written: u64,
    /// Requests whose record the store does not take.
    pub(super) too_large: u64,
    pub(super) writes_with_ttl: u64,
    pub(super) checked: u64,
    /// Keys that were followed, and have a value at the end.
    pub(super) followed_keys: u64,
    pub(super) faults: u64,
    pub(super) first_faults: Vec<Fault>,
}

impl Book {
    /// A request that brought `size` bytes was answered.
    pub(super) fn took(&mut self, verb: Verb, reply: &Reply, size: usize, latency: Duration) {
        let page = &mut self.pages[verb as usize];
        if page.latencies.is_none() {
            page.latencies = histogram();
        }
        if let Some(latencies) = &mut page.latencies {
            latencies.saturating_record(latency.as_nanos() as u64);
        }
        match reply {
            Reply::Value(Some(value)) => self.bytes_read += value.len() as u64,
            Reply::Done => self.bytes_written += size as u64,
            Reply::TooLarge => self.too_large += 1,
            Reply::Value(None) | Reply::NotFound | Reply::NotStored => {}
        }
        page.successful += u64::from(matches!(reply, Reply::Value(Some(_)) | Reply::Done));
    }

    /// An answer was compared with the one that is right.
    pub(super) fn checked(&mut self, line: u64, verb: Verb, expected: &Reply, found: &Reply) {
        self.checked += 1;
        if expected == found {
            return;
        }
        self.faults += 1;
        let (expected, found) = (expected.describe(), found.describe());
        self.first_faults.push(Fault { line, operation: verb.name(), expected, found });
        self.keep_first();
    }

    fn keep_first(&mut self) {
        self.first_faults.sort_by_key(|fault| fault.line);
        self.first_faults.truncate(KEPT);
    }

    pub(super) fn page(&self, verb: Verb) -> &Page {
        &self.pages[verb as usize]
    }

    pub(super) fn requests(&self) -> u64 {
        self.pages.iter().map(Page::requests).sum()
    }

    /// The latencies of all requests.
    pub(super) fn latencies(&self) -> Option<Histogram<u64>> {
        self.pages.iter().filter_map(|page| page.latencies.clone()).reduce(|mut all, more| {
            all += more;
            all
        })
    }

    /// Adds what another player did.
    pub(super) fn add(&mut self, other: Self) {
        for (mine, theirs) in self.pages.iter_mut().zip(other.pages) {
            mine.successful += theirs.successful;
            match (mine.latencies.as_mut(), theirs.latencies) {
                (Some(mine), Some(theirs)) => *mine += theirs,
                (None, theirs) => mine.latencies = theirs,
                (Some(_), None) => {}
            }
        }
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
        self.too_large += other.too_large;
        self.writes_with_ttl += other.writes_with_ttl;
        self.checked += other.checked;
        self.followed_keys += other.followed_keys;
        self.faults += other.faults;
        self.first_faults.extend(other.first_faults);
        self.keep_first();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_of_players_add_up() {
        let (mut one, mut other) = (Book::default(), Book::default());
        one.took(Verb::Get, &Reply::Value(Some(vec![1; 5])), 0, Duration::from_micros(1));
        other.took(Verb::Get, &Reply::Value(None), 0, Duration::from_micros(9));
        other.took(Verb::Set, &Reply::Done, 7, Duration::from_micros(1));
        other.took(Verb::Set, &Reply::TooLarge, 9, Duration::from_micros(1));
        for line in (1..=20).rev() {
            other.checked(line, Verb::Get, &Reply::Done, &Reply::NotFound);
        }
        one.checked(3, Verb::Get, &Reply::Done, &Reply::Done);
        one.add(other);
        assert_eq!((one.requests(), one.page(Verb::Get).requests(), one.page(Verb::Get).successful), (4, 2, 1));
        assert_eq!((one.bytes_read, one.bytes_written, one.too_large), (5, 7, 1));
        assert_eq!((one.checked, one.faults, one.first_faults.len()), (21, 20, 10));
        assert!(one.first_faults.iter().map(|fault| fault.line).eq(1..=10), "{:?}", one.first_faults);
        assert_eq!(one.latencies().map(|all| all.len()), Some(4));
    }
}
