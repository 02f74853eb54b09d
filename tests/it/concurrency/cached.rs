//! A read cache never shows a value that is no longer the newest, whoever writes, reads and makes room at the same time.

use super::{Numbers, Store, at_once, store_of, tiny};
use oxifaster::cache::ReadCacheConfig;
use oxifaster::store::{FasterKvConfig, Session};
use std::sync::atomic::{AtomicUsize, Ordering};

const KEYS: u64 = 400;
const ROUNDS: u64 = 40;

/// Chains of up to a dozen keys, and a cache with room for a quarter of them all.
fn config() -> FasterKvConfig {
    tiny().with_table_size(16).with_read_cache(ReadCacheConfig::default().with_mem_size(16 << 10))
}

/// Counts those who work, also when one of them fails.
struct Working<'a>(&'a AtomicUsize);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Moves everything to the device, again and again: only what is there is copied.
fn evict_while(store: &Store<[u64; 3]>, working: &AtomicUsize) {
    while working.load(Ordering::Relaxed) > 0 {
        store.evict().unwrap();
        std::thread::yield_now();
    }
}

fn came_and_left(store: &Store<[u64; 3]>) {
    let cache = store.stats().read_cache.unwrap();
    assert!(cache.added > 1_000 && cache.renewed > 0 && cache.pages_left > 10, "{cache:?}");
}

fn value(key: u64, round: u64) -> [u64; 3] {
    [key, round, key ^ round]
}

/// Gives the keys of one writer the value of each round, in every way there is.
fn write_rounds(store: &Store<[u64; 3]>, writer: usize, writers: usize) {
    let mut session = store.start_session();
    let keys: Vec<u64> = (writer as u64..KEYS).step_by(writers).collect();
    for round in 1..=ROUNDS {
        for key in &keys {
            write_one(&mut session, *key, round);
        }
        // From the device, so that there are copies that the next round makes wrong.
        store.evict().unwrap();
        for (key, found) in keys.iter().zip(session.read_batch(&keys).unwrap()) {
            assert_eq!(found, Some(value(*key, round)), "a writer reads its own");
        }
    }
}

fn write_one(session: &mut Session<u64, [u64; 3]>, key: u64, round: u64) {
    match (key + round) % 3 {
        0 => session.upsert(key, value(key, round)).unwrap(),
        1 => {
            let set = |old: &mut [u64; 3]| {
                assert_eq!(old[1], round - 1);
                *old = value(key, round);
                true
            };
            assert!(session.rmw(key, set).unwrap());
        }
        _ => {
            // Gone for a moment: nobody may see the round before any more.
            session.delete(&key).unwrap();
            assert_eq!(session.read(&key).unwrap(), None, "key {key}");
            session.upsert(key, value(key, round)).unwrap();
        }
    }
    assert_eq!(session.read(&key).unwrap(), Some(value(key, round)), "a writer reads its own");
}

/// Reads keys at random: no value is torn, none goes back to an earlier round.
fn read_while(store: &Store<[u64; 3]>, seed: u64, working: &AtomicUsize) {
    let mut session = store.start_session();
    let (mut numbers, mut newest, mut keys) = (Numbers(seed), vec![0; KEYS as usize], [0; 16]);
    while working.load(Ordering::Relaxed) > 0 {
        keys.fill_with(|| numbers.next() % KEYS);
        for (key, found) in keys.iter().zip(session.read_batch(&keys).unwrap()) {
            let Some(found) = found else { continue };
            assert_eq!(found, value(*key, found[1]), "a torn value, or another key's");
            let before = std::mem::replace(&mut newest[*key as usize], found[1]);
            assert!(before <= found[1], "key {key} went back from round {before} to {}", found[1]);
        }
    }
}

#[test]
fn no_reader_of_copies_goes_back_in_time() {
    let (store, writers) = (store_of::<[u64; 3]>(config()), 3);
    let working = AtomicUsize::new(writers);
    at_once(writers + 4, |thread| match thread {
        writer if writer < writers => {
            let _working = Working(&working);
            write_rounds(&store, writer, writers);
        }
        3 => evict_while(&store, &working),
        reader => read_while(&store, reader as u64, &working),
    });
    came_and_left(&store);
    let mut session = store.start_session();
    for key in 0..KEYS {
        assert_eq!(session.read(&key).unwrap(), Some(value(key, ROUNDS)), "key {key}");
    }
}

#[test]
fn counts_are_exact_though_they_are_read_from_copies() {
    /// The others are only read: copies of them share chains with those that count.
    const COUNTED: u64 = 20;
    let (store, each) = (store_of::<[u64; 3]>(config()), 2_000);
    (0..KEYS).for_each(|key| store.start_session().upsert(key, [0; 3]).unwrap());
    let working = AtomicUsize::new(4);
    let add_one = |count: &mut [u64; 3]| {
        count[0] += 1;
        true
    };
    at_once(5, |thread| {
        if thread == 4 {
            return evict_while(&store, &working);
        }
        let _working = Working(&working);
        let (mut session, mut numbers) = (store.start_session(), Numbers(thread as u64 + 1));
        for step in 0..each {
            assert!(session.rmw(step % COUNTED, add_one).unwrap());
            if step % 40 == 0 {
                store.evict().unwrap();
            }
            for _ in 0..8 {
                session.read(&(numbers.next() % KEYS)).unwrap();
            }
        }
    });
    came_and_left(&store);
    let mut session = store.start_session();
    for key in 0..KEYS {
        let expected = if key < COUNTED { 4 * each / COUNTED } else { 0 };
        assert_eq!(session.read(&key).unwrap().map(|count| count[0]), Some(expected), "key {key}");
    }
}
