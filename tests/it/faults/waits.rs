//! A device that does not answer.

use super::{check, open, tiny};
use oxifaster::ErrorKind;
use oxifaster::device::IoOp;
use oxifaster::store::{Begun, Outcome};
use std::time::{Duration, Instant};

const KEYS: u64 = 10_000;
/// A key in another block than those that are held up: who asks for the same block shares the access.
const EARLY: u64 = KEYS - 1;
const LIMIT: Duration = Duration::from_millis(40);

#[test]
fn a_read_that_is_not_answered_gives_up_in_time_and_a_late_answer_does_no_harm() {
    let (store, plan) = open(tiny().with_wait_limit(LIMIT));
    let mut session = store.start_session();
    (0..KEYS).for_each(|key| session.upsert(key, key * 3).unwrap());
    store.evict().unwrap();
    let Begun::Pending(early) = session.begin_read(&EARLY).unwrap() else { panic!("it is on the device") };
    plan.pause_only(IoOp::Read);
    let Begun::Pending(held) = session
        .begin_rmw(9, |value| {
            *value += 1;
            true
        })
        .unwrap()
    else {
        panic!()
    };
    let started = Instant::now();
    for error in [
        session.read(&1).unwrap_err(),
        session.rmw(1, |_| true).unwrap_err(),
        session.insert(1, 1).unwrap_err(),
        session.read_batch(&[1, 2]).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::DeviceFailed, "{error}");
        assert!(error.to_string().contains("with_wait_limit"), "{error}");
    }
    assert!(started.elapsed() >= 4 * LIMIT && started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    plan.resume();
    // What came late for calls that gave up is dropped; what was begun finishes, under its own ticket.
    let mut outcomes = Vec::new();
    while session.pending() > 0 {
        outcomes.extend(session.complete_pending(true).unwrap());
    }
    let outcome = |ticket| &outcomes.iter().find(|completed| completed.ticket == ticket).unwrap().outcome;
    assert_eq!(outcome(early).as_ref().unwrap(), &Outcome::Read(Some(EARLY * 3)));
    assert_eq!(outcome(held).as_ref().unwrap(), &Outcome::Rmw(true));
    assert_eq!(session.read(&9).unwrap(), Some(28));
    session.upsert(9, 27).unwrap();
    check(&store, KEYS, KEYS + 10);
}

#[test]
fn sessions_end_while_their_reads_are_held() {
    let (store, plan) = open(tiny().with_wait_limit(LIMIT).with_max_pending(8));
    let mut session = store.start_session();
    (0..KEYS).for_each(|key| session.upsert(key, key * 3).unwrap());
    store.evict().unwrap();
    for round in 0..30 {
        plan.pause_only(IoOp::Read);
        let mut short = store.start_session();
        (0..8).for_each(|key| assert!(matches!(short.begin_read(&key).unwrap(), Begun::Pending(_))));
        if round % 10 == 0 {
            assert_eq!(short.begin_read(&9).unwrap_err().kind(), ErrorKind::DeviceFailed);
            assert_eq!(short.complete_pending(true).unwrap_err().kind(), ErrorKind::DeviceFailed);
            assert!(short.complete_pending(false).unwrap().is_empty());
        }
        drop(short);
        plan.resume();
        assert_eq!(session.read(&round).unwrap(), Some(round * 3));
    }
    check(&store, KEYS, KEYS + 10);
}

#[test]
fn writers_wait_for_a_device_that_is_slow_and_go_on_when_it_answers() {
    let (store, plan) = open(tiny());
    plan.pause_only(IoOp::Write);
    std::thread::scope(|scope| {
        let store = &store;
        let writer = scope.spawn(move || {
            let mut session = store.start_session();
            (0..KEYS).for_each(|key| session.upsert(key, key * 3).unwrap());
        });
        assert!(plan.wait_until_held(1, Duration::from_secs(20)));
        // The log's memory is all there is until something is written.
        let full = 64 << 10;
        while store.addresses().tail.get() < full - 4096 {
            std::thread::yield_now();
        }
        assert!(!writer.is_finished() && store.addresses().tail.get() <= full, "{:?}", store.addresses());
        plan.resume();
        writer.join().unwrap();
    });
    check(&store, KEYS, KEYS + 10);
}

#[test]
fn writers_give_up_on_a_device_that_never_answers() {
    let (store, plan) = open(tiny().with_wait_limit(LIMIT));
    plan.pause_only(IoOp::Write);
    let mut session = store.start_session();
    let keys = (0..KEYS).take_while(|key| session.upsert(*key, key * 3).is_ok()).count() as u64;
    let error = session.upsert(keys, 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert_eq!(store.flush().unwrap_err().kind(), ErrorKind::Busy);
    check(&store, keys, keys + 10);
    plan.resume();
    (keys..KEYS).for_each(|key| session.upsert(key, key * 3).unwrap());
    store.evict().unwrap();
    check(&store, KEYS, KEYS + 10);
}
