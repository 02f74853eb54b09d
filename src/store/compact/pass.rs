//! Going through a part of the log and moving what is in use to its end. Invariants C1, C2 and C5 of [`crate::compaction`].

use super::close_below;
use super::doubts::{Doubts, Look, Share, records_at};
use crate::address::Address;
use crate::allocator::{BLOCK_SIZE, Gather, HybridLog, LiveReader, ReadLimits};
use crate::compaction::concurrent::{Parts, on_threads};
use crate::compaction::config::CompactionConfig;
use crate::compaction::pace::{Pace, Stint};
use crate::compaction::report::CompactionReport;
use crate::epoch::Participant;
use crate::error::Result;
use crate::index::Slot;
use crate::kernel::{ConditionalInsertOp, View};
use crate::operation::{Environment, HELD_UP_MAX};
use crate::record::{Key, RecordLayout, Value};
use crate::store::database::Database;
use crate::store::large::{Title, relocate_live};
use crate::store::session::Session;
use crate::sync::Arc;
use std::cell::RefCell;
use std::ops::Range;
use std::time::Instant;

/// Bytes of the records that are looked up in one call: they stay in a processor's cache meanwhile.
const TOGETHER: usize = 256 << 10;
/// Bytes of the log whose records are put off together at most: places in them are counted with 32 bits.
const STRETCH: u64 = 1 << 34;
/// Parts of a range for each thread, at least, if they are not pages.
const PARTS_EACH: u64 = 16;
/// Parts are of at most `1 << PART_BITS_MAX` bytes, if pages are not larger.
const PART_BITS_MAX: u32 = 25;

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
    /// Those before have been looked up.
    next: usize,
    /// One behind the other. Few of them are moved, so nothing is taken out of them before.
    bytes: Vec<u8>,
}

impl<K: Key> Candidates<K> {
    fn new() -> Self {
        Self { list: Vec::new(), next: 0, bytes: Vec::new() }
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

    fn is_done(&self) -> bool {
        self.next == self.list.len()
    }

    fn clear(&mut self) {
        self.list.clear();
        self.next = 0;
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
        let threads = self.config.num_threads;
        let mut workers = (0..threads).map(|_| Worker::new(self)).collect::<Result<Vec<_>>>()?;
        let mut doubts = Doubts::new::<K>(self.database.lookup_buffer, threads);
        let mut start = self.range.start;
        while start < self.range.end {
            // Pages end where stretches do.
            let end = Address::from_word((start.get() / STRETCH + 1) * STRETCH).min(self.range.end);
            self.compact(start..end, &mut workers, &mut doubts)?;
            start = end;
        }
        let mut report = CompactionReport::default();
        workers.iter().for_each(|worker| report.add(&worker.mover.report));
        let until = workers.iter().map(|worker| worker.until).max().unwrap_or(self.range.start);
        Ok(Outcome { report, until })
    }

    /// All threads look at what there is and put off what they cannot decide, until all was looked at or nothing more can be put off; then
    /// they decide about it; and so on.
    fn compact(&self, stretch: Range<Address>, workers: &mut [Worker<'_, K, V>], doubts: &mut Doubts) -> Result<()> {
        let log = &self.database.kernel.log;
        let parts = Parts::new(stretch.clone(), self.part_bits(&stretch));
        loop {
            doubts.begin(stretch.start, log.addresses().tail);
            let turns = workers.iter_mut().zip(doubts.shares()).collect();
            let is_over = on_threads(turns, |(worker, mut share): (&mut Worker<'_, K, V>, _)| {
                worker.look(&parts, &mut share).inspect_err(|_| parts.stop())
            })?;
            let turns = workers.iter_mut().zip(doubts.looks()).collect();
            on_threads(turns, |(worker, look): (&mut Worker<'_, K, V>, _)| worker.mover.settle(look))?;
            if is_over.into_iter().all(|is_over| is_over) {
                return Ok(());
            }
        }
    }

    /// Parts are pages, or some of them if they are small: with each the reads begin anew.
    fn part_bits(&self, range: &Range<Address>) -> u32 {
        let page_bits = self.database.kernel.log.geometry().page().page_bits();
        let even = (range.end.get() - range.start.get()) / (self.config.num_threads as u64 * PARTS_EACH);
        even.max(1).ilog2().min(PART_BITS_MAX).max(page_bits)
    }

    fn limits(&self) -> ReadLimits {
        ReadLimits { buffer_bytes: self.config.buffer_size, wait: self.database.kernel.wait_limit() }
    }
}

/// One thread of a compaction.
struct Worker<'a, K: Key, V: Value> {
    pass: &'a Pass<'a, K, V>,
    reader: LiveReader,
    participant: Participant,
    /// The part that it looks at.
    part: Option<Range<Address>>,
    mover: Mover<'a, K, V>,
    until: Address,
}

impl<'a, K: Key, V: Value> Worker<'a, K, V> {
    fn new(pass: &'a Pass<'a, K, V>) -> Result<Self> {
        Ok(Self {
            reader: LiveReader::new(&pass.database.kernel.log, RecordLayout::of::<K, V>(), pass.limits())?,
            participant: pass.database.epoch.join(),
            part: None,
            mover: Mover::new(pass),
            until: pass.range.start,
            pass,
        })
    }

    /// Looks at parts until there are none, which is true, or no record can be put off any more.
    fn look(&mut self, parts: &Parts, share: &mut Share<'_>) -> Result<bool> {
        loop {
            let is_time = self.part.is_none() || self.mover.candidates.is_full();
            if is_time && !self.mover.run(share)? {
                return Ok(false);
            }
            if self.part.is_none() {
                let Some(part) = parts.take() else { return Ok(true) };
                self.reader.go_to(part.clone())?;
                self.part = Some(part);
            }
            if !self.advance()? {
                self.end_part();
            }
        }
    }

    /// Takes up the records of a few blocks. False if there are no more.
    fn advance(&mut self) -> Result<bool> {
        let Self { pass, reader, participant, mover, .. } = self;
        let kernel = &pass.database.kernel;
        let (before, now) = (reader.bytes(), kernel.now());
        let more = reader.advance(&kernel.log, participant, &mut |at, info, bytes| {
            mover.report.records += 1;
            if info.is_live() {
                mover.candidates.take_up::<V>(at, bytes, now)?;
            } else if const { V::FIXED.is_none() } {
                mover.titles.extend(Title::parse::<V>(at, bytes)?);
            }
            Ok(())
        })?;
        let bytes = reader.bytes() - before;
        mover.report.scanned += bytes;
        mover.unpaid += bytes;
        mover.move_large()?;
        Ok(more)
    }

    fn end_part(&mut self) {
        let Some(part) = self.part.take() else { return };
        // A part that ends with its page ends there; the last one may end within a record.
        let end = if part.end < self.pass.range.end { part.end } else { self.reader.position().max(part.end) };
        self.until = self.until.max(end);
    }
}

/// Moves what one thread has found, if it is in use.
struct Mover<'a, K: Key, V: Value> {
    pass: &'a Pass<'a, K, V>,
    session: Session<K, V>,
    gather: Gather,
    candidates: Candidates<K>,
    titles: Vec<Title<K>>,
    report: CompactionReport,
    stint: Stint,
    /// Bytes that were read and not accounted for.
    unpaid: u64,
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
            report: CompactionReport::default(),
            stint: pass.pace.begin(),
            unpaid: 0,
            room: Room::new(),
        }
    }

    /// Looks the candidates up, and moves those that memory shows to be in use. Others are put off; false if there was no room for that.
    fn run(&mut self, share: &mut Share<'_>) -> Result<bool> {
        while !self.candidates.is_done() && share.room() > 0 {
            let Self { session, candidates, report, room, .. } = self;
            let ahead = candidates.next..candidates.list.len().min(candidates.next + share.room());
            let first = ahead.start;
            let put_off = RefCell::new(|place: usize, above: Address| {
                let Candidate { at, key, place } = &candidates.list[place];
                share.push(above, *at, key.as_bytes());
                room.put_off += place.len() as u64;
            });
            // Most chains lead to a newer record on the device.
            let at_once = |view: View<'_>, number: usize, slot: Slot<'_>| {
                let above = view.on_device_above(&slot, candidates.list[first + number].at)?;
                (put_off.borrow_mut())(first + number, above);
                Some(false)
            };
            let (key, make) = (|number| candidates.key(first + number), |number| candidates.operation(first + number));
            let mut done = |number, is_moved| candidates.note(report, first + number, is_moved);
            session.run_in_memory(ahead.len(), key, at_once, make, &mut done, &mut |parked| {
                (put_off.borrow_mut())(first + parked.place, parked.wanted.at);
            })?;
            candidates.next = ahead.end;
        }
        let is_done = self.candidates.is_done();
        if is_done {
            self.candidates.clear();
        }
        let bytes = std::mem::take(&mut self.unpaid);
        self.pause(bytes)?;
        Ok(is_done)
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

    /// Decides about a part of what was put off.
    fn settle(&mut self, look: Look<'_>) -> Result<()> {
        let kernel = &self.pass.database.kernel;
        let mut gather = std::mem::replace(&mut self.gather, Gather::new(self.pass.limits()));
        let put_off = self.room.put_off;
        let in_use = look.settle::<K, V>(kernel, &mut gather, |looks, all| {
            self.room.put_off = put_off - (u128::from(put_off) * looks as u128 / all.max(1) as u128) as u64;
            self.pause(0)
        })?;
        self.room.put_off = 0;
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
        self.pause(0)
    }
}

/// What a thread has found to be of no use, those who append may use meanwhile.
struct Room {
    /// Bytes that were let go of so far.
    granted: u64,
    /// Bytes of records that were put off. They count for half: as much is still to be read for them.
    put_off: u64,
    /// Since when they have been waiting, as far as this thread has seen.
    held_up_since: Option<Instant>,
}

impl Room {
    const fn new() -> Self {
        Self { granted: 0, put_off: 0, held_up_since: None }
    }

    fn grant(&mut self, log: &HybridLog, report: &CompactionReport) {
        // What was looked at is counted as on the device, where a page is larger.
        let geometry = log.geometry();
        let on_device = geometry.blocks_per_page() * BLOCK_SIZE as u64;
        let scanned = u128::from(report.scanned) * u128::from(geometry.page().page_size()) / u128::from(on_device);
        let dead = (scanned as u64).saturating_sub(report.copied + self.put_off / 2);
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
