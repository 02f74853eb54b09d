//! Going through a part of the log and moving what is in use to its end. Invariants C1, C2 and C5 of [`crate::compaction`].

use crate::address::Address;
use crate::allocator::{BLOCK_SIZE, Gather, HybridLog, LiveReader, ReadLimits};
use crate::compaction::concurrent::{ConcurrentCompactionConfig, ConcurrentCompactor, Parts};
use crate::compaction::config::CompactionConfig;
use crate::compaction::pace::Pace;
use crate::compaction::report::CompactionReport;
use crate::error::Result;
use crate::kernel::ConditionalInsertOp;
use crate::operation::{Environment, HELD_UP_MAX};
use crate::record::{Key, RecordLayout, Value};
use crate::store::database::Database;
use crate::store::session::Session;
use crate::sync::Arc;
use std::ops::Range;
use std::time::Instant;

/// Bytes of the records that are looked up in one call: so many that accesses to their chains often meet in a block.
const TOGETHER: usize = 1 << 20;

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
struct Candidate<K, V> {
    at: Address,
    key: K,
    value: V,
    bytes: u64,
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
        let limits = ReadLimits { buffer_bytes: self.config.buffer_size, wait: self.database.kernel.wait_limit() };
        let mut reader = LiveReader::new(log, layout, limits)?;
        let mut participant = self.database.epoch.join();
        let mut session = Session::unlisted(Arc::clone(self.database));
        let mut outcome = Outcome { report: CompactionReport::default(), until: self.range.start };
        let together = (TOGETHER / size_of::<Candidate<K, V>>()).max(64);
        let mut candidates = Vec::with_capacity(together);
        let mut gather = Gather::new(limits);
        let (mut stint, mut unpaid, mut room) = (self.pace.begin(), 0, Room::new());
        while let Some(part) = parts.take() {
            reader.go_to(part.clone())?;
            loop {
                let (before, now) = (reader.bytes(), self.database.kernel.now());
                let more = reader.advance(log, &mut participant, &mut |at, info, bytes| {
                    outcome.report.records += 1;
                    if info.is_live() {
                        let (record, bytes) = (RecordLayout::parse::<K, V>(bytes)?, bytes.len() as u64);
                        // What has ended is left behind like a tombstone: all that is older of its key goes with it.
                        let (key, value) = (record.key, record.value.filter(|value| !value.expiry().is_over(now)));
                        candidates.extend(value.map(|value| Candidate { at, key, value, bytes }));
                    }
                    Ok(())
                })?;
                outcome.report.scanned += reader.bytes() - before;
                unpaid += reader.bytes() - before;
                if candidates.len() >= together || !more {
                    move_live(&mut session, &mut gather, &mut candidates, &mut outcome.report)?;
                    room.grant(log, &outcome.report);
                    // Nobody is to wait for a compaction that rests.
                    self.pace.check(&mut stint, std::mem::take(&mut unpaid), || log.keep_room(Address::MAX))?;
                }
                if !more {
                    break;
                }
            }
            // A part that ends with its page ends there; the last one may end within a record.
            let end = if part.end < self.range.end { part.end } else { reader.position().max(part.end) };
            outcome.until = outcome.until.max(end);
        }
        Ok(outcome)
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

/// Looks the candidates up, and appends those that are in use.
fn move_live<K: Key, V: Value>(
    session: &mut Session<K, V>,
    gather: &mut Gather,
    candidates: &mut Vec<Candidate<K, V>>,
    report: &mut CompactionReport,
) -> Result<()> {
    let make = |place: usize| {
        let candidate: &Candidate<K, V> = &candidates[place];
        ConditionalInsertOp::new(candidate.key.clone(), Some(&candidate.value), candidate.at)
    };
    let done = |place: usize, is_moved: bool| {
        if is_moved {
            report.live += candidates[place].bytes;
            report.copied += candidates[place].bytes;
        }
    };
    session.run_unlisted(gather, candidates.len(), |place| &candidates[place].key, make, done)?;
    candidates.clear();
    Ok(())
}
