//! A store that is compacted, whose power fails.
//!
//! Operations, compactions up to any address, evictions and checkpoints of all kinds with retention; compactions also in the
//! middle of checkpoints, whenever those call their directory. A crash at any event, and what is recovered is what some
//! checkpoint held: the newest that was reported, or one that was begun after it. Nothing is missing, and nothing that was
//! deleted or overwritten comes back.
//!
//! The index grows in between. And somebody follows the changes, and saves how far it has come: after every crash it goes on from there, or is
//! told that it cannot, and what it has then is what the store has.
//!
//! Every checkpoint has its number in the store, under a key of its own, so that it can be told which one was recovered.

mod follower;

use self::follower::{Follower, Saved};
use super::{Effort, Program, Shape, Stage, Violation, must};
use crate::world::{Latency, SimConfig};
use crate::{SimDirectory, SimDisk, SimRng, SimWorld};
use oxifaster::ErrorKind;
use oxifaster::address::Address;
use oxifaster::checkpoint::{Catalog, CheckpointKind, verify};
use oxifaster::directory::{Directory, DirectoryFile};
use oxifaster::store::{CheckpointOptions, FasterKv, FasterKvConfig, RecoveryTarget, Session};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

type Words = [u64; 3];
type Store<S> = FasterKv<<S as Shape<3>>::Key, <S as Shape<3>>::Value, SimDisk>;
type Worker<S> = Session<<S as Shape<3>>::Key, <S as Shape<3>>::Value>;
type Content = BTreeMap<u64, Words>;

const KEYS: u64 = 64;
/// The largest index.
const TABLE_MAX: u64 = 64;
/// The key under which the number of the last checkpoint is.
const NUMBER: u64 = u64::MAX;

/// Compacts a store, takes checkpoints of it and comes back to them.
#[derive(Debug, Clone, Copy, Default)]
pub struct CompactionProgramOf<S>(PhantomData<S>);

/// What has to hold after a crash.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// What each checkpoint that was begun holds.
    begun: BTreeMap<u64, Content>,
    /// The newest that was reported.
    reported: Option<u64>,
    /// What the follower saved.
    saved: Saved,
}

/// What happened in a run.
#[derive(Debug, Default)]
pub struct Past {
    before: Known,
    begun: BTreeMap<u64, Content>,
    /// Numbers of checkpoints, and the event by which each was reported.
    reports: Vec<(usize, u64)>,
    /// What the follower saved, and the event by which it had.
    saves: Vec<(usize, Saved)>,
}

impl<S: Shape<3>> Program for CompactionProgramOf<S> {
    type Known = Known;
    type History = Past;

    const NAME: &'static str = if S::ANY_LENGTH { "compaction-of-any-length" } else { "compaction" };
    const ABOUT: &'static str =
        "a store that is compacted while it takes checkpoints: nothing is missing, nothing comes back";

    fn config(&self, rng: &mut SimRng) -> SimConfig {
        let latencies = [Latency::None, Latency::Short, Latency::Uneven];
        SimConfig::default().with_latency(latencies[rng.index(latencies.len())])
    }

    fn beginning(&self) -> Known {
        Known::default()
    }

    fn run(&self, world: &SimWorld, known: &Known, stage: Stage, rng: &mut SimRng) -> Result<Past, Violation> {
        let mut run = Run::<S>::begin(world, known, rng)?;
        let rounds = if stage.is_first() { 2 + rng.below(3) } else { rng.below(3) };
        for _ in 0..rounds {
            for _ in 0..20 + rng.below(120) {
                run.step(rng)?;
            }
            run.checkpoint(rng)?;
        }
        run.compare()?;
        Ok(run.past)
    }

    fn known_at(&self, past: &Past, event: usize) -> Known {
        let newest = past.reports.iter().rev().find(|(reported, _)| *reported <= event).map(|(_, number)| *number);
        let saved = past.saves.iter().rev().find(|(by, _)| *by <= event).map(|(_, saved)| saved);
        Known {
            begun: past.begun.clone(),
            reported: newest.or(past.before.reported),
            saved: saved.unwrap_or(&past.before.saved).clone(),
        }
    }

    fn effort(&self) -> Effort {
        Effort {
            points_max: 12,
            points_after_crash_max: 2,
            units_max: 1,
            policies_max: 2,
            again_one_in: 6,
            depth_max: 3,
        }
    }
}

struct Run<'a, S: Shape<3>> {
    world: &'a SimWorld,
    directory: Meddling,
    store: Arc<Store<S>>,
    session: Worker<S>,
    content: Content,
    past: Past,
    counter: u64,
    follower: Follower<S>,
}

impl<'a, S: Shape<3>> Run<'a, S> {
    /// Comes back to what was reported last, or begins anew, and sees whether all is there.
    fn begin(world: &'a SimWorld, known: &Known, rng: &mut SimRng) -> Result<Self, Violation> {
        let directory = Meddling { directory: world.directory("checkpoints"), act: Arc::default() };
        let config = FasterKvConfig::default()
            .with_page_size_bits(12)
            .with_log_memory_size((5 + rng.below(6)) << 12)
            .with_table_size(1 << rng.below(5))
            .with_table_size_max(TABLE_MAX)
            .with_mutable_fraction(rng.below(10) as f64 / 10.0);
        let disk = || world.disk("log");
        let recovered = FasterKv::recover_from(&directory, RecoveryTarget::Latest, config.clone(), disk(), &|_| ());
        let (store, is_new) = match recovered {
            Ok((store, _)) => (store, false),
            Err(error) if error.kind() == ErrorKind::NotFound && known.reported.is_none() => {
                (must("opens", FasterKv::open(config.with_overwrite(true), disk()))?, true)
            }
            Err(error) => return Err(Violation::new("recovers", error)),
        };
        let mut session = store.start_session();
        let content = if is_new { Content::new() } else { recovered_content::<S>(&mut session, known)? };
        let past = Past { before: known.clone(), begun: known.begun.clone(), reports: Vec::new(), saves: Vec::new() };
        let follower = Follower::resume(&store, &known.saved, rng)?;
        let counter = world.now() as u64 * 1000;
        let mut run = Self { world, directory, store: Arc::new(store), session, content, past, counter, follower };
        run.compare()?;
        if rng.one_in(3) {
            run.verify_all()?;
        }
        Ok(run)
    }

    fn step(&mut self, rng: &mut SimRng) -> Result<(), Violation> {
        let key = rng.below(KEYS);
        self.counter += 1;
        let value = [key, self.counter, key ^ self.counter];
        match rng.below(100) {
            0..5 => self.transaction(key, value)?,
            5..55 => {
                must("upsert", self.session.upsert(S::key(key), S::value(value)))?;
                self.content.insert(key, value);
            }
            55..75 => {
                must("delete", self.session.delete(&S::key(key)))?;
                self.content.remove(&key);
            }
            75..88 => {
                let found = must("read", self.session.read(&S::key(key)))?;
                self.check(key, found)?;
            }
            88..91 => must("evict", self.store.evict())?,
            91 => grow::<S>(&self.store, false)?,
            92..96 => {
                self.follower.follow(&self.store, 1 + rng.index(40))?;
                if rng.coin() {
                    self.past.saves.push((self.world.now(), self.follower.save()));
                }
            }
            _ => compact::<S>(&self.store, rng.below(11))?,
        }
        Ok(())
    }

    /// Two keys change as one step: one gets a value, what the other had goes.
    fn transaction(&mut self, key: u64, value: Words) -> Result<(), Violation> {
        let other = (key + 7) % KEYS;
        let result = self.session.transaction(|transaction| {
            let had = transaction.read(&S::key(other))?.map(|value| S::words(&value));
            transaction.upsert(S::key(key), S::value(value));
            transaction.delete(S::key(other));
            Ok(had)
        });
        let had = must("transaction", result)?;
        if had != self.content.get(&other).copied() {
            return Err(Violation::new("right values", format_args!("key {other} gave {had:?} to a transaction")));
        }
        self.content.insert(key, value);
        self.content.remove(&other);
        Ok(())
    }

    fn checkpoint(&mut self, rng: &mut SimRng) -> Result<(), Violation> {
        let number = self.past.begun.last_key_value().map_or(0, |(number, _)| number + 1);
        must("upsert", self.session.upsert(S::key(NUMBER), S::value([number, 0, 0])))?;
        self.content.insert(NUMBER, [number, 0, 0]);
        self.past.begun.insert(number, self.content.clone());
        let kinds = [CheckpointKind::FoldOver, CheckpointKind::Snapshot, CheckpointKind::Incremental];
        let kind = kinds[rng.index(3)];
        let mut options = CheckpointOptions::default().with_kind(kind).with_index(rng.coin());
        if rng.coin() {
            options = options.with_keep_last(1 + rng.index(2));
        }
        if rng.coin() {
            let (store, mut left, tenths) = (Arc::clone(&self.store), rng.below(12), rng.below(11));
            let grows = rng.coin();
            self.directory.meddle(Some(Box::new(move || {
                left = left.wrapping_sub(1);
                match left {
                    0 => compact::<S>(&store, tenths),
                    1 if grows => grow::<S>(&store, true),
                    _ => Ok(()),
                }
            })));
        }
        let report = must("checkpoint", self.store.checkpoint_to(&self.directory, &options));
        self.directory.meddle(None);
        report?;
        self.past.reports.push((self.world.now(), number));
        self.directory.outcome()?;
        if kind == CheckpointKind::FoldOver {
            // Of the others, the end is in files of their own, and not given before it is closed.
            self.follower.compare_at_checkpoint(&self.store, &self.past.begun[&number])?;
        }
        if rng.one_in(4) {
            self.verify_all()?;
        }
        Ok(())
    }

    /// Compares every key.
    fn compare(&mut self) -> Result<(), Violation> {
        for key in 0..KEYS {
            let found = must("read", self.session.read(&S::key(key)))?;
            self.check(key, found)?;
        }
        self.follower.compare(&self.store, &self.content)
    }

    fn check(&self, key: u64, found: Option<S::Value>) -> Result<(), Violation> {
        let found = found.map(|value| S::words(&value));
        let expected = self.content.get(&key).copied();
        if found == expected {
            return Ok(());
        }
        Err(Violation::new("right values", format_args!("key {key} gave {found:?}, and not {expected:?}")))
    }

    /// Every checkpoint that can be seen is whole, the older ones too.
    fn verify_all(&self) -> Result<(), Violation> {
        let listing = must("lists", Catalog::new(&self.directory).list())?;
        let disk = self.world.disk("log");
        for manifest in &listing.checkpoints {
            let report = must("verifies", verify(&self.directory, Some(&disk), manifest.token, &mut |_| {}))?;
            if let Some(defect) = report.defects.first() {
                return Err(Violation::new("whole", format_args!("{}: {}", defect.place(), defect.what)));
            }
        }
        Ok(())
    }
}

/// What the recovered store has to hold, by the number in it.
fn recovered_content<S: Shape<3>>(session: &mut Worker<S>, known: &Known) -> Result<Content, Violation> {
    let number = must("read", session.read(&S::key(NUMBER)))?.map(|value| S::words(&value)[0]);
    let Some(number) = number else {
        return Err(Violation::new("right values", "the number of the checkpoint is gone"));
    };
    if known.reported.is_some_and(|reported| number < reported) {
        let what = format!("checkpoint {number} was recovered, and {:?} was reported", known.reported);
        return Err(Violation::new("not older than reported", what));
    }
    let content = known.begun.get(&number).cloned();
    content.ok_or_else(|| Violation::new("right values", format_args!("no checkpoint {number} was ever begun")))
}

/// Compacts so many tenths of the log.
fn compact<S: Shape<3>>(store: &Store<S>, tenths: u64) -> Result<(), Violation> {
    let at = store.addresses();
    let until = at.begin.get() + (at.tail.get() - at.begin.get()) * tenths / 10;
    let report = must("compacts", store.log_compact_until(Address::new(until)))?;
    let begin = store.addresses().begin;
    if report.begin == begin && begin.get() >= until { Ok(()) } else { Err(Violation::new("begins", begin)) }
}

/// Doubles the index, unless it is as large as it may become. While a checkpoint is under way that may be refused.
fn grow<S: Shape<3>>(store: &Store<S>, may_be_busy: bool) -> Result<(), Violation> {
    let buckets = store.index_stats().buckets;
    if buckets >= TABLE_MAX {
        return Ok(());
    }
    match store.grow_index(2 * buckets) {
        Err(error) if may_be_busy && error.kind() == ErrorKind::Busy => Ok(()),
        grown => must("grows", grown),
    }
}

type Act = Box<dyn FnMut() -> Result<(), Violation> + Send>;

/// What is done when the directory is called, and what came of it.
#[derive(Default)]
struct Acting {
    act: Option<Act>,
    failure: Option<Violation>,
}

/// A directory in the middle of whose calls something is done.
struct Meddling {
    directory: SimDirectory,
    act: Arc<Mutex<Acting>>,
}

impl Meddling {
    fn meddle(&self, act: Option<Act>) {
        self.act.lock().unwrap_or_else(PoisonError::into_inner).act = act;
    }

    fn outcome(&self) -> Result<(), Violation> {
        self.act.lock().unwrap_or_else(PoisonError::into_inner).failure.take().map_or(Ok(()), Err)
    }

    fn pause(&self) {
        if let Ok(mut acting) = self.act.try_lock() {
            let failure = acting.act.as_mut().and_then(|act| act().err());
            acting.failure = acting.failure.take().or(failure);
        }
    }
}

impl Directory for Meddling {
    fn names(&self) -> oxifaster::Result<Vec<String>> {
        self.directory.names()
    }

    fn create(&self, name: &str) -> oxifaster::Result<Box<dyn DirectoryFile>> {
        self.pause();
        self.directory.create(name)
    }

    fn open(&self, name: &str) -> oxifaster::Result<Box<dyn DirectoryFile>> {
        self.pause();
        self.directory.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> oxifaster::Result<()> {
        self.pause();
        self.directory.rename(from, to)
    }

    fn remove(&self, name: &str) -> oxifaster::Result<()> {
        self.pause();
        self.directory.remove(name)
    }

    fn sync(&self) -> oxifaster::Result<()> {
        self.pause();
        self.directory.sync()
    }

    fn place(&self) -> String {
        self.directory.place()
    }
}
