//! The programs on a store, and on a map with the time in each value.

use super::program::{Call, Step, in_ms, program};
use super::small;
use crate::executor::block_on;
use oxifaster::cache::ReadCacheConfig;
use oxifaster::checkpoint::CheckpointKind;
use oxifaster::clock::{Clock, VirtualClock};
use oxifaster::device::MemoryDisk;
use oxifaster::directory::MemoryDirectory;
use oxifaster::record::{Expiring, Expiry, Value};
use oxifaster::store::{
    Add, Append, Begun, Change, ChangeCursor, CheckpointOptions, Conditional, Durability, FasterKv, FasterKvConfig,
    MergeOperator, OfValue, Outcome, RecoveryTarget, Session, TimeToLive,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// A value of a program.
trait Sample: Value + PartialEq + Debug {
    const MERGE: &'static dyn MergeOperator<Self>;
    fn of(seed: u8) -> Self;
    fn change(&mut self, seed: u8);
}

impl Sample for u64 {
    const MERGE: &'static dyn MergeOperator<Self> = &Add;

    fn of(seed: u8) -> Self {
        u64::from(seed)
    }

    fn change(&mut self, seed: u8) {
        *self = self.wrapping_mul(3) + u64::from(seed);
    }
}

impl Sample for Vec<u8> {
    const MERGE: &'static dyn MergeOperator<Self> = &Append;

    fn of(seed: u8) -> Self {
        vec![seed; usize::from(seed) * 2]
    }

    /// Longer or shorter.
    fn change(&mut self, seed: u8) {
        if seed.is_multiple_of(3) && self.len() > 20 { self.truncate(self.len() / 2) } else { self.extend([seed; 9]) }
    }
}

type Model<V> = BTreeMap<u64, Expiring<V>>;
type Kv<V> = FasterKv<u64, Expiring<V>, Arc<MemoryDisk>>;
/// A store that is in use.
type Open<V> = (Session<u64, Expiring<V>>, Kv<V>);

/// What kind of store a program runs on.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    Cached,
    Durable,
}

struct Harness<V: Sample> {
    kind: Kind,
    clock: Arc<VirtualClock>,
    disk: Arc<MemoryDisk>,
    directory: MemoryDirectory,
    /// There but for moments.
    store: Option<Open<V>>,
    model: Model<V>,
    /// What the newest checkpoint holds.
    saved: Option<Model<V>>,
}

fn run<V: Sample>(kind: Kind, steps: &[Step]) {
    let mut harness = Harness::<V>::new(kind);
    for step in steps {
        harness.step(step);
    }
    harness.finish();
}

impl<V: Sample> Harness<V> {
    fn new(kind: Kind) -> Self {
        let (disk, directory, clock) = (Arc::new(MemoryDisk::new()), MemoryDirectory::new(), VirtualClock::new(5000));
        let (clock, model) = (Arc::new(clock), Model::new());
        let mut harness = Self { kind, clock, disk, directory, store: None, model, saved: None };
        let store = match kind {
            Kind::Durable => harness.recovered(),
            Kind::Plain | Kind::Cached => FasterKv::open(harness.config(), Arc::clone(&harness.disk)).unwrap(),
        };
        harness.store = Some((store.start_session(), store));
        harness
    }

    fn config(&self) -> FasterKvConfig {
        let config = small(&self.clock);
        match self.kind {
            Kind::Plain => config,
            Kind::Cached => config.with_read_cache(ReadCacheConfig::default().with_mem_size(4 << 12)),
            Kind::Durable => {
                config.with_durability(Durability::Group { interval: Duration::from_millis(1), bytes: 1 << 16 })
            }
        }
    }

    fn recovered(&self) -> Kv<V> {
        let (config, disk) = (self.config(), Arc::clone(&self.disk));
        match self.kind {
            Kind::Durable => FasterKv::open_durable_in(&self.directory, config, disk, &|_| ()).unwrap().0,
            _ => FasterKv::recover_from(&self.directory, RecoveryTarget::Latest, config, disk, &|_| ()).unwrap().0,
        }
    }

    fn parts(&mut self) -> (&mut Session<u64, Expiring<V>>, &Kv<V>) {
        let (session, store) = self.store.as_mut().unwrap();
        (session, store)
    }

    fn now(&self) -> u64 {
        self.clock.now_ms()
    }

    fn until(&self, ttl: Option<u16>) -> Expiry {
        ttl.map_or(Expiry::NEVER, |ttl| Expiry::at_ms(self.now() + u64::from(ttl)))
    }

    /// The value of the key that has not ended.
    fn get(&self, key: u64) -> Option<Expiring<V>> {
        self.model.get(&key).filter(|value| !value.expiry().is_over(self.now())).cloned()
    }

    fn set(&mut self, key: u64, value: Option<Expiring<V>>) {
        match value {
            Some(value) => self.model.insert(key, value),
            None => self.model.remove(&key),
        };
    }

    fn step(&mut self, step: &Step) {
        let Step { call, key, seed, how } = *step;
        match call {
            Call::Read => assert_eq!(self.read(key, how), self.get(key), "{step:?}"),
            Call::Upsert(ttl) => self.upsert(key, seed, ttl, how),
            Call::Delete => self.delete(key, how),
            Call::Change(ttl) => self.change(key, seed, ttl, how),
            Call::Insert(ttl) => self.insert(key, seed, ttl, how),
            Call::Conditional(holds, ttl) => self.conditional(key, seed, (holds, ttl), how),
            Call::Merge => self.merge(key, seed),
            Call::Transact => self.transact(key, seed),
            Call::Expire(ttl) => {
                let (known, until) = (self.get(key), self.until(Some(ttl)));
                assert_eq!(self.parts().0.expire(key, in_ms(ttl)).unwrap(), known.is_some(), "{step:?}");
                self.set(key, known.map(|value| Expiring::until(value.into_inner(), until)));
            }
            Call::Persist => {
                let known = self.get(key);
                assert_eq!(self.parts().0.persist(key).unwrap(), known.is_some(), "{step:?}");
                self.set(key, known.map(|value| value.into_inner().into()));
            }
            Call::TimeToLive => {
                let expected = self.get(key).map(|value| match value.expiry().ms() {
                    Some(end) => TimeToLive::For(Duration::from_millis(end - self.now())),
                    None => TimeToLive::Forever,
                });
                assert_eq!(self.parts().0.time_to_live(&key).unwrap(), expected, "{step:?}");
            }
            Call::Advance(ms) => self.clock.advance(in_ms(ms)),
            Call::Evict => self.parts().1.evict().unwrap(),
            Call::Flush => self.parts().1.flush().unwrap(),
            Call::Compact(part) => self.compact(part),
            Call::Checkpoint => self.checkpoint(how),
            Call::Recover => self.recover(how),
            Call::Scan => self.scan(how),
        }
    }

    fn read(&mut self, key: u64, how: u8) -> Option<Expiring<V>> {
        let (session, store) = self.parts();
        match how % 6 {
            0 => session.read(&key).unwrap(),
            1 => session.read_batch(&[key]).unwrap().pop().unwrap(),
            2 => block_on(store.start_async_session().read(&key)).unwrap(),
            3 => match session.begin_read(&key).unwrap() {
                Begun::Done(value) => value,
                Begun::Pending(_) => match session.complete_pending(true).unwrap().pop().unwrap().outcome.unwrap() {
                    Outcome::Read(value) => value,
                    other => panic!("{other:?}"),
                },
            },
            4 => session.transaction(|transaction| transaction.read(&key)).unwrap(),
            // Its bytes, and then its expiry.
            _ => {
                let bytes = session.read_with(&key, <[u8]>::to_vec).unwrap();
                let value = session.read(&key).unwrap();
                assert_eq!(bytes.as_deref(), value.as_ref().map(|value| value.as_bytes()));
                value
            }
        }
    }

    fn upsert(&mut self, key: u64, seed: u8, ttl: Option<u16>, how: u8) {
        let value = Expiring::until(V::of(seed), self.until(ttl));
        self.set(key, Some(value.clone()));
        let (session, store) = self.parts();
        match (how % 5, ttl) {
            (0, Some(ttl)) => session.upsert_for(key, value.into_inner(), in_ms(ttl)).unwrap(),
            (1, _) => session.upsert_batch(&[(key, value)]).unwrap(),
            (2, _) => block_on(store.start_async_session().upsert(key, value)).unwrap(),
            (3, _) => session
                .transaction(|transaction| {
                    transaction.upsert(key, value.clone());
                    Ok(())
                })
                .unwrap(),
            _ => session.upsert(key, value).unwrap(),
        }
    }

    fn delete(&mut self, key: u64, how: u8) {
        self.set(key, None);
        let (session, store) = self.parts();
        match how % 4 {
            0 => session.delete_batch(&[key]).unwrap(),
            1 => block_on(store.start_async_session().delete(&key)).unwrap(),
            2 => session
                .transaction(|transaction| {
                    transaction.delete(key);
                    Ok(())
                })
                .unwrap(),
            _ => session.delete(&key).unwrap(),
        }
    }

    fn change(&mut self, key: u64, seed: u8, ttl: Option<u16>, how: u8) {
        let until = ttl.map(|_| self.until(ttl));
        let change = move |value: &mut Expiring<V>| {
            value.change(seed);
            until.inspect(|until| value.set_expiry(*until));
            true
        };
        let mut value = self.get(key).unwrap_or_else(Value::initial);
        change(&mut value);
        self.set(key, Some(value));
        let (session, store) = self.parts();
        match how % 4 {
            0 => assert_eq!(session.rmw_batch(&[key], |_, value| change(value)).unwrap(), 1),
            1 => assert!(block_on(store.start_async_session().rmw(key, change)).unwrap()),
            2 => match session.begin_rmw(key, change).unwrap() {
                Begun::Done(is_changed) => assert!(is_changed),
                Begun::Pending(_) => while session.complete_pending(true).unwrap().is_empty() {},
            },
            _ => assert!(session.rmw(key, change).unwrap()),
        }
    }

    fn insert(&mut self, key: u64, seed: u8, ttl: Option<u16>, how: u8) {
        let (known, value) = (self.get(key), Expiring::until(V::of(seed), self.until(ttl)));
        let (session, store) = self.parts();
        match how % 4 {
            0 => match session.insert_or_get(key, value.clone()).unwrap() {
                Conditional::Done => assert_eq!(known, None),
                Conditional::Refused(found) => assert_eq!(known, Some(found)),
                Conditional::Absent => panic!("an insert finds nothing absent"),
            },
            1 => assert_eq!(block_on(store.start_async_session().insert(key, value.clone())).unwrap(), known.is_none()),
            2 => match session.begin_insert(key, value.clone()).unwrap() {
                Begun::Done(is_inserted) => assert_eq!(is_inserted, known.is_none()),
                Begun::Pending(_) => while session.complete_pending(true).unwrap().is_empty() {},
            },
            _ => assert_eq!(session.insert(key, value.clone()).unwrap(), known.is_none()),
        }
        self.set(key, Some(known.unwrap_or(value)));
    }

    fn conditional(&mut self, key: u64, seed: u8, (holds, ttl): (bool, Option<u16>), how: u8) {
        let (known, new) = (self.get(key), Expiring::until(V::of(seed), self.until(ttl)));
        let (session, asked) = (self.parts().0, std::cell::Cell::new(None));
        let condition = |value: &Expiring<V>| {
            asked.set(Some(value.clone()));
            holds
        };
        let (outcome, is_made, value) = match how % 4 {
            0 => (session.upsert_if(key, new.clone(), condition).unwrap(), known.is_none() || holds, Some(new)),
            1 => (session.replace_if(key, new.clone(), condition).unwrap(), known.is_some() && holds, Some(new)),
            2 => (session.delete_if(key, condition).unwrap(), known.is_some() && holds, None),
            _ => {
                let expected = known.clone().filter(|_| holds).unwrap_or_else(|| Expiring::from(V::of(seed ^ 0xff)));
                let is_made = known.as_ref().is_some_and(|known| known.as_bytes() == expected.as_bytes());
                (session.compare_exchange(key, &expected, new.clone()).unwrap(), is_made, Some(new))
            }
        };
        let expected = match (&known, is_made) {
            (_, true) => Conditional::Done,
            (Some(known), false) => Conditional::Refused(known.clone()),
            (None, false) => Conditional::Absent,
        };
        assert_eq!(outcome, expected);
        assert!(asked.take().is_none_or(|asked| Some(asked) == known), "a condition sees what is there");
        if is_made {
            self.set(key, value);
        }
    }

    fn merge(&mut self, key: u64, seed: u8) {
        let operand = Expiring::until(V::of(seed), self.until(Some(30)));
        let merged = match self.get(key) {
            Some(mut value) => {
                OfValue(V::MERGE).merge(&mut value, &operand).unwrap();
                value
            }
            None => operand.clone(),
        };
        self.set(key, Some(merged));
        self.parts().0.merge(key, operand, &OfValue(V::MERGE)).unwrap();
    }

    /// Moves the value of a key to the next one.
    fn transact(&mut self, key: u64, seed: u8) {
        let (known, other) = (self.get(key), key + 1);
        let mut changed = self.get(other).unwrap_or_else(Value::initial);
        let moved = self.parts().0.transaction(|transaction| {
            let Some(value) = transaction.read(&key)? else { return Ok(None) };
            transaction.delete(key);
            transaction.rmw(other, |other| other.change(seed))?;
            Ok(Some(value))
        });
        assert_eq!(moved.unwrap(), known);
        if known.is_some() {
            changed.change(seed);
            self.set(key, None);
            self.set(other, Some(changed));
        }
    }

    fn compact(&mut self, part: u8) {
        let store = self.parts().1;
        let addresses = store.addresses();
        let bytes = addresses.tail.get() - addresses.begin.get();
        let until = addresses.begin.get() + bytes * u64::from(part) / 16;
        store.log_compact_until(oxifaster::address::Address::new(until)).unwrap();
    }

    fn checkpoint(&mut self, how: u8) {
        let kinds = [CheckpointKind::FoldOver, CheckpointKind::Snapshot];
        let kind = if self.kind == Kind::Durable { kinds[0] } else { kinds[usize::from(how) % 2] };
        let options = CheckpointOptions::default().with_kind(kind).with_index(how & 4 != 0);
        let (_, store) = self.store.as_ref().unwrap();
        store.checkpoint_to(&self.directory, &options).unwrap();
        self.saved = Some(self.model.clone());
    }

    /// What is there afterwards is what was there when the checkpoint was taken, less what has ended since; of a durable store, all.
    fn recover(&mut self, how: u8) {
        if self.saved.is_none() {
            self.checkpoint(how);
        }
        self.store = None;
        let store = self.recovered();
        self.store = Some((store.start_session(), store));
        if self.kind != Kind::Durable {
            self.model = self.saved.clone().unwrap();
        }
    }

    fn live(&self) -> Model<V> {
        let live =
            |(key, value): (&u64, &Expiring<V>)| (!value.expiry().is_over(self.now())).then(|| (*key, value.clone()));
        self.model.iter().filter_map(live).collect()
    }

    fn scan(&mut self, how: u8) {
        let (expected, now) = (self.live(), self.now());
        let store = self.parts().1;
        let scanned: Model<V> = match how % 4 {
            0 => store.iter().unwrap().map(Result::unwrap).collect(),
            1 => store.snapshot().unwrap().map(Result::unwrap).collect(),
            2 => {
                assert_eq!(store.count().unwrap(), expected.len() as u64);
                return;
            }
            _ => {
                let mut followed = Model::new();
                let mut feed = store.changes(ChangeCursor::START).unwrap();
                feed.catch_up().unwrap();
                loop {
                    let changes = feed.take(50).unwrap();
                    if changes.is_empty() {
                        break;
                    }
                    for change in changes {
                        assert!(
                            change.value().is_none_or(|value| !value.expiry().is_over(now)),
                            "an ended value is told"
                        );
                        match change {
                            Change::Insert { key, value } | Change::Update { key, value } => {
                                followed.insert(key, value)
                            }
                            Change::Delete { key } => followed.remove(&key),
                            other => panic!("{other:?}"),
                        };
                    }
                }
                followed
            }
        };
        assert_eq!(scanned, expected);
    }

    /// All that is there, from memory, from the device, and after a compaction of all.
    fn finish(mut self) {
        for round in 0..3 {
            match round {
                1 => self.parts().1.evict().unwrap(),
                2 => self.compact(16),
                _ => {}
            }
            for key in 0..14 {
                assert_eq!(self.read(key, (key % 2) as u8), self.get(key), "key {key} in round {round}");
            }
        }
        self.clock.advance(Duration::from_secs(100));
        self.scan(0);
        self.recover(1);
        self.scan(2);
    }
}

/// As many cases as `PROPTEST_CASES` says, or `usual`.
fn cases(usual: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_some() { config } else { ProptestConfig { cases: usual, ..config } }
}

macro_rules! follow_the_model {
    ($($name:ident: $value:ty, $kind:ident, $cases:literal;)*) => { $(
        proptest! {
            #![proptest_config(cases($cases))]
            #[test]
            fn $name(steps in program()) {
                run::<$value>(Kind::$kind, &steps);
            }
        }
    )* };
}

follow_the_model! {
    words_that_end_follow_the_model: u64, Plain, 192;
    bytes_that_end_follow_the_model: Vec<u8>, Plain, 192;
    words_that_end_follow_the_model_beside_a_read_cache: u64, Cached, 96;
    bytes_that_end_follow_the_model_beside_a_read_cache: Vec<u8>, Cached, 96;
    words_that_end_follow_the_model_in_a_durable_store: u64, Durable, 48;
    bytes_that_end_follow_the_model_in_a_durable_store: Vec<u8>, Durable, 48;
}
