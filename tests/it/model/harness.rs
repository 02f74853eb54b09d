//! Runs a program on a store and on the model at the same time.

use super::disk::Disk;
use super::oracle::{Action, Content, KeyModel, OpId, Reply, length_of, mix};
use super::program::{Call, Face, Kind, Setup, Step};
use crate::executor::wait_until_ready;
use oxifaster::ErrorKind;
use oxifaster::address::Address;
use oxifaster::cache::ReadCacheConfig;
use oxifaster::device::{FaultPlan, FaultyDisk, IoOp, StorageDevice};
use oxifaster::record::{Key, Value};
use oxifaster::stats::ReadCacheStats;
use oxifaster::store::{AsyncSession, Completed, FasterKv, FasterKvConfig, Outcome, Session, Ticket};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What a run went through.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) was_pending: usize,
    pub(super) saturated_buckets: u64,
    pub(super) device_reads: u64,
    /// What happened in the read cache.
    pub(super) cache: Option<ReadCacheStats>,
    /// How often the index became half as large.
    pub(super) halvings: u64,
}

/// A future that was pending when it was polled.
pub(super) struct Flight {
    pub(super) key: u16,
    pub(super) id: OpId,
    pub(super) future: Pin<Box<dyn Future<Output = Reply>>>,
}

/// A session of each kind, and what they have under way.
pub(super) struct Running<K: Key, V: Value> {
    pub(super) session: Session<K, V>,
    pub(super) async_session: AsyncSession<K, V>,
    pub(super) tickets: HashMap<Ticket, (u16, OpId)>,
    pub(super) flights: Vec<Flight>,
}

pub(super) struct Harness<K: Key, V: Value> {
    pub(super) store: FasterKv<K, V, FaultyDisk<Arc<dyn StorageDevice>>>,
    pub(super) plan: FaultPlan,
    pub(super) running: Vec<Running<K, V>>,
    pub(super) max_pending: usize,
    keys: BTreeMap<u16, KeyModel>,
    next_id: OpId,
    /// All calls are made in this way, whatever the program says.
    face: Option<Face>,
    /// Whether the names of keys are such that there are few tags.
    pub(super) few_tags: bool,
    halvings: u64,
}

/// The largest index.
const BUCKETS_MAX: u64 = 256;
/// Pending operations on one key at the same time, and those that a batch may meet. Each may have taken effect between any
/// two other changes of the key, so the number of worlds grows with the power of it.
const PENDING_PER_KEY: usize = 4;
const PENDING_AMID_BATCHES: usize = 1;
/// From this number of worlds of one key on, what is pending is completed first.
const WORLDS: usize = 300;
/// Futures under way at the same time.
const FLIGHTS: usize = 100;

pub(super) fn bytes_of<V: Value>(seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; V::FIXED.unwrap_or(length_of(seed))];
    mix(&mut bytes, seed);
    bytes
}

pub(super) fn value_of<'b, V: Value>(bytes: impl IntoIterator<Item = &'b u8>) -> V {
    let bytes: Vec<u8> = bytes.into_iter().copied().collect();
    let built = V::build(bytes.len(), |to| {
        to.copy_from_slice(&bytes);
        bytes.len()
    });
    built.unwrap()
}

pub(super) fn content_of<V: Value>(value: Option<V>) -> Content {
    value.map(|value| value.as_bytes().to_vec())
}

/// Runs the whole program, as it says or by one face; panics where the store contradicts the model.
pub(super) fn run<K: Key, V: Value>(setup: &Setup, steps: &[Step], face: Option<Face>, disk: &Disk) -> Seen {
    let mut harness = Harness::<K, V>::open(setup, face, disk);
    for step in steps {
        harness.step(step);
    }
    harness.finish()
}

impl<K: Key, V: Value> Harness<K, V> {
    fn open(setup: &Setup, face: Option<Face>, disk: &Disk) -> Self {
        let config = FasterKvConfig::default()
            .with_page_size_bits(12)
            .with_log_memory_size(setup.pages << 12)
            .with_table_size(setup.table_size)
            .with_index_shrinking(true)
            .with_mutable_fraction(setup.mutable_fraction)
            .with_max_pending(setup.max_pending)
            .with_revivification(setup.revives);
        let config = match setup.cache_pages {
            Some(pages) => config.with_read_cache(ReadCacheConfig::default().with_mem_size(pages << 12)),
            None => config,
        };
        let store = FasterKv::open(config, FaultyDisk::new(disk.device())).unwrap();
        let (plan, max_pending) = (store.device().plan(), setup.max_pending);
        let (keys, few_tags) = (BTreeMap::new(), setup.few_tags);
        let mut harness =
            Self { store, plan, running: Vec::new(), max_pending, keys, next_id: 0, face, few_tags, halvings: 0 };
        harness.start();
        harness
    }

    fn start(&mut self) {
        let (session, async_session) = (self.store.start_session(), self.store.start_async_session());
        self.running.push(Running { session, async_session, tickets: HashMap::new(), flights: Vec::new() });
    }

    fn key(&mut self, number: u16) -> &mut KeyModel {
        self.keys.entry(number).or_insert_with(KeyModel::absent)
    }

    /// An operation on the key ran to its end.
    pub(super) fn ran(&mut self, number: u16, action: &Action, reply: &Reply) {
        let face = self.face;
        self.key(number).ran(action, reply).unwrap_or_else(|wrong| panic!("key {number}, by {face:?}: {wrong}"));
    }

    /// A closure that runs to its end saw these bytes.
    pub(super) fn saw(&mut self, number: u16, seen: Option<Vec<u8>>) {
        let seen = seen.expect("a read-modify-write runs its closure");
        let face = self.face;
        self.key(number).was_seen(&seen, V::FIXED).unwrap_or_else(|wrong| panic!("key {number}, by {face:?}: {wrong}"));
    }

    /// An operation on the key is pending; gives it its number.
    pub(super) fn begun(&mut self, number: u16, action: Action) -> OpId {
        let id = self.next_id;
        self.next_id += 1;
        self.key(number).begun(id, action);
        id
    }

    fn finished(&mut self, number: u16, id: OpId, reply: &Reply) {
        let face = self.face;
        self.key(number).finished(id, reply).unwrap_or_else(|wrong| panic!("key {number}, by {face:?}: {wrong}"));
    }

    fn step(&mut self, step: &Step) {
        let count = self.running.len();
        match *step {
            Step::Call(ref call) => self.call(call),
            Step::Complete { session, wait } => {
                self.complete(session as usize % count, wait);
                self.fly(session as usize % count, wait);
            }
            Step::Flush => self.store.flush().unwrap(),
            Step::Evict => self.store.evict().unwrap(),
            Step::Grow(times) => self.grow(times),
            Step::Shrink => self.shrink(),
            Step::Compact(tenths) => self.compact(tenths),
            Step::HoldReads => self.plan.pause_only(IoOp::Read),
            Step::Start if count < 5 => self.start(),
            Step::Start => {}
            Step::Drop { session, keep_futures } => self.drop_session(session as usize % count, keep_futures),
        }
    }

    fn grow(&mut self, times: u64) {
        let buckets = self.store.index_stats().buckets * times;
        if buckets <= BUCKETS_MAX {
            self.store.grow_index(buckets).unwrap();
        }
    }

    /// Operations that are under way stay so: what they ask the device for comes, but nobody takes it.
    fn shrink(&mut self) {
        self.plan.resume();
        let before = self.store.index_growth().halvings;
        match self.store.shrink_index(self.store.index_stats().buckets / 2) {
            Ok(()) => self.halvings += self.store.index_growth().halvings - before,
            // It is too full, or as small as it was.
            Err(error) => assert_eq!(error.kind(), ErrorKind::Limit, "{error}"),
        }
    }

    fn compact(&mut self, tenths: u64) {
        self.plan.resume();
        let at = self.store.addresses();
        let until = at.begin.get() + (at.tail.get() - at.begin.get()) * tenths / 10;
        self.store.log_compact_until(Address::new(until)).unwrap();
    }

    fn call(&mut self, call: &Call) {
        let session = call.session as usize % self.running.len();
        let face = self.face.unwrap_or(call.face);
        let together = face == Face::Batch && call.kind != Kind::Insert;
        if together || face == Face::Borrowed && call.kind == Kind::Read && call.keys.len() > 1 {
            call.keys.iter().for_each(|key| self.make_place(*key, PENDING_AMID_BATCHES));
            return self.batch(session, &Call { face, ..call.clone() });
        }
        for (at, key) in call.keys.iter().enumerate() {
            self.make_place(*key, PENDING_PER_KEY - 1);
            let action = call.action::<V>(at);
            match face {
                // Reads, changes and inserts can be begun; what never reads the device need not be.
                Face::Begin if !matches!(call.kind, Kind::Upsert | Kind::Delete) => {
                    self.begin(session, *key, action);
                    self.check_pending(session);
                }
                Face::Future => self.future(session, *key, action),
                Face::Borrowed if matches!(call.kind, Kind::Read | Kind::Upsert) => {
                    self.borrowed(session, *key, action)
                }
                _ => self.single(session, *key, action),
            }
        }
    }

    /// Ends what is pending if there is too much of it: on the key, or of futures, each of which may hold a read buffer.
    fn make_place(&mut self, number: u16, pending_max: usize) {
        let flights: usize = self.running.iter().map(|running| running.flights.len()).sum();
        let key = self.key(number);
        if key.pending() > pending_max || key.worlds() > WORLDS || flights >= FLIGHTS {
            self.complete_all();
        }
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
        self.finished(key, id, &reply);
    }

    /// Polls the futures that are under way, with `wait` until at least one of them has ended.
    fn fly(&mut self, session: usize, wait: bool) {
        // All of them, as an executor would: one that waits for a permit needs those to go on that have one.
        let flights = &mut self.running[session].flights;
        let mut poll = |context: &mut Context<'_>| {
            let poll_one = |flight: &mut Flight| match flight.future.as_mut().poll(context) {
                Poll::Ready(reply) => Some((flight.key, flight.id, reply)),
                Poll::Pending => None,
            };
            let landed: Vec<_> = flights.iter_mut().filter_map(poll_one).collect();
            flights.retain(|flight| landed.iter().all(|(_, id, _)| *id != flight.id));
            if landed.is_empty() && !flights.is_empty() { Poll::Pending } else { Poll::Ready(landed) }
        };
        let landed = if wait {
            self.plan.resume();
            wait_until_ready(poll)
        } else {
            match poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(landed) => landed,
                Poll::Pending => Vec::new(),
            }
        };
        landed.into_iter().for_each(|(key, id, reply)| self.finished(key, id, &reply));
    }

    fn complete_all(&mut self) {
        for session in 0..self.running.len() {
            while self.running[session].session.pending() > 0 {
                self.complete(session, true);
            }
            while !self.running[session].flights.is_empty() {
                self.fly(session, true);
            }
        }
    }

    fn check_pending(&self, session: usize) {
        assert_eq!(self.running[session].session.pending(), self.running[session].tickets.len());
    }

    fn drop_session(&mut self, session: usize, keep_futures: bool) {
        let Running { session: dropped, async_session, tickets, mut flights } = self.running.swap_remove(session);
        drop((dropped, async_session));
        if self.running.is_empty() {
            self.start();
        }
        if keep_futures {
            self.running[0].flights.append(&mut flights);
        }
        let futures = flights.into_iter().map(|flight| (flight.key, flight.id));
        let given_up: Vec<_> = tickets.into_values().chain(futures).collect();
        given_up.into_iter().for_each(|(key, id)| self.key(key).given_up(id));
        assert_eq!(self.store.session_count(), 2 * self.running.len());
    }

    /// Reads everything, from memory as far as it is there and then from the device.
    fn finish(mut self) -> Seen {
        let was_pending = self.next_id;
        self.complete_all();
        let numbers = self.keys.keys().copied().collect::<BTreeSet<u16>>();
        let (keys, seed) = (Vec::from_iter(numbers), 0);
        for evict in [false, true] {
            if evict {
                self.store.evict().unwrap();
            }
            self.batch(0, &Call { session: 0, kind: Kind::Read, keys: keys.clone(), seed, face: Face::Batch });
        }
        let saturated_buckets = self.store.index_stats().saturated_buckets;
        let stats = self.store.stats();
        Seen {
            was_pending,
            saturated_buckets,
            device_reads: stats.device.reads,
            cache: stats.read_cache,
            halvings: self.halvings,
        }
    }
}
