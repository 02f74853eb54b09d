//! Races of inserting and deleting have one winner.

use super::{Store, at_once, roomy, store_of, tiny, while_pages_move};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

const RACERS: usize = 8;

/// In each round all racers insert the same missing key; then all of them look; then all of them delete it.
fn one_winner(store: &Store<u64>, rounds: u64) {
    let barrier = Barrier::new(RACERS);
    let winners: Vec<AtomicU64> = (0..rounds).map(|_| AtomicU64::new(0)).collect();
    at_once(RACERS, |racer| {
        let mut session = store.start_session();
        for (round, winner) in winners.iter().enumerate() {
            // Few keys, so that most of them were there before.
            let key = round as u64 % 7;
            let mine = (round as u64 + 1) << 8 | racer as u64;
            barrier.wait();
            if session.insert(key, mine).unwrap() {
                assert_eq!(winner.swap(mine, Ordering::Relaxed), 0, "round {round} has two winners");
            }
            barrier.wait();
            let winner = winner.load(Ordering::Relaxed);
            assert_ne!(winner, 0, "round {round} has no winner");
            assert_eq!(session.read(&key).unwrap(), Some(winner), "round {round}");
            barrier.wait();
            session.delete(&key).unwrap();
            assert_eq!(session.read(&key).unwrap(), None, "round {round}: somebody's insert came back");
        }
    });
}

#[test]
fn of_eight_that_insert_the_same_key_one_wins() {
    one_winner(&store_of(roomy()), 3_000);
}

#[test]
fn of_eight_that_insert_the_same_key_one_wins_while_pages_move() {
    let store = store_of(tiny());
    while_pages_move(&store, |key| key, || one_winner(&store, 500));
}

/// Inserts that succeed and deletions alternate, whoever does them.
fn inserts_and_deletions_alternate(store: &Store<u64>, each: u64) {
    const KEYS: u64 = 3;
    let inserted: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let deletions = at_once(RACERS, |racer| {
        let mut session = store.start_session();
        for step in 0..each {
            let key = step % KEYS;
            if racer == 0 {
                session.delete(&key).unwrap();
            } else if session.insert(key, racer as u64).unwrap() {
                inserted[key as usize].fetch_add(1, Ordering::Relaxed);
            }
        }
        if racer == 0 { each / KEYS + 1 } else { 0 }
    });
    let deletions: u64 = deletions.iter().sum();
    let mut session = store.start_session();
    for (key, inserted) in inserted.iter().enumerate() {
        let inserted = inserted.load(Ordering::Relaxed);
        assert!((1..=deletions + 1).contains(&inserted), "{inserted} inserts and {deletions} deletions of key {key}");
        session.delete(&(key as u64)).unwrap();
        assert_eq!(session.read(&(key as u64)).unwrap(), None);
        assert!(session.insert(key as u64, 0).unwrap());
    }
}

#[test]
fn there_is_at_most_one_insert_more_than_there_are_deletions() {
    inserts_and_deletions_alternate(&store_of(roomy()), 50_000);
    let store = store_of(tiny());
    while_pages_move(&store, |key| key, || inserts_and_deletions_alternate(&store, 2_000));
}

/// Keys that come and go must not use the index up: an entry is given back with its only record.
#[test]
fn keys_that_come_and_go_leave_the_index_empty() {
    let store = store_of::<u64>(roomy());
    at_once(RACERS, |racer| {
        let mut session = store.start_session();
        for step in 0..20_000u64 {
            let key = step << 8 | racer as u64;
            session.upsert(key, step).unwrap();
            session.delete(&key).unwrap();
        }
    });
    let entries = store.index_stats().entries;
    // A deletion that shares its chain with another key, or meets a page that was just closed, leaves its entry.
    assert!(entries < 8_000, "{entries} entries are left of 160,000 keys");
}
