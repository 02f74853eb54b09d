//! One life of the store: from the recovery to the next crash.

use super::interlude::{Interlude, InterruptedDirectory, InterruptedDisk};
use super::weather::Weather;
use super::workers::{Look, Workers};
use super::{CheckpointProgramOf, KEYS, Known, Past, Report, Serials, Store, Taking};
use crate::oracle::{self, Content, Found, History, Recovered, WORDS};
use crate::program::flaw::{Flawed, FlawedDisk};
use crate::program::{Shape, Stage, Violation};
use crate::{SimRng, SimWorld};
use oxifaster::checkpoint::{Catalog, CheckpointKind, CheckpointToken, RecoveryReport, SessionCut, verify};
use oxifaster::directory::Directory;
use oxifaster::store::{CheckpointOptions, FasterKv, FasterKvConfig, RecoveryTarget};
use oxifaster::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

const SESSIONS: usize = 3;
/// What waits in vain is found within the time of a test; who stops the process for a moment is not.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// Where a store lives.
struct Site<'a, S> {
    world: &'a SimWorld,
    directory: InterruptedDirectory,
    interlude: Interlude,
    flawed: Flawed,
    shape: PhantomData<S>,
}

pub(super) struct Run<'a, S: Shape<WORDS>> {
    site: Site<'a, S>,
    store: Store<S>,
    workers: Workers<S>,
    before: Known,
    recovered_at: usize,
    reports: Vec<Report>,
    weather: Weather,
    only: Option<Taking>,
    /// Attempts at checkpoints.
    attempts: u64,
}

type Opened<S> = (Store<S>, Option<RecoveryReport>);

impl<'a, S: Shape<WORDS>> Site<'a, S> {
    fn new(program: CheckpointProgramOf<S>, world: &'a SimWorld) -> Self {
        let (interlude, flawed) = (Interlude::default(), Flawed::new(program.flaw));
        let directory = InterruptedDirectory::new(world.directory("checkpoints"), interlude.clone(), flawed.clone());
        Self { world, directory, interlude, flawed, shape: PhantomData }
    }

    fn disk(&self) -> InterruptedDisk {
        let disk = FlawedDisk::new(self.world.disk("log"), self.flawed.clone());
        InterruptedDisk::new(disk, self.interlude.clone())
    }

    fn catalog(&self) -> Catalog<'_> {
        Catalog::new(&self.directory as &dyn Directory)
    }

    /// Comes back to a checkpoint, with the images of the index that there are, or with none.
    fn recover(
        &self,
        target: Option<CheckpointToken>,
        has_images: bool,
        config: FasterKvConfig,
    ) -> oxifaster::Result<(Store<S>, RecoveryReport)> {
        if has_images {
            let target = target.map_or(RecoveryTarget::Latest, RecoveryTarget::Token);
            return FasterKv::recover_from(&self.directory, target, config, self.disk(), &|_| ());
        }
        let manifest = match target {
            Some(token) => self.catalog().load(token)?,
            None => self.catalog().latest()?.exactly()?,
        };
        self.directory.sync()?;
        FasterKv::recover_manifest(&self.directory, &manifest, &[], config, self.disk(), &|_| ())
    }

    /// Whether a recovery came back to what it may, and what that has to hold: the history and how far it goes.
    fn judge(
        &self,
        known: &Known,
        target: Option<CheckpointToken>,
        report: &RecoveryReport,
    ) -> Result<(Arc<History>, Serials), Violation> {
        let (token, serials) = (report.token, serials_of(&report.sessions));
        let Some(state) = known.states.get(&token) else {
            // It was not reported, so it holds what it says; but not less than one that was.
            let newest = known.newest.as_slice();
            let reported = match newest {
                [one] => known.states.get(one).map(|state| state.serials.clone()),
                _ => None,
            };
            return Ok((Arc::clone(&known.history), reported.unwrap_or_default()));
        };
        if target.is_none() && !known.newest.contains(&token) {
            let what = format!("checkpoint {token} was recovered, and a newer one was reported: {:?}", known.newest);
            return Err(Violation::new("not older than reported", what));
        }
        if serials != state.serials {
            let what = format!("checkpoint {token} was reported with {:?} and holds {serials:?}", state.serials);
            return Err(Violation::new("as reported", what));
        }
        Ok((Arc::clone(&state.history), serials))
    }

    /// A recovery while storage fails or lies: it gives the right data or an error, and can be repeated.
    fn rehearse(&self, known: &Known, weather: Weather, rng: &mut SimRng) -> Result<(), Violation> {
        weather.begin_for_recovery(self.world, rng);
        let recovered = self.recover(None, rng.coin(), config(rng));
        let outcome = match recovered {
            Ok((store, report)) => self.look_at(known, &store, &report),
            Err(error) if error.kind() == ErrorKind::NotFound && !known.newest.is_empty() => {
                Err(Violation::new("no silent step back", error))
            }
            Err(_) if known.newest.is_empty() || known.is_damaged || self.world.faults_struck() > 0 => Ok(()),
            Err(error) => Err(Violation::new("recovers", error)),
        };
        self.world.repair();
        outcome
    }

    /// Compares all keys with what they may hold, if all of them can be read.
    fn look_at(&self, known: &Known, store: &Store<S>, report: &RecoveryReport) -> Result<(), Violation> {
        let (history, reported) = self.judge(known, None, report)?;
        let (mut session, mut contents) = (store.start_session(), BTreeMap::new());
        for key in 0..KEYS {
            match session.read(&S::key(key)) {
                Ok(value) => contents.insert(key, found::<S>(value)),
                Err(_) if known.is_damaged || self.world.faults_struck() > 0 => return Ok(()),
                Err(error) => return Err(Violation::new("reads", format_args!("key {key}: {error}"))),
            };
        }
        compare(&history, &reported, Recovered { serials: serials_of(&report.sessions), contents })
    }

    /// Every checkpoint that can be seen is whole.
    fn verify_all(&self) -> Result<(), Violation> {
        let wrong = |what: String| Violation::new("whole or not there", what);
        let listing = self.catalog().list().map_err(|error| wrong(error.to_string()))?;
        if let Some(broken) = listing.broken.first() {
            return Err(wrong(format!("{}: {}", broken.file, broken.error)));
        }
        let disk = self.disk();
        for manifest in &listing.checkpoints {
            let report = verify(&self.directory, Some(&disk), manifest.token, &mut |_| {});
            let report = report.map_err(|error| wrong(error.to_string()))?;
            if let Some(defect) = report.defects.first() {
                return Err(wrong(format!("{} of {}: {}", defect.place(), manifest.token, defect.what)));
            }
        }
        Ok(())
    }

    /// Decides to go back to an older checkpoint on purpose, and removes the younger ones, as one has to before. From here on a
    /// crash may leave any of them as the newest.
    fn step_back(&self, known: &mut Known, rng: &mut SimRng) -> oxifaster::Result<Option<CheckpointToken>> {
        let listing = self.catalog().list()?;
        let logs: Vec<_> = listing.checkpoints.iter().filter(|manifest| manifest.log.is_some()).collect();
        let Some(choice) = logs.len().checked_sub(1).filter(|older| *older > 0) else { return Ok(None) };
        let target = logs[rng.index(choice)];
        if !known.states.contains_key(&target.token) {
            return Ok(None);
        }
        known.newest = logs.iter().map(|manifest| manifest.token).collect();
        self.catalog().give_up_after(target.token, Some(&self.disk()))?;
        Ok(Some(target.token))
    }

    /// The store that goes on; `None` if storage had lied and the store says that it cannot.
    fn open(
        &self,
        known: &Known,
        target: Option<CheckpointToken>,
        rng: &mut SimRng,
    ) -> Result<Option<Opened<S>>, Violation> {
        let config = config(rng);
        match self.recover(target, !rng.one_in(4), config.clone()) {
            Ok((store, report)) => Ok(Some((store, Some(report)))),
            Err(error) if error.kind() == ErrorKind::NotFound && known.newest.is_empty() => {
                let anew = config.with_page_size_bits(12).with_overwrite(true);
                let store = FasterKv::open(anew, self.disk()).map_err(|error| Violation::new("opens", error))?;
                Ok(Some((store, None)))
            }
            Err(error) if known.is_damaged && error.kind() != ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Violation::new("recovers", error)),
        }
    }
}

impl<'a, S: Shape<WORDS>> Run<'a, S> {
    /// Comes back to what was reported last, sees whether it is that, and lets the sessions go on. `None` if storage had lied.
    pub(super) fn begin(
        program: CheckpointProgramOf<S>,
        world: &'a SimWorld,
        known: &Known,
        stage: Stage,
        rng: &mut SimRng,
    ) -> Result<Option<Self>, Violation> {
        let (site, mut before) = (Site::new(program, world), known.clone());
        let mut weather = if program.only.is_some() { Weather::Fair } else { Weather::draw(rng) };
        let mut target = None;
        if !stage.is_first() && program.only.is_none() {
            if weather.may_hit_recovery() {
                site.rehearse(known, std::mem::replace(&mut weather, Weather::Fair), rng)?;
            }
            if !known.is_damaged && rng.one_in(3) {
                site.verify_all()?;
            }
            if !known.is_damaged && rng.one_in(5) {
                target = site.step_back(&mut before, rng).map_err(|error| Violation::new("removes", error))?;
            }
        }
        let Some((store, report)) = site.open(known, target, rng)? else { return Ok(None) };
        let recovered_at = world.now();
        let (history, reported) = match &report {
            Some(report) => site.judge(known, target, report)?,
            None => (Arc::clone(&known.history), Serials::new()),
        };
        let workers =
            Workers::new(world.clone(), site.interlude.clone(), History::clone(&history), stage, known.is_damaged);
        let (reports, only) = (Vec::new(), program.only);
        let mut run = Self { site, store, workers, before, recovered_at, reports, weather, only, attempts: 0 };
        if !run.take_up(&history, &reported, report)? {
            return Ok(None);
        }
        while run.workers.len() < SESSIONS || (run.workers.len() < SESSIONS + 2 && rng.one_in(4)) {
            if !run.workers.start(&run.store) {
                break;
            }
        }
        if weather != Weather::Fair {
            run.workers.expect_faults();
            weather.begin(world, rng);
        }
        Ok(Some(run))
    }

    /// Goes on with the sessions that were recovered, and looks at every key. False if a key cannot be read because storage
    /// had lied.
    fn take_up(
        &mut self,
        history: &History,
        reported: &Serials,
        report: Option<RecoveryReport>,
    ) -> Result<bool, Violation> {
        let mut recovered_sessions = self.store.get_recovered_sessions();
        // Their names are drawn by lot; their numbers are the same in every run.
        recovered_sessions.sort_by_key(|session| history.session(session.guid));
        let cut = serials_of(&recovered_sessions);
        for session in recovered_sessions {
            let continued = self.store.continue_session(session);
            self.workers.take_up(continued.map_err(|error| Violation::new("continues", error))?)?;
        }
        self.workers.forget_beyond(&cut);
        if self.workers.len() == 0 {
            self.workers.start(&self.store);
        }
        let contents = match self.workers.look_at_all_keys() {
            Ok(contents) => contents,
            Err(Look::Refused) => return Ok(false),
            Err(Look::Wrong(violation)) => return Err(violation),
        };
        compare(history, reported, Recovered { serials: cut.clone(), contents })?;
        if let Some(report) = report {
            // Somebody has seen this state.
            self.reports.push(Report { event: self.recovered_at, token: report.token, serials: cut });
        }
        Ok(true)
    }

    /// Operations and a checkpoint, so many times.
    pub(super) fn rounds(&mut self, rounds: u64, steps: Range<u64>, rng: &mut SimRng) -> Result<(), Violation> {
        for _ in 0..rounds {
            for _ in 0..steps.start + rng.below(steps.end - steps.start) {
                self.step(rng)?;
            }
            self.checkpoint(rng)?;
        }
        Ok(())
    }

    fn step(&mut self, rng: &mut SimRng) -> Result<(), Violation> {
        let (call, result) = match rng.below(100) {
            0 => ("flush", self.store.flush()),
            1..4 => ("evict", self.store.evict()),
            _ => return self.workers.step(rng),
        };
        self.allow(call, result)
    }

    fn allow<T>(&self, call: &'static str, result: Result<T, Error>) -> Result<(), Violation> {
        match result {
            Err(error) if !self.workers.is_excused() => {
                Err(Violation::new("no reason to fail", format!("{call}: {error}")))
            }
            _ => Ok(()),
        }
    }

    fn options(&self, rng: &mut SimRng) -> CheckpointOptions {
        let options = CheckpointOptions::default();
        match self.only {
            Some(Taking::Index) if self.attempts.is_multiple_of(2) => options.with_kind(CheckpointKind::Index),
            Some(Taking::Index | Taking::FoldOver) => options.with_index(false),
            Some(Taking::Snapshot) => options.with_kind(CheckpointKind::Snapshot).with_index(false),
            Some(Taking::Full) => options.with_kind(CheckpointKind::Snapshot),
            Some(Taking::Incremental) => options.with_kind(CheckpointKind::Incremental).with_index(false),
            None => {
                let kinds = [
                    CheckpointKind::FoldOver,
                    CheckpointKind::Snapshot,
                    CheckpointKind::Incremental,
                    CheckpointKind::Incremental,
                    CheckpointKind::Index,
                ];
                let options = options.with_kind(kinds[rng.index(kinds.len())]).with_index(rng.coin());
                if rng.one_in(3) { options.with_keep_last(1 + rng.index(2)) } else { options }
            }
        }
    }

    fn checkpoint(&mut self, rng: &mut SimRng) -> Result<(), Violation> {
        self.attempts += 1;
        let (options, issued) = (self.options(rng), self.workers.serials());
        self.workers.open_interlude(rng);
        let result = self.store.checkpoint_to(&self.site.directory, &options);
        self.workers.close_interlude()?;
        match result {
            Ok(report) if report.kind != CheckpointKind::Index => {
                let serials = serials_of(&report.sessions);
                for (guid, least) in issued {
                    let reported = serials.get(&guid);
                    if reported.is_none_or(|serial| *serial < least) {
                        let what = format!("session {guid:#x} was at {least}, and is reported as {reported:?}");
                        return Err(Violation::new("reports", what));
                    }
                }
                self.reports.push(Report { event: self.site.world.now(), token: report.token, serials });
            }
            result => self.allow("checkpoint", result)?,
        }
        if rng.one_in(4) && self.only.is_none() {
            self.allow("sweep", self.site.catalog().sweep(&[]))?;
        }
        Ok(())
    }

    /// Waits for what is pending, and says what is known at the end.
    pub(super) fn finish(self) -> Result<Past, Violation> {
        self.workers.finish()?;
        let is_damaged = self.weather == Weather::LyingWrites && self.site.world.faults_struck() > 0;
        self.site.world.repair();
        let Self { before, recovered_at, reports, workers, .. } = self;
        Ok(Past { before, recovered_at, history: Arc::new(workers.take_history()), reports, is_damaged })
    }
}

fn compare(history: &History, reported: &Serials, recovered: Recovered) -> Result<(), Violation> {
    match oracle::check(history, reported, &recovered).into_iter().next() {
        Some(breach) => Err(Violation::new(breach.clause.name(), breach.what)),
        None => Ok(()),
    }
}

fn found<S: Shape<WORDS>>(value: Option<S::Value>) -> Found {
    value.map_or(Found::Nothing, |value| Content::from_words(&S::words(&value)))
}

fn serials_of(sessions: &[SessionCut]) -> Serials {
    sessions.iter().map(|session| (session.guid, session.serial)).collect()
}

/// A log of a few pages of 4 KiB, of which at most some hundred records fit into memory, and buffers so small that a recovery
/// uses one thread, whatever the machine has.
fn config(rng: &mut SimRng) -> FasterKvConfig {
    let (pages, tenths) = (4 + rng.below(6), rng.below(10));
    FasterKvConfig::default()
        .with_memory_budget(512 << 10)
        .with_pretouch(false)
        .with_log_memory_size(pages << 12)
        .with_table_size(16)
        .with_mutable_fraction(tenths as f64 / 10.0)
        .with_revivification(tenths % 2 == 1)
        .with_wait_limit(WAIT_LIMIT)
}
