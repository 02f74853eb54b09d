//! Readers see whole values, in the order in which they were written, wherever they lie.

use super::{Numbers, Store, at_once, store_of, tiny};
use oxifaster::record::Value;
use std::sync::atomic::{AtomicUsize, Ordering};

const ROUNDS: u64 = 3;

/// Every key is written by one thread, in rounds; at the end all keys have the value of the last round.
fn written_and_read<V: Value + PartialEq + std::fmt::Debug>(
    writers: usize,
    keys: u64,
    make: fn(u64, u64) -> V,
    round_of: fn(u64, &V) -> u64,
) -> Store<V> {
    let store = store_of::<V>(tiny().with_table_size(1 << 13));
    let writing = AtomicUsize::new(writers);
    let (store_ref, writing) = (&store, &writing);
    at_once(writers + 2, |thread| {
        let mut session = store_ref.start_session();
        if thread < writers {
            for round in 1..=ROUNDS {
                for key in (thread as u64..keys).step_by(writers) {
                    session.upsert(key, make(key, round)).unwrap();
                }
            }
            writing.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let mut numbers = Numbers(thread as u64);
        let mut newest = vec![0; keys as usize];
        while writing.load(Ordering::Relaxed) > 0 {
            let key = numbers.next() % keys;
            let round = session.read(&key).unwrap().map_or(0, |value| round_of(key, &value));
            let before = std::mem::replace(&mut newest[key as usize], round);
            assert!(before <= round, "key {key} went back from round {before} to {round}");
        }
    });
    let mut session = store.start_session();
    for key in 0..keys {
        assert_eq!(session.read(&key).unwrap(), Some(make(key, ROUNDS)), "key {key}");
    }
    store
}

#[test]
fn no_reader_goes_back_in_time_over_a_log_ten_times_its_memory() {
    for writers in [2, 4, 8] {
        let make = |key: u64, round: u64| [key, round, key ^ round];
        let round_of = |key: u64, value: &[u64; 3]| {
            assert_eq!(*value, [key, value[1], key ^ value[1]], "a torn value, or another key's");
            value[1]
        };
        let store = written_and_read(writers, 14_000, make, round_of);
        assert!(store.addresses().tail.get() > 10 * (64 << 10), "{:?}", store.addresses());
    }
    for writers in [2, 8] {
        let store = written_and_read(writers, 28_000, |key, round| key << 8 | round, |_, value| value & 0xff);
        assert!(store.addresses().tail.get() > 10 * (64 << 10), "{:?}", store.addresses());
    }
}
