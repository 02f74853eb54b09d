//! Sessions: any number, from any thread, at any time, and an idle one holds nothing up.

use super::{Numbers, at_once, store_of, tiny};
use oxifaster::store::{Begun, Outcome, Session};
use std::sync::Mutex;

const KEYS: u64 = 5_000;

#[test]
fn a_thousand_idle_sessions_with_pending_operations_hold_nothing_up() {
    let store = store_of::<u64>(tiny());
    let mut writer = store.start_session();
    (0..KEYS).for_each(|key| writer.upsert(key, key).unwrap());
    store.evict().unwrap();
    let mut idle: Vec<Session<u64, u64>> = (0..1_000).map(|_| store.start_session()).collect();
    assert_eq!(store.session_count(), 1_001);
    let mut pending = 0;
    for (at, session) in idle.iter_mut().enumerate() {
        let key = at as u64;
        let read = matches!(session.begin_read(&key).unwrap(), Begun::Pending(_));
        let rmw = matches!(
            session
                .begin_rmw(key, |value| {
                    *value += KEYS;
                    true
                })
                .unwrap(),
            Begun::Pending(_)
        );
        pending += usize::from(read) + usize::from(rmw);
    }
    assert_eq!(pending, 2_000);
    // More than the log's memory several times over: every frame is used again while they wait.
    for round in 1..=3 {
        (1_000..KEYS).for_each(|key| writer.upsert(key, key + round).unwrap());
        store.evict().unwrap();
    }
    for (at, session) in idle.iter_mut().enumerate() {
        let key = at as u64;
        let mut outcomes = Vec::new();
        while session.pending() > 0 {
            outcomes.extend(session.complete_pending(true).unwrap().into_iter().map(|done| done.outcome.unwrap()));
        }
        let saw = |value| outcomes.contains(&Outcome::Read(Some(value)));
        assert!(outcomes.len() == 2 && outcomes.contains(&Outcome::Rmw(true)), "{outcomes:?}");
        assert!(saw(key) || saw(key + KEYS), "{outcomes:?}");
        assert_eq!(writer.read(&key).unwrap(), Some(key + KEYS));
    }
    drop(idle);
    assert_eq!(store.session_count(), 1);
}

#[test]
fn sessions_move_between_threads_with_what_is_pending() {
    let store = store_of::<u64>(tiny());
    let mut session = store.start_session();
    (0..KEYS).for_each(|key| session.upsert(key, 0).unwrap());
    store.evict().unwrap();
    let sessions: Vec<Mutex<Session<u64, u64>>> = (0..20).map(|_| Mutex::new(store.start_session())).collect();
    // Each call is made by whatever thread finds the session free.
    at_once(8, |thread| {
        let mut numbers = Numbers(thread as u64 + 1);
        for step in 0..4_000 {
            let Ok(mut session) = sessions[numbers.next() as usize % sessions.len()].try_lock() else { continue };
            match step % 4 {
                0 => drop(session.complete_pending(false).unwrap()),
                1 => drop(session.begin_read(&(numbers.next() % KEYS)).unwrap()),
                2 => drop(
                    session
                        .begin_rmw(0, |value| {
                            *value += 1;
                            true
                        })
                        .unwrap(),
                ),
                _ => drop(
                    session
                        .rmw(1 + numbers.next() % 10, |value| {
                            *value += 1;
                            true
                        })
                        .unwrap(),
                ),
            }
        }
    });
    let begun = store.stats().operations.rmws;
    let (mut others, mut first) = (0, 0);
    for session in sessions {
        let mut session = session.into_inner().unwrap();
        while session.pending() > 0 {
            assert!(session.complete_pending(true).unwrap().iter().all(|completed| completed.outcome.is_ok()));
        }
    }
    for key in 0..=10 {
        let value = session.read(&key).unwrap().unwrap();
        if key == 0 { first += value } else { others += value }
    }
    assert_eq!(first + others, begun);
    assert!(first > 0 && others > 0);
}

#[test]
fn sessions_start_and_end_at_any_time_also_with_operations_pending() {
    let store = store_of::<u64>(tiny());
    let mut session = store.start_session();
    (0..KEYS).for_each(|key| session.upsert(key, key).unwrap());
    at_once(8, |thread| {
        let mut numbers = Numbers(thread as u64 + 1);
        for round in 0..250u64 {
            let mut short = store.start_session();
            if round % 10 == 0 {
                store.evict().unwrap();
            }
            for _ in 0..8 {
                short.begin_read(&(numbers.next() % KEYS)).unwrap();
                // Given up or not, it leaves the value as it is.
                short.begin_rmw(numbers.next() % KEYS, |_| false).unwrap();
            }
            let key = numbers.next() % KEYS;
            assert_eq!(short.read(&key).unwrap(), Some(key));
        }
    });
    assert_eq!(store.session_count(), 1);
    store.evict().unwrap();
    let keys: Vec<u64> = (0..KEYS).collect();
    let expected: Vec<Option<u64>> = keys.iter().map(|key| Some(*key)).collect();
    assert_eq!(session.read_batch(&keys).unwrap(), expected);
}

#[test]
fn sessions_outlive_their_store() {
    let store = store_of::<u64>(tiny());
    let mut session = store.start_session();
    (0..KEYS).for_each(|key| session.upsert(key, key).unwrap());
    drop(store);
    for key in 0..KEYS {
        assert_eq!(session.read(&key).unwrap(), Some(key));
        session.upsert(key, key + 1).unwrap();
    }
    assert_eq!(session.read(&7).unwrap(), Some(8));
}
