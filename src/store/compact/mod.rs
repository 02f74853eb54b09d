//! Compacting a store. [`crate::compaction`] has the picture and the invariants.

mod doubts;
mod ended;
mod estimate;
mod pass;
mod reclaim;
#[cfg(test)]
mod tests;

use self::doubts::Doubts;
use self::ended::Ended;
use self::pass::{Outcome, Pass};
use super::database::Database;
use super::faster_kv::FasterKv;
use super::shrink::{Shrinking, shrink_if_nearly_empty};
use crate::address::Address;
use crate::checkpoint::Catalog;
use crate::compaction::config::CompactionConfig;
use crate::compaction::pace::Pace;
use crate::compaction::report::CompactionReport;
use crate::device::StorageDevice;
use crate::directory::Directory;
use crate::error::{Error, ErrorKind, Result};
use crate::index::Haste;
use crate::operation::{Environment, Retry, Stall};
use crate::record::{Key, Value};
use crate::sync::{Arc, AtomicBool, Ordering};
use std::ops::Range;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

pub(crate) use estimate::Estimate;
pub(crate) use reclaim::{Hold, Reclaim};

/// Of the log at least one of so many parts is compacted before space is given back and the need is looked at again.
const PARTS_MAX: u64 = 32;
/// How much larger than the target the log may become before writers wait for the compaction.
const OVERDRAFT: f64 = 1.15;
/// While a part is compacted, it is looked so often whether space can be given back.
const GIVE_BACK_AGAIN: Duration = Duration::from_millis(5);

impl<K: Key, V: Value, D: StorageDevice> FasterKv<K, V, D> {
    /// Gives up everything in the log below `address`, after moving what is in use to its end, and has the device give the space
    /// back: at once, except for what a checkpoint, a scan or a feed of changes needs. If that address lies in the part that
    /// is updated in place, or beyond the log's end, everything that is there is closed to updates first.
    ///
    /// Operations go on meanwhile. A record that begins below `address` is moved whole, so that the log begins at `address` or a
    /// little later.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if another compaction is under way, [`ErrorKind::DeviceFailed`] or [`ErrorKind::Io`] if
    /// the device fails, [`ErrorKind::Corrupt`] if it returns other bytes than were written. Nothing is given up then that was
    /// not moved.
    pub fn log_compact_until(&self, address: Address) -> Result<CompactionReport> {
        let config = self.database.compaction;
        Compaction::new(&self.database, &config, &Pace::new(&config))?.until(address)
    }

    /// Moves records and gives space back until the share of the log that is in use is the one that the configuration aims
    /// at, or everything that was there has been looked at once.
    ///
    /// How much is in use is estimated as for [`utilization`](Self::utilization).
    ///
    /// # Errors
    /// As for [`log_compact_until`](Self::log_compact_until), and [`ErrorKind::Config`] if a value makes no sense.
    pub fn compact(&self, config: &CompactionConfig) -> Result<CompactionReport> {
        config.check()?;
        Compaction::new(&self.database, config, &Pace::new(config))?.to_target()
    }

    /// An empty store on `device` that compacts as `compaction` says when [`log_compact_until`](Self::log_compact_until) is called:
    /// [`new`](Self::new) with a set-up for compactions. It does not compact by itself: see
    /// [`AutoCompactionWorker`](crate::compaction::AutoCompactionWorker).
    ///
    /// # Panics
    /// As for `new`, and on a set-up that [`CompactionConfig::check`] would refuse.
    pub fn with_compaction_config(config: super::FasterKvConfig, device: D, compaction: CompactionConfig) -> Self {
        Self::new(config.with_compaction(compaction), device)
    }

    /// The share of the log that is in use, 0.0 to 1.0, as estimated from the number of entries in the index; 1.0 for an empty
    /// log. Walks a sixteenth of the index, all of it if it is small: takes milliseconds for every gigabyte. If values may end, it also looks
    /// at some 128 KiB of the log, spread over all of it, to know how many have.
    pub fn utilization(&self) -> f64 {
        utilization(&self.database)
    }

    /// Looks again which checkpoints there are in `directory`, after some were removed by somebody else than this store, and has
    /// the device give back what none of them needs any more. Returns how many bytes that were.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the directory cannot be read, or that of the device.
    pub fn look_at_checkpoints(&self, directory: &dyn Directory) -> Result<u64> {
        // A manifest that was removed a moment ago may come back after a crash, until this.
        directory.sync()?;
        let listing = Catalog::new(directory).list()?;
        self.database.reclaim.note_checkpoints(directory.place(), &listing);
        give_back(&self.database, false)
    }

    /// Everything below was given back to the device. What lies between here and where the log begins is of no use to the store,
    /// and kept for a checkpoint, a scan or a feed of changes, or until the copies of it are durable.
    pub fn given_back(&self) -> Address {
        self.database.reclaim.given_back()
    }
}

/// What a worker asks for when it looks at a store.
pub(crate) struct Upkeep<'u> {
    pub(crate) config: &'u CompactionConfig,
    /// The share of the log below which it is compacted.
    pub(crate) target: f64,
    pub(crate) pace: &'u Pace,
    pub(crate) min_log_size: u64,
    /// Whether writers are to wait when the log grows faster than it can be compacted.
    pub(crate) holds_up_writers: bool,
    /// What it knows of how much is in use.
    pub(crate) estimate: &'u mut Estimate,
    /// Whether copies are to be made durable so that space can be given back, if they are not by themselves.
    pub(crate) makes_durable: bool,
}

/// What came of it.
pub(crate) struct Kept {
    /// What was compacted, if anything was to do.
    pub(crate) report: Result<Option<CompactionReport>>,
    /// Bytes of the device that were given back.
    pub(crate) reclaimed: Result<u64>,
}

impl<K: Key, V: Value, D: StorageDevice> FasterKv<K, V, D> {
    /// Compacts the oldest part of the log if too little of it is in use. Meanwhile the space of earlier ones is given back, as soon as what was
    /// moved is durable. After that the index shrinks, if its entries were freed and it is nearly empty.
    pub(crate) fn keep_up(&self, upkeep: Upkeep<'_>) -> Kept {
        let (database, pace) = (&self.database, upkeep.pace);
        let kept = self.compact_and_give_back(upkeep);
        // Whoever wants to compact is not to be told in vain that somebody else does.
        if database.index_shrinking
            && database.reclaim.has_swept()
            && let Some(_turn) = database.reclaim.turn()
        {
            shrink_if_nearly_empty(database, pace);
        }
        kept
    }

    fn compact_and_give_back(&self, upkeep: Upkeep<'_>) -> Kept {
        let mut now = upkeep.makes_durable;
        let (going_on, is_over) = mpsc::channel::<()>();
        let give_back = move || -> Result<u64> {
            let mut reclaimed = 0;
            loop {
                reclaimed += self.give_back_durable(std::mem::take(&mut now))?;
                if is_over.recv_timeout(GIVE_BACK_AGAIN) != Err(RecvTimeoutError::Timeout) {
                    return Ok(reclaimed);
                }
            }
        };
        std::thread::scope(|scope| {
            if !self.awaits_durability() {
                let report = self.compact_if_due(upkeep);
                return Kept { report, reclaimed: self.give_back_durable(false) };
            }
            let builder = std::thread::Builder::new().name("oxifaster-give-back".to_owned());
            let giver = builder.spawn_scoped(scope, give_back);
            let report = self.compact_if_due(upkeep);
            drop(going_on);
            let reclaimed = match giver {
                Ok(giver) => giver.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                // The system gives no thread.
                Err(_) => self.give_back_durable(now),
            };
            Kept { report, reclaimed }
        })
    }

    fn compact_if_due(&self, upkeep: Upkeep<'_>) -> Result<Option<CompactionReport>> {
        let (database, log) = (&self.database, &self.database.kernel.log);
        let (begin, end) = (log.begin(), log.safe_read_only().min(database.reclaim.oldest_writer()));
        let bytes = log.addresses().tail.get().saturating_sub(begin.get());
        if begin >= end || bytes < upkeep.min_log_size {
            log.keep_room(Address::MAX);
            return Ok(None);
        }
        let live = upkeep.estimate.live_bytes(database);
        let read = upkeep.estimate.take_unpaid();
        if read > 0 {
            upkeep.pace.check(&mut upkeep.pace.begin(), read, || log.keep_room(Address::MAX))?;
        }
        let mut room = Address::MAX;
        if upkeep.holds_up_writers {
            // Nobody is held up for what may be wrong.
            let at_most = live.end.min(bytes);
            let bound = (at_most as f64 / upkeep.config.target_utilization * OVERDRAFT) as u64;
            // Whatever the estimate is worth: a pass gives room for more.
            room = Address::from_word((begin.get() + bound).min(Address::MAX.get() - 1));
        }
        log.keep_room(room);
        if share(live.start, database) >= upkeep.target {
            return Ok(None);
        }
        let compaction = Compaction::new(database, upkeep.config, upkeep.pace)?;
        compaction.step(compaction.next_part(end)).map(Some)
    }

    /// Lets all those go on who wait for a compaction to make room.
    pub(crate) fn let_writers_go(&self) {
        self.database.kernel.log.keep_room(Address::MAX);
    }

    /// Whether somebody waits for room, or will soon.
    pub(crate) fn holds_writers_up(&self) -> bool {
        self.database.kernel.log.is_held_up()
    }

    /// Has the device give back what is durable by itself; or, if `now`, what was moved is made durable for that.
    pub(crate) fn give_back_durable(&self, now: bool) -> Result<u64> {
        give_back(&self.database, now)
    }

    /// How often somebody has changed the store, or tried to.
    pub(crate) fn change_calls(&self) -> u64 {
        let operations = self.database.stats().operations;
        operations.upserts + operations.rmws + operations.inserts + operations.deletes + operations.transactions
    }

    /// Whether copies are not known to be durable yet.
    pub(crate) fn awaits_durability(&self) -> bool {
        self.database.reclaim.copies_end().is_some()
    }

    /// Bytes of the device below where the log begins.
    pub(crate) fn held_bytes(&self) -> u64 {
        held(&self.database)
    }
}

/// A compaction, while it has the store's turn.
pub(crate) struct Compaction<'a, K: Key, V: Value> {
    database: &'a Arc<Database<K, V>>,
    config: &'a CompactionConfig,
    pace: &'a Pace,
    _turn: crate::sync::MutexGuard<'a, ()>,
}

impl<'a, K: Key, V: Value> Compaction<'a, K, V> {
    pub(crate) fn new(database: &'a Arc<Database<K, V>>, config: &'a CompactionConfig, pace: &'a Pace) -> Result<Self> {
        let turn = database.reclaim.turn().ok_or_else(|| {
            Error::new(ErrorKind::Busy, "another compaction of this store is under way")
                .help("wait for it to end, or stop the worker that does it")
        })?;
        // A record is looked up in one chain.
        Shrinking::new(database, Haste::Urgent).finish()?;
        Ok(Self { database, config, pace, _turn: turn })
    }

    /// Everything below `address`.
    fn until(&self, address: Address) -> Result<CompactionReport> {
        let log = &self.database.kernel.log;
        close_below(self.database, address)?;
        let begin = log.begin();
        let end = address.min(log.safe_read_only());
        let mut report = if begin < end {
            self.step(begin..end)?
        } else {
            CompactionReport { begin, ..CompactionReport::default() }
        };
        report.reclaimed = give_back(self.database, true)?;
        report.held = held(self.database);
        shrink_if_nearly_empty(self.database, self.pace);
        Ok(report)
    }

    /// As much as the target asks for.
    pub(crate) fn to_target(&self) -> Result<CompactionReport> {
        let log = &self.database.kernel.log;
        let mut report = CompactionReport { begin: log.begin(), ..CompactionReport::default() };
        let end = log.safe_read_only().min(self.database.reclaim.oldest_writer());
        while log.begin() < end && utilization(self.database) < self.config.target_utilization {
            let part = self.next_part(end);
            report.add(&self.step(part)?);
        }
        report.reclaimed += give_back(self.database, true)?;
        report.held = held(self.database);
        shrink_if_nearly_empty(self.database, self.pace);
        Ok(report)
    }

    /// The oldest part of the log, as large as it should be, up to at most `end`.
    pub(crate) fn next_part(&self, end: Address) -> Range<Address> {
        let log = &self.database.kernel.log;
        let (begin, page) = (log.begin(), log.geometry().page());
        let bytes = part_bytes(self.database, self.config).max(page.page_size());
        let behind = page.start_of(page.page(Address::new(begin.get() + bytes)));
        begin..behind.min(end)
    }

    /// Moves what is in use of the oldest part of the log, and gives the part up. Its space is given back later.
    pub(crate) fn step(&self, range: Range<Address>) -> Result<CompactionReport> {
        let (database, log, since) = (self.database, &self.database.kernel.log, Instant::now());
        if const { V::FIXED.is_none() } {
            // C6: who is pinned may be about to publish a root without knowing.
            database.kernel.looked_up_below.advance_to(range.end.get());
            wait_for_pins(database)?;
        }
        let Outcome { mut report, until } = Pass { database, range, config: self.config, pace: self.pace }.run()?;
        // C3: who is pinned may have looked up an entry before a copy was in front of it.
        wait_for_pins(database)?;
        let copies_end = close_block(database)?;
        wait_until(database, Retry::Room, || log.addresses().flushed >= until)?;
        log.shift_begin(until)?;
        log.evict_until(log.geometry().block_start(until));
        database.reclaim.note_begin(until, copies_end);
        report.begin = until;
        report.seconds = since.elapsed().as_secs_f64();
        Ok(report)
    }
}

/// Bytes of the log that are compacted at a time: as much as can be looked up at once, if that is neither too little nor too much.
fn part_bytes<K: Key, V: Value>(database: &Database<K, V>, config: &CompactionConfig) -> u64 {
    let log = database.kernel.log.addresses();
    let bytes = log.tail.get().saturating_sub(log.begin.get());
    let records = Doubts::count_max::<K>(database.lookup_buffer, config.num_threads);
    // One of several threads may have put off a few more than the others when there is no room for it.
    let at_once = (records - records / 16) as u64 * database.record_size();
    at_once.max(bytes / PARTS_MAX).min((bytes as f64 * config.max_part) as u64)
}

/// The share of the log that is in use, as far as the index knows.
pub(crate) fn utilization<K: Key, V: Value>(database: &Arc<Database<K, V>>) -> f64 {
    let bytes = live_bytes(database);
    share(bytes.saturating_sub(Ended::look(database).of(bytes)), database)
}

fn live_bytes<K: Key, V: Value>(database: &Database<K, V>) -> u64 {
    let live = database.kernel.index.entries_about() * database.record_size();
    // What was written of large values is in use to the same share as what leads to it.
    let fragments = database.kernel.fragment_bytes.load(Ordering::Relaxed);
    let written = database.kernel.log.addresses().tail.get().saturating_sub(database.opened_at.get());
    let others = written.saturating_sub(fragments).max(1);
    if fragments == 0 { live } else { (live as f64 * (1.0 + fragments as f64 / others as f64)) as u64 }
}

/// What `live` bytes are of the log; 1.0 of an empty one.
fn share<K: Key, V: Value>(live: u64, database: &Database<K, V>) -> f64 {
    let addresses = database.kernel.log.addresses();
    match addresses.tail.get().saturating_sub(addresses.begin.get()) {
        0 => 1.0,
        bytes => (live as f64 / bytes as f64).min(1.0),
    }
}

/// Bytes of the device below where the log begins that were not given back.
pub(crate) fn held<K: Key, V: Value>(database: &Database<K, V>) -> u64 {
    let geometry = database.kernel.log.geometry();
    let offset = |address: Address| geometry.device_offset(geometry.block_of(address));
    offset(database.kernel.log.begin()).saturating_sub(offset(database.reclaim.given_back()))
}

/// Has the device give back what nobody needs any more, and frees the index of it. If `now`, what was moved is made durable for
/// that: all that is in memory is closed to updates then. Otherwise only as far as it is durable by itself. Returns how many
/// bytes of the device were given back.
pub(crate) fn give_back<K: Key, V: Value>(database: &Database<K, V>, now: bool) -> Result<u64> {
    let (kernel, log) = (&database.kernel, &database.kernel.log);
    let reclaim = &database.reclaim;
    let end = if now { reclaim.copies_end() } else { reclaim.written_copies_end(log.addresses().flushed) };
    if let Some(end) = end
        && log.durable() < end
    {
        log.make_durable_below(end, kernel.wait_limit(), || Ok(()))?;
    }
    let before = database.reclaim.given_back();
    let Some(limit) = database.reclaim.limit(log.durable()) else {
        sweep_index(database, now);
        return Ok(0);
    };
    kernel.kept_from.advance_to(limit.get());
    // Whoever is pinned may be about to ask the device for something below.
    wait_for_pins(database)?;
    let geometry = log.geometry();
    let offset = |address: Address| geometry.device_offset(geometry.block_of(address));
    sweep_index(database, now);
    log.free_before(limit, kernel.wait_limit()).inspect_err(|_| database.reclaim.try_again())?;
    Ok(offset(limit).saturating_sub(offset(before)))
}

/// Frees the entries of what was given back: at once if `now`, and otherwise in a small share of the time, since all of the index is gone
/// through. Until then they lead to where nobody looks.
fn sweep_index<K: Key, V: Value>(database: &Database<K, V>, now: bool) {
    if let Some(limit) = database.reclaim.sweep_limit(now) {
        let begun = Instant::now();
        let is_whole = database.kernel.index.free_below(limit, &mut database.epoch.join());
        database.reclaim.note_sweep(limit, is_whole, begun.elapsed());
    }
}

/// Closes everything to updates, unless what lies below `address` is closed.
pub(super) fn close_below<K: Key, V: Value>(database: &Database<K, V>, address: Address) -> Result<()> {
    let log = &database.kernel.log;
    if address > log.safe_read_only() {
        let closed = close_tail(database)?;
        wait_until(database, Retry::Fuzzy, || log.safe_read_only() >= closed)?;
    }
    Ok(())
}

fn close_tail<K: Key, V: Value>(database: &Database<K, V>) -> Result<Address> {
    let mut closed = None;
    wait_until(database, Retry::Room, || {
        closed = database.kernel.log.close_tail();
        closed.is_some()
    })?;
    Ok(closed.unwrap_or(Address::INVALID))
}

fn close_block<K: Key, V: Value>(database: &Database<K, V>) -> Result<Address> {
    database.kernel.log.cut(database.kernel.wait_limit())
}

/// Waits until everybody has left who is pinned at this moment.
pub(super) fn wait_for_pins<K: Key, V: Value>(database: &Database<K, V>) -> Result<()> {
    let left = Arc::new(AtomicBool::new(false));
    let action = Arc::clone(&left);
    database.epoch.bump(move || action.store(true, Ordering::Release));
    wait_until(database, Retry::Fuzzy, || left.load(Ordering::Acquire))
}

fn wait_until<K: Key, V: Value>(database: &Database<K, V>, retry: Retry, mut done: impl FnMut() -> bool) -> Result<()> {
    let mut stall = Stall::new();
    while !done() {
        stall.wait(&database.kernel, retry)?;
    }
    Ok(())
}
