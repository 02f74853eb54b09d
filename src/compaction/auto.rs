//! Compaction by itself: a thread that looks at a store now and then, and compacts it when it is worth it.

use super::config::CompactionConfig;
use super::pace::Pace;
use super::report::CompactionReport;
use crate::address::Address;
use crate::device::StorageDevice;
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Key, Value};
use crate::store::{Estimate, FasterKv, Kept, Upkeep};
use crate::sync::{Arc, Mutex, Weak};
use std::ops::Range;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// When a store is compacted by itself, and how.
///
/// ```
/// use oxifaster::compaction::{AutoCompactionConfig, CompactionConfig};
/// let how = CompactionConfig::default().with_target_utilization(0.6).with_bytes_per_second(200 << 20);
/// let config = AutoCompactionConfig::default().with_compaction(how).with_min_log_size(1 << 30);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct AutoCompactionConfig {
    /// See [`with_compaction`](Self::with_compaction).
    pub compaction: CompactionConfig,
    /// See [`with_idle_target`](Self::with_idle_target).
    pub idle_target: f64,
    /// See [`with_check_interval`](Self::with_check_interval).
    pub check_interval: Duration,
    /// See [`with_min_log_size`](Self::with_min_log_size).
    pub min_log_size: u64,
    /// See [`with_min_yield`](Self::with_min_yield).
    pub min_yield: f64,
    /// See [`with_durable_within`](Self::with_durable_within).
    pub durable_within: Duration,
    /// See [`with_hold_up_writers`](Self::with_hold_up_writers).
    pub hold_up_writers: bool,
}

impl Default for AutoCompactionConfig {
    fn default() -> Self {
        Self {
            compaction: CompactionConfig::default().with_target_utilization(0.7),
            idle_target: 0.8,
            check_interval: Duration::from_millis(100),
            min_log_size: 1 << 20,
            min_yield: 0.05,
            durable_within: Duration::from_secs(2),
            hold_up_writers: true,
        }
    }
}

impl AutoCompactionConfig {
    /// The target, threads and budget. `Default:` a target of 0.7, so that the log stays below 1.5 times the data, one thread,
    /// no bounds.
    #[must_use]
    pub fn with_compaction(mut self, compaction: CompactionConfig) -> Self {
        self.compaction = compaction;
        self
    }

    /// The target while nobody has changed the store for a second, if it is above that of
    /// [`with_compaction`](Self::with_compaction): what a burst of changes or deletions leaves behind is then given back further. Of
    /// what was there all is looked at once, so as much is written as is in use, at most. Above 0.0 and at most 0.95. `Default:` 0.8, a log of 1.25 times the data.
    #[must_use]
    pub fn with_idle_target(mut self, share: f64) -> Self {
        self.idle_target = share;
        self
    }

    /// How often the store is looked at while there is nothing to do. `Default:` 100 milliseconds.
    #[must_use]
    pub fn with_check_interval(mut self, interval: Duration) -> Self {
        self.check_interval = interval;
        self
    }

    /// A log below this many bytes is left alone. `Default:` 1 MiB.
    #[must_use]
    pub fn with_min_log_size(mut self, bytes: u64) -> Self {
        self.min_log_size = bytes;
        self
    }

    /// If less than this share of what was looked at could be given up, the next part is looked at after a pause that doubles
    /// each time, up to 64 check intervals. `Default:` 0.05.
    #[must_use]
    pub fn with_min_yield(mut self, share: f64) -> Self {
        self.min_yield = share;
        self
    }

    /// Copies become durable as the pages they are on are written in the course of time, and the space of the originals is given
    /// back then. If that takes longer than this, it is made to happen, which closes what is in memory to updates in place.
    /// `Default:` 2 seconds.
    #[must_use]
    pub fn with_durable_within(mut self, time: Duration) -> Self {
        self.durable_within = time;
        self
    }

    /// Whether those who append wait for the compaction when the log grows faster than it can be compacted, as soon as it is 15 %
    /// larger than the target allows. With each part that is compacted they can go on by a page at least. Nobody waits while there is a
    /// bound on bytes per second or on the share of a core. `Default:` true; without it the log may become any size.
    #[must_use]
    pub fn with_hold_up_writers(mut self, hold_up: bool) -> Self {
        self.hold_up_writers = hold_up;
        self
    }

    /// Whether each value makes sense.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names the field.
    pub fn check(&self) -> Result<()> {
        self.compaction.check()?;
        if self.idle_target > 0.0 && self.idle_target <= 0.95 {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Config, "a value of the compaction's set-up is out of range")
            .with("field", "idle_target")
            .with("value", self.idle_target)
            .with("accepted", "above 0.0, at most 0.95"))
    }
}

/// What a worker has done so far.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AutoCompactionState {
    /// The sum of all compactions.
    pub total: CompactionReport,
    /// Parts of the log that were compacted.
    pub steps: u64,
    /// Attempts that failed. They are repeated, after a pause.
    pub failures: u64,
    /// Why the last attempt failed, if it did.
    pub last_error: Option<Error>,
}

/// Compacts a store in the background until it is stopped or dropped, or the store is gone.
///
/// ```
/// use oxifaster::compaction::{AutoCompactionConfig, AutoCompactionWorker};
/// use oxifaster::device::MemoryDisk;
/// use oxifaster::store::{FasterKv, FasterKvConfig};
/// use std::sync::Arc;
/// # fn main() -> oxifaster::Result<()> {
/// let store = FasterKv::open(FasterKvConfig::default().with_memory_budget(1 << 20), MemoryDisk::new())?;
/// let store = Arc::new(store);
/// let worker = AutoCompactionWorker::new(AutoCompactionConfig::default());
/// worker.start(Arc::downgrade(&store))?;
/// store.start_session().upsert(1u64, 2u64)?;
/// assert_eq!(worker.state().failures, 0);
/// worker.stop();
/// # Ok(())
/// # }
/// ```
pub struct AutoCompactionWorker {
    config: AutoCompactionConfig,
    pace: Arc<Pace>,
    state: Arc<Mutex<AutoCompactionState>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl AutoCompactionWorker {
    /// A worker that has not begun.
    pub fn new(config: impl Into<AutoCompactionConfig>) -> Self {
        let config = config.into();
        Self {
            pace: Arc::new(Pace::new(&config.compaction)),
            config,
            state: Arc::new(Mutex::new(AutoCompactionState::default())),
            thread: Mutex::new(None),
        }
    }

    /// Begins, on a thread of its own. It keeps the store alive for no longer than one part of the log takes.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if a value makes no sense, [`ErrorKind::Busy`] if it has begun already,
    /// [`ErrorKind::Closed`] if it was stopped, [`ErrorKind::Limit`] if the system gives no thread.
    pub fn start<K: Key, V: Value, D: StorageDevice>(&self, store: Weak<FasterKv<K, V, D>>) -> Result<()> {
        self.config.check()?;
        let mut thread = self.thread.lock();
        if thread.is_some() {
            return Err(Error::new(ErrorKind::Busy, "this worker is compacting a store already")
                .help("make a worker for each store"));
        }
        if self.pace.is_stopped() {
            return Err(Error::new(ErrorKind::Closed, "this worker was stopped").help("make a new one"));
        }
        let duty = Duty { config: self.config, pace: Arc::clone(&self.pace), state: Arc::clone(&self.state) };
        let spawned = std::thread::Builder::new()
            .name("oxifaster-compaction".to_owned())
            .spawn(move || duty.run(&store))
            .map_err(|error| {
                Error::new(ErrorKind::Limit, "the system gives no thread for compaction").because(error)
            })?;
        *thread = Some(spawned);
        Ok(())
    }

    /// What it has done so far.
    pub fn state(&self) -> AutoCompactionState {
        self.state.lock().clone()
    }

    /// Has it rest until [`resume`](Self::resume). It returns at once: what is under way rests after a few records.
    pub fn pause(&self) {
        self.pace.pause(true);
    }

    /// Has it go on.
    pub fn resume(&self) {
        self.pace.pause(false);
    }

    /// Whether it rests because it was told to.
    pub fn is_paused(&self) -> bool {
        self.pace.is_paused()
    }

    /// Sets what it may take, from now on: bytes of the log that it reads in a second, and the share of a core for each thread.
    pub fn set_budget(&self, bytes_per_second: Option<u64>, cpu_share: f64) {
        self.pace.set_budget(bytes_per_second, cpu_share);
    }

    /// Has it end, and waits for that. What it moved stays moved.
    pub fn stop(&self) {
        self.pace.stop();
        let thread = self.thread.lock().take();
        // The thread that drops the store's last part may be the worker's own.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join(); // a panic was reported where it happened
        }
    }
}

impl Drop for AutoCompactionWorker {
    fn drop(&mut self) {
        self.stop();
    }
}

impl From<CompactionConfig> for AutoCompactionConfig {
    fn from(compaction: CompactionConfig) -> Self {
        Self::default().with_compaction(compaction)
    }
}

/// How long the worker sleeps before it looks whether somebody waits for it.
const NAP: Duration = Duration::from_millis(5);

/// A store is idle if nobody has changed it for so long.
const IDLE: Duration = Duration::from_secs(1);

/// What the worker's thread knows of a store.
#[derive(Default)]
struct Seen {
    not_durable_since: Option<Instant>,
    estimate: Estimate,
    last_change: Option<LastChange>,
}

/// When it was seen last that a store had been changed.
#[derive(Clone, Copy)]
struct LastChange {
    /// How many changes there were by then.
    count: u64,
    at: Instant,
    /// Where the log ended.
    tail: Address,
}

impl Seen {
    /// Whether the log of an idle store, which has been changed so often, is to be compacted further. All that was there is looked at once:
    /// again and again would be of no use, if more is in use than is known.
    fn may_go_further(&mut self, count: u64, log: Range<Address>) -> bool {
        match self.last_change {
            Some(last) if last.count == count => last.at.elapsed() >= IDLE && log.start < last.tail,
            _ => {
                self.last_change = Some(LastChange { count, at: Instant::now(), tail: log.end });
                false
            }
        }
    }
}

/// Sees to it that nobody waits for a worker that is gone, however it went.
struct LetGo<'s, K: Key, V: Value, D: StorageDevice>(&'s Weak<FasterKv<K, V, D>>);

impl<K: Key, V: Value, D: StorageDevice> LetGo<'_, K, V, D> {
    fn let_go(&self) {
        if let Some(store) = self.0.upgrade() {
            store.let_writers_go();
        }
    }
}

impl<K: Key, V: Value, D: StorageDevice> Drop for LetGo<'_, K, V, D> {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// What the worker's thread does.
struct Duty {
    config: AutoCompactionConfig,
    pace: Arc<Pace>,
    state: Arc<Mutex<AutoCompactionState>>,
}

impl Duty {
    fn run<K: Key, V: Value, D: StorageDevice>(&self, store: &Weak<FasterKv<K, V, D>>) {
        let (mut pause, mut seen) = (Duration::ZERO, Seen::default());
        let writers = LetGo(store);
        while self.rest(pause, store, &writers).is_ok() {
            let Some(store) = store.upgrade() else { return };
            let outcome = self.look(&store, &mut seen);
            let had_nothing_to_do = matches!(outcome, Ok(None));
            pause = self.pause_after(outcome, pause);
            if !pause.is_zero() && !had_nothing_to_do {
                store.let_writers_go();
            }
        }
    }

    /// Rests for `pause`, or until somebody waits for room.
    fn rest<K: Key, V: Value, D: StorageDevice>(
        &self,
        pause: Duration,
        store: &Weak<FasterKv<K, V, D>>,
        writers: &LetGo<'_, K, V, D>,
    ) -> Result<()> {
        let mut left = pause;
        loop {
            let slice = left.min(NAP);
            self.pace.wait_for(slice, || writers.let_go())?;
            left -= slice;
            if left.is_zero() || store.upgrade().is_none_or(|store| store.holds_writers_up()) {
                return Ok(());
            }
        }
    }

    /// Looks at the store once. Gives what was done, if anything was to do.
    fn look<K: Key, V: Value, D: StorageDevice>(
        &self,
        store: &FasterKv<K, V, D>,
        seen: &mut Seen,
    ) -> Result<Option<CompactionReport>> {
        let since = seen.not_durable_since.get_or_insert_with(Instant::now).elapsed();
        let AutoCompactionConfig { compaction, idle_target, .. } = &self.config;
        let busy_target = compaction.target_utilization;
        let log = store.addresses();
        let goes_further = seen.may_go_further(store.change_calls(), log.begin..log.tail);
        let upkeep = Upkeep {
            config: compaction,
            target: if goes_further { busy_target.max(*idle_target) } else { busy_target },
            pace: &self.pace,
            min_log_size: self.config.min_log_size,
            holds_up_writers: self.config.hold_up_writers && self.pace.is_unbounded(),
            estimate: &mut seen.estimate,
            makes_durable: since >= self.config.durable_within,
        };
        let Kept { report, reclaimed } = store.keep_up(upkeep);
        self.state.lock().total.reclaimed += reclaimed.as_ref().map_or(0, |bytes| *bytes);
        let (report, reclaimed) = (report?, reclaimed?);
        if reclaimed > 0 || !store.awaits_durability() {
            seen.not_durable_since = None;
        }
        let mut state = self.state.lock();
        state.total.held = store.held_bytes();
        state.last_error = None;
        if let Some(report) = &report {
            state.total.add(report);
            state.steps += 1;
        }
        Ok(report)
    }

    /// How long to wait after this outcome, having waited for `before`.
    fn pause_after(&self, outcome: Result<Option<CompactionReport>>, before: Duration) -> Duration {
        let interval = self.config.check_interval;
        let longer = (before * 2).clamp(interval, interval * 64);
        match outcome {
            Ok(Some(report)) if report.yielded() >= self.config.min_yield => Duration::ZERO,
            Ok(Some(_)) => longer,
            Ok(None) => interval,
            Err(error) if error.kind() == ErrorKind::Cancelled => interval,
            Err(error) => {
                let mut state = self.state.lock();
                state.failures += 1;
                state.last_error = Some(error);
                longer
            }
        }
    }
}

impl std::fmt::Debug for AutoCompactionWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AutoCompactionWorker").field("config", &self.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_an_idle_store_is_gone_through_once() {
        let log = |begin, tail| Address::new(begin)..Address::new(tail);
        let mut seen = Seen::default();
        let wait = |seen: &mut Seen| {
            if let Some(last) = &mut seen.last_change {
                last.at -= IDLE;
            }
        };
        assert!(!seen.may_go_further(7, log(64, 1000)), "nothing is known of the time before");
        assert!(!seen.may_go_further(7, log(64, 1000)), "a second has not passed");
        wait(&mut seen);
        assert!(seen.may_go_further(7, log(64, 1000)));
        assert!(seen.may_go_further(7, log(999, 1800)), "copies are no changes");
        assert!(!seen.may_go_further(7, log(1000, 1900)), "all that was there was looked at");
        assert!(!seen.may_go_further(8, log(1000, 1950)));
        wait(&mut seen);
        assert!(seen.may_go_further(8, log(1000, 1950)));
    }
}
