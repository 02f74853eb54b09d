//! A store with checkpoints, whose power fails.
//!
//! ```text
//!   recover the newest checkpoint --> is it what it may be? --> go on: operations of several sessions,
//!     (or begin anew, if none was       (oracle, all keys)        checkpoints of all kinds
//!      reported)
//! ```
//!
//! Everything runs on one thread, so that a seed is a run. What other threads would do while a checkpoint is taken is done
//! between its steps: whenever it calls its directory or syncs the device, sessions operate ([`Interlude`]).

mod interlude;
mod workers;

use super::{Effort, Program, Stage, Violation};
use crate::oracle::{self, History, Recovered, WORDS};
use crate::world::{Access, Cause, Latency, SimConfig, When};
use crate::{SimRng, SimWorld};
use interlude::{Interlude, InterruptedDirectory, InterruptedDisk};
use oxifaster::ErrorKind;
use oxifaster::checkpoint::{Catalog, CheckpointKind, SessionCut};
use oxifaster::directory::Directory;
use oxifaster::store::{CheckpointOptions, FasterKv, FasterKvConfig, RecoveryTarget};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use workers::Workers;

pub(super) type Words = [u64; WORDS];
pub(super) type Store = FasterKv<u64, Words, InterruptedDisk>;

pub(super) const KEYS: u64 = 48;
const SESSIONS: usize = 3;
/// Short, so that what waits in vain is found within the time of a test.
const WAIT_LIMIT: Duration = Duration::from_secs(10);

/// Takes checkpoints of a store and comes back to them.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckpointProgram;

/// What has been done, and what was reported last.
#[derive(Debug, Clone, Default)]
pub struct Known {
    history: Arc<History>,
    /// The serial numbers of the newest checkpoint that was reported, or to which a recovery came back.
    reported: Option<BTreeMap<u128, u64>>,
}

/// What happened in a run.
#[derive(Debug)]
pub struct Past {
    history: Arc<History>,
    /// What was reported, and from which event on.
    reports: Vec<(usize, BTreeMap<u128, u64>)>,
    before: Option<BTreeMap<u128, u64>>,
    /// What was known when the run began, for a crash before its recovery was through.
    recovered_at: usize,
    known: Known,
}

impl Program for CheckpointProgram {
    type Known = Known;
    type History = Past;

    const NAME: &'static str = "checkpoint";
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
        let mut run = Run::begin(world, known, stage, rng)?;
        let recovered_at = world.now();
        if stage.is_first() && rng.coin() {
            run.workers.expect_faults();
            plan_fault(world, rng);
        }
        let (rounds, steps) = if stage.is_first() { (3, 60) } else { (1, 15) };
        for _ in 0..rounds {
            for _ in 0..rng.below(steps) {
                run.workers.step(rng)?;
            }
            run.checkpoint(rng)?;
        }
        run.workers.finish()?;
        world.repair();
        let before = known.reported.clone();
        let history = Arc::new(run.workers.take_history());
        Ok(Past { history, reports: run.reports, before, recovered_at, known: known.clone() })
    }

    fn known_at(&self, past: &Past, event: usize) -> Known {
        if event < past.recovered_at {
            return past.known.clone();
        }
        let reported = past.reports.iter().rev().find(|(at, _)| *at <= event).map(|(_, serials)| serials.clone());
        Known { history: Arc::clone(&past.history), reported: reported.or_else(|| past.before.clone()) }
    }

    fn effort(&self) -> Effort {
        Effort { points_max: 30, units_max: 3, again_one_in: 50, depth_max: 3 }
    }
}

/// One call fails, once or from then on.
fn plan_fault(world: &SimWorld, rng: &mut SimRng) {
    let access = Access::ALL[rng.index(Access::ALL.len())];
    let nth = 1 + rng.below(20);
    let when = if rng.one_in(4) { When::From(nth) } else { When::Nth(nth) };
    world.fail(access, when, Cause::ALL[rng.index(Cause::ALL.len())]);
}

struct Run<'a> {
    world: &'a SimWorld,
    directory: InterruptedDirectory,
    store: Store,
    workers: Workers,
    reports: Vec<(usize, BTreeMap<u128, u64>)>,
}

impl<'a> Run<'a> {
    /// Comes back to what was reported last, and sees whether it is that.
    fn begin(world: &'a SimWorld, known: &Known, stage: Stage, rng: &mut SimRng) -> Result<Self, Violation> {
        let interlude = Interlude::default();
        let directory = InterruptedDirectory::new(world.directory("checkpoints"), interlude.clone());
        let disk = || InterruptedDisk::new(world.disk("log"), interlude.clone());
        let config = config(rng);
        let recovered = FasterKv::recover_from(&directory, RecoveryTarget::Latest, config.clone(), disk(), &|_| ());
        let (store, serials) = match recovered {
            Ok((store, _)) => {
                let serials = serials_of(&store.get_recovered_sessions());
                (store, Some(serials))
            }
            Err(error) if error.kind() == ErrorKind::NotFound && known.reported.is_none() => {
                let anew = config.with_page_size_bits(12).with_overwrite(true);
                (FasterKv::open(anew, disk()).map_err(|error| Violation::new("opens", error))?, None)
            }
            Err(error) => return Err(Violation::new("recovers", error)),
        };
        let history = History::clone(&known.history);
        let workers = Workers::new(world.clone(), interlude, history, stage);
        let mut run = Self { world, directory, store, workers, reports: Vec::new() };
        run.take_up(serials, known, rng)?;
        Ok(run)
    }

    /// Goes on with the sessions that were recovered, looks at every key, and starts sessions that are missing.
    fn take_up(
        &mut self,
        serials: Option<BTreeMap<u128, u64>>,
        known: &Known,
        rng: &mut SimRng,
    ) -> Result<(), Violation> {
        for session in self.store.get_recovered_sessions() {
            let continued = self.store.continue_session(session);
            self.workers.take_up(continued.map_err(|error| Violation::new("continues", error))?)?;
        }
        let cut = serials.unwrap_or_default();
        self.workers.forget_beyond(&cut);
        if self.workers.len() == 0 {
            self.workers.start(&self.store);
        }
        let contents = self.workers.look_at_all_keys()?;
        let recovered = Recovered { serials: cut.clone(), contents };
        let reported = known.reported.clone().unwrap_or_default();
        if let Some(breach) = oracle::check(&known.history, &reported, &recovered).into_iter().next() {
            return Err(Violation::new(breach.clause.name(), breach.what));
        }
        if !cut.is_empty() {
            // Somebody has seen this state.
            self.reports.push((self.world.now(), cut));
        }
        while self.workers.len() < SESSIONS || (self.workers.len() < SESSIONS + 2 && rng.one_in(4)) {
            if !self.workers.start(&self.store) {
                break;
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self, rng: &mut SimRng) -> Result<(), Violation> {
        let kinds =
            [CheckpointKind::FoldOver, CheckpointKind::Snapshot, CheckpointKind::Incremental, CheckpointKind::Index];
        // The one without the log is of less use alone.
        let choices = if rng.coin() { 3 } else { 4 };
        let kind = kinds[rng.index(choices)];
        let mut options = CheckpointOptions::default().with_kind(kind).with_index(rng.coin());
        if rng.one_in(3) {
            options = options.with_keep_last(1 + rng.index(2));
        }
        let issued = self.workers.serials();
        self.workers.open_interlude(rng);
        let result = self.store.checkpoint_to(&self.directory, &options);
        self.workers.close_interlude()?;
        match result {
            Ok(report) if kind != CheckpointKind::Index => {
                let serials = serials_of(&report.sessions);
                for (guid, least) in issued {
                    if serials.get(&guid).is_none_or(|serial| *serial < least) {
                        let what =
                            format!("session {guid:#x} was at {least}, and is reported as {:?}", serials.get(&guid));
                        return Err(Violation::new("reports", what));
                    }
                }
                self.reports.push((self.world.now(), serials));
            }
            Ok(_) => {}
            Err(error) if self.world.faults_struck() == 0 => return Err(Violation::new("checkpoints", error)),
            Err(_) => {}
        }
        if rng.one_in(4) {
            self.sweep()?;
        }
        Ok(())
    }

    /// Removes what attempts that failed and crashes left.
    fn sweep(&self) -> Result<(), Violation> {
        match Catalog::new(&self.directory as &dyn Directory).sweep(&[]) {
            Err(error) if self.world.faults_struck() == 0 => Err(Violation::new("sweeps", error)),
            _ => Ok(()),
        }
    }
}

fn serials_of(sessions: &[SessionCut]) -> BTreeMap<u128, u64> {
    sessions.iter().map(|session| (session.guid, session.serial)).collect()
}

/// A log of 8 to 16 pages of 4 KiB, of which some hundred records fit into memory.
fn config(rng: &mut SimRng) -> FasterKvConfig {
    FasterKvConfig::default()
        .with_memory_budget(512 << 10)
        .with_pretouch(false)
        .with_log_memory_size((8 + rng.below(9)) << 12)
        .with_table_size(16)
        .with_mutable_fraction(rng.below(10) as f64 / 10.0)
        .with_wait_limit(WAIT_LIMIT)
}
