//! A store with checkpoints, whose power fails.
//!
//! ```text
//!   recover: the newest checkpoint, --> is it what it --> go on: operations of several sessions, checkpoints
//!     an older one on purpose, or         may be?           of all kinds, retention, sweeps, faults
//!     begin anew if none was reported     (oracle)
//! ```
//!
//! * **What a checkpoint holds** is known by its token as soon as it was reported: of each session exactly the operations up
//!   to the serial number in the report. One that was never reported, because a crash or a fault came in between, may be
//!   there as well; then it holds what its own manifest says of the history.
//! * **Which one is the newest** is known too: the last one that was reported, or to which a recovery came back. None that is
//!   older may be found in its place.
//! * **Threads.** Everything runs on one thread, so that a seed is a run. What other threads would do while a checkpoint is
//!   taken is done between its steps: whenever it calls its directory or syncs the device, sessions operate ([`interlude`]).

mod interlude;
mod run;
mod weather;
mod workers;

use super::flaw::StorageFlaw;
use super::{Effort, Program, Shape, Stage, Violation};
use crate::oracle::{History, WORDS};
use crate::world::{Latency, SimConfig};
use crate::{SimRng, SimWorld};
use interlude::InterruptedDisk;
use oxifaster::checkpoint::CheckpointToken;
use oxifaster::store::FasterKv;
use run::Run;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

pub(super) type Words = [u64; WORDS];
pub(super) type Store<S> = FasterKv<<S as Shape<WORDS>>::Key, <S as Shape<WORDS>>::Value, InterruptedDisk>;
/// The last operation of each session that is part of a state.
pub(super) type Serials = BTreeMap<u128, u64>;

pub(super) const KEYS: u64 = 48;

/// What kind of checkpoint a program takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taking {
    /// A fold-over without an image of the index, and now and then an image of the index alone.
    Index,
    /// A fold-over without an image.
    FoldOver,
    /// A snapshot without an image.
    Snapshot,
    /// A snapshot with an image.
    Full,
    /// A snapshot and increments to it.
    Incremental,
}

impl Taking {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Index, Self::FoldOver, Self::Snapshot, Self::Full, Self::Incremental];
}

/// Takes checkpoints of a store and comes back to them.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckpointProgramOf<S> {
    /// What its storage does wrong, if anything: a mistake that is planted to see that it is found.
    pub flaw: Option<StorageFlaw>,
    /// Takes checkpoints of this kind only, in a program of 200 operations without faults, which is crashed everywhere.
    pub only: Option<Taking>,
    /// Of which keys and values.
    pub shape: PhantomData<S>,
}

/// A state to come back to.
#[derive(Debug, Clone)]
struct State {
    history: Arc<History>,
    serials: Serials,
}

/// What has been done, and what was reported.
#[derive(Debug, Clone, Default)]
pub struct Known {
    history: Arc<History>,
    states: BTreeMap<CheckpointToken, State>,
    /// The newest checkpoint is one of these, or one that was not reported. Empty if none was reported yet.
    newest: Vec<CheckpointToken>,
    /// Storage lied about a write: from then on a state may turn out not to be usable.
    is_damaged: bool,
}

/// What happened in a run.
#[derive(Debug)]
pub struct Past {
    /// What was known when it began, for a crash before its recovery was through.
    before: Known,
    recovered_at: usize,
    /// The history that it ended with.
    history: Arc<History>,
    /// What was reported, and from which event on.
    reports: Vec<Report>,
    is_damaged: bool,
}

/// A checkpoint that is known to be durable.
#[derive(Debug)]
struct Report {
    event: usize,
    token: CheckpointToken,
    serials: Serials,
}

impl<S: Shape<WORDS>> Program for CheckpointProgramOf<S> {
    type Known = Known;
    type History = Past;

    const NAME: &'static str = if S::ANY_LENGTH { "checkpoint-of-any-length" } else { "checkpoint" };
    const ABOUT: &'static str =
        "a store that takes checkpoints: after every crash each session is there up to one operation";

    fn config(&self, rng: &mut SimRng) -> SimConfig {
        let latencies = [Latency::None, Latency::Short, Latency::Uneven];
        SimConfig::default().with_latency(latencies[rng.index(latencies.len())])
    }

    fn beginning(&self) -> Known {
        Known::default()
    }

    fn run(&self, world: &SimWorld, known: &Known, stage: Stage, rng: &mut SimRng) -> Result<Past, Violation> {
        let Some(mut run) = Run::<S>::begin(*self, world, known, stage, rng)? else {
            // Storage had lied, and now says so: nothing can be gone on with, and nothing is known anew.
            let (before, history) = (known.clone(), Arc::clone(&known.history));
            return Ok(Past { before, recovered_at: usize::MAX, history, reports: Vec::new(), is_damaged: true });
        };
        match (self.only, stage.is_first()) {
            (Some(_), true) => run.rounds(4, 50..51, rng)?,
            (Some(_), false) => run.rounds(1, 10..11, rng)?,
            (None, true) => run.rounds(1 + rng.below(3), 5..90, rng)?,
            (None, false) => run.rounds(rng.below(3), 0..25, rng)?,
        }
        run.finish()
    }

    fn known_at(&self, past: &Past, event: usize) -> Known {
        if event < past.recovered_at {
            return past.before.clone();
        }
        let mut known = past.before.clone();
        known.history = Arc::clone(&past.history);
        known.is_damaged |= past.is_damaged;
        for Report { token, serials, .. } in past.reports.iter().filter(|report| report.event <= event) {
            known.states.insert(*token, State { history: Arc::clone(&past.history), serials: serials.clone() });
            known.newest = vec![*token];
        }
        known
    }

    fn effort(&self) -> Effort {
        match self.only {
            Some(_) => Effort::EVERYTHING,
            None => Effort {
                points_max: 10,
                points_after_crash_max: 2,
                units_max: 1,
                policies_max: 2,
                again_one_in: 6,
                depth_max: 4,
            },
        }
    }
}
