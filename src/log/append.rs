//! Putting entries at the tail.

use super::entry::{Draft, HEADER, Kind, LAST_HEAD, PART_HEAD};
use super::log_core::Core;
use crate::address::Address;
use crate::allocator::{Allocation, FIRST};
use crate::epoch::Participant;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::store_bytes;
use crate::sync::{Arc, AtomicU64, Backoff, Ordering};
use std::ops::Range;
use std::time::Instant;

/// Threads that append through the log itself at the same time without waiting for each other.
pub(super) const LANES: usize = 16;

/// Appends to a log from one thread. See [`FasterLog::appender`](crate::log::FasterLog::appender).
pub struct Appender {
    pub(super) participant: Participant,
    pub(super) core: Arc<Core>,
}

impl Appender {
    /// See [`FasterLog::append`](crate::log::FasterLog::append).
    ///
    /// # Errors
    /// As for `append`.
    pub fn append(&mut self, data: &[u8]) -> Result<Address> {
        self.core.append(&mut self.participant, &[data], true).and_then(Core::placed)
    }

    /// See [`FasterLog::try_append`](crate::log::FasterLog::try_append).
    ///
    /// # Errors
    /// As for `append`.
    pub fn try_append(&mut self, data: &[u8]) -> Result<Option<Address>> {
        self.core.append(&mut self.participant, &[data], false)
    }
}

impl Core {
    /// Runs `work` with a participant that nobody else uses meanwhile.
    pub(super) fn with_lane<T>(&self, work: impl FnOnce(&Self, &mut Participant) -> T) -> T {
        thread_local! {
            static LANE: std::cell::Cell<Option<usize>> = const { std::cell::Cell::new(None) };
        }
        let lane = LANE.get().unwrap_or_else(|| {
            let lane = self.next_lane.fetch_add(1, Ordering::Relaxed) as usize;
            LANE.set(Some(lane));
            lane
        });
        for at in lane..lane + LANES {
            if let Some(mut participant) = self.lanes[at % LANES].try_lock() {
                return work(self, &mut participant);
            }
        }
        work(self, &mut self.lanes[lane % LANES].lock())
    }

    /// What an append that waits comes to.
    pub(super) fn placed(address: Option<Address>) -> Result<Address> {
        address.ok_or_else(|| Error::new(ErrorKind::Busy, "there is no room in the log's memory"))
    }

    /// Appends an entry; `None` if there is no room and the caller does not want to `wait`.
    pub(super) fn append(&self, participant: &mut Participant, parts: &[&[u8]], wait: bool) -> Result<Option<Address>> {
        self.group.check()?;
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let address = match parts {
            [data] if len <= self.body_max() => self.put(participant, Kind::Entry, data, wait)?,
            _ if len <= self.body_max() => self.put(participant, Kind::Entry, &parts.concat(), wait)?,
            _ => self.put_large(participant, parts, len, wait)?,
        };
        if let Some(address) = address {
            self.note_placed(participant, address, address);
        }
        Ok(address)
    }

    /// Entries are in their places, from `first` to `last`, which nothing was put between.
    pub(super) fn note_placed(&self, participant: &mut Participant, first: Address, last: Address) {
        if self.log.geometry().page().offset(first) == 0 {
            self.count_page(participant);
        }
        self.group.note_growth(last);
    }

    /// The largest body that fits on every page.
    pub(super) fn body_max(&self) -> usize {
        (self.log.geometry().page().page_size() - FIRST) as usize - HEADER
    }

    /// Appends an entry that does not fit on a page: parts, each of which knows the one before. The last one is the entry's
    /// place.
    fn put_large(
        &self,
        participant: &mut Participant,
        parts: &[&[u8]],
        len: usize,
        wait: bool,
    ) -> Result<Option<Address>> {
        let room = (self.body_max() - LAST_HEAD) / 2; // so that a page that has begun is of use
        let whole;
        let data = match parts {
            [data] => *data,
            _ => {
                whole = parts.concat();
                &whole
            }
        };
        let (mut previous, mut body) = (Address::INVALID, Vec::with_capacity(room + LAST_HEAD));
        let mut rest = data;
        loop {
            let is_last = rest.len() <= room;
            let (now, later) = rest.split_at(rest.len().min(room));
            body.clear();
            body.extend_from_slice(&previous.get().to_le_bytes());
            if is_last {
                body.extend_from_slice(&(len as u64).to_le_bytes());
            }
            body.extend_from_slice(now);
            let kind = if is_last { Kind::Last } else { Kind::Part };
            // A part that was placed is of no use without the others, so from there on room is waited for.
            let Some(address) = self.put(participant, kind, &body, wait || previous.is_valid())? else {
                return Ok(None);
            };
            if is_last {
                return Ok(Some(address));
            }
            (previous, rest) = (address, later);
        }
    }

    /// Places a header and a body.
    pub(super) fn put(
        &self,
        participant: &mut Participant,
        kind: Kind,
        body: &[u8],
        wait: bool,
    ) -> Result<Option<Address>> {
        let draft = Draft::new(kind, body);
        self.place(participant, draft.size(), wait, |words, address| self.fill(words, address, draft, body))
    }

    /// Writes an entry to its place.
    pub(super) fn fill(&self, words: &[AtomicU64], address: Address, draft: Draft, body: &[u8]) {
        store_bytes(&words[1..], body);
        // Release: who finds the header finds the body.
        words[0].store(draft.at(address, self.generation).word(), Ordering::Release);
    }

    /// Has `fill` write to a place of `size` bytes on one page; `None` if there is none and the caller does not want to `wait`.
    pub(super) fn place(
        &self,
        participant: &mut Participant,
        size: usize,
        wait: bool,
        fill: impl Fn(&[AtomicU64], Address),
    ) -> Result<Option<Address>> {
        let mut stall: Option<(Instant, Backoff)> = None;
        loop {
            let guard = participant.pin();
            if let Allocation::At(address) = self.log.allocate(size, &guard)? {
                fill(self.log.words(address, size, &guard), address);
                drop(guard);
                if self.epoch.has_pending() {
                    self.epoch.drain();
                }
                return Ok(Some(address));
            }
            drop(guard);
            self.log.help();
            if !wait {
                return Ok(None);
            }
            if let Some(failure) = self.log.flush_failure() {
                return Err(self.group.fail(
                    Error::new(ErrorKind::DeviceFailed, "the log is full and cannot be written to its device")
                        .because(failure),
                ));
            }
            let (since, backoff) = stall.get_or_insert_with(|| (Instant::now(), Backoff::new()));
            if since.elapsed() > self.config.wait_limit {
                return Err(Error::new(ErrorKind::Busy, "waiting for room in the log took too long")
                    .with("milliseconds waited", since.elapsed().as_millis()));
            }
            backoff.wait();
        }
    }

    /// The range of a part's data within its body.
    pub(super) const fn data_of(kind: Kind, len: usize) -> Range<usize> {
        match kind {
            Kind::Entry | Kind::Commit => 0..len,
            Kind::Part => PART_HEAD..len,
            Kind::Last => LAST_HEAD..len,
        }
    }
}
