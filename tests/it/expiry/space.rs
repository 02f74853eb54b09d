//! What has ended is not moved, and its space comes back by itself.

use super::{SECOND, Store, small};
use oxifaster::clock::VirtualClock;
use oxifaster::compaction::{AutoCompactionConfig, AutoCompactionWorker, CompactionConfig};
use oxifaster::device::MemoryDisk;
use oxifaster::store::FasterKv;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// With an index that has an entry for every key.
fn open() -> (Store<u64, u64>, Arc<VirtualClock>) {
    let clock = Arc::new(VirtualClock::new(0));
    let config = small(&clock).with_table_size(1 << 12);
    (FasterKv::open(config, Arc::new(MemoryDisk::new())).unwrap(), clock)
}

#[test]
fn a_compaction_leaves_behind_what_has_ended_and_nothing_older_comes_up() {
    let (store, clock) = open();
    let mut session = store.start_session();
    for key in 0..500 {
        session.upsert(key, 1.into()).unwrap();
    }
    store.evict().unwrap();
    for key in 0..500 {
        session.upsert_for(key, 2, if key % 5 == 0 { 9 * SECOND } else { SECOND }).unwrap();
    }
    store.evict().unwrap();
    clock.advance(SECOND);
    let middle = store.addresses().begin.get() + (store.addresses().tail.get() - store.addresses().begin.get()) / 2;
    // First what is older, of which nothing is in use any more; then the newest.
    for until in [oxifaster::address::Address::new(middle), store.addresses().tail] {
        let report = store.log_compact_until(until).unwrap();
        assert!(report.copied <= 100 * 40, "{report:?}");
        for key in 0..500 {
            let found = session.read(&key).unwrap();
            assert_eq!(found.as_deref(), (key % 5 == 0).then_some(&2), "key {key}");
        }
    }
    assert!(store.addresses().tail.get() - store.addresses().begin.get() < 4 * 100 * 40 + 2 * 4096);
    // A key that ended can begin again.
    assert!(session.insert(1, 3.into()).unwrap());
    assert_eq!(session.read(&1).unwrap(), Some(3.into()));
}

#[test]
fn what_has_ended_is_no_use_of_the_log() {
    let (store, clock) = open();
    let mut session = store.start_session();
    for key in 0..4000 {
        session.upsert_for(key, 1, if key % 4 == 0 { 9 * SECOND } else { SECOND }).unwrap();
    }
    store.evict().unwrap();
    let before = store.utilization();
    clock.advance(SECOND);
    let after = store.utilization();
    assert!(after < before * 0.4, "{before} and then {after}");
    let report = store.compact(&CompactionConfig::default().with_target_utilization(0.8)).unwrap();
    assert!(report.copied > 0 && report.reclaimed > 0, "{report:?}");
    assert_eq!(store.count().unwrap(), 1000);
}

/// Nobody deletes anything, and nobody asks for a compaction.
#[test]
fn space_comes_back_by_itself_and_no_faster_than_it_may() {
    let (store, clock) = open();
    let store = Arc::new(store);
    let mut session = store.start_session();
    let count = 20_000;
    for key in 0..count {
        session.upsert_for(key, 1, SECOND).unwrap();
    }
    store.evict().unwrap();
    let full = store.device().used_bytes();
    let bound = 2 << 20;
    let how = CompactionConfig::default().with_target_utilization(0.6).with_bytes_per_second(bound);
    let how = AutoCompactionConfig::default()
        .with_compaction(how)
        .with_check_interval(Duration::from_millis(5))
        .with_min_log_size(1 << 16)
        .with_durable_within(Duration::ZERO);
    let worker = AutoCompactionWorker::new(how);
    worker.start(Arc::downgrade(&store)).unwrap();
    let since = Instant::now();
    let wait_for = |what: &str, done: &dyn Fn() -> bool| {
        while !done() {
            assert!(since.elapsed() < Duration::from_secs(60), "{what}: {:?}", worker.state());
            std::thread::yield_now();
        }
    };
    clock.advance(SECOND);
    let begun = Instant::now();
    wait_for("space does not come back", &|| store.device().used_bytes() < full / 4);
    worker.stop();
    let state = worker.state();
    assert_eq!((state.total.copied, state.failures), (0, 0), "{state:?}");
    let fastest = Duration::from_secs_f64(state.total.scanned as f64 / bound as f64);
    assert!(begun.elapsed() + Duration::from_millis(200) >= fastest, "{:?} for {state:?}", begun.elapsed());
    assert_eq!(store.count().unwrap(), 0);
    assert!(session.insert(7, 7.into()).unwrap());
}
