//! A durable log whose power fails.
//!
//! ```text
//!   open: what is there --> is it what --> go on: entries of all sizes, commits with cookies, both ends cut off,
//!     (scan, cookie)         it may be?      opened again, followed by a reader, faults of the disk
//! ```
//!
//! * What was committed is there, in order, byte for byte. What was appended since is there as a prefix, or not.
//! * What was cut off, at either end, is gone once the call has returned, for good. While it runs, it is or it is not.
//! * A commit record counts whole or not at all: with its cookie come its cursor, and all entries before it.
//! * After a failure of the disk the log says why, and what was committed can still be read.
//!
//! Everything runs on one thread: the log commits only when it is asked to, so its own thread sleeps.

mod model;
mod run;

use super::flaw::StorageFlaw;
use super::{Effort, Program, Stage, Violation};
use crate::world::{Latency, SimConfig};
use crate::{SimRng, SimWorld};
use run::Run;

pub(super) use model::Known;

/// Operates on a log.
#[derive(Debug, Clone, Copy, Default)]
pub struct FasterLogProgram {
    /// What its disk does wrong, if anything: a mistake that is planted to see that it is found.
    pub flaw: Option<StorageFlaw>,
    /// A short program without faults, which is crashed everywhere, in every way.
    pub is_short: bool,
}

impl Program for FasterLogProgram {
    type Known = Known;
    /// What the log may be from an event on.
    type History = Vec<(usize, Known)>;

    const NAME: &'static str = "faster-log";
    const ABOUT: &'static str = "a durable log: what is committed is there in order, what is cut off stays away";

    fn config(&self, rng: &mut SimRng) -> SimConfig {
        let latencies = [Latency::None, Latency::Short, Latency::Uneven];
        SimConfig::default().with_latency(latencies[rng.index(latencies.len())])
    }

    fn beginning(&self) -> Known {
        Known::default()
    }

    fn run(&self, world: &SimWorld, known: &Known, stage: Stage, rng: &mut SimRng) -> Result<Self::History, Violation> {
        let has_faults = !self.is_short && stage.is_first() && rng.one_in(3);
        let steps = match (self.is_short, stage.is_first()) {
            (true, true) => 24,
            (true, false) => 4,
            (false, true) => 10 + rng.below(70),
            (false, false) => rng.below(14),
        };
        Run::new(*self, world, known, rng).go(steps, has_faults, rng)
    }

    fn known_at(&self, history: &Self::History, event: usize) -> Known {
        let later = history.partition_point(|(at, _)| *at <= event);
        later
            .checked_sub(1)
            .and_then(|last| history.get(last))
            .map_or_else(|| self.beginning(), |entry| entry.1.clone())
    }

    fn effort(&self) -> Effort {
        if self.is_short {
            return Effort { units_max: 6, ..Effort::EVERYTHING };
        }
        Effort {
            points_max: 10,
            points_after_crash_max: 2,
            units_max: 2,
            policies_max: 2,
            again_one_in: 8,
            depth_max: 4,
        }
    }
}
