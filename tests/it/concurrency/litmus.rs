//! A write is visible to everyone before its caller reads anything else. (Two writers that each miss the other's write
//! would be a store no sequence of operations can explain.)

use super::{Store, roomy, store_of};
use oxifaster::record::Value;
use oxifaster::store::Session;
use std::sync::atomic::{AtomicU64, Ordering};

/// Meets the other thread with as little delay as possible: both go on within a few nanoseconds.
fn meet(arrived: &AtomicU64, round: u64) {
    arrived.fetch_add(1, Ordering::SeqCst);
    let mut spins = 0u32;
    while arrived.load(Ordering::SeqCst) < 2 * round {
        spins += 1;
        if spins.is_multiple_of(1 << 10) { std::thread::yield_now() } else { std::hint::spin_loop() }
    }
}

/// In each round each of two threads writes its own key and then reads the other's.
fn both_miss<V: Value>(
    store: &Store<V>,
    rounds: u64,
    write: impl Fn(&mut Session<u64, V>, u64, u64) + Sync,
    is_written: impl Fn(&Option<V>, u64) -> bool + Sync,
) -> usize {
    let arrived = AtomicU64::new(0);
    let run = |thread: u64| {
        let mut session = store.start_session();
        let mut missed = Vec::with_capacity(rounds as usize);
        for round in 1..=rounds {
            meet(&arrived, round);
            write(&mut session, thread, round);
            missed.push(!is_written(&session.read(&(1 - thread)).unwrap(), round));
        }
        missed
    };
    let run = &run;
    std::thread::scope(|scope| {
        let other = scope.spawn(move || run(1));
        let mine = run(0);
        let other = other.join().unwrap();
        mine.iter().zip(&other).filter(|(mine, other)| **mine && **other).count()
    })
}

const ROUNDS: u64 = 100_000;

#[test]
fn of_two_that_upsert_one_sees_the_other() {
    let store = store_of::<u64>(roomy());
    let upsert = |session: &mut Session<u64, u64>, key, round| session.upsert(key, round).unwrap();
    assert_eq!(both_miss(&store, ROUNDS, upsert, |value, round| value.unwrap_or(0) >= round), 0);
}

#[test]
fn of_two_that_upsert_latched_values_one_sees_the_other() {
    let store = store_of::<[u64; 4]>(roomy());
    let upsert = |session: &mut Session<u64, [u64; 4]>, key, round| session.upsert(key, [round; 4]).unwrap();
    assert_eq!(both_miss(&store, ROUNDS, upsert, |value, round| value.unwrap_or([0; 4])[3] >= round), 0);
}

#[test]
fn of_two_that_modify_one_sees_the_other() {
    let store = store_of::<u64>(roomy());
    let modify = |session: &mut Session<u64, u64>, key, _| {
        session
            .rmw(key, |value| {
                *value += 1;
                true
            })
            .map(drop)
            .unwrap();
    };
    assert_eq!(both_miss(&store, ROUNDS, modify, |value, round| value.unwrap_or(0) >= round), 0);
}

#[test]
fn of_two_that_insert_and_delete_in_turn_one_sees_the_other() {
    let store = store_of::<u64>(roomy());
    let turn = |session: &mut Session<u64, u64>, key, round| {
        if round % 2 == 1 { session.upsert(key, round).unwrap() } else { session.delete(&key).unwrap() }
    };
    // What is left of the round before is the opposite of what this round writes, or of the next one's.
    let is_written = |value: &Option<u64>, round: u64| match value {
        Some(written) => *written >= round,
        None => round.is_multiple_of(2),
    };
    assert_eq!(both_miss(&store, ROUNDS, turn, is_written), 0);
}
