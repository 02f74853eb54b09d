//! How fast a compaction may go, and whether it may go on: what its threads ask now and then.

use super::config::CompactionConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering};
use std::time::{Duration, Instant};

/// A thread that has to wait looks again after this time at the latest.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The budget of a compaction, and its switch. Shared by its threads and those who control it.
#[derive(Debug)]
pub(crate) struct Pace {
    stopped: AtomicBool,
    paused: Mutex<bool>,
    changed: Condvar,
    bytes_per_second: AtomicU64,
    /// Thousandths of a core.
    cpu_share: AtomicU64,
    spent: Mutex<Spent>,
}

/// Bytes that were read under the present bound, and since when.
#[derive(Debug)]
struct Spent {
    since: Instant,
    bytes: u64,
}

/// One thread's account of its time.
#[derive(Debug)]
pub(crate) struct Stint {
    since: Instant,
}

impl Pace {
    pub(crate) fn new(config: &CompactionConfig) -> Self {
        Self {
            stopped: AtomicBool::new(false),
            paused: Mutex::new(false),
            changed: Condvar::new(),
            bytes_per_second: AtomicU64::new(config.bytes_per_second.unwrap_or(u64::MAX)),
            cpu_share: AtomicU64::new((config.cpu_share * 1000.0).ceil() as u64),
            spent: Mutex::new(Spent { since: Instant::now(), bytes: 0 }),
        }
    }

    /// Sets another budget, from now on.
    pub(crate) fn set_budget(&self, bytes_per_second: Option<u64>, cpu_share: f64) {
        self.bytes_per_second.store(bytes_per_second.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.cpu_share.store((cpu_share.clamp(0.001, 1.0) * 1000.0).ceil() as u64, Ordering::Relaxed);
        *self.spent.lock() = Spent { since: Instant::now(), bytes: 0 };
    }

    /// Whether it may go as fast as it can.
    pub(crate) fn is_unbounded(&self) -> bool {
        self.bytes_per_second.load(Ordering::Relaxed) == u64::MAX && self.cpu_share.load(Ordering::Relaxed) >= 1000
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        // Under the lock, or it might go by between the look of somebody who is about to wait and the wait.
        drop(self.paused.lock());
        self.changed.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(crate) fn pause(&self, paused: bool) {
        *self.paused.lock() = paused;
        self.changed.notify_all();
    }

    pub(crate) fn is_paused(&self) -> bool {
        *self.paused.lock()
    }

    pub(crate) fn begin(&self) -> Stint {
        Stint { since: Instant::now() }
    }

    /// Notes that a thread has read `bytes` more, and has it wait until it may go on. While it is paused `rests` is called now and
    /// then.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if it may not.
    pub(crate) fn check(&self, stint: &mut Stint, bytes: u64, rests: impl Fn()) -> Result<()> {
        let share = self.cpu_share.load(Ordering::Relaxed);
        let busy = stint.since.elapsed();
        let rest = if share >= 1000 { Duration::ZERO } else { busy.mul_f64(1000.0 / share as f64 - 1.0) };
        self.wait_for(rest.max(self.early_by(bytes)), rests)?;
        stint.since = Instant::now();
        Ok(())
    }

    /// How long it takes until so many bytes may have been read.
    fn early_by(&self, bytes: u64) -> Duration {
        let bound = self.bytes_per_second.load(Ordering::Relaxed);
        if bound == u64::MAX {
            return Duration::ZERO;
        }
        let mut spent = self.spent.lock();
        let elapsed = spent.since.elapsed();
        // What was not used for a second is not saved for later.
        if elapsed > Duration::from_secs_f64(spent.bytes as f64 / bound as f64) + Duration::from_secs(1) {
            *spent = Spent { since: Instant::now(), bytes: 0 };
        }
        spent.bytes += bytes;
        Duration::from_secs_f64(spent.bytes as f64 / bound as f64).saturating_sub(spent.since.elapsed())
    }

    /// Waits for this time, and as long as it is paused. While that is so `rests` is called now and then.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if it was stopped.
    pub(crate) fn wait_for(&self, time: Duration, rests: impl Fn()) -> Result<()> {
        let since = Instant::now();
        let mut paused = self.paused.lock();
        loop {
            if self.is_stopped() {
                return Err(Error::new(ErrorKind::Cancelled, "the compaction was stopped"));
            }
            let left = time.saturating_sub(since.elapsed());
            if left.is_zero() && !*paused {
                return Ok(());
            }
            if *paused {
                rests();
            }
            let nap = if *paused { LOOK_AGAIN } else { left.min(LOOK_AGAIN) };
            paused = self.changed.wait_timeout(paused, nap);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_on_bytes_is_kept_and_a_thread_that_is_stopped_does_not_wait_for_it() {
        let config = CompactionConfig::default().with_bytes_per_second(1 << 20);
        let pace = Pace::new(&config);
        let mut stint = pace.begin();
        let since = Instant::now();
        for _ in 0..4 {
            pace.check(&mut stint, 1 << 14, || ()).unwrap();
        }
        assert!(since.elapsed() >= Duration::from_micros(62_400), "{:?}", since.elapsed());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| pace.check(&mut pace.begin(), 1 << 30, || ()).unwrap_err().kind());
            pace.stop();
            assert_eq!(waits.join().unwrap(), ErrorKind::Cancelled);
        });
    }

    #[test]
    fn who_is_paused_goes_on_when_told_to() {
        let pace = Pace::new(&CompactionConfig::default());
        pace.pause(true);
        let (went_on, rested) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                pace.check(&mut pace.begin(), 1, || rested.store(true, Ordering::Release)).unwrap();
                went_on.store(true, Ordering::Release);
            });
            while !rested.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            assert!(pace.is_paused() && !went_on.load(Ordering::Acquire));
            pace.pause(false);
            worker.join().unwrap();
        });
        assert!(went_on.into_inner());
    }

    #[test]
    fn a_share_of_a_core_is_what_is_left_of_the_time() {
        let pace = Pace::new(&CompactionConfig::default().with_cpu_share(0.25));
        let mut stint = Stint { since: Instant::now() - Duration::from_millis(20) };
        let since = Instant::now();
        pace.check(&mut stint, 0, || ()).unwrap();
        assert!(since.elapsed() >= Duration::from_millis(60), "{:?}", since.elapsed());
    }
}
