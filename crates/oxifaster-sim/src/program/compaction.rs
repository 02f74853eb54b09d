//! A store that is compacted, whose power fails.
//!
//! Operations, compactions up to any address, evictions and checkpoints of all kinds with retention; compactions also in the
//! middle of checkpoints, whenever those call their directory. A crash at any event, and what is recovered is what some
//! checkpoint held: the newest that was reported, or one that was begun after it. Nothing is missing, and nothing that was
//! deleted or overwritten comes back.
//!
//! The index grows and shrinks in between. And somebody follows the changes, and saves how far it has come: after every crash it goes on
//! from there, or is told that it cannot, and what it has then is what the store has.
//!
//! Every checkpoint has its number in the store, under a key of its own, so that it can be told which one was recovered.
//!
//! The same with values that end, while time passes: what has ended is not there, and what is older does not come up from below.

mod follower;
mod sample;

use self::follower::{Follower, Saved};
pub use self::sample::Sample;
use super::names::name;
use super::{Effort, Program, Stage, Violation, must};
use crate::world::{Latency, SimConfig};
use crate::{SimDirectory, SimDisk, SimRng, SimWorld};
use oxifaster::ErrorKind;
use oxifaster::address::Address;
use oxifaster::checkpoint::{Catalog, CheckpointKind, verify};
use oxifaster::clock::{Clock, VirtualClock};
use oxifaster::directory::{Directory, DirectoryFile};
use oxifaster::record::Expiring;
use oxifaster::store::{CheckpointOptions, FasterKv, FasterKvConfig, RecoveryTarget, Session};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

type Words = [u64; 3];
type Store<V> = FasterKv<u64, V, SimDisk>;
type Content<V> = BTreeMap<u64, V>;

const KEYS: u64 = 64;
/// The largest index.
const TABLE_MAX: u64 = 64;
/// The key under which the number of the last checkpoint is.
const NUMBER: u64 = u64::MAX;

/// Compacts a store, takes checkpoints of it and comes back to them.
#[derive(Debug, Clone, Copy)]
pub struct CompactionProgram<V = Words>(PhantomData<fn() -> V>);

impl<V> Default for CompactionProgram<V> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// The same with values that end.
pub type ExpiryProgram = CompactionProgram<Expiring<Words>>;

/// What has to hold after a crash.
#[derive(Debug, Clone)]
pub struct Known<V> {
    /// What each checkpoint that was begun holds.
    begun: BTreeMap<u64, Content<V>>,
    /// The newest that was reported.
    reported: Option<u64>,
    /// What the follower saved.
    saved: Saved<V>,
    /// It is not earlier.
    time: u64,
}

/// What happened in a run.
#[derive(Debug)]
pub struct Past<V> {
    before: Known<V>,
    begun: BTreeMap<u64, Content<V>>,
    /// Numbers of checkpoints, and the event by which each was reported.
    reports: Vec<(usize, u64)>,
    /// What the follower saved, and the event by which it had.
    saves: Vec<(usize, Saved<V>)>,
    /// When it ended.
    time: u64,
}

impl<V: Sample> Program for CompactionProgram<V> {
    type Known = Known<V>;
    type History = Past<V>;

    const NAME: &'static str = V::NAME;
    const ABOUT: &'static str = V::ABOUT;

    fn config(&self, rng: &mut SimRng) -> SimConfig {
        let latencies = [Latency::None, Latency::Short, Latency::Uneven];
        SimConfig::default().with_latency(latencies[rng.index(latencies.len())])
    }

    fn beginning(&self) -> Known<V> {
        Known { begun: BTreeMap::new(), reported: None, saved: Saved::default(), time: 1 }
    }

    fn run(&self, world: &SimWorld, known: &Known<V>, stage: Stage, rng: &mut SimRng) -> Result<Past<V>, Violation> {
        let mut run = Run::begin(world, known, rng)?;
        let rounds = if stage.is_first() { 2 + rng.below(3) } else { rng.below(3) };
        for _ in 0..rounds {
            for _ in 0..20 + rng.below(120) {
                run.step(rng)?;
            }
            run.checkpoint(rng)?;
        }
        run.compare()?;
        run.past.time = run.clock.now_ms();
        Ok(run.past)
    }

    fn known_at(&self, past: &Past<V>, event: usize) -> Known<V> {
        let newest = past.reports.iter().rev().find(|(reported, _)| *reported <= event).map(|(_, number)| *number);
        let saved = past.saves.iter().rev().find(|(by, _)| *by <= event).map(|(_, saved)| saved);
        Known {
            begun: past.begun.clone(),
            reported: newest.or(past.before.reported),
            saved: saved.unwrap_or(&past.before.saved).clone(),
            time: past.time,
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

struct Run<'a, V: Sample> {
    world: &'a SimWorld,
    clock: Arc<VirtualClock>,
    directory: Meddling,
    store: Arc<Store<V>>,
    session: Session<u64, V>,
    content: Content<V>,
    past: Past<V>,
    counter: u64,
    follower: Follower<V>,
}

impl<'a, V: Sample> Run<'a, V> {
    /// Comes back to what was reported last, or begins anew, and sees whether all is there.
    fn begin(world: &'a SimWorld, known: &Known<V>, rng: &mut SimRng) -> Result<Self, Violation> {
        let clock = Arc::new(VirtualClock::new(known.time));
        let directory = Meddling { directory: world.directory("checkpoints"), act: Arc::default() };
        let (pages, size, tenths) = (5 + rng.below(6), rng.below(5), rng.below(10));
        let config = FasterKvConfig::default()
            .with_page_size_bits(12)
            .with_log_memory_size(pages << 12)
            .with_table_size(1 << size)
            .with_table_size_max(TABLE_MAX)
            .with_index_shrinking(true)
            .with_mutable_fraction(tenths as f64 / 10.0)
            .with_revivification(tenths % 2 == 1)
            .with_clock(Arc::clone(&clock) as _);
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
        let content = if is_new { Content::new() } else { recovered_content(&mut session, known)? };
        let (before, begun) = (known.clone(), known.begun.clone());
        let past = Past { before, begun, reports: Vec::new(), saves: Vec::new(), time: known.time };
        let follower = Follower::resume(&store, &known.saved, rng)?;
        let counter = world.now() as u64 * 1000;
        let store = Arc::new(store);
        let mut run = Self { world, clock, directory, store, session, content, past, counter, follower };
        run.compare()?;
        if rng.one_in(3) {
            run.verify_all()?;
        }
        Ok(run)
    }

    fn step(&mut self, rng: &mut SimRng) -> Result<(), Violation> {
        let at = rng.below(KEYS);
        let key = name(at);
        self.counter += 1;
        V::let_time_pass(&self.clock, rng);
        let value = V::of([key, self.counter, key ^ self.counter], self.clock.now_ms(), rng);
        match rng.below(100) {
            0..5 => self.transaction(key, name((at + 7) % KEYS), value)?,
            5..55 => {
                must("upsert", self.session.upsert(key, value.clone()))?;
                self.content.insert(key, value);
            }
            55..75 => {
                must("delete", self.session.delete(&key))?;
                self.content.remove(&key);
            }
            75..88 => {
                let found = must("read", self.session.read(&key))?;
                self.check(key, found)?;
            }
            88..90 => must("evict", self.store.evict())?,
            90..93 if rng.coin() => grow(&self.store, false)?,
            90..93 => shrink(&self.store, false)?,
            93..96 => {
                self.follower.follow(&self.store, 1 + rng.index(40))?;
                if rng.coin() {
                    self.past.saves.push((self.world.now(), self.follower.save()));
                }
            }
            _ => compact(&self.store, rng.below(11))?,
        }
        Ok(())
    }

    /// Two keys change as one step: one gets a value, what the other had goes.
    fn transaction(&mut self, key: u64, other: u64, value: V) -> Result<(), Violation> {
        let result = self.session.transaction(|transaction| {
            let had = transaction.read(&other)?;
            transaction.upsert(key, value.clone());
            transaction.delete(other);
            Ok(had)
        });
        let had = must("transaction", result)?;
        self.check(other, had)?;
        self.content.insert(key, value);
        self.content.remove(&other);
        Ok(())
    }

    fn checkpoint(&mut self, rng: &mut SimRng) -> Result<(), Violation> {
        let number = self.past.begun.last_key_value().map_or(0, |(number, _)| number + 1);
        must("upsert", self.session.upsert(NUMBER, V::lasting([number, 0, 0])))?;
        self.content.insert(NUMBER, V::lasting([number, 0, 0]));
        self.past.begun.insert(number, self.content.clone());
        let kinds = [CheckpointKind::FoldOver, CheckpointKind::Snapshot, CheckpointKind::Incremental];
        let kind = kinds[rng.index(3)];
        let mut options = CheckpointOptions::default().with_kind(kind).with_index(rng.coin());
        if rng.coin() {
            options = options.with_keep_last(1 + rng.index(2));
        }
        if rng.coin() {
            let (store, mut left, tenths) = (Arc::clone(&self.store), rng.below(12), rng.below(11));
            let (grows, shrinks) = (rng.coin(), rng.coin());
            self.directory.meddle(Some(Box::new(move || {
                left = left.wrapping_sub(1);
                match left {
                    0 => compact(&store, tenths),
                    1 if grows => grow(&store, true),
                    2 if shrinks => shrink(&store, true),
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
            self.follower.compare_at_checkpoint(&self.store, &self.past.begun[&number], self.clock.now_ms())?;
        }
        if rng.one_in(4) {
            self.verify_all()?;
        }
        Ok(())
    }

    /// Compares every key.
    fn compare(&mut self) -> Result<(), Violation> {
        for key in (0..KEYS).map(name) {
            let found = must("read", self.session.read(&key))?;
            self.check(key, found)?;
        }
        self.follower.compare(&self.store, &self.content, self.clock.now_ms())
    }

    fn check(&self, key: u64, found: Option<V>) -> Result<(), Violation> {
        let now = self.clock.now_ms();
        let expected = self.content.get(&key).cloned().filter(|value| !value.expiry().is_over(now));
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
fn recovered_content<V: Sample>(session: &mut Session<u64, V>, known: &Known<V>) -> Result<Content<V>, Violation> {
    let number = must("read", session.read(&NUMBER))?.map(|value| value.words()[0]);
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
fn compact<V: Sample>(store: &Store<V>, tenths: u64) -> Result<(), Violation> {
    let at = store.addresses();
    let until = at.begin.get() + (at.tail.get() - at.begin.get()) * tenths / 10;
    let report = must("compacts", store.log_compact_until(Address::new(until)))?;
    let begin = store.addresses().begin;
    if report.begin == begin && begin.get() >= until { Ok(()) } else { Err(Violation::new("begins", begin)) }
}

/// Doubles the index, unless it is as large as it may become. While a checkpoint is under way that may be refused.
fn grow<V: Sample>(store: &Store<V>, may_be_busy: bool) -> Result<(), Violation> {
    let buckets = store.index_stats().buckets;
    if buckets >= TABLE_MAX {
        return Ok(());
    }
    match store.grow_index(2 * buckets) {
        Err(error) if may_be_busy && error.kind() == ErrorKind::Busy => Ok(()),
        grown => must("grows", grown),
    }
}

/// Halves the index, if all its entries have room then. While a checkpoint is under way that may be refused.
fn shrink<V: Sample>(store: &Store<V>, may_be_busy: bool) -> Result<(), Violation> {
    match store.shrink_index(store.index_stats().buckets / 2) {
        Err(error) if error.kind() == ErrorKind::Limit => Ok(()),
        Err(error) if may_be_busy && error.kind() == ErrorKind::Busy => Ok(()),
        shrunk => must("shrinks", shrunk),
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
