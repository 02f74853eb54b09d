//! Closures that misbehave.

use oxifaster::ErrorKind;
use oxifaster::device::MemoryDisk;
use oxifaster::store::{FasterKv, FasterKvConfig};
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
