//! Operations that memory can answer allocate nothing, whichever face they are called by. A binary of its own, because a
//! program has one allocator, and here it counts.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test panics when it fails")]
#![cfg(not(oxifaster_loom))]

use allocation_counter::measure;
use oxifaster::device::MemoryDisk;
use oxifaster::record::Value;
use oxifaster::store::{AsyncSession, Begun, FasterKv, FasterKvConfig, Session};
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

const KEYS: u64 = 2_000;
/// More than a group of a batch.
const BATCH: usize = 100;

type Store<V> = FasterKv<u64, V, MemoryDisk>;

/// A store with all keys in memory: in the part that is updated in place, or in the part that is not any more.
fn store<V: Value>(mutable_fraction: f64) -> Store<V> {
    let config = FasterKvConfig::default().with_log_memory_size(4 << 20).with_page_size_bits(18);
    let config = config.with_table_size(1 << 12).with_mutable_fraction(mutable_fraction);
    let store = FasterKv::open(config, MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    (0..KEYS).for_each(|key| session.upsert(key, V::initial()).unwrap());
    if mutable_fraction == 0.0 {
        store.flush().unwrap();
    }
    store
}

/// Runs `work` for all keys once to warm up, and then again, when nothing may be allocated.
fn allocates_nothing(what: &str, mut work: impl FnMut(u64)) {
    (0..KEYS).for_each(&mut work);
    let counted = measure(|| (0..KEYS).for_each(&mut work));
    assert_eq!(counted.count_total, 0, "{what}: {counted:?} in {KEYS} operations");
}

/// The same for calls that take many keys.
fn batches_allocate_nothing(what: &str, mut work: impl FnMut(&[u64])) {
    let keys: Vec<u64> = (0..KEYS).collect();
    keys.chunks(BATCH).for_each(&mut work);
    let counted = measure(|| keys.chunks(BATCH).for_each(&mut work));
    assert_eq!(counted.count_total, 0, "{what}: {counted:?} in {} batches", KEYS as usize / BATCH);
}

fn ready<T>(future: impl Future<Output = oxifaster::Result<T>>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome.unwrap(),
        Poll::Pending => panic!("memory can answer"),
    }
}

fn done<T>(begun: Begun<T>) -> T {
    match begun {
        Begun::Done(outcome) => outcome,
        Begun::Pending(_) => panic!("memory can answer"),
    }
}

fn single_calls<V: Value>(session: &mut Session<u64, V>) {
    allocates_nothing("read", |key| drop(black_box(session.read(&key).unwrap())));
    allocates_nothing("read of a key that is not there", |key| assert!(session.read(&(key + KEYS)).unwrap().is_none()));
    allocates_nothing("upsert", |key| session.upsert(key, V::initial()).unwrap());
    allocates_nothing("rmw", |key| {
        assert!(session.rmw(key, |value| black_box(value).as_bytes().len() < 1 << 20).unwrap())
    });
    allocates_nothing("rmw that changes nothing", |key| assert!(!session.rmw(key, |_| false).unwrap()));
    allocates_nothing("insert of a key that is there", |key| assert!(!session.insert(key, V::initial()).unwrap()));
    allocates_nothing("insert and delete", |key| {
        assert!(session.insert(key + KEYS, V::initial()).unwrap());
        session.delete(&(key + KEYS)).unwrap();
    });
}

fn batch_calls<V: Value>(session: &mut Session<u64, V>) {
    let mut values = vec![None; BATCH];
    batches_allocate_nothing("read_batch_into", |keys| session.read_batch_into(keys, &mut values).unwrap());
    let mut pairs = vec![(0, V::initial()); BATCH];
    batches_allocate_nothing("upsert_batch", |keys| {
        pairs.iter_mut().zip(keys).for_each(|(pair, key)| pair.0 = *key);
        session.upsert_batch(&pairs).unwrap();
    });
    batches_allocate_nothing("rmw_batch", |keys| assert_eq!(session.rmw_batch(keys, |_, _| true).unwrap(), keys.len()));
    batches_allocate_nothing("delete_batch and upsert_batch", |keys| {
        pairs.iter_mut().zip(keys).for_each(|(pair, key)| pair.0 = *key);
        session.delete_batch(keys).unwrap();
        session.upsert_batch(&pairs).unwrap();
    });
}

fn begun_calls<V: Value>(session: &mut Session<u64, V>) {
    allocates_nothing("begin_read", |key| drop(black_box(done(session.begin_read(&key).unwrap()))));
    allocates_nothing("begin_rmw", |key| assert!(done(session.begin_rmw(key, |_| true).unwrap())));
    allocates_nothing("begin_insert", |key| assert!(!done(session.begin_insert(key, V::initial()).unwrap())));
    allocates_nothing("complete_pending", |_| assert!(session.complete_pending(true).unwrap().is_empty()));
}

fn futures<V: Value>(session: &mut AsyncSession<u64, V>) {
    allocates_nothing("future of a read", |key| drop(black_box(ready(session.read(&key)))));
    allocates_nothing("future of an upsert", |key| ready(session.upsert(key, V::initial())));
    allocates_nothing("future of an rmw", |key| assert!(ready(session.rmw(key, |_| true))));
    allocates_nothing("future of an insert", |key| assert!(!ready(session.insert(key, V::initial()))));
    allocates_nothing("future of a conditional change", |key| {
        assert!(ready(session.replace_if(key, V::initial(), |_| true)).is_done());
    });
    allocates_nothing("futures of a delete and an upsert", |key| {
        ready(session.delete(&key));
        ready(session.upsert(key, V::initial()));
    });
}

fn every_face<V: Value>() {
    let store = store::<V>(0.9);
    let mut session = store.start_session();
    single_calls(&mut session);
    batch_calls(&mut session);
    begun_calls(&mut session);
    futures(&mut store.start_async_session());
    assert_eq!(store.stats().device.reads, 0);
}

#[test]
fn operations_on_values_of_one_word_allocate_nothing() {
    every_face::<u64>();
}

#[test]
fn operations_on_latched_values_allocate_nothing() {
    every_face::<[u64; 4]>();
    every_face::<[u8; 100]>();
}

/// A value that is handed out takes an allocation of its own; nothing else does, and no look-up makes a key.
#[test]
fn operations_on_keys_and_values_of_any_length_allocate_no_more_than_the_value() {
    let config = FasterKvConfig::default().with_memory_budget(16 << 20);
    let store: FasterKv<String, Vec<u8>, _> = FasterKv::open(config, MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    session.upsert("a key of more than a few bytes".to_owned(), vec![7; 100]).unwrap();
    let key = "a key of more than a few bytes";
    let counted = measure(|| drop(black_box(session.read(key).unwrap())));
    assert_eq!(counted.count_total, 1, "the value");
    allocates_nothing("look at a value", |_| assert_eq!(session.read_with(key, <[u8]>::len).unwrap(), Some(100)));
    allocates_nothing("read of a key that is not there", |_| assert!(session.read("not there").unwrap().is_none()));
    allocates_nothing("delete of a key that is not there", |_| session.delete("not there").unwrap());
    allocates_nothing("upsert of what is borrowed", |round| {
        session.upsert_ref(key, &[7; 100][round as usize % 50..]).unwrap()
    });
    session.upsert_ref(key, &[7; 100][..]).unwrap();
    let keys = [[key, "not there"]; BATCH / 2].concat();
    allocates_nothing("look at many values", |_| {
        let (mut there, mut bytes) = (0, 0);
        let look = |_, value: Option<&[u8]>| {
            there += usize::from(value.is_some());
            bytes += value.map_or(0, <[u8]>::len);
        };
        session.read_batch_with(&keys, look).unwrap();
        assert_eq!((there, bytes), (BATCH / 2, BATCH / 2 * 100));
    });
    let mut futures = store.start_async_session();
    let counted = measure(|| drop(black_box(ready(futures.read(key)).unwrap())));
    assert_eq!(counted.count_total, 1, "the value that a future hands out");
    allocates_nothing("future of a read of a key that is not there", |_| {
        assert!(ready(futures.read("not there")).is_none())
    });
    allocates_nothing("future of a delete of a key that is not there", |_| ready(futures.delete("not there")));
    allocates_nothing("future of an upsert of what is borrowed", |_| ready(futures.upsert_ref(key, &[7; 100][..])));
    let lent = [(key, &[6; 100][..]), (key, &[5; 90][..])];
    allocates_nothing("upserts of a batch of what is borrowed", |_| session.upsert_batch_ref(&lent).unwrap());
    assert_eq!(session.read(key).unwrap(), Some(vec![5; 90]), "in order");
    let pairs = vec![(key.to_owned(), vec![9; 100]); BATCH];
    allocates_nothing("upserts of a batch", |_| session.upsert_batch(&pairs).unwrap());
    let mut pair = Some((key.to_owned(), vec![8; 90]));
    let counted = measure(|| {
        let (key, value) = pair.take().unwrap();
        session.upsert(key, value).unwrap();
    });
    assert_eq!(counted.count_total, 0, "in place");
}

#[test]
fn reads_of_immutable_pages_allocate_nothing() {
    let store = store::<[u64; 4]>(0.0);
    assert!(store.addresses().safe_read_only == store.addresses().tail, "{:?}", store.addresses());
    let mut session = store.start_session();
    allocates_nothing("read", |key| assert!(session.read(&key).unwrap().is_some()));
    let mut values = vec![None; BATCH];
    batches_allocate_nothing("read_batch_into", |keys| session.read_batch_into(keys, &mut values).unwrap());
    allocates_nothing("begin_read", |key| assert!(done(session.begin_read(&key).unwrap()).is_some()));
    let mut futures = store.start_async_session();
    allocates_nothing("future", |key| assert!(ready(futures.read(&key)).is_some()));
    assert_eq!(store.stats().device.reads, 0);
}

#[test]
fn what_is_allocated_is_counted() {
    let store = store::<u64>(0.9);
    let mut session = store.start_session();
    let keys: Vec<u64> = (0..KEYS).collect();
    let counted = measure(|| drop(black_box(session.read_batch(&keys).unwrap())));
    assert_eq!(counted.count_total, 1, "the vector that it returns");
}
