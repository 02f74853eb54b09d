//! How much of the log is in use, as far as the index and the sessions know.

use super::ended::Ended;
use super::live_bytes;
use crate::address::Address;
use crate::record::{Key, Value};
use crate::store::database::Database;
use crate::sync::Arc;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

/// What a worker knows of a store.
#[derive(Default)]
pub(crate) struct Estimate {
    /// The records that the index leads to, tombstones too.
    entries: u64,
    /// Of those, as far as the log shows, the ones whose value has ended.
    ended: Ended,
    asked: Option<(Instant, Duration)>,
    deletions: Deletions,
    /// Bytes of the log that were read for this and not paid for yet.
    unpaid: u64,
}

impl Estimate {
    /// The share of the time that may go into walks through the index is one of so many.
    const REST: u32 = 40;

    /// Bytes in use: at least, as if every deletion had found something that is still deleted, and ended values were as many
    /// everywhere; and at most, as if none had, and none were.
    pub(super) fn live_bytes<K: Key, V: Value>(&mut self, database: &Arc<Database<K, V>>) -> Range<u64> {
        if self.asked.is_none_or(|(at, took)| at.elapsed() >= took * Self::REST) {
            let begun = Instant::now();
            self.entries = live_bytes(database);
            self.ended = Ended::look(database);
            self.unpaid += self.ended.read;
            self.asked = Some((Instant::now(), begun.elapsed()));
        }
        let count = database.stats().operations.deletes;
        let log = database.kernel.log.addresses();
        self.deletions.note(log.begin, log.tail, count);
        let deleted = self.deletions.behind(log.begin, count) * database.record_size();
        self.entries.saturating_sub(deleted + self.ended.of(self.entries))..self.entries
    }

    /// Bytes of the log that were read since the last call.
    pub(super) fn take_unpaid(&mut self) -> u64 {
        std::mem::take(&mut self.unpaid)
    }
}

/// How many deletions there were when the log was how long: the tombstones of those lie below.
#[derive(Default)]
struct Deletions {
    marks: VecDeque<(Address, u64)>,
}

impl Deletions {
    /// So many marks go on the log at most, as long as it does not grow.
    const MARKS: u64 = 64;

    fn note(&mut self, begin: Address, tail: Address, count: u64) {
        let apart = tail.get().saturating_sub(begin.get()) / Self::MARKS;
        let is_news = |(at, last): &(Address, u64)| *last != count && tail.get() - at.get().min(tail.get()) >= apart;
        if self.marks.back().is_none_or(is_news) {
            self.marks.push_back((tail, count));
        }
    }

    /// Of `count` deletions, those whose tombstones may still lie in a log that begins at `begin`.
    fn behind(&mut self, begin: Address, count: u64) -> u64 {
        while self.marks.get(1).is_some_and(|(tail, _)| *tail <= begin) {
            self.marks.pop_front();
        }
        let gone = self.marks.front().filter(|(tail, _)| *tail <= begin).map_or(0, |(_, count)| *count);
        count.saturating_sub(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletions_count_until_the_log_begins_behind_them() {
        let mut deletions = Deletions::default();
        let at = Address::new;
        for (tail, count) in [(1000, 0), (2000, 10), (3000, 15), (4000, 15)] {
            deletions.note(at(500), at(tail), count);
        }
        assert_eq!(deletions.behind(at(500), 15), 15);
        assert_eq!(deletions.behind(at(1999), 15), 15);
        assert_eq!(deletions.behind(at(2000), 15), 5);
        assert_eq!(deletions.behind(at(3000), 17), 2);
        for count in 0..100_000 {
            deletions.note(at(3000), at(5000 + count), 20 + count);
        }
        assert!(deletions.marks.len() < 1000, "{}", deletions.marks.len());
        // What has no mark counts for longer, never for less.
        let behind = deletions.behind(at(55_000), 100_019);
        assert!((50_000..=52_000).contains(&behind), "{behind}");
    }
}
