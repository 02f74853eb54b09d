//! One seed: a run, its crashes, and theirs.

use super::path::{CrashPath, CrashStep};
use crate::program::{Effort, Program, Stage, Violation};
use crate::world::{Crash, CrashPoint, CrashPolicy};
use crate::{SimRng, SimWorld, derive};
use oxifaster::utility::reproducibly;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Seeds.
    pub seeds: u64,
    /// Events of all runs.
    pub events: u64,
    /// Moments at which a run was crashed.
    pub crash_points: u64,
    /// Those at which every crash that is possible was tried.
    pub exhausted: u64,
    /// Runs that began with what a crash left.
    pub recoveries: u64,
    /// Accesses that suffered a planned fault.
    pub faults: u64,
    /// Accesses that the clock had to move: runs with any may not repeat.
    pub unasked: u64,
}

impl Counts {
    /// Adds other counts.
    pub fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.crash_points += other.crash_points;
        self.exhausted += other.exhausted;
        self.recoveries += other.recoveries;
        self.faults += other.faults;
        self.unasked += other.unasked;
    }

    fn add_world(&mut self, world: &SimWorld) {
        self.events += world.now() as u64;
        self.faults += world.faults_struck();
        self.unasked += world.unasked();
    }
}

/// A violation, and everything that is needed to see it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The program that found it.
    pub program: &'static str,
    /// Where it began.
    pub seed: u64,
    /// The crashes that lead there.
    pub path: CrashPath,
    /// What survived of the last one.
    pub survivors: String,
    /// What was found.
    pub violation: Violation,
}

/// One line.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, seed, path, survivors, violation } = self;
        write!(f, "FAIL program={program} seed={seed} clause={:?}", violation.clause)?;
        if !path.0.is_empty() {
            write!(f, " survived={survivors:?}")?;
        }
        let what = violation.what.replace('\n', " ");
        write!(f, " what={what:?} replay=\"oxifaster-sim replay {seed} --program {program}{path}\"")
    }
}

/// What became of a seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How much was looked at.
    pub counts: Counts,
    /// The first violation; a seed ends with it.
    pub failure: Option<Box<Failure>>,
}

/// Is shown the worlds of a replay, each after the run in it.
pub type Look<'a> = dyn FnMut(&SimWorld) + 'a;

/// Runs the program on an empty world, then crashes it as the program wants it.
pub fn explore<P: Program>(program: &P, seed: u64) -> Verdict {
    let mut explorer = Explorer { program, seed, counts: Counts { seeds: 1, ..Counts::default() } };
    let failure = explorer.explore().err();
    Verdict { counts: explorer.counts, failure }
}

/// Repeats one run with its crashes, and gives `look` each world it goes through, after the run in it.
pub fn replay<P: Program>(program: &P, seed: u64, path: &CrashPath, look: &mut Look<'_>) -> Verdict {
    let mut explorer = Explorer { program, seed, counts: Counts { seeds: 1, ..Counts::default() } };
    let failure = explorer.follow(path, look).err();
    Verdict { counts: explorer.counts, failure }
}

struct Explorer<'a, P> {
    program: &'a P,
    seed: u64,
    counts: Counts,
}

type Step<T> = Result<T, Box<Failure>>;

impl<P: Program> Explorer<'_, P> {
    fn first_world(&self) -> SimWorld {
        let seed = derive(self.seed, P::NAME, 0);
        SimWorld::with(seed, self.program.config(&mut SimRng::fork(seed, "config")))
    }

    fn explore(&mut self) -> Step<()> {
        let (world, path) = (self.first_world(), CrashPath::default());
        let history = self.run(&world, &self.program.beginning(), &path, None)?;
        let Effort { points_max, units_max, .. } = self.program.effort();
        self.crash_at_some(&world, &history, points_max, units_max, &path)
    }

    /// Crashes a run at no more than so many of its points.
    fn crash_at_some(
        &mut self,
        world: &SimWorld,
        history: &P::History,
        points_max: usize,
        units_max: usize,
        path: &CrashPath,
    ) -> Step<()> {
        if points_max == 0 {
            return Ok(());
        }
        let points = world.now() + 1 - world.first_event();
        let stride = points.div_ceil(points_max).max(1);
        let first = SimRng::fork(world.seed(), "points").index(stride);
        let mut points = world.crash_points().skip(first).step_by(stride);
        points.try_for_each(|point| self.crash(history, &point, units_max, path))
    }

    fn crash(&mut self, history: &P::History, point: &CrashPoint, units_max: usize, path: &CrashPath) -> Step<()> {
        self.counts.crash_points += 1;
        let Some(mut crashes) = point.all_crashes(units_max) else {
            let mut policies = CrashPolicy::ALL;
            SimRng::fork(point.seed(), "policies").shuffle(&mut policies);
            let chosen = policies.into_iter().take(self.program.effort().policies_max);
            return chosen.map(|policy| point.crash(policy)).try_for_each(|crash| self.recover(history, &crash, path));
        };
        self.counts.exhausted += 1;
        crashes.try_for_each(|crash| self.recover(history, &crash, path))
    }

    /// Recovers from a crash, and now and then crashes that as well.
    fn recover(&mut self, history: &P::History, crash: &Crash, path: &CrashPath) -> Step<()> {
        let path = path.then(CrashStep { event: crash.event, policy: crash.policy });
        let known = self.program.known_at(history, crash.event);
        let world = crash.restart();
        self.counts.recoveries += 1;
        let history = self.run(&world, &known, &path, Some(crash))?;
        let effort = self.program.effort();
        let mut rng = SimRng::fork(world.seed(), &crash.policy.to_string());
        // What a process that died had not synced is lost only by a second crash.
        let again_one_in =
            if crash.policy == CrashPolicy::Killed { effort.again_one_in.div_ceil(8) } else { effort.again_one_in };
        if path.0.len() >= effort.depth_max || !rng.one_in(again_one_in) {
            return Ok(());
        }
        // The further down, the fewer in one place.
        let units_max = effort.units_max / 2;
        self.crash_at_some(&world, &history, effort.points_after_crash_max, units_max, &path)
    }

    fn follow(&mut self, path: &CrashPath, look: &mut Look<'_>) -> Step<()> {
        let (mut world, mut known, mut crash) = (self.first_world(), self.program.beginning(), None);
        for length in 0..=path.0.len() {
            let so_far = CrashPath(path.0[..length].to_vec());
            let result = self.run(&world, &known, &so_far, crash.as_ref());
            look(&world);
            let history = result?;
            let Some(step) = path.0.get(length) else { break };
            let Some(point) = world.crash_point_at(step.event) else {
                let what = format!("the run ends before event {}, so it cannot be crashed at {step}", world.now());
                return Err(self.failure(&so_far, None, Violation::new("replay", what)));
            };
            let next = point.crash(step.policy);
            known = self.program.known_at(&history, step.event);
            world = next.restart();
            crash = Some(next);
        }
        Ok(())
    }

    /// One run, with everything that it leaves under way.
    fn run(&mut self, world: &SimWorld, known: &P::Known, path: &CrashPath, crash: Option<&Crash>) -> Step<P::History> {
        let mut rng = SimRng::fork(world.seed(), "program");
        let run = || self.program.run(world, known, Stage(path.0.len()), &mut rng);
        // Tokens, generations, and names of sessions are drawn from the seed as well.
        let seed = derive(world.seed(), "store", path.0.len() as u64);
        let result = catch_unwind(AssertUnwindSafe(|| reproducibly(seed, run)));
        world.settle();
        self.counts.add_world(world);
        let result = result.unwrap_or_else(|panic| Err(Violation::new("no panic", message_of(&*panic))));
        result.map_err(|violation| self.failure(path, crash, violation))
    }

    fn failure(&self, path: &CrashPath, crash: Option<&Crash>, violation: Violation) -> Box<Failure> {
        let survivors = crash.map(|crash| crash.survivors.to_string()).unwrap_or_default();
        Box::new(Failure { program: P::NAME, seed: self.seed, path: path.clone(), survivors, violation })
    }
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}
