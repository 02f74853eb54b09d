//! Sessions that operate on a store, and a history of what they did.

use super::interlude::Interlude;
use super::{KEYS, Serials, Store, Words};
use crate::oracle::{Action, Content, Found, History, Operation, WORDS};
use crate::program::{Shape, Stage, Violation};
use crate::{SimRng, SimWorld};
use oxifaster::Result as StoreResult;
use oxifaster::store::{Begun, Completed, Outcome, Session, Ticket};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What was there before.
type Saw = Option<Content>;
type Seen = Arc<Mutex<Option<Words>>>;

/// Why the keys could not be looked at.
pub(super) enum Look {
    /// Storage is not what it should be, and the store says so.
    Refused,
    Wrong(Violation),
}

/// The workers, shared with the interludes of checkpoints.
pub(super) struct Workers<S: Shape<WORDS>> {
    crew: Arc<Mutex<Crew<S>>>,
    interlude: Interlude,
}

struct Crew<S: Shape<WORDS>> {
    world: SimWorld,
    workers: Vec<Worker<S>>,
    history: History,
    /// What each key holds; exact, because everything runs on one thread and a key with a pending operation is left alone.
    model: BTreeMap<u64, Content>,
    clock: u64,
    /// Numbers of upserts are never given twice, whatever a crash makes undone.
    next_number: u64,
    /// No fault is planned.
    is_fair: bool,
    /// Faults that struck before the sessions began.
    struck_before: u64,
    /// Storage lied about a write in a life before.
    is_damaged: bool,
    violation: Option<Violation>,
}

struct Worker<S: Shape<WORDS>> {
    /// Its number in the history.
    lane: usize,
    session: Session<S::Key, S::Value>,
    /// The serial number up to which operations are in the history, or have their serial number waiting.
    accounted: u64,
    /// Serial numbers of pending operations that completed and whose outcomes were not fetched.
    unfetched: VecDeque<u64>,
    pending: HashMap<Ticket, Pending>,
}

struct Pending {
    key: u64,
    action: Action,
    begun: u64,
    seen: Seen,
}

impl<S: Shape<WORDS>> Workers<S> {
    pub(super) fn new(world: SimWorld, interlude: Interlude, history: History, stage: Stage, is_damaged: bool) -> Self {
        let world_struck = world.faults_struck();
        let crew = Crew {
            world,
            workers: Vec::new(),
            history,
            model: BTreeMap::new(),
            // Later than everything in lives before, as its numbers are.
            clock: (stage.0 as u64) << 32,
            next_number: (stage.0 as u64) << 32,
            is_fair: true,
            struck_before: world_struck,
            is_damaged,
            violation: None,
        };
        Self { crew: Arc::new(Mutex::new(crew)), interlude }
    }

    fn crew(&self) -> MutexGuard<'_, Crew<S>> {
        self.crew.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A recovered session goes on.
    pub(super) fn take_up(&self, session: Session<S::Key, S::Value>) -> Result<(), Violation> {
        let mut crew = self.crew();
        let Some(lane) = crew.history.session(session.guid()) else {
            return Err(Violation::new("session-unknown", format_args!("session {:#x}", session.guid())));
        };
        crew.workers.push(Worker::new(lane, session));
        Ok(())
    }

    /// What was not recovered has never happened.
    pub(super) fn forget_beyond(&self, cut: &Serials) {
        self.crew().history.forget_beyond(cut);
    }

    /// What every key holds. From here on that is what has to be there.
    pub(super) fn look_at_all_keys(&self) -> Result<BTreeMap<u64, Found>, Look> {
        self.crew().look_at_all_keys()
    }

    /// No call of the store may fail any more, or some may.
    pub(super) fn expect_faults(&self) {
        self.crew().is_fair = false;
    }

    /// Starts a session; false if there are as many as the history can tell apart.
    pub(super) fn start(&self, store: &Store<S>) -> bool {
        let mut crew = self.crew();
        let session = store.start_session();
        let Some(lane) = crew.history.add_session(session.guid()) else { return false };
        crew.workers.push(Worker::new(lane, session));
        true
    }

    /// Whether a call of the store may fail.
    pub(super) fn is_excused(&self) -> bool {
        self.crew().is_excused()
    }

    pub(super) fn len(&self) -> usize {
        self.crew().workers.len()
    }

    /// How far each session is.
    pub(super) fn serials(&self) -> Vec<(u128, u64)> {
        self.crew().workers.iter().map(|worker| (worker.session.guid(), worker.session.serial())).collect()
    }

    /// One operation of one session.
    pub(super) fn step(&self, rng: &mut SimRng) -> Result<(), Violation> {
        self.crew().step(rng)
    }

    /// Lets sessions operate at the opportunities that a checkpoint gives.
    pub(super) fn open_interlude(&self, rng: &mut SimRng) {
        let (crew, mut rng) = (Arc::clone(&self.crew), SimRng::new(rng.bits()));
        self.interlude.open(Box::new(move || {
            let mut crew = crew.lock().unwrap_or_else(PoisonError::into_inner);
            for _ in 0..rng.below(6) {
                if crew.violation.is_none() {
                    crew.violation = crew.step(&mut rng).err();
                }
            }
        }));
    }

    pub(super) fn close_interlude(&self) -> Result<(), Violation> {
        self.interlude.close();
        self.crew().violation.take().map_or(Ok(()), Err)
    }

    /// Fetches all outcomes.
    pub(super) fn finish(&self) -> Result<(), Violation> {
        let mut crew = self.crew();
        (0..crew.workers.len()).try_for_each(|who| crew.fetch_all(who))
    }

    pub(super) fn take_history(&self) -> History {
        std::mem::take(&mut self.crew().history)
    }
}

impl<S: Shape<WORDS>> Worker<S> {
    fn new(lane: usize, session: Session<S::Key, S::Value>) -> Self {
        let accounted = session.serial();
        Self { lane, session, accounted, unfetched: VecDeque::new(), pending: HashMap::new() }
    }

    /// The serial number of the plain operation that has just succeeded. Those before it that are not accounted for belong
    /// to pending operations that completed meanwhile.
    fn account_for_last(&mut self) -> u64 {
        let serial = self.session.serial();
        self.unfetched.extend(self.accounted + 1..serial);
        self.accounted = serial;
        serial
    }

    fn account_for_pending(&mut self) {
        let serial = self.session.serial();
        self.unfetched.extend(self.accounted + 1..=serial);
        self.accounted = serial;
    }
}

impl<S: Shape<WORDS>> Crew<S> {
    fn now(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn step(&mut self, rng: &mut SimRng) -> Result<(), Violation> {
        if self.workers.is_empty() {
            return Ok(());
        }
        let (who, key) = (rng.index(self.workers.len()), rng.below(KEYS));
        if let Some(owner) = self.workers.iter().position(|worker| worker.has_pending_on(key)) {
            return self.fetch_all(owner);
        }
        match rng.below(100) {
            0..35 => self.upsert(who, key),
            35..55 => self.add(who, key),
            55..67 => self.delete(who, key),
            67..72 => self.read(who, key),
            72..79 => self.begin_read(who, key),
            79..92 => self.begin_add(who, key),
            92..96 if self.is_fair => self.add_batch(who, key, rng),
            _ => self.fetch_all(who),
        }
    }

    fn look_at_all_keys(&mut self) -> Result<BTreeMap<u64, Found>, Look> {
        let mut contents = BTreeMap::new();
        for key in 0..KEYS {
            let begun = self.now();
            let Some(worker) = self.workers.first_mut() else { break };
            match worker.session.read(&S::key(key)) {
                Ok(value) => {
                    let found = value.map_or(Found::Nothing, |value| Content::from_words(&S::words(&value)));
                    contents.insert(key, found);
                    if let Found::Content(content) = found {
                        self.model.insert(key, content);
                    }
                    self.note(0, 0, key, Action::Read, begun, None);
                }
                // A block on the device that a lie had damaged, or a read that a fault hit: nothing is known of the key.
                Err(_) if self.is_excused() => return Err(Look::Refused),
                Err(error) => return Err(Look::Wrong(Violation::new("reads", format_args!("key {key}: {error}")))),
            }
        }
        Ok(contents)
    }

    /// A call may fail.
    fn is_excused(&self) -> bool {
        self.is_damaged || self.world.faults_struck() > self.struck_before
    }

    /// A call that fails must have a reason, and then has no effect.
    fn judge<T>(&self, call: &str, result: StoreResult<T>) -> Result<Option<T>, Violation> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.is_excused() => Ok(None),
            Err(error) => Err(Violation::new("operates", format_args!("{call}: {error}"))),
        }
    }

    /// Writes a plain operation down.
    fn note(&mut self, who: usize, number: u64, key: u64, action: Action, begun: u64, saw: Option<Saw>) {
        let ended = self.now();
        let worker = &mut self.workers[who];
        let serial = worker.account_for_last();
        self.history.push(Operation { session: worker.lane, number, serial, key, action, begun, ended, saw });
    }

    fn upsert(&mut self, who: usize, key: u64) -> Result<(), Violation> {
        self.next_number += 1;
        let (begun, number) = (self.now(), self.next_number);
        let content = Content::written(self.workers[who].lane, number);
        let result = self.workers[who].session.upsert(S::key(key), S::value(content.to_words()));
        if self.judge("upsert", result)?.is_some() {
            self.note(who, number, key, Action::Upsert, begun, None);
            self.model.insert(key, content);
        }
        Ok(())
    }

    fn delete(&mut self, who: usize, key: u64) -> Result<(), Violation> {
        let begun = self.now();
        let result = self.workers[who].session.delete(&S::key(key));
        if self.judge("delete", result)?.is_some() {
            self.note(who, 0, key, Action::Delete, begun, None);
            self.model.remove(&key);
        }
        Ok(())
    }

    fn read(&mut self, who: usize, key: u64) -> Result<(), Violation> {
        let begun = self.now();
        let result = self.workers[who].session.read(&S::key(key)).map(|value| value.map(|value| S::words(&value)));
        if let Some(words) = self.judge("read", result)? {
            let saw = self.compare(key, words)?;
            self.note(who, 0, key, Action::Read, begun, Some(saw));
        }
        Ok(())
    }

    fn add(&mut self, who: usize, key: u64) -> Result<(), Violation> {
        let (begun, lane, mut seen) = (self.now(), self.workers[who].lane, None);
        let result = self.workers[who].session.rmw(S::key(key), |value| {
            seen = Some(S::words(value));
            add_to::<S>(value, lane)
        });
        if self.judge("rmw", result)?.is_some() {
            let saw = self.apply_add(lane, key, seen)?;
            self.note(who, 0, key, Action::Add, begun, Some(saw));
        }
        Ok(())
    }

    fn begin_read(&mut self, who: usize, key: u64) -> Result<(), Violation> {
        let begun = self.now();
        let result = self.workers[who].session.begin_read(&S::key(key));
        match self.judge("begin_read", result)? {
            Some(Begun::Done(value)) => {
                let saw = self.compare(key, value.map(|value| S::words(&value)))?;
                self.note(who, 0, key, Action::Read, begun, Some(saw));
            }
            Some(Begun::Pending(ticket)) => {
                let pending = Pending { key, action: Action::Read, begun, seen: Seen::default() };
                self.workers[who].account_for_pending();
                self.workers[who].pending.insert(ticket, pending);
            }
            None => self.workers[who].account_for_pending(),
        }
        Ok(())
    }

    fn begin_add(&mut self, who: usize, key: u64) -> Result<(), Violation> {
        let (begun, lane, seen) = (self.now(), self.workers[who].lane, Seen::default());
        let noted = Arc::clone(&seen);
        let result = self.workers[who].session.begin_rmw(S::key(key), move |value| {
            *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(S::words(value));
            add_to::<S>(value, lane)
        });
        match self.judge("begin_rmw", result)? {
            Some(Begun::Done(_)) => {
                let saw = self.apply_add(lane, key, seen_by(&seen))?;
                self.note(who, 0, key, Action::Add, begun, Some(saw));
            }
            Some(Begun::Pending(ticket)) => {
                let worker = &mut self.workers[who];
                // It may have finished others to make room for itself.
                worker.account_for_pending();
                worker.pending.insert(ticket, Pending { key, action: Action::Add, begun, seen });
            }
            None => self.workers[who].account_for_pending(),
        }
        Ok(())
    }

    /// Additions to several keys in one call: all of them lie on one side of a cut, which the hole between two of them
    /// would show.
    fn add_batch(&mut self, who: usize, first: u64, rng: &mut SimRng) -> Result<(), Violation> {
        let (begun, lane) = (self.now(), self.workers[who].lane);
        let keys: Vec<u64> = (0..2 + rng.below(6)).map(|at| (first + at * 5) % KEYS).collect();
        if keys.iter().any(|key| self.workers.iter().any(|worker| worker.has_pending_on(*key))) {
            return Ok(());
        }
        let names = Vec::from_iter(keys.iter().map(|key| S::key(*key)));
        let result = self.workers[who].session.rmw_batch(&names, |_, value| add_to::<S>(value, lane));
        if self.judge("rmw_batch", result)?.is_none() {
            // Nobody knows which of them took effect: only a fault that began within the call leads here.
            return Err(Violation::new("harness", "a batch failed, and its effect is not known"));
        }
        let serial = self.workers[who].account_for_last();
        let ended = self.now();
        let worker = &mut self.workers[who];
        // The batch's own serial numbers, which accounting took for those of pending operations.
        let own = keys.len() as u64 - 1;
        worker.unfetched.truncate(worker.unfetched.len() - own as usize);
        for (key, serial) in keys.into_iter().zip(serial - own..) {
            let operation =
                Operation { session: lane, number: 0, serial, key, action: Action::Add, begun, ended, saw: None };
            self.history.push(operation);
            let content = self.model.entry(key).or_default();
            *content = content.plus(lane);
        }
        Ok(())
    }

    fn fetch_all(&mut self, who: usize) -> Result<(), Violation> {
        let mut patience = 1_000;
        while self.workers[who].session.pending() > 0 {
            patience -= 1;
            if patience == 0 {
                return Err(Violation::new("ends", "a pending operation neither completes nor fails"));
            }
            let result = self.workers[who].session.complete_pending(true);
            self.workers[who].account_for_pending();
            let Some(completed) = self.judge("complete_pending", result)? else { continue };
            completed.into_iter().try_for_each(|completed| self.fetched(who, completed))?;
        }
        match self.workers[who].unfetched.is_empty() {
            true => Ok(()),
            false => Err(Violation::new("serials", "there are more serial numbers than operations that took effect")),
        }
    }

    fn fetched(&mut self, who: usize, completed: Completed<S::Value>) -> Result<(), Violation> {
        let Some(Pending { key, action, begun, seen }) = self.workers[who].pending.remove(&completed.ticket) else {
            return Err(Violation::new("once", "an operation completed that was not pending"));
        };
        let Some(outcome) = self.judge("pending operation", completed.outcome)? else { return Ok(()) };
        let (lane, ended) = (self.workers[who].lane, self.now());
        let Some(serial) = self.workers[who].unfetched.pop_front() else {
            return Err(Violation::new("serials", "an operation took effect and has no serial number"));
        };
        let saw = Some(match outcome {
            Outcome::Read(value) => self.compare(key, value.map(|value| S::words(&value)))?,
            _ => self.apply_add(lane, key, seen_by(&seen))?,
        });
        self.history.push(Operation { session: lane, number: 0, serial, key, action, begun, ended, saw });
        Ok(())
    }

    /// What an addition found, which has to be what there was.
    fn apply_add(&mut self, lane: usize, key: u64, seen: Option<Words>) -> Result<Saw, Violation> {
        let was_there = self.model.contains_key(&key);
        // A key that is not there begins with zeros.
        let saw = self.compare(key, seen.filter(|words| was_there || *words != [0; crate::oracle::WORDS]))?;
        self.model.insert(key, saw.unwrap_or_default().plus(lane));
        Ok(saw)
    }

    fn compare(&self, key: u64, words: Option<Words>) -> Result<Saw, Violation> {
        let found = words.map_or(Found::Nothing, |words| Content::from_words(&words));
        let expected = self.model.get(&key).copied();
        match (found, expected) {
            (Found::Nothing, None) => Ok(None),
            (Found::Content(content), Some(expected)) if content == expected => Ok(Some(content)),
            _ => {
                let expected = expected.map_or(Found::Nothing, Found::Content);
                Err(Violation::new("right values", format_args!("key {key} holds {found}, and should hold {expected}")))
            }
        }
    }
}

impl<S: Shape<WORDS>> Worker<S> {
    fn has_pending_on(&self, key: u64) -> bool {
        self.pending.values().any(|pending| pending.key == key)
    }
}

fn seen_by(seen: &Seen) -> Option<Words> {
    *seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is no content is left as it is: the comparison after the call finds it.
fn add_to<S: Shape<WORDS>>(value: &mut S::Value, lane: usize) -> bool {
    if let Found::Content(content) = Content::from_words(&S::words(value)) {
        *value = S::value(content.plus(lane).to_words());
    }
    true
}
