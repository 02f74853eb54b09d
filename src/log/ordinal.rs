//! Numbers and times of entries, and commits by name: found by way of the commit records, each of which knows how many entries
//! lie below a place and leads to some that were made before it.
//!
//! ```text
//!   record 8 ------------------------------------> 0        links lead to the last records with numbers that are multiples of
//!          ------------> 4                                  1, 2, 4 ...: a look-up reads a few dozen records of a million,
//!          -----> 6                                         and then the entries of one commit
//!          --> 7
//! ```
//!
//! Entries are counted while they are in memory, by hopping from header to header: by whoever begins a page, and whoever
//! commits.

use super::commit::CommitRecord;
use super::entry::{HEADER, Header, Kind};
use super::faster_log::FasterLog;
use super::log_core::Core;
use super::read::{Reader, damaged};
use super::scan::LogScan;
use crate::address::Address;
use crate::epoch::Participant;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{Purpose, prefetch};
use crate::sync::{Arc, MutexGuard, Ordering};
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many entries are on their way to the cache while they are counted.
const AHEAD: usize = 16;

/// Which commit is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitName {
    /// The one with this [number](super::Commit::number).
    Number(u64),
    /// The last one that was made [with](FasterLog::commit_with) this cookie.
    Cookie(Vec<u8>),
}

/// A commit that was made. See [`FasterLog::commits`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PastCommit {
    /// Its number.
    pub number: u64,
    /// When it was made, to the millisecond.
    pub time: SystemTime,
    /// The cookie that it was made with, if it was.
    pub cookie: Option<Vec<u8>>,
}

/// The first entry at or behind `at` has the number `entries`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) at: Address,
    pub(super) entries: u64,
}

impl FasterLog {
    /// The numbers of the entries that are there and durable. The first entry of a log has number 0, each has one more than the
    /// one before. Truncating the beginning changes no number; those of a suffix that was cut off are given anew.
    ///
    /// # Errors
    /// Those of the device, if entries have to be read to be counted.
    pub fn numbers(&self) -> Result<Range<u64>> {
        let (_, first) = self.core.first();
        Ok(first..self.core.number_below(self.committed())?.max(first))
    }

    /// Where the entry of this number is; `None` if it is given up, or not durable yet. Reads a few commit records, and entries
    /// of one commit.
    ///
    /// # Errors
    /// Those of the device, and [`ErrorKind::Corrupt`] if something on the way is damaged.
    pub fn entry_at(&self, number: u64) -> Result<Option<Address>> {
        let (_, first) = self.core.first();
        if number < first {
            return Ok(None);
        }
        let point = self.core.point(|_, entries| entries <= number)?;
        let mut scan = LogScan::starting_at(Arc::clone(&self.core), point.at, Address::MAX);
        for _ in point.entries..number {
            if scan.next_entry()?.is_none() {
                return Ok(None);
            }
        }
        Ok(scan.next_entry()?.map(|(address, _)| address))
    }

    /// The number of the entry at `address`, which is durable.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if no durable entry begins there; as for [`entry_at`](Self::entry_at).
    pub fn number_of(&self, address: Address) -> Result<u64> {
        self.entry_len(address)?;
        if address >= self.committed() {
            return Err(Error::new(ErrorKind::NotFound, "the entry has no number before it is durable")
                .with("address", address)
                .help("commit, or wait for it to be durable"));
        }
        self.core.number_below(address)
    }

    /// The first entry that may have been appended at `time` or later, if there is one that is durable: all that were lie at or
    /// behind it. Times are known of commits, so some of those at the beginning may be a commit older.
    ///
    /// # Errors
    /// As for [`entry_at`](Self::entry_at).
    pub fn first_after(&self, time: SystemTime) -> Result<Option<Address>> {
        let time = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let before = self.core.last_commit(|_, record| u128::from(record.time) < time)?;
        let from = before.map_or(0, |(_, record)| record.appended);
        let from = Address::from_word(from).max(self.begin());
        let mut scan = LogScan::starting_at(Arc::clone(&self.core), from, Address::MAX);
        Ok(scan.next_entry()?.map(|(address, _)| address))
    }

    /// The commits that can be opened by name ([`open_at`](Self::open_at)), newest first.
    pub fn commits(&self) -> Commits {
        let next = self.core.next.lock().links.first().copied();
        Commits { reader: Reader::new(Arc::clone(&self.core)), next: next.map(Address::from_word) }
    }
}

/// The commits of a log. See [`FasterLog::commits`].
pub struct Commits {
    reader: Reader,
    next: Option<Address>,
}

impl Iterator for Commits {
    type Item = Result<PastCommit>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.next.take().filter(|at| *at >= self.reader.core.first().0)?;
        Some(self.reader.commit(at).map(|record| {
            self.next = record.links.first().copied().map(Address::from_word).filter(|next| *next < at);
            PastCommit {
                number: record.number,
                time: UNIX_EPOCH + Duration::from_millis(record.time),
                cookie: Some(record.cookie).filter(|_| record.named),
            }
        }))
    }
}

impl Reader {
    /// The commit record at `at`.
    fn commit(&mut self, at: Address) -> Result<CommitRecord> {
        match self.at(at)? {
            Some((Kind::Commit, body)) => CommitRecord::decode(&body, at).ok_or_else(|| damaged(at)),
            _ => Err(damaged(at)),
        }
    }
}

impl Core {
    /// Where the log begins, and the number of its first entry.
    fn first(&self) -> (Address, u64) {
        let next = self.next.lock();
        (next.begin(), next.begin_number)
    }

    /// The last record, and where it is, for which `is_before` is true: it is for all older ones, and false for all newer ones.
    pub(super) fn last_commit(
        self: &Arc<Self>,
        is_before: impl Fn(Address, &CommitRecord) -> bool,
    ) -> Result<Option<(Address, CommitRecord)>> {
        let (begin, mut links) = {
            let next = self.next.lock();
            (next.begin(), next.links.clone())
        };
        let (mut reader, mut upper) = (Reader::new(Arc::clone(self)), Address::MAX);
        let (mut level, mut found) = (links.len(), None::<(Address, CommitRecord)>);
        while level > 0 {
            let link = links.get(level - 1).map(|link| Address::from_word(*link)).filter(|link| *link >= begin);
            let is_known = found.as_ref().is_some_and(|(at, _)| link.is_some_and(|link| link <= *at));
            let Some(at) = link.filter(|_| !is_known) else {
                level -= 1;
                continue;
            };
            if at >= upper {
                return Err(damaged(at));
            }
            let record = reader.commit(at)?;
            if is_before(at, &record) {
                found = Some((at, record));
                level -= 1;
            } else {
                (upper, links) = (at, record.links);
            }
        }
        Ok(found)
    }

    pub(super) fn commit_named(self: &Arc<Self>, name: &CommitName) -> Result<Option<(Address, CommitRecord)>> {
        match name {
            CommitName::Number(number) => {
                let last = self.last_commit(|_, record| record.number <= *number)?;
                Ok(last.filter(|(_, record)| record.number == *number))
            }
            CommitName::Cookie(cookie) => {
                let (mut reader, begin) = (Reader::new(Arc::clone(self)), self.first().0);
                let first = |links: &[u64]| links.first().copied().map(Address::from_word);
                let mut next = first(&self.next.lock().links);
                while let Some(at) = next.filter(|at| *at >= begin) {
                    let record = reader.commit(at)?;
                    if record.named && record.cookie == *cookie {
                        return Ok(Some((at, record)));
                    }
                    next = first(&record.links).filter(|next| *next < at);
                }
                Ok(None)
            }
        }
    }

    /// Where the record at `at` ends.
    pub(super) fn end_of_commit(self: &Arc<Self>, at: Address) -> Result<Address> {
        let body = Reader::new(Arc::clone(self)).at(at)?.map_or(0, |(_, body)| body.len());
        Ok(Address::new(at.get() + (HEADER + body.next_multiple_of(8)) as u64))
    }

    /// The best place to begin counting at, of those for which `is_before` is true; it is for the beginning of the log.
    fn point(self: &Arc<Self>, is_before: impl Fn(Address, u64) -> bool) -> Result<Count> {
        let count = *self.count.lock();
        let (begin, number) = self.first();
        // What was given up is not there to be counted.
        if count.at >= begin && is_before(count.at, count.entries) {
            return Ok(count);
        }
        let record = self.last_commit(|_, record| is_before(Address::from_word(record.counted), record.entries))?;
        let point = record.map(|(_, record)| Count { at: Address::from_word(record.counted), entries: record.entries });
        Ok(point.filter(|point| point.at > begin).unwrap_or(Count { at: begin, entries: number }))
    }

    /// How many entries there were below `address`, which is durable, since the log was made.
    pub(super) fn number_below(self: &Arc<Self>, address: Address) -> Result<u64> {
        let point = self.point(|at, _| at <= address)?;
        let (mut scan, mut number) = (LogScan::starting_at(Arc::clone(self), point.at, address), point.entries);
        while scan.next_entry()?.is_some() {
            number += 1;
        }
        // Counting in memory goes on from here, if it was left behind by what has left memory.
        let mut count = self.count.lock();
        if address > count.at {
            *count = Count { at: address, entries: number };
        }
        Ok(number)
    }

    /// After opening: counts what lies behind the last record. If something there is damaged, whoever looks an entry up is told.
    pub(super) fn catch_up(self: &Arc<Self>) {
        let end = self.group.durable();
        if let Ok(entries) = self.number_below(end) {
            *self.count.lock() = Count { at: end, entries };
        }
    }

    /// Counts what is settled. Held is that nobody counts meanwhile.
    pub(super) fn count_settled(&self) -> MutexGuard<'_, Count> {
        let mut count = self.count.lock();
        self.with_lane(|core, participant| core.count_in_memory(participant, &mut count));
        count
    }

    /// Counts what is settled, unless somebody does: before it leaves memory.
    #[cold]
    pub(super) fn count_page(&self, participant: &mut Participant) {
        if let Some(mut count) = self.count.try_lock() {
            self.count_in_memory(participant, &mut count);
        }
    }

    /// Counts entries which nobody is filling any more, as far as they are in memory.
    fn count_in_memory(&self, participant: &mut Participant, count: &mut Count) {
        let geometry = self.log.geometry();
        let settled = self.log.safe_read_only().max(self.group.durable());
        let limit = geometry.block_start(settled);
        while count.at < limit {
            let guard = participant.pin();
            if count.at < self.log.view(&guard).head() {
                return; // it has left: whoever asks reads it from the device
            }
            let page_end = geometry.page().start_of(geometry.page().page(count.at) + 1).min(limit);
            while count.at < page_end {
                let word = self.log.words(count.at, HEADER, &guard)[0].load(Ordering::Acquire);
                let Some(header) = Header::of_word(word) else {
                    count.at = geometry.start_of_block(geometry.block_of(count.at) + 1);
                    continue;
                };
                let next = Address::new(count.at.get() + header.size() as u64);
                if next > limit {
                    return;
                }
                // Entries of a log are often of one size.
                let ahead = Address::new(count.at.get() + (AHEAD * header.size()) as u64);
                if ahead < page_end {
                    prefetch(&self.log.words(ahead, HEADER, &guard)[0], Purpose::Read);
                }
                count.entries += u64::from(matches!(header.kind(), Some(Kind::Entry | Kind::Last)));
                count.at = next;
            }
        }
    }
}
