//! Going through a part of the log and moving what is in use to its end. Invariants C1, C2 and C5 of [`crate::compaction`].

use super::close_below;
use super::doubts::{Doubts, records_at};
use crate::address::Address;
use crate::allocator::{BLOCK_SIZE, Gather, HybridLog, LiveReader, ReadLimits};
use crate::compaction::concurrent::{ConcurrentCompactionConfig, ConcurrentCompactor, Parts};
use crate::compaction::config::CompactionConfig;
use crate::compaction::pace::{Pace, Stint};
use crate::compaction::report::CompactionReport;
use crate::error::Result;
use crate::kernel::ConditionalInsertOp;
use crate::operation::{Environment, HELD_UP_MAX};
use crate::record::{Key, RecordLayout, Value};
use crate::store::database::Database;
use crate::store::large::{Title, relocate_live};
use crate::store::session::Session;
use crate::sync::Arc;
use std::ops::Range;
use std::time::Instant;

/// Bytes of the records that are looked up in one call: they stay in a processor's cache meanwhile.
const TOGETHER: usize = 256 << 10;

/// A part of the log that is to be compacted.
pub(super) struct Pass<'a, K: Key, V: Value> {
    pub(super) database: &'a Arc<Database<K, V>>,
    /// From where the log begins to at most `safe_read_only`.
    pub(super) range: Range<Address>,
    pub(super) config: &'a CompactionConfig,
    pub(super) pace: &'a Pace,
}

/// What a pass came to.
pub(super) struct Outcome {
    pub(super) report: CompactionReport,
    /// The first record that was not looked at, or where it would be.
    pub(super) until: Address,
}

/// A record that is looked up.
struct Candidate<K> {
    at: Address,
    key: K,
    /// Where its bytes are.
    place: Range<usize>,
}

/// Records that are looked up together.
struct Candidates<K> {
    list: Vec<Candidate<K>>,
    /// One behind the other. Few of them are moved, so nothing is taken out of them before.
    bytes: Vec<u8>,
}

impl<K: Key> Candidates<K> {
    fn new() -> Self {
        Self { list: Vec::new(), bytes: Vec::new() }
    }

    /// Adds the record at `at`, unless it is a tombstone, or has ended: all that is older of its key goes with it (C5). The root of a large
    /// value goes with its title, whoever meets that.
    fn take_up<V: Value>(&mut self, at: Address, bytes: &[u8], now: u64) -> Result<()> {
        let parts = const { RecordLayout::of::<K, V>() }.split(bytes)?;
        let is_root = const { V::FIXED.is_none() } && parts.info.is_large();
        if parts.value.is_some() && !is_root && !(const { V::EXPIRES } && parts.expiry.is_over(now)) {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            self.list.push(Candidate { at, key: parts.key()?, place: start..self.bytes.len() });
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.bytes.len() + self.list.len() * size_of::<Candidate<K>>() >= TOGETHER
    }

    fn clear(&mut self) {
        self.list.clear();
        self.bytes.clear();
    }

    fn key(&self, number: usize) -> &K {
        &self.list[number].key
    }

    /// The operation that moves one if it is in use.
    fn operation(&self, number: usize) -> ConditionalInsertOp<'_, K> {
        let Candidate { at, key, place } = &self.list[number];
        ConditionalInsertOp::new(key.clone(), &self.bytes[place.clone()], *at)
    }

    /// Counts one if it was moved.
    fn note(&self, report: &mut CompactionReport, number: usize, is_moved: bool) {
        if is_moved {
            let bytes = self.list[number].place.len() as u64;
            report.live += bytes;
            report.copied += bytes;
        }
    }
}

impl<K: Key, V: Value> Pass<'_, K, V> {
    /// Moves every record of the range that is in use.
    ///
    /// # Errors
    /// Those of the device and of appending; [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) if it was stopped. What was
    /// moved by then is there twice, which nobody can tell.
    pub(super) fn run(&self) -> Result<Outcome> {
        let page_bits = self.database.kernel.log.geometry().page().page_bits();
        let threads = ConcurrentCompactionConfig::new(self.config.num_threads).with_part_bits(page_bits);
        let outcomes = ConcurrentCompactor::new(threads).run(self.range.clone(), |parts| self.work(parts))?;
        let mut report = CompactionReport::default();
        outcomes.iter().for_each(|outcome| report.add(&outcome.report));
        let until = outcomes.iter().map(|outcome| outcome.until).max().unwrap_or(self.range.start);
        Ok(Outcome { report, until })
    }

    /// One thread's part.
    fn work(&self, parts: &Parts) -> Result<Outcome> {
        let (log, layout) = (&self.database.kernel.log, RecordLayout::of::<K, V>());
        let mut reader = LiveReader::new(log, layout, self.limits())?;
        let mut participant = self.database.epoch.join();
        let mut mover = Mover::new(self);
        let mut until = self.range.start;
        let mut unpaid = 0;
        while let Some(part) = parts.take() {
            reader.go_to(part.clone())?;
            loop {
                let (before, now) = (reader.bytes(), self.database.kernel.now());
                let more = reader.advance(log, &mut participant, &mut |at, info, bytes| {
                    mover.report.records += 1;
                    if info.is_live() {
                        mover.candidates.take_up::<V>(at, bytes, now)?;
                    } else if const { V::FIXED.is_none() } {
                        mover.titles.extend(Title::parse::<V>(at, bytes)?);
                    }
                    Ok(())
                })?;
                mover.report.scanned += reader.bytes() - before;
                unpaid += reader.bytes() - before;
                mover.move_large()?;
                if mover.candidates.is_full() || !more {
                    mover.run(std::mem::take(&mut unpaid))?;
                }
                if !more {
                    break;
                }
            }
            // A part that ends with its page ends there; the last one may end within a record.
            let end = if part.end < self.range.end { part.end } else { reader.position().max(part.end) };
            until = until.max(end);
        }
        Ok(Outcome { report: mover.finish()?, until })
    }

    fn limits(&self) -> ReadLimits {
        ReadLimits { buffer_bytes: self.config.buffer_size, wait: self.database.kernel.wait_limit() }
    }

    /// Bytes that each thread may keep of records in doubt.
    fn lookup_memory(&self) -> usize {
        self.database.lookup_buffer / self.config.num_threads
    }
}

/// Moves what one thread has found, if it is in use.
struct Mover<'a, K: Key, V: Value> {
    pass: &'a Pass<'a, K, V>,
    session: Session<K, V>,
    gather: Gather,
    candidates: Candidates<K>,
    titles: Vec<Title<K>>,
    doubts: Doubts<K>,
    report: CompactionReport,
    stint: Stint,
    room: Room,
}

impl<'a, K: Key, V: Value> Mover<'a, K, V> {
    fn new(pass: &'a Pass<'a, K, V>) -> Self {
        Self {
            pass,
            session: Session::unlisted(Arc::clone(pass.database)),
            gather: Gather::new(pass.limits()),
            candidates: Candidates::new(),
            titles: Vec::new(),
            doubts: Doubts::new(pass.lookup_memory()),
            report: CompactionReport::default(),
            stint: pass.pace.begin(),
            room: Room::new(),
        }
    }

    /// Looks the candidates up, and moves those that memory shows to be in use. Others are put off. So many bytes of the log were read.
    fn run(&mut self, bytes: u64) -> Result<()> {
        if self.candidates.list.last().is_some_and(|candidate| !self.doubts.reach(candidate.at)) {
            self.settle()?;
        }
        let Self { session, candidates, doubts, report, .. } = self;
        let (key, make) = (|number| candidates.key(number), |number| candidates.operation(number));
        let mut done = |number, is_moved| candidates.note(report, number, is_moved);
        session.run_in_memory(candidates.list.len(), key, make, &mut done, &mut |parked| {
            let Candidate { at, key, .. } = &candidates.list[parked.place];
            doubts.push(parked.wanted, *at, key.clone());
        })?;
        candidates.clear();
        self.pause(bytes)?;
        if self.doubts.is_full() { self.settle() } else { Ok(()) }
    }

    /// Moves the large values whose titles were met, if they are in use.
    fn move_large(&mut self) -> Result<()> {
        let Pass { database, pace, .. } = self.pass;
        for title in std::mem::take(&mut self.titles) {
            let log = &database.kernel.log;
            let stint = &mut self.stint;
            let pause = |copied| pace.check(stint, copied, || log.keep_room(Address::MAX));
            let moved = relocate_live(&mut self.session, title, |at| close_below(database, at), pause)?;
            self.report.live += moved;
            self.report.copied += moved;
        }
        Ok(())
    }

    /// Nobody is to wait for a compaction that rests.
    fn pause(&mut self, bytes: u64) -> Result<()> {
        let log = &self.pass.database.kernel.log;
        self.room.grant(log, &self.report);
        self.pass.pace.check(&mut self.stint, bytes, || log.keep_room(Address::MAX))
    }

    /// Decides about what was put off.
    fn settle(&mut self) -> Result<()> {
        let kernel = &self.pass.database.kernel;
        let mut doubts = std::mem::replace(&mut self.doubts, Doubts::new(self.pass.lookup_memory()));
        let mut gather = std::mem::replace(&mut self.gather, Gather::new(self.pass.limits()));
        let in_use = doubts.settle::<V>(kernel, &mut gather, || self.pause(0))?;
        let now = kernel.now();
        let mut candidates = Candidates::new();
        let together = (TOGETHER as u64 / self.pass.database.record_size()).max(64) as usize;
        for places in in_use.chunks(together) {
            let Self { session, report, .. } = self;
            candidates.clear();
            records_at(kernel, &mut gather, places, |at, bytes| candidates.take_up::<V>(at, bytes, now))?;
            let (key, make) = (|number| candidates.key(number), |number| candidates.operation(number));
            let done = |number, is_moved| candidates.note(report, number, is_moved);
            session.run_unlisted(&mut gather, candidates.list.len(), key, make, done)?;
            self.pause(0)?;
        }
        self.gather = gather;
        Ok(())
    }

    fn finish(mut self) -> Result<CompactionReport> {
        self.settle()?;
        Ok(self.report)
    }
}

/// What a thread has found to be of no use, those who append may use meanwhile.
struct Room {
    /// Bytes that were let go of so far.
    granted: u64,
    /// Since when they have been waiting, as far as this thread has seen.
    held_up_since: Option<Instant>,
}

impl Room {
    const fn new() -> Self {
        Self { granted: 0, held_up_since: None }
    }

    fn grant(&mut self, log: &HybridLog, report: &CompactionReport) {
        // What was looked at is counted as on the device, where a page is larger.
        let geometry = log.geometry();
        let on_device = geometry.blocks_per_page() * BLOCK_SIZE as u64;
        let scanned = u128::from(report.scanned) * u128::from(geometry.page().page_size()) / u128::from(on_device);
        let dead = (scanned as u64).saturating_sub(report.copied);
        log.extend_room(dead.saturating_sub(self.granted));
        self.granted = self.granted.max(dead);
        if !log.is_held_up() {
            self.held_up_since = None;
        } else if self.held_up_since.get_or_insert_with(Instant::now).elapsed() >= HELD_UP_MAX {
            log.extend_room(log.geometry().page().page_size());
            self.held_up_since = None;
        }
    }
}
