//! What is run on simulated storage: a program starts on what a world holds, sees whether that is what it may be, goes
//! on, and says what must hold if the power fails.

mod checkpoint;
mod compaction;
mod durability;
mod faster_log;
mod flaw;
mod large;
mod log;
mod manifest;
mod names;
mod shape;

use crate::world::SimConfig;
use crate::{SimRng, SimWorld};
use std::fmt;

pub use checkpoint::{CheckpointProgramOf, Taking};
pub use compaction::{CompactionProgram, ExpiryProgram, Sample};
pub use durability::{DurabilityProgram, Payload, Words};
pub use faster_log::FasterLogProgram;
pub use flaw::StorageFlaw;
pub use large::Pieces;
pub use log::LogProgram;
pub use manifest::{ManifestFlaw, ManifestProgram};
pub use shape::{AnyLength, Fixed, Shape};

/// Checkpoints of a store with keys and values of one length.
pub type CheckpointProgram = CheckpointProgramOf<Fixed>;

/// A workload with its own judgement.
///
/// It draws everything it decides from the random numbers it is given, and waits for simulated storage in ways that let
/// its time pass, so that one seed gives one run.
pub trait Program {
    /// What has to hold after a crash.
    type Known: Clone;
    /// What happened in a run.
    type History;

    /// What it is called on the command line.
    const NAME: &'static str;
    /// One line for people.
    const ABOUT: &'static str;

    /// How the world of this seed behaves.
    fn config(&self, _: &mut SimRng) -> SimConfig {
        SimConfig::default()
    }

    /// What has to hold in an empty world.
    fn beginning(&self) -> Self::Known;

    /// Runs on `world`. After a crash (`stage` says how many there were) it first recovers and compares with `known`.
    ///
    /// # Errors
    /// What it found wrong.
    fn run(
        &self,
        world: &SimWorld,
        known: &Self::Known,
        stage: Stage,
        rng: &mut SimRng,
    ) -> Result<Self::History, Violation>;

    /// What has to hold if the power fails before event number `event` of that run.
    fn known_at(&self, history: &Self::History, event: usize) -> Self::Known;

    /// How its runs are crashed.
    fn effort(&self) -> Effort;
}

/// How many crashes there were before this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage(pub usize);

impl Stage {
    /// Whether this is a run on an empty world, with faults if the program plans any.
    pub fn is_first(self) -> bool {
        self.0 == 0
    }
}

/// How many crashes of a run are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Crash points of a run at most; chosen evenly, from a point that the seed decides on, if there are more. Zero: the run
    /// is not crashed.
    pub points_max: usize,
    /// The same of a run that recovers.
    pub points_after_crash_max: usize,
    /// Where no more units than this are uncertain, all crashes that are possible are tried.
    pub units_max: usize,
    /// Elsewhere one crash for each of so many policies, which the seed chooses; all if there are no more.
    pub policies_max: usize,
    /// One out of so many recoveries is crashed itself. Zero: none is.
    pub again_one_in: u64,
    /// Crashes in a row at most.
    pub depth_max: usize,
}

impl Effort {
    /// The run is not crashed.
    pub const NONE: Self =
        Self { points_max: 0, points_after_crash_max: 0, units_max: 0, policies_max: 0, again_one_in: 0, depth_max: 0 };

    /// Every crash point with every policy.
    pub const EVERYTHING: Self = Self {
        points_max: usize::MAX,
        points_after_crash_max: usize::MAX,
        units_max: 0,
        policies_max: usize::MAX,
        again_one_in: 0,
        depth_max: 1,
    };
}

/// Something that a program found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The promise that was broken, in a word.
    pub clause: &'static str,
    /// What was seen.
    pub what: String,
}

impl Violation {
    /// Says which promise was broken, and how that was seen.
    pub fn new(clause: &'static str, what: impl fmt::Display) -> Self {
        Self { clause, what: what.to_string() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.clause, self.what)
    }
}

/// Turns an unexpected error into a violation.
pub(crate) fn must<T>(clause: &'static str, result: oxifaster::Result<T>) -> Result<T, Violation> {
    result.map_err(|error| Violation::new(clause, error))
}
