//! How fast a checkpoint works while sessions do.

use super::control::Control;
use crate::error::Result;
use crate::sync::Mutex;
use std::time::{Duration, Instant};

/// A sleep shorter than this is put off until more is due.
const SLEEP_MIN: Duration = Duration::from_micros(500);
/// So much of the time that its sleeps and its work took too long is made up for.
const BACKLOG: Duration = Duration::from_millis(5);
/// It looks so often whether it is still wanted.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// Spreads work over time, as long as there is somebody whom it would hold up.
pub(super) struct Pace<'a> {
    bytes_per_second: Option<u64>,
    /// How many operations all sessions have done. As long as that does not change, nobody is held up.
    operations: &'a (dyn Fn() -> u64 + Sync),
    past: Mutex<Past>,
}

struct Past {
    /// Operations when they were last asked for.
    operations: u64,
    /// The work done so far is due at this time.
    due: Instant,
}

impl<'a> Pace<'a> {
    pub(super) fn new(bytes_per_second: Option<u64>, operations: &'a (dyn Fn() -> u64 + Sync)) -> Self {
        let past = Mutex::new(Past { operations: operations(), due: Instant::now() });
        Self { bytes_per_second, operations, past }
    }

    /// Waits until `bytes` more may be worked on. Called while not pinned.
    ///
    /// # Errors
    /// Those of the control.
    pub(super) fn spend(&self, bytes: usize, control: &Control) -> Result<()> {
        control.check()?;
        let Some(rate) = self.bytes_per_second else { return Ok(()) };
        let Some(due) = self.next_due(bytes, rate) else { return Ok(()) };
        let mut left = due.saturating_duration_since(Instant::now());
        while left >= SLEEP_MIN {
            std::thread::sleep(left.min(SLEEP_MAX));
            control.check()?;
            left = due.saturating_duration_since(Instant::now());
        }
        Ok(())
    }
    /// When the work so far is due, of which `bytes` more are a part from now on; `None` if nobody is held up.
    fn next_due(&self, bytes: usize, rate: u64) -> Option<Instant> {
        let (now, operations) = (Instant::now(), (self.operations)());
        let mut past = self.past.lock();
        if std::mem::replace(&mut past.operations, operations) == operations {
            past.due = now;
            return None;
        }
        // Much time that was lost is not made up for: that would be a burst.
        let due = now.checked_sub(BACKLOG).map_or(past.due, |earliest| past.due.max(earliest));
        past.due = due + Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / rate.max(1));
        Some(due)
    }
}
