//! Runs a program on a store and on the model at the same time.

use super::oracle::{Action, Content, KeyModel, OpId, Reply, mix};
use super::program::{FEW_KEYS, Setup, Step};
use oxifaster::device::{FaultPlan, FaultyDisk, IoOp, MemoryDisk};
use oxifaster::record::{Key, Value};
use oxifaster::store::{Begun, Completed, FasterKv, FasterKvConfig, Outcome, Session, Ticket};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

/// What a run went through.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) was_pending: usize,
    pub(super) saturated_buckets: u64,
    pub(super) device_reads: u64,
}

struct Running<K: Key, V: Value> {
    session: Session<K, V>,
    tickets: HashMap<Ticket, (u16, OpId)>,
}

struct Harness<K: Key, V: Value> {
    store: FasterKv<K, V, FaultyDisk<MemoryDisk>>,
    plan: FaultPlan,
    running: Vec<Running<K, V>>,
    keys: BTreeMap<u16, KeyModel>,
    max_pending: usize,
    next_id: OpId,
}

/// Pending operations on one key at the same time; the number of worlds grows fast with it.
const PENDING_PER_KEY: usize = 4;

fn key_of<K: Key>(number: u16) -> K {
    K::build(|bytes| {
        bytes.fill(number as u8 ^ 0x5a);
        bytes[..4].copy_from_slice(&u32::from(number).to_le_bytes());
    })
}

fn bytes_of<V: Value>(seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; V::SIZE];
    mix(&mut bytes, seed);
    bytes
}

fn value_of<V: Value>(bytes: &[u8]) -> V {
    V::build(|to| to.copy_from_slice(bytes))
}

fn content_of<V: Value>(value: Option<V>) -> Content {
    value.map(|value| value.as_bytes().to_vec())
}

fn mix_value<V: Value>(value: &mut V, seed: u8) {
    let mut bytes = value.as_bytes().to_vec();
    mix(&mut bytes, seed);
    *value = value_of(&bytes);
}

/// Runs the whole program; panics where the store contradicts the model.
pub(super) fn run<K: Key, V: Value>(setup: Setup, steps: &[Step]) -> Seen {
    let mut harness = Harness::<K, V>::open(&setup);
    for step in steps {
        harness.step(step);
    }
    harness.finish()
}

impl<K: Key, V: Value> Harness<K, V> {
    fn open(setup: &Setup) -> Self {
        let config = FasterKvConfig::default()
            .with_page_size_bits(12)
            .with_log_memory_size(setup.pages << 12)
            .with_table_size(setup.table_size)
            .with_mutable_fraction(setup.mutable_fraction)
            .with_max_pending(setup.max_pending);
        let store = FasterKv::open(config, FaultyDisk::new(MemoryDisk::new())).unwrap();
        let plan = store.device().plan();
        let max_pending = setup.max_pending;
        let mut harness = Self { store, plan, running: Vec::new(), keys: BTreeMap::new(), max_pending, next_id: 0 };
        harness.start();
        harness
    }

    fn start(&mut self) {
        let session = self.store.start_session();
        self.running.push(Running { session, tickets: HashMap::new() });
    }

    fn key(&mut self, number: u16) -> &mut KeyModel {
        self.keys.entry(number).or_insert_with(KeyModel::absent)
    }

    fn ran(&mut self, number: u16, action: &Action, reply: &Reply) {
        self.key(number).ran(action, reply).unwrap_or_else(|wrong| panic!("key {number}: {wrong}"));
    }

    fn saw(&mut self, number: u16, seen: Option<Vec<u8>>) {
        let seen = seen.expect("a read-modify-write runs its closure");
        self.key(number).was_seen(&seen).unwrap_or_else(|wrong| panic!("key {number}: {wrong}"));
    }

    fn step(&mut self, step: &Step) {
        let count = self.running.len();
        match *step {
            Step::Read { session, key } => self.read(session as usize % count, key),
            Step::Upsert { session, key, seed } => self.upsert(session as usize % count, key, seed),
            Step::Rmw { session, key, seed, veto } => self.rmw(session as usize % count, key, seed, veto),
            Step::Insert { session, key, seed } => self.insert(session as usize % count, key, seed),
            Step::Delete { session, key } => self.delete(session as usize % count, key),
            Step::ReadBatch { session, ref keys } => self.read_batch(session as usize % count, keys),
            Step::UpsertBatch { session, ref keys, seed } => self.upsert_batch(session as usize % count, keys, seed),
            Step::RmwBatch { session, ref keys, seed } => self.rmw_batch(session as usize % count, keys, seed),
            Step::DeleteBatch { session, ref keys } => {
                let batch: Vec<K> = keys.iter().map(|key| key_of(*key)).collect();
                self.running[session as usize % count].session.delete_batch(&batch).unwrap();
                keys.iter().for_each(|key| self.ran(*key, &Action::Delete, &Reply::Nothing));
            }
            Step::BeginRead { session, key } => self.begin(session as usize % count, key, Action::Read),
            Step::BeginRmw { session, key, seed, veto } => {
                self.begin(session as usize % count, key, Action::Rmw { seed, veto, size: V::SIZE });
            }
            Step::BeginInsert { session, key, seed } => {
                self.begin(session as usize % count, key, Action::Insert(bytes_of::<V>(seed)));
            }
            Step::Complete { session, wait } => self.complete(session as usize % count, wait),
            Step::Fill { from, count: keys, seed } => {
                (from..from + keys).for_each(|key| self.upsert(0, FEW_KEYS + key, seed));
            }
            Step::Flush => self.store.flush().unwrap(),
            Step::Evict => self.store.evict().unwrap(),
            Step::HoldReads => self.plan.pause_only(IoOp::Read),
            Step::Start if count < 5 => self.start(),
            Step::Start => {}
            Step::Drop { session } => self.drop_session(session as usize % count),
        }
    }

    fn read(&mut self, session: usize, key: u16) {
        self.plan.resume();
        let value = self.running[session].session.read(&key_of(key)).unwrap();
        self.ran(key, &Action::Read, &Reply::Value(content_of(value)));
    }

    fn upsert(&mut self, session: usize, key: u16, seed: u8) {
        let bytes = bytes_of::<V>(seed);
        self.running[session].session.upsert(key_of(key), value_of(&bytes)).unwrap();
        self.ran(key, &Action::Upsert(bytes), &Reply::Nothing);
    }

    fn rmw(&mut self, session: usize, key: u16, seed: u8, veto: bool) {
        self.plan.resume();
        let mut seen = None;
        let changed = self.running[session].session.rmw(key_of(key), |value: &mut V| {
            seen = Some(value.as_bytes().to_vec());
            mix_value(value, seed);
            !veto
        });
        self.saw(key, seen);
        self.ran(key, &Action::Rmw { seed, veto, size: V::SIZE }, &Reply::Changed(changed.unwrap()));
    }

    fn insert(&mut self, session: usize, key: u16, seed: u8) {
        self.plan.resume();
        let bytes = bytes_of::<V>(seed);
        let inserted = self.running[session].session.insert(key_of(key), value_of(&bytes)).unwrap();
        self.ran(key, &Action::Insert(bytes), &Reply::Changed(inserted));
    }

    fn delete(&mut self, session: usize, key: u16) {
        self.running[session].session.delete(&key_of(key)).unwrap();
        self.ran(key, &Action::Delete, &Reply::Nothing);
    }

    fn read_batch(&mut self, session: usize, keys: &[u16]) {
        self.plan.resume();
        // Each key once: the reads of a batch overlap, so two of one key may come in either order.
        let keys: Vec<u16> = BTreeSet::from_iter(keys).into_iter().copied().collect();
        let batch: Vec<K> = keys.iter().map(|key| key_of(*key)).collect();
        let values = self.running[session].session.read_batch(&batch).unwrap();
        assert_eq!(values.len(), keys.len());
        for (key, value) in keys.into_iter().zip(values) {
            self.ran(key, &Action::Read, &Reply::Value(content_of(value)));
        }
    }

    fn upsert_batch(&mut self, session: usize, keys: &[u16], seed: u8) {
        let values: Vec<Vec<u8>> = (0..keys.len()).map(|at| bytes_of::<V>(seed.wrapping_add(at as u8))).collect();
        let pairs: Vec<(K, V)> = keys.iter().zip(&values).map(|(key, bytes)| (key_of(*key), value_of(bytes))).collect();
        self.running[session].session.upsert_batch(&pairs).unwrap();
        for (key, bytes) in keys.iter().zip(values) {
            self.ran(*key, &Action::Upsert(bytes), &Reply::Nothing);
        }
    }

    fn rmw_batch(&mut self, session: usize, keys: &[u16], seed: u8) {
        self.plan.resume();
        let batch: Vec<K> = keys.iter().map(|key| key_of(*key)).collect();
        let seed_of = |at: usize| seed.wrapping_add(at as u8);
        let veto_of = |at: usize| at % 3 == 2;
        let changed = self.running[session].session.rmw_batch(&batch, |at, value| {
            mix_value(value, seed_of(at));
            !veto_of(at)
        });
        assert_eq!(changed.unwrap(), (0..keys.len()).filter(|at| !veto_of(*at)).count());
        for (at, key) in keys.iter().enumerate() {
            let action = Action::Rmw { seed: seed_of(at), veto: veto_of(at), size: V::SIZE };
            self.ran(*key, &action, &Reply::Changed(!veto_of(at)));
        }
    }

    fn begin(&mut self, session: usize, key: u16, action: Action) {
        if self.key(key).pending() >= PENDING_PER_KEY {
            self.complete_all();
        }
        if self.running[session].session.pending() >= self.max_pending {
            self.plan.resume();
        }
        let seen = Arc::new(Mutex::new(None));
        let begun = &mut self.running[session].session;
        let begun = match &action {
            Action::Rmw { seed, veto, .. } => {
                let (seed, veto, seen) = (*seed, *veto, Arc::clone(&seen));
                let modify = move |value: &mut V| {
                    *seen.lock().unwrap() = Some(value.as_bytes().to_vec());
                    mix_value(value, seed);
                    !veto
                };
                replied(begun.begin_rmw(key_of(key), modify).unwrap(), Reply::Changed)
            }
            Action::Insert(bytes) => replied(begun.begin_insert(key_of(key), value_of(bytes)).unwrap(), Reply::Changed),
            _ => replied(begun.begin_read(&key_of(key)).unwrap(), |value| Reply::Value(content_of(value))),
        };
        match begun {
            Begun::Done(reply) => {
                if let Action::Rmw { .. } = action {
                    self.saw(key, seen.lock().unwrap().take());
                }
                self.ran(key, &action, &reply);
            }
            Begun::Pending(ticket) => {
                let id = self.next_id;
                self.next_id += 1;
                self.key(key).begun(id, action);
                let known = self.running[session].tickets.insert(ticket, (key, id));
                assert_eq!(known, None, "a ticket names one operation only");
            }
        }
        self.check_pending(session);
    }

    fn complete(&mut self, session: usize, wait: bool) {
        if wait {
            self.plan.resume();
        }
        let any_pending = self.running[session].session.pending() > 0;
        let completed = self.running[session].session.complete_pending(wait).unwrap();
        assert!(!completed.is_empty() || !wait || !any_pending, "it waits for at least one");
        completed.into_iter().for_each(|completed| self.completed(session, completed));
        self.check_pending(session);
    }

    fn completed(&mut self, session: usize, completed: Completed<V>) {
        let (key, id) = self.running[session].tickets.remove(&completed.ticket).expect("a ticket that was given out");
        let reply = match completed.outcome.unwrap() {
            Outcome::Read(value) => Reply::Value(content_of(value)),
            Outcome::Rmw(changed) | Outcome::Insert(changed) => Reply::Changed(changed),
            _ => panic!("key {key}: an outcome of a kind that was not asked for"),
        };
        self.key(key).finished(id, &reply).unwrap_or_else(|wrong| panic!("key {key}: {wrong}"));
    }

    fn complete_all(&mut self) {
        for session in 0..self.running.len() {
            while self.running[session].session.pending() > 0 {
                self.complete(session, true);
            }
        }
    }

    fn check_pending(&self, session: usize) {
        assert_eq!(self.running[session].session.pending(), self.running[session].tickets.len());
    }

    fn drop_session(&mut self, session: usize) {
        let Running { session: dropped, tickets } = self.running.swap_remove(session);
        drop(dropped);
        for (key, id) in tickets.into_values() {
            self.key(key).given_up(id);
        }
        if self.running.is_empty() {
            self.start();
        }
        assert_eq!(self.store.session_count(), self.running.len());
    }

    /// Reads everything, from memory as far as it is there and then from the device.
    fn finish(mut self) -> Seen {
        let was_pending = self.next_id;
        self.complete_all();
        for evict in [false, true] {
            if evict {
                self.store.evict().unwrap();
            }
            let numbers: Vec<u16> = self.keys.keys().copied().collect();
            self.read_batch(0, &numbers);
        }
        let saturated_buckets = self.store.index_stats().saturated_buckets;
        Seen { was_pending, saturated_buckets, device_reads: self.store.stats().device.reads }
    }
}

fn replied<T>(begun: Begun<T>, reply: impl FnOnce(T) -> Reply) -> Begun<Reply> {
    match begun {
        Begun::Done(done) => Begun::Done(reply(done)),
        Begun::Pending(ticket) => Begun::Pending(ticket),
    }
}
