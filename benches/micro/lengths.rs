//! Keys of 16 bytes and values of 100: in a store that knows these lengths, and in one whose keys and values may have any.

use crate::ROUND;
use crate::stage::Keys;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use oxifaster::device::MemoryDisk;
use oxifaster::record::{Key, KeyBytes, Value};
use oxifaster::store::{FasterKv, FasterKvConfig, Session};
use std::borrow::Borrow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

const COUNT: u64 = 1_000_000;

/// A store with all its keys in memory, or none of its records.
struct Pair<K: Key, V: Value> {
    session: Mutex<Session<K, V>>,
    /// The same bytes for both, in a row: to make a key of them is the caller's work, and not measured.
    keys: Vec<[u8; 16]>,
    key: fn([u8; 16]) -> K,
    value: V,
}

impl<K: Key, V: Value> Pair<K, V> {
    fn new(count: u64, budget: u64, is_evicted: bool, key: fn([u8; 16]) -> K, value: V) -> Self {
        let config = FasterKvConfig::default().with_memory_budget(budget).with_table_size(count / 4);
        let store = FasterKv::open(config, MemoryDisk::new()).unwrap();
        let bytes = |number: u64| (u128::from(number) << 64 | u128::from(!number)).to_le_bytes();
        let (mut session, keys) = (store.start_session(), Vec::from_iter((0..count).map(bytes)));
        keys.iter().for_each(|bytes| session.upsert(key(*bytes), value.clone()).unwrap());
        if is_evicted {
            store.evict().unwrap();
        }
        Self { session: Mutex::new(session), keys, key, value }
    }

    /// What `make` makes of the keys of a round, which follow no order.
    fn draw<T>(&self, make: impl Fn([u8; 16]) -> T) -> Vec<T> {
        static SEED: AtomicUsize = AtomicUsize::new(1);
        let mut keys = Keys::new(SEED.fetch_add(1, Ordering::Relaxed), self.keys.len() as u64);
        Vec::from_iter((0..ROUND).map(|_| make(self.keys[keys.draw() as usize])))
    }

    fn measure<R>(&self, bencher: Bencher<'_, '_>, operation: impl Fn(&mut Session<K, V>, &[u8; 16]) -> R + Sync) {
        bencher.counter(ItemsCount::new(ROUND)).with_inputs(|| self.draw(|bytes| bytes)).bench_refs(|keys| {
            let session = &mut *self.session.lock().unwrap();
            keys.iter().for_each(|key| drop(black_box(operation(session, key))));
        });
    }

    fn measure_writes(&self, bencher: Bencher<'_, '_>) {
        let inputs = || self.draw(|bytes| ((self.key)(bytes), self.value.clone()));
        bencher.counter(ItemsCount::new(ROUND)).with_inputs(inputs).bench_values(|pairs| {
            let session = &mut *self.session.lock().unwrap();
            pairs.into_iter().for_each(|(key, value)| session.upsert(key, value).unwrap());
        });
    }

    /// The calls are given references, which are taken here, to what is in a row.
    fn measure_looks<Q: KeyBytes + ?Sized>(&self, bencher: Bencher<'_, '_>, borrowed: fn(&[u8; 16]) -> &Q)
    where
        K: Borrow<Q>,
    {
        bencher.counter(ItemsCount::new(ROUND)).with_inputs(|| self.draw(|bytes| bytes)).bench_refs(|keys| {
            let session = &mut *self.session.lock().unwrap();
            let keys: Vec<&Q> = keys.iter().map(borrowed).collect();
            let look = |_, bytes: Option<&[u8]>| {
                black_box(bytes.map(|bytes| bytes[99]));
            };
            keys.chunks(250).for_each(|keys| session.read_batch_with(keys, look).unwrap());
        });
    }

    fn measure_batches(&self, bencher: Bencher<'_, '_>) {
        bencher.counter(ItemsCount::new(ROUND)).with_inputs(|| self.draw(self.key)).bench_refs(|keys| {
            let session = &mut *self.session.lock().unwrap();
            keys.chunks(250).for_each(|keys| drop(black_box(session.read_batch(keys).unwrap())));
        });
    }
}

type Fixed = Pair<[u8; 16], [u8; 100]>;
type Any = Pair<Box<[u8]>, Vec<u8>>;

fn fixed(count: u64, budget: u64, is_evicted: bool) -> Fixed {
    Pair::new(count, budget, is_evicted, |bytes| bytes, [7; 100])
}

fn any(count: u64, budget: u64, is_evicted: bool) -> Any {
    Pair::new(count, budget, is_evicted, |bytes| bytes.into(), vec![7; 100])
}

static FIXED: LazyLock<Fixed> = LazyLock::new(|| fixed(COUNT, 512 << 20, false));
static ANY: LazyLock<Any> = LazyLock::new(|| any(COUNT, 512 << 20, false));
static FIXED_ON_DEVICE: LazyLock<Fixed> = LazyLock::new(|| fixed(COUNT / 5, 64 << 20, true));
static ANY_ON_DEVICE: LazyLock<Any> = LazyLock::new(|| any(COUNT / 5, 64 << 20, true));

#[divan::bench(args = ["fixed", "any"])]
fn look(bencher: Bencher<'_, '_>, lengths: &str) {
    match lengths {
        "fixed" => FIXED.measure(bencher, |session, key| session.read_with(key, |bytes| bytes[99]).unwrap()),
        _ => ANY.measure(bencher, |session, key| session.read_with(&key[..], |bytes| bytes[99]).unwrap()),
    }
}

#[divan::bench(args = ["fixed", "any"])]
fn read(bencher: Bencher<'_, '_>, lengths: &str) {
    match lengths {
        "fixed" => FIXED.measure(bencher, |session, key| session.read(key).unwrap()),
        _ => ANY.measure(bencher, |session, key| session.read(&key[..]).unwrap()),
    }
}

#[divan::bench(args = ["fixed", "any"])]
fn read_of_a_batch(bencher: Bencher<'_, '_>, lengths: &str) {
    match lengths {
        "fixed" => FIXED.measure_batches(bencher),
        _ => ANY.measure_batches(bencher),
    }
}

#[divan::bench(args = ["fixed", "any"])]
fn look_of_a_batch(bencher: Bencher<'_, '_>, lengths: &str) {
    match lengths {
        "fixed" => FIXED.measure_looks(bencher, |key| key),
        _ => ANY.measure_looks(bencher, |key| &key[..]),
    }
}

/// Key and value stay with the caller.
#[divan::bench(args = ["fixed", "any"])]
fn upsert_ref(bencher: Bencher<'_, '_>, lengths: &str) {
    match lengths {
        "fixed" => FIXED.measure(bencher, |session, key| session.upsert_ref(key, &FIXED.value).unwrap()),
        _ => ANY.measure(bencher, |session, key| session.upsert_ref(&key[..], &ANY.value[..]).unwrap()),
    }
}

/// Keys and values are there before; who gives them away frees nothing.
#[divan::bench(args = ["fixed", "any"])]
fn upsert(bencher: Bencher<'_, '_>, lengths: &str) {
    match lengths {
        "fixed" => FIXED.measure_writes(bencher),
        _ => ANY.measure_writes(bencher),
    }
}

#[divan::bench(args = ["fixed", "any"])]
fn read_from_the_device(bencher: Bencher<'_, '_>, lengths: &str) {
    match lengths {
        "fixed" => FIXED_ON_DEVICE.measure(bencher, |session, key| session.read(key).unwrap()),
        _ => ANY_ON_DEVICE.measure(bencher, |session, key| session.read(&key[..]).unwrap()),
    }
}

#[divan::bench(args = ["fixed", "any"])]
fn batch_from_the_device(bencher: Bencher<'_, '_>, lengths: &str) {
    match lengths {
        "fixed" => FIXED_ON_DEVICE.measure_batches(bencher),
        _ => ANY_ON_DEVICE.measure_batches(bencher),
    }
}
