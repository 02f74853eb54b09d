//! Checkpoints while the threads of a run work: what they cost those threads.

use super::campaign::Store;
use super::report::{LatencyReport, per_second};
use super::value::Content;
use clap::ValueEnum;
use hdrhistogram::Histogram;
use oxifaster::checkpoint::{Catalog, CheckpointKind, CheckpointToken};
use oxifaster::directory::FileDirectory;
use oxifaster::store::{CheckpointOptions, CheckpointReport};
use oxifaster::{Error, ErrorKind, Result};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A kind, as an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The log, written to its device
    FoldOver,
    /// What is not on the device, to a file
    Snapshot,
    /// What came since the one before, to a file
    Incremental,
    /// The index alone
    Index,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::FoldOver => "fold-over",
            Self::Snapshot => "snapshot",
            Self::Incremental => "incremental",
            Self::Index => "index",
        }
    }

    const fn of_store(self) -> CheckpointKind {
        match self {
            Self::FoldOver => CheckpointKind::FoldOver,
            Self::Snapshot => CheckpointKind::Snapshot,
            Self::Incremental => CheckpointKind::Incremental,
            Self::Index => CheckpointKind::Index,
        }
    }
}

/// Which checkpoints are taken during runs, and when.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wish {
    pub(crate) kind: Kind,
    /// From the end of one to the beginning of the next, and before the first.
    pub(crate) every: Duration,
    /// `None`: what the store does by itself. `Some(None)`: as fast as it can.
    pub(crate) rate: Option<Option<u64>>,
}

/// Processor time that the calling thread has used; zero where the system does not tell.
pub(crate) fn processor_time() -> Duration {
    #[cfg(target_os = "linux")]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
    }
    #[cfg(not(target_os = "linux"))]
    {
        Duration::ZERO
    }
}

/// Says to all threads whether a checkpoint is under way: counted up when one begins and when one ends.
#[derive(Debug, Default)]
pub(crate) struct Signal(AtomicU64);

/// What a thread, or all of them, did while a checkpoint was under way, or while none was.
#[derive(Debug, Default)]
pub(crate) struct Side {
    latencies: Option<Histogram<u64>>,
    wall: Duration,
    processor: Duration,
}

impl Side {
    fn add(&mut self, other: Self) {
        match (self.latencies.as_mut(), other.latencies) {
            (Some(mine), Some(theirs)) => *mine += theirs,
            (None, theirs) => self.latencies = theirs,
            (Some(_), None) => {}
        }
        self.wall += other.wall;
        self.processor += other.processor;
    }
}

/// The two sides of a thread's work.
#[derive(Debug, Default)]
pub(crate) struct Sides {
    without: Side,
    with: Side,
}

impl Sides {
    pub(crate) fn add(&mut self, other: Self) {
        self.without.add(other.without);
        self.with.add(other.with);
    }
}

/// Divides what one thread does between the sides.
#[derive(Debug)]
pub(crate) struct Divider<'a> {
    signal: &'a Signal,
    seen: u64,
    since: (Instant, Duration),
    sides: Sides,
}

impl<'a> Divider<'a> {
    pub(crate) fn new(signal: &'a Signal) -> Self {
        let (seen, since) = (signal.0.load(Ordering::Acquire), (Instant::now(), processor_time()));
        Self { signal, seen, since, sides: Sides::default() }
    }

    /// Notes `count` operations of a latency, which end now.
    pub(crate) fn record(&mut self, latency: Duration, count: u64) {
        let now = self.signal.0.load(Ordering::Acquire);
        let side = self.side();
        if side.latencies.is_none() {
            side.latencies = super::tally::histogram();
        }
        if let Some(histogram) = &mut side.latencies {
            histogram.saturating_record_n(latency.as_nanos() as u64, count);
        }
        if now != self.seen {
            self.turn(now);
        }
    }

    fn side(&mut self) -> &mut Side {
        if self.seen.is_multiple_of(2) { &mut self.sides.without } else { &mut self.sides.with }
    }

    fn turn(&mut self, now: u64) {
        let (wall, processor) = std::mem::replace(&mut self.since, (Instant::now(), processor_time()));
        let (wall, processor) = (self.since.0 - wall, self.since.1.saturating_sub(processor));
        let side = self.side();
        side.wall += wall;
        side.processor += processor;
        self.seen = now;
    }

    pub(crate) fn finish(mut self) -> Sides {
        self.turn(self.seen);
        self.sides
    }
}

/// Takes checkpoints, one after the other, until it is told to stop.
pub(crate) struct Taker {
    wish: Wish,
    directory: PathBuf,
    signal: Arc<Signal>,
    is_over: Mutex<bool>,
    over: Condvar,
}

/// What the taker did.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    reports: Vec<CheckpointReport>,
    processor: Duration,
}

impl Taker {
    pub(crate) fn new(wish: Wish, directory: PathBuf, signal: Arc<Signal>) -> Self {
        Self { wish, directory, signal, is_over: Mutex::new(false), over: Condvar::new() }
    }

    pub(crate) fn stop(&self) {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.over.notify_all();
    }

    /// Waits until the next one is to begin; false if there is to be none.
    fn goes_on(&self) -> bool {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.over.wait_timeout_while(is_over, self.wish.every, |is_over| !*is_over);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn take_all<V: Content>(&self, store: &Store<V>) -> Result<Taken> {
        let directory = FileDirectory::open(&self.directory)?;
        let mut options = CheckpointOptions::default().with_kind(self.wish.kind.of_store());
        if let Some(rate) = self.wish.rate {
            options = options.with_bytes_per_second(rate);
        }
        let mut taken = Taken::default();
        while self.goes_on() {
            let began = processor_time();
            self.signal.0.fetch_add(1, Ordering::AcqRel);
            let report = store.checkpoint_to(&directory, &options);
            self.signal.0.fetch_add(1, Ordering::AcqRel);
            taken.processor += processor_time().saturating_sub(began);
            let report = report?;
            if self.wish.kind != Kind::Incremental {
                remove_all_but(&directory, report.token)?;
            }
            taken.reports.push(report);
        }
        Ok(taken)
    }
}

/// Without a look at the contents, which is not what is measured.
fn remove_all_but(directory: &FileDirectory, kept: CheckpointToken) -> Result<()> {
    let catalog = Catalog::new(directory);
    for manifest in catalog.list()?.checkpoints {
        if manifest.token != kept {
            catalog.remove(manifest.token)?;
        }
    }
    Ok(())
}

/// A thread that is gone is a failure like any other.
pub(crate) fn vanished() -> Error {
    Error::new(ErrorKind::Io, "the thread that takes checkpoints has ended by a panic")
}

/// One side in a report.
#[derive(Debug, Serialize)]
pub(crate) struct SideReport {
    /// Of all threads together.
    pub(crate) thread_seconds: f64,
    pub(crate) processor_seconds: f64,
    pub(crate) operations: u64,
    /// Of all threads together.
    pub(crate) operations_per_second: f64,
    /// Of one processor, whatever else ran on the machine.
    pub(crate) operations_per_processor_second: f64,
    /// `None` if not one operation was done.
    pub(crate) latency_ns: Option<LatencyReport>,
}

impl SideReport {
    fn new(side: &Side, threads: usize) -> Self {
        let operations = side.latencies.as_ref().map_or(0, Histogram::len);
        let (wall, processor) = (side.wall.as_secs_f64(), side.processor.as_secs_f64());
        Self {
            thread_seconds: wall,
            processor_seconds: processor,
            operations,
            operations_per_second: per_second(operations, wall / threads as f64),
            operations_per_processor_second: per_second(operations, processor),
            latency_ns: side.latencies.as_ref().map(LatencyReport::new),
        }
    }
}

/// The checkpoints of a run in a report.
#[derive(Debug, Serialize)]
pub(crate) struct CheckpointsReport {
    pub(crate) kind: &'static str,
    pub(crate) count: u64,
    pub(crate) seconds_mean: f64,
    /// What their own thread used, for all of them.
    pub(crate) processor_seconds: f64,
    pub(crate) file_bytes: u64,
    pub(crate) cut_microseconds_max: f64,
    pub(crate) without: SideReport,
    pub(crate) with: SideReport,
    /// Throughput with them, as a part of that without.
    pub(crate) throughput_ratio: f64,
    pub(crate) p99_9_ratio: f64,
}

impl CheckpointsReport {
    pub(crate) fn new(kind: Kind, taken: &Taken, sides: &Sides, threads: usize) -> Self {
        let (without, with) = (SideReport::new(&sides.without, threads), SideReport::new(&sides.with, threads));
        let count = taken.reports.len() as u64;
        let took: f64 = taken.reports.iter().map(|report| report.took.as_secs_f64()).sum();
        let cut = taken.reports.iter().map(|report| report.cut_took).max().unwrap_or_default();
        let tail = |side: &SideReport| side.latency_ns.map_or(0, |latency| latency.p99_9) as f64;
        Self {
            kind: kind.name(),
            count,
            seconds_mean: if count > 0 { took / count as f64 } else { 0.0 },
            processor_seconds: taken.processor.as_secs_f64(),
            file_bytes: taken.reports.iter().map(|report| report.file_bytes).sum(),
            cut_microseconds_max: cut.as_secs_f64() * 1e6,
            throughput_ratio: ratio(with.operations_per_second, without.operations_per_second),
            p99_9_ratio: ratio(tail(&with), tail(&without)),
            without,
            with,
        }
    }
}

fn ratio(one: f64, of: f64) -> f64 {
    if of > 0.0 { one / of } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_while_the_signal_is_odd_is_counted_as_with_a_checkpoint() {
        let signal = Signal::default();
        let mut divider = Divider::new(&signal);
        divider.record(Duration::from_micros(1), 1);
        signal.0.fetch_add(1, Ordering::AcqRel);
        // The one that notices is still counted on the side that it began on.
        divider.record(Duration::from_micros(1), 1);
        divider.record(Duration::from_micros(50), 3);
        signal.0.fetch_add(1, Ordering::AcqRel);
        divider.record(Duration::from_micros(50), 1);
        divider.record(Duration::from_micros(1), 1);
        let sides = divider.finish();
        let report = CheckpointsReport::new(Kind::Snapshot, &Taken::default(), &sides, 1);
        assert_eq!((report.without.operations, report.with.operations), (3, 4));
        assert!(report.p99_9_ratio > 40.0 && report.with.thread_seconds > 0.0, "{report:?}");
    }

    #[test]
    fn a_side_on_which_nothing_was_done_has_no_latency_and_no_infinite_ratio() {
        let report = CheckpointsReport::new(Kind::Index, &Taken::default(), &Sides::default(), 2);
        assert!(report.with.latency_ns.is_none());
        assert_eq!((report.throughput_ratio, report.p99_9_ratio, report.seconds_mean), (0.0, 0.0, 0.0));
    }
}
