//! The time, for values that end.
//!
//! Times are milliseconds since the Unix epoch. A store asks its clock, and never goes back: whatever the clock does, what was
//! over once stays over for as long as the store is open.

use crate::sync::{Arc, AtomicU64, MonotonicU64, Ordering};
use std::time::Duration;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch. Called often, and from any thread: must not block.
    fn now_ms(&self) -> u64;
}

/// The time of the system, as coarse as it is cheap: on Linux it moves on with the kernel's tick, every 1 to 10 milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[cfg(target_os = "linux")]
    #[inline]
    fn now_ms(&self) -> u64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        (now.tv_sec.max(0) as u64).saturating_mul(1000).saturating_add(now.tv_nsec as u64 / 1_000_000)
    }

    #[cfg(not(target_os = "linux"))]
    fn now_ms(&self) -> u64 {
        crate::utility::unix_milliseconds()
    }
}

/// A time that moves when it is told to, for tests.
///
/// ```
/// use oxifaster::clock::{Clock, VirtualClock};
/// use std::time::Duration;
/// let clock = VirtualClock::new(1_000);
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(clock.now_ms(), 3_000);
/// ```
#[derive(Debug)]
pub struct VirtualClock(AtomicU64);

impl VirtualClock {
    /// A clock that stands at so many milliseconds since the Unix epoch.
    pub fn new(ms: u64) -> Self {
        Self(AtomicU64::new(ms))
    }

    /// Moves on by `time`, in whole milliseconds.
    pub fn advance(&self, time: Duration) {
        self.0.fetch_add(in_ms(time), Ordering::AcqRel);
    }

    /// Sets the time, also back.
    pub fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::Release);
    }
}

impl Clock for VirtualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The clock that a store goes by: [`SystemClock`] if no other is named.
#[derive(Clone, Default)]
pub struct StoreClock(Option<Arc<dyn Clock>>);

impl StoreClock {
    /// This one.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Some(clock))
    }

    #[inline]
    fn now_ms(&self) -> u64 {
        match &self.0 {
            None => SystemClock.now_ms(),
            Some(clock) => clock.now_ms(),
        }
    }
}

/// A clock is only asked: a panic elsewhere leaves it as it was.
impl std::panic::UnwindSafe for StoreClock {}
impl std::panic::RefUnwindSafe for StoreClock {}

impl PartialEq for StoreClock {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl std::fmt::Debug for StoreClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "StoreClock(given)" } else { "StoreClock(system)" })
    }
}

/// A clock that does not go back.
#[derive(Debug)]
pub(crate) struct Watch {
    clock: StoreClock,
    latest: MonotonicU64,
}

impl Watch {
    pub(crate) fn new(clock: StoreClock) -> Self {
        Self { clock, latest: MonotonicU64::new(0) }
    }

    /// The time; at least what anybody was told before whose call is known to have come first.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        let (read, latest) = (self.clock.now_ms(), self.latest.get());
        if read <= latest {
            return latest;
        }
        self.latest.advance_to(read).max(read)
    }
}

/// Whole milliseconds, as many as there can be.
pub(crate) fn in_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;

    #[test]
    fn a_watch_does_not_go_back() {
        let clock = Arc::new(VirtualClock::new(500));
        let watch = Watch::new(StoreClock::new(clock.clone()));
        assert_eq!(watch.now(), 500);
        clock.set(400);
        assert_eq!(watch.now(), 500);
        clock.advance(Duration::from_millis(150));
        assert_eq!(watch.now(), 550);
    }

    #[test]
    fn the_time_of_the_system_is_about_the_time_there_is() {
        let (fine, coarse) = (crate::utility::unix_milliseconds(), SystemClock.now_ms());
        assert!(coarse.abs_diff(fine) < 10_000, "{coarse} is far from {fine}");
        assert_eq!(in_ms(Duration::MAX), u64::MAX);
    }

    #[test]
    fn clocks_are_the_same_if_they_are_one() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let given = StoreClock::new(Arc::clone(&clock));
        assert_eq!(given, StoreClock::new(clock));
        assert_ne!(given, StoreClock::default());
        assert_ne!(given, StoreClock::new(Arc::new(SystemClock)));
    }
}
