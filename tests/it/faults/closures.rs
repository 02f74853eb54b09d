//! Closures that misbehave.

use oxifaster::ErrorKind;
use oxifaster::device::MemoryDisk;
use oxifaster::store::{Begun, FasterKv, FasterKvConfig, Session};
use std::sync::mpsc::channel;
use std::time::Duration;

fn tiny() -> FasterKvConfig {
    FasterKvConfig::default().with_log_memory_size(64 << 10).with_page_size_bits(12).with_table_size(256)
}

#[test]
fn a_closure_that_blocks_makes_others_give_up_in_time_and_nothing_is_lost() {
    let config = tiny().with_wait_limit(Duration::from_millis(50));
    let store = FasterKv::open(config, MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    session.upsert(0u64, 0u64).unwrap();
    let store = &store;
    let (started, has_started) = channel();
    let (go_on, may_go_on) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut blocking = store.start_session();
            let changed = blocking.rmw(0, |value| {
                started.send(()).unwrap();
                may_go_on.recv().unwrap();
                *value += 1;
                true
            });
            assert!(changed.unwrap());
        });
        has_started.recv().unwrap();
        // Nothing can be made immutable while somebody may be changing it: who needs that gives up in time.
        for call in [store.flush(), store.evict()] {
            let error = call.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        }
        let written = (1..10_000).take_while(|key| session.upsert(*key, *key).is_ok()).count() as u64;
        assert!((1_000..9_999).contains(&written), "{written} keys fit");
        let error = session.upsert(10_000, 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        (1..=written).for_each(|key| assert_eq!(session.read(&key).unwrap(), Some(key)));
        assert_eq!((session.read(&(written + 1)).unwrap(), session.read(&10_000).unwrap()), (None, None));
        go_on.send(()).unwrap();
        while store.flush().is_err() {}
        store.evict().unwrap();
        assert_eq!(session.read(&0).unwrap(), Some(1));
        (1..=written).for_each(|key| assert_eq!(session.read(&key).unwrap(), Some(key)));
    });
}

/// Calls `call`, which is to panic.
fn panics<T>(call: impl FnOnce() -> T) {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
    assert!(caught.is_err(), "it was to panic");
}

#[test]
fn a_closure_that_panics_leaves_session_and_store_usable() {
    let store = FasterKv::open(tiny(), MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    let mut write_all = || (0..5_000u64).for_each(|key| session.upsert(key, [key; 3]).unwrap());
    for evict in [false, true] {
        write_all();
        if evict {
            store.evict().unwrap();
        }
        let mut panicking = store.start_session();
        for key in [0, 4_999, 5_000] {
            panics(|| {
                panicking.rmw(key, |value| {
                    value[1] = 7;
                    panic!("on purpose")
                })
            });
            assert_eq!(panicking.read(&key).unwrap(), (key < 5_000).then_some([key; 3]));
            assert!(
                panicking
                    .rmw(1, |value| {
                        value[0] += 1;
                        true
                    })
                    .unwrap()
            );
        }
        // Neither holds up the log.
        write_all();
        store.evict().unwrap();
    }
}

#[test]
fn a_pending_closure_that_panics_takes_only_itself_away() {
    let store = FasterKv::open(tiny().with_wait_limit(Duration::from_secs(2)), MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    (0..5_000u64).for_each(|key| session.upsert(key, key).unwrap());
    store.evict().unwrap();
    let panic_later = |session: &mut Session<u64, u64>| {
        let begun = session.begin_rmw(7, |_| panic!("on purpose")).unwrap();
        assert!(matches!(begun, Begun::Pending(_)));
    };
    // It panics in whatever call takes it on: one that completes, ...
    panic_later(&mut session);
    panics(|| session.complete_pending(true));
    assert_eq!(session.pending(), 0);
    assert!(session.complete_pending(true).unwrap().is_empty());
    // ... one that waits for its own read, whose answer then comes for nobody, ...
    panic_later(&mut session);
    panics(|| session.read(&8));
    assert_eq!(session.read(&9).unwrap(), Some(9));
    assert_eq!(session.pending(), 0);
    // ... or none, if the session ends.
    panic_later(&mut session);
    drop(session);
    let mut session = store.start_session();
    (0..5_000).for_each(|key| assert_eq!(session.read(&key).unwrap(), Some(key)));
    // Nothing is left that would keep reads from overlapping.
    let pending = (0..20).filter(|key| matches!(session.begin_read(key).unwrap(), Begun::Pending(_))).count();
    assert_eq!((pending, session.pending()), (20, 20));
}
