//! How a log is set up.

use crate::allocator::{LogConfig, LogGeometry};
use crate::error::{Error, ErrorKind, Result};
use crate::group::Policy;
use std::time::Duration;

/// The longest time between a change and its commit.
const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// The set-up of a [`FasterLog`](super::FasterLog).
///
/// ```
/// use oxifaster::log::FasterLogConfig;
/// use std::time::Duration;
/// let config = FasterLogConfig::default().with_commit_interval(Some(Duration::from_millis(5)));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FasterLogConfig {
    /// See [`with_memory`](Self::with_memory).
    pub memory: u64,
    /// See [`with_page_size_bits`](Self::with_page_size_bits).
    pub page_size_bits: u32,
    /// See [`with_commit_interval`](Self::with_commit_interval).
    pub commit_interval: Option<Duration>,
    /// See [`with_commit_bytes`](Self::with_commit_bytes).
    pub commit_bytes: u64,
    /// See [`with_commit_waiters`](Self::with_commit_waiters).
    pub commit_waiters: usize,
    /// See [`with_wait_limit`](Self::with_wait_limit).
    pub wait_limit: Duration,
    /// See [`with_damage_accepted`](Self::with_damage_accepted).
    pub damage_accepted: bool,
}

impl Default for FasterLogConfig {
    fn default() -> Self {
        Self {
            memory: 32 << 20,
            page_size_bits: 20,
            commit_interval: Some(Duration::from_millis(10)),
            commit_bytes: 8 << 20,
            commit_waiters: 1,
            wait_limit: Duration::from_secs(30),
            damage_accepted: false,
        }
    }
}

impl FasterLogConfig {
    /// Bytes of memory for the young end of the log, in whole pages, at least four. Appending faster than the device takes
    /// waits. `Default:` 32 MiB.
    #[must_use]
    pub fn with_memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// Pages have `1 << bits` bytes, 12 (4 KiB) to 27 (128 MiB). An entry that is larger than a page is cut into parts.
    /// A log keeps the page size that it was made with. `Default:` 20 (1 MiB).
    #[must_use]
    pub fn with_page_size_bits(mut self, bits: u32) -> Self {
        self.page_size_bits = bits;
        self
    }

    /// Commits what was appended at least this often, without being asked; `None`: only when somebody asks or waits.
    /// `Default:` 10 milliseconds.
    #[must_use]
    pub fn with_commit_interval(mut self, interval: Option<Duration>) -> Self {
        self.commit_interval = interval;
        self
    }

    /// Commits as soon as so many bytes were appended since the last commit, if there is an interval. `Default:` 8 MiB.
    #[must_use]
    pub fn with_commit_bytes(mut self, bytes: u64) -> Self {
        self.commit_bytes = bytes;
        self
    }

    /// Callers and futures that wait for entries to be durable are served when so many of them wait, or when the interval is
    /// over: fewer and larger commits for longer waits. It takes an interval. `Default:` 1: nobody waits for company, and those
    /// who come during a commit share the next.
    #[must_use]
    pub fn with_commit_waiters(mut self, waiters: usize) -> Self {
        self.commit_waiters = waiters;
        self
    }

    /// How long a call waits for the device or for others before it fails. `Default:` 30 seconds.
    #[must_use]
    pub fn with_wait_limit(mut self, limit: Duration) -> Self {
        self.wait_limit = limit;
        self
    }

    /// Opens a log of which a part that was durable is damaged, with what lies before the damage. What lies behind it is lost.
    /// `Default:` false: opening it is an error.
    #[must_use]
    pub fn with_damage_accepted(mut self, accepted: bool) -> Self {
        self.damage_accepted = accepted;
        self
    }

    /// When commits are made that nobody asked for.
    pub(super) fn policy(&self) -> Option<Policy> {
        let interval = self.commit_interval?;
        Some(Policy { interval, bytes: self.commit_bytes, waiters: self.commit_waiters })
    }

    /// # Errors
    /// [`ErrorKind::Config`] names what is out of range.
    pub(super) fn geometry(&self) -> Result<LogGeometry> {
        if self.page_size_bits > 27 {
            return Err(Error::new(ErrorKind::Config, "page_size_bits is out of range")
                .with("page_size_bits", self.page_size_bits)
                .with("largest", 27));
        }
        if self.commit_interval.is_some_and(|interval| interval > INTERVAL_MAX) {
            return Err(Error::new(ErrorKind::Config, "commit_interval is out of range")
                .with("commit_interval in milliseconds", self.commit_interval.unwrap_or_default().as_millis())
                .with("largest", INTERVAL_MAX.as_millis())
                .help("for no interval at all give None"));
        }
        if self.commit_waiters > 1 && self.commit_interval.is_none() {
            return Err(Error::new(
                ErrorKind::Config,
                "waiting for company takes a commit_interval: nobody waits for ever",
            )
            .with("commit_waiters", self.commit_waiters)
            .help("set FasterLogConfig::with_commit_interval, or with_commit_waiters(1)"));
        }
        LogGeometry::new(self.page_size_bits, self.memory.checked_shr(self.page_size_bits).unwrap_or(0), 0.0)
    }
}

/// The hybrid log under a log of this geometry.
pub(super) const fn log_config(geometry: LogGeometry, generation: u32) -> LogConfig {
    LogConfig { geometry, generation, record_size: 8, volatile: false, read_buffers: 1, spares: 0 }
}
