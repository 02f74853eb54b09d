//! Threads that disagree on nothing: whether a value has ended, who came first after its end, and what was counted until then.

use super::{SECOND, open};
use oxifaster::record::{Expiring, Expiry};
use oxifaster::store::Conditional;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const THREADS: u64 = 4;

/// A lease: of several who want a key that has ended, one gets it, time after time; also when its record is on the device.
#[test]
fn of_several_who_insert_after_the_end_one_does() {
    let (store, clock) = open::<u64, u64>();
    let (round_begins, round_ends) = (Barrier::new(THREADS as usize + 1), Barrier::new(THREADS as usize + 1));
    let winners = AtomicU64::new(0);
    const ROUNDS: u64 = 200;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, begins, ends, winners) = (&store, &round_begins, &round_ends, &winners);
            scope.spawn(move || {
                let mut session = store.start_session();
                for round in 0..ROUNDS {
                    begins.wait();
                    let lease = Expiring::until(round * THREADS + thread, session.expiry_in(SECOND));
                    let is_mine = match thread % 2 {
                        0 => session.insert_or_get(1, lease).unwrap() == Conditional::Done,
                        _ => session.insert(1, lease).unwrap(),
                    };
                    winners.fetch_add(u64::from(is_mine), Ordering::Relaxed);
                    let holder = *session.read(&1).unwrap().expect("somebody has it");
                    assert_eq!(holder / THREADS, round);
                    assert!(!is_mine || holder == round * THREADS + thread);
                    ends.wait();
                }
            });
        }
        for round in 0..ROUNDS {
            round_begins.wait();
            round_ends.wait();
            assert_eq!(winners.swap(0, Ordering::Relaxed), 1, "in round {round}");
            if round % 3 == 0 {
                store.evict().unwrap();
            }
            clock.advance(SECOND);
        }
    });
}

/// Counters that end. Of each row of counts, from its beginning to its end, every number is drawn once, and none is left out: no
/// count is lost, and no row goes on that has ended.
#[test]
fn counts_start_anew_after_an_end_and_none_is_lost() {
    let (store, clock) = open::<u64, [u64; 2]>();
    let (is_over, counted, rows) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    const STEPS: u64 = 400;
    let count = || {
        let (mut session, mut drawn) = (store.start_session(), Vec::new());
        while !is_over.load(Ordering::Relaxed) {
            let (mut last, new) = ([0; 2], rows.fetch_add(1, Ordering::Relaxed) + 1);
            let until = session.expiry_in(Duration::from_millis(20));
            let draw = |value: &mut Expiring<[u64; 2]>| {
                if value[0] == 0 {
                    value[0] = new;
                    value.set_expiry(until);
                }
                value[1] += 1;
                last = **value;
                true
            };
            session.rmw(1, draw).unwrap();
            drawn.push(last);
            counted.fetch_add(1, Ordering::Relaxed);
        }
        drawn
    };
    let mut drawn: Vec<[u64; 2]> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(count)).collect();
        for step in 0..STEPS {
            // Whoever is slow, between two steps there is something to count.
            let before = counted.load(Ordering::Relaxed);
            while counted.load(Ordering::Relaxed) < before + 30 {
                std::thread::yield_now();
            }
            clock.advance(Duration::from_millis(3));
            if step % 40 == 0 {
                store.evict().unwrap();
            }
        }
        is_over.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    drawn.sort_unstable();
    let mut before = [0, 0];
    for [row, number] in drawn.iter().copied() {
        let expected = if row == before[0] { before[1] + 1 } else { 1 };
        assert_eq!(number, expected, "in row {row}");
        before = [row, number];
    }
    drawn.dedup_by_key(|[row, _]| *row);
    assert!(drawn.len() > 20, "only {} rows", drawn.len());
}

/// Nobody finds a value that somebody was told is over (E1, E2 of the kernel's `expiry`): one thread makes the value last for longer
/// whenever it still can, others look at it while the time comes, in memory and on the device.
#[test]
fn what_is_over_for_one_is_over_for_all() {
    for evicts in [false, true] {
        let (store, clock) = open::<u64, u64>();
        let start = Barrier::new(THREADS as usize + 2);
        /// The newest value that somebody was told is over.
        struct Told(AtomicU64);
        let told = Told(AtomicU64::new(0));
        const ROUNDS: u64 = 300;
        std::thread::scope(|scope| {
            for _ in 0..THREADS - 1 {
                let (store, start, told) = (&store, &start, &told);
                scope.spawn(move || {
                    let mut session = store.start_session();
                    for round in 1..=ROUNDS {
                        start.wait();
                        for _ in 0..8 {
                            let before = told.0.load(Ordering::SeqCst);
                            match session.read(&1).unwrap() {
                                Some(value) => {
                                    assert!(*value == round && before < round, "{value:?} after {before} ended")
                                }
                                None => drop(told.0.fetch_max(round, Ordering::SeqCst)),
                            }
                        }
                        start.wait();
                    }
                });
            }
            let (store, start, told, clock) = (&store, &start, &told, &clock);
            scope.spawn(move || {
                for _ in 1..=ROUNDS {
                    start.wait();
                    clock.advance(Duration::from_millis(1));
                    start.wait();
                }
            });
            scope.spawn(move || {
                let mut session = store.start_session();
                for round in 1..=ROUNDS {
                    start.wait();
                    let before = told.0.load(Ordering::SeqCst);
                    let is_there = session.persist(1).unwrap();
                    assert!(!is_there || before < round, "a value came back that had ended");
                    start.wait();
                }
            });
            let mut session = store.start_session();
            for round in 1..=ROUNDS {
                let now = session.expiry_in(Duration::ZERO).ms().unwrap();
                session.upsert(1, Expiring::until(round, Expiry::at_ms(now + 1))).unwrap();
                if evicts {
                    store.evict().unwrap();
                }
                start.wait();
                start.wait();
            }
        });
    }
}
