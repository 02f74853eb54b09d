//! A store whose changes are durable without a checkpoint, whose power fails.
//!
//! Everything runs on one thread, so that a seed is a run, and the changes have one order: that of the log. Two sessions make
//! them, in single calls, batches and transactions, some of which wait until they are durable; checkpoints are taken in between, pages
//! leave memory, and the index grows and shrinks. Now and then a write or a sync fails for good.
//!
//! What must hold after a crash:
//!
//! * The store opens, without being told to accept damage.
//! * What is there is a prefix of all changes: with every one that a call had waited for, and none that had not begun.
//! * Of each session, exactly the changes up to the serial number that is found for it are part of it.
//! * To open the store again finds the same.
//!
//! What the values are is a parameter: words, or bytes of any length, some of which are larger than a page and written piece by piece;
//! then some writers are dropped half way, and the log is compacted.

use super::names::name;
use super::{Effort, Program, Stage, Violation, must};
use crate::world::{Access, Cause, Latency, SimConfig, When};
use crate::{SimDisk, SimRng, SimWorld};
use oxifaster::record::Value;
use oxifaster::store::{CheckpointOptions, Durability, FasterKv, FasterKvConfig, Session};
use oxifaster::{ErrorKind, Result};
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

const KEYS: u64 = 40;
/// The index grows no further.
const TABLE_MAX: u64 = 256;
const SESSIONS: [u128; 2] = [1, 2];
const LOG: &str = "log";
const CHECKPOINTS: &str = "checkpoints";

type Store<V> = FasterKv<u64, V, SimDisk>;

/// Changes a durable store.
#[derive(Debug, Clone, Copy, Default)]
pub struct DurabilityProgram<P = Words>(PhantomData<P>);

/// What values are: each is told by a number.
pub trait Payload: Copy + Default + fmt::Debug {
    /// The type of values.
    type Value: Value;
    /// As of a [`Program`].
    const NAME: &'static str;
    /// As of a [`Program`].
    const ABOUT: &'static str;

    /// The number of a value that may go in a batch.
    fn for_batch(number: u64) -> u64;

    /// The number of a value that may go in a transaction: two of them fit on a page.
    fn for_transaction(number: u64) -> u64 {
        Self::for_batch(number)
    }

    /// The value of such a number.
    fn value(number: u64) -> Self::Value;

    /// Gives a key the value of a number.
    fn upsert(session: &mut Session<u64, Self::Value>, key: u64, number: u64) -> Result<()>;

    /// Has a key go on from the value of one number to that of another.
    fn rmw(session: &mut Session<u64, Self::Value>, key: u64, from: u64, to: u64) -> Result<()>;

    /// The number that tells the value of a key.
    fn read(session: &mut Session<u64, Self::Value>, key: u64) -> Result<Option<u64>>;

    /// Does something that changes nothing anybody sees.
    fn disturb(store: &Store<Self::Value>, session: &mut Session<u64, Self::Value>, rng: &mut SimRng) -> Result<()>;
}

/// Values of one word: the number itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Words;

impl Payload for Words {
    type Value = u64;
    const NAME: &'static str = "durability";
    const ABOUT: &'static str =
        "a store whose changes are durable when a call returns: all of them are there after every crash";

    fn for_batch(number: u64) -> u64 {
        number
    }

    fn value(number: u64) -> u64 {
        number
    }

    fn upsert(session: &mut Session<u64, u64>, key: u64, number: u64) -> Result<()> {
        session.upsert(key, number)
    }

    fn rmw(session: &mut Session<u64, u64>, key: u64, from: u64, to: u64) -> Result<()> {
        let add = |old: &mut u64| {
            *old = old.wrapping_add(to.wrapping_sub(from));
            true
        };
        session.rmw(key, add).map(drop)
    }

    fn read(session: &mut Session<u64, u64>, key: u64) -> Result<Option<u64>> {
        session.read(&key)
    }

    fn disturb(_: &Store<u64>, session: &mut Session<u64, u64>, _: &mut SimRng) -> Result<()> {
        session.wait_durable()
    }
}

/// A change: which operation of which session, and what the key has afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    session: usize,
    serial: u64,
    key: u64,
    value: Option<u64>,
}

/// All changes in order; how many of them had begun, and how many a call had waited for.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    all: Arc<Vec<Change>>,
    begun: usize,
    durable: usize,
}

/// What was known from which event on: begun and durable changes.
#[derive(Debug)]
pub struct Past {
    before: Changes,
    all: Arc<Vec<Change>>,
    notes: Vec<(usize, usize, usize)>,
}

impl<P: Payload> Program for DurabilityProgram<P> {
    type Known = Changes;
    type History = Past;

    const NAME: &'static str = P::NAME;
    const ABOUT: &'static str = P::ABOUT;

    fn config(&self, rng: &mut SimRng) -> SimConfig {
        let latencies = [Latency::None, Latency::Short, Latency::Uneven];
        SimConfig::default().with_latency(latencies[rng.index(latencies.len())])
    }

    fn beginning(&self) -> Changes {
        Changes::default()
    }

    fn run(
        &self,
        world: &SimWorld,
        known: &Changes,
        stage: Stage,
        rng: &mut SimRng,
    ) -> std::result::Result<Past, Violation> {
        let mut run = Run::<P>::open(world, known)?;
        if rng.one_in(if stage.is_first() { 2 } else { 4 }) {
            let call = if rng.one_in(3) { Access::DiskWrite } else { Access::DiskSync };
            world.fail(call, When::From(1 + rng.below(20)), Cause::ALL[rng.index(3)]);
        }
        let steps = if stage.is_first() { 10 + rng.below(60) } else { rng.below(15) };
        for _ in 0..steps {
            if !run.step(rng)? {
                break;
            }
        }
        Ok(run.close())
    }

    fn known_at(&self, history: &Past, event: usize) -> Changes {
        let later = history.notes.partition_point(|(at, ..)| *at <= event);
        match later.checked_sub(1).and_then(|last| history.notes.get(last)) {
            Some((_, begun, durable)) => Changes { all: Arc::clone(&history.all), begun: *begun, durable: *durable },
            None => history.before.clone(),
        }
    }

    fn effort(&self) -> Effort {
        Effort {
            points_max: 40,
            points_after_crash_max: 10,
            units_max: 5,
            policies_max: 3,
            again_one_in: 25,
            depth_max: 3,
        }
    }
}

struct Run<'a, P: Payload> {
    world: &'a SimWorld,
    store: Store<P::Value>,
    sessions: [Session<u64, P::Value>; 2],
    model: HashMap<u64, u64>,
    before: Changes,
    all: Vec<Change>,
    durable: usize,
    counter: u64,
    notes: Vec<(usize, usize, usize)>,
    has_failed: bool,
}

fn config() -> FasterKvConfig {
    FasterKvConfig::default()
        .with_log_memory_size(32 << 10)
        .with_page_size_bits(12)
        .with_table_size(16)
        .with_index_shrinking(true)
        .with_pretouch(false)
        .with_wait_limit(Duration::from_secs(5))
        .with_durability(Durability::EveryOperation)
}

fn open<V: Value>(world: &SimWorld) -> Result<Store<V>> {
    FasterKv::open_durable_in(&world.directory(CHECKPOINTS), config(), world.disk(LOG), &|_| ()).map(|(store, _)| store)
}

impl<'a, P: Payload> Run<'a, P> {
    /// Opens the store on what there is, and compares it with what may be there.
    fn open(world: &'a SimWorld, known: &Changes) -> std::result::Result<Self, Violation> {
        let store = must("opens", open(world))?;
        let serials = serials(&store);
        let all = found(known, &serials)?;
        let model = state(&all);
        compare::<P>(&store, &model)?;
        drop(store);
        let store = must("opens again", open(world))?;
        if serials != self::serials(&store) {
            return Err(Violation::new("opens again", "other serial numbers were found"));
        }
        compare::<P>(&store, &model)?;
        let session = |index: usize| {
            let recovered = store.get_recovered_sessions().into_iter().find(|cut| cut.guid == SESSIONS[index]);
            must(
                "sessions",
                match recovered {
                    Some(cut) => store.continue_session(cut),
                    None => store.start_named_session(SESSIONS[index]),
                },
            )
        };
        let sessions = [session(0)?, session(1)?];
        let (durable, counter) = (all.len(), all.len() as u64 * 1000);
        let mut run = Self {
            world,
            store,
            sessions,
            model,
            before: known.clone(),
            all,
            durable,
            counter,
            notes: Vec::new(),
            has_failed: false,
        };
        run.note();
        Ok(run)
    }

    /// What is known from here on.
    fn note(&mut self) {
        self.notes.push((self.world.now(), self.all.len(), self.durable));
    }

    /// One call; false if storage has failed.
    fn step(&mut self, rng: &mut SimRng) -> std::result::Result<bool, Violation> {
        let (who, key) = (rng.index(2), rng.below(KEYS));
        self.counter += 1;
        let value = self.counter;
        let waits = rng.below(3) > 0;
        self.sessions[who].set_waits_for_durable(waits);
        let serial = self.sessions[who].serial() + 1;
        let change = |key, serial, value| Change { session: who, serial, key, value };
        let result = match rng.below(23) {
            0..8 => {
                self.begin([change(key, serial, Some(value))]);
                P::upsert(&mut self.sessions[who], name(key), value)
            }
            8..11 => {
                let old = self.model.get(&key).copied().unwrap_or(0);
                let sum = old.wrapping_add(value);
                self.begin([change(key, serial, Some(sum))]);
                P::rmw(&mut self.sessions[who], name(key), old, sum)
            }
            11..13 => {
                if self.model.contains_key(&key) {
                    self.begin([change(key, serial, None)]);
                }
                self.sessions[who].delete(&name(key))
            }
            13..15 => {
                let count = 1 + rng.below(200);
                let pairs: Vec<_> = (0..count).map(|at| (at % KEYS, P::for_batch(value * 1000 + at))).collect();
                self.begin(pairs.iter().zip(serial..).map(|((key, value), serial)| change(*key, serial, Some(*value))));
                let pairs: Vec<_> = pairs.into_iter().map(|(key, value)| (name(key), P::value(value))).collect();
                self.sessions[who].upsert_batch(&pairs)
            }
            15 | 16 => return self.read(who, key),
            20..23 => self.transfer(who, [key, (key + 1 + rng.below(KEYS - 1)) % KEYS], rng.one_in(4)),
            17 => self.store.evict(),
            18 => {
                let options = CheckpointOptions::default().with_index(rng.coin());
                let options = if rng.coin() { options.with_keep_last(1) } else { options };
                self.store.checkpoint_to(&self.world.directory(CHECKPOINTS), &options).map(drop)
            }
            19 if rng.coin() => resize(&self.store, rng),
            _ => P::disturb(&self.store, &mut self.sessions[who], rng),
        };
        match result {
            Ok(()) => {
                self.note_durable()?;
                Ok(true)
            }
            Err(error) if self.world.faults_struck() > 0 && error.kind() != ErrorKind::Corrupt => {
                self.has_failed = true;
                Ok(false)
            }
            Err(error) => Err(Violation::new("no reason to fail", error)),
        }
    }

    /// Takes half of what one key has and gives it to another one; or all, and the key goes. A crash leaves both changes or none: they
    /// have one serial number.
    fn transfer(&mut self, who: usize, [from, to]: [u64; 2], all: bool) -> Result<()> {
        let serial = self.sessions[who].serial() + 1;
        let [left, there] = [from, to].map(|key| self.model.get(&key).copied().unwrap_or(0));
        let moved = if all { left } else { left / 2 };
        let rest = (!all).then(|| P::for_transaction(left - moved));
        let sum = P::for_transaction(there.wrapping_add(moved));
        let change = |key, value| Change { session: who, serial, key, value };
        self.begin([change(from, rest), change(to, Some(sum))]);
        self.sessions[who].transaction(|transaction| {
            match rest {
                Some(rest) => transaction.upsert(name(from), P::value(rest)),
                None => transaction.delete(name(from)),
            }
            transaction.upsert(name(to), P::value(sum));
            Ok(())
        })
    }

    fn begin(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            match change.value {
                Some(value) => self.model.insert(change.key, value),
                None => self.model.remove(&change.key),
            };
            self.all.push(change);
        }
        self.note();
    }

    /// What the store says is durable is what a call that waits has been told.
    fn note_durable(&mut self) -> std::result::Result<(), Violation> {
        let (durable, tail) = (self.store.durable_address(), self.store.addresses().tail);
        if durable == Some(tail) {
            self.durable = self.all.len();
        }
        self.note();
        Ok(())
    }

    fn read(&mut self, who: usize, key: u64) -> std::result::Result<bool, Violation> {
        match P::read(&mut self.sessions[who], name(key)) {
            Ok(found) if found == self.model.get(&key).copied() => Ok(true),
            Ok(found) => Err(Violation::new("right values", format_args!("key {key} gave {found:?}"))),
            Err(error) => Err(Violation::new("no reason to fail", error)),
        }
    }

    /// Closes the store, which makes everything durable that was not waited for.
    fn close(self) -> Past {
        self.world.repair();
        let Self { world, store, sessions, before, all, mut notes, has_failed, .. } = self;
        drop((store, sessions));
        if !has_failed {
            notes.push((world.now(), all.len(), all.len()));
        }
        Past { before, all: Arc::new(all), notes }
    }
}

/// Has the index grow, or shrink if it can.
fn resize<V: Value>(store: &Store<V>, rng: &mut SimRng) -> Result<()> {
    let buckets = store.index_stats().buckets;
    if buckets < TABLE_MAX && rng.coin() {
        return store.grow_index(buckets * 4);
    }
    match store.shrink_index(buckets >> (1 + rng.below(2))) {
        Err(error) if error.kind() == ErrorKind::Limit => Ok(()), // it is as small as it may be
        shrunk => shrunk,
    }
}

fn serials<V: Value>(store: &Store<V>) -> [u64; 2] {
    let cuts = store.get_recovered_sessions();
    SESSIONS.map(|guid| cuts.iter().find(|cut| cut.guid == guid).map_or(0, |cut| cut.serial))
}

/// The changes that are there, by the serial numbers that were found.
fn found(known: &Changes, serials: &[u64; 2]) -> std::result::Result<Vec<Change>, Violation> {
    let begun = &known.all[..known.begun];
    let is_there = |change: &Change| change.serial <= serials[change.session];
    let count = begun.iter().take_while(|change| is_there(change)).count();
    if let Some(stray) = begun[count..].iter().find(|change| is_there(change)) {
        let what = format_args!("{stray:?} is there, {:?} is not", begun[count]);
        return Err(Violation::new("a prefix", what));
    }
    if count < known.durable {
        let what = format_args!("{count} of {} durable changes are there; serials {serials:?}", known.durable);
        return Err(Violation::new("durable", what));
    }
    Ok(begun[..count].to_vec())
}

fn state(changes: &[Change]) -> HashMap<u64, u64> {
    let mut state = HashMap::new();
    for change in changes {
        match change.value {
            Some(value) => state.insert(change.key, value),
            None => state.remove(&change.key),
        };
    }
    state
}

fn compare<P: Payload>(store: &Store<P::Value>, expected: &HashMap<u64, u64>) -> std::result::Result<(), Violation> {
    let mut session = store.start_session();
    for key in 0..KEYS {
        let (found, expected) = (must("readable", P::read(&mut session, name(key)))?, expected.get(&key).copied());
        if found != expected {
            return Err(Violation::new("right values", format_args!("key {key} gave {found:?}, not {expected:?}")));
        }
    }
    Ok(())
}
