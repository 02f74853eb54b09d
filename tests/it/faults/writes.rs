//! A device that cannot be written to.

use super::{check, open, tiny};
use oxifaster::device::{IoOp, MemoryDisk, StorageDevice};
use oxifaster::store::{FasterKv, FasterKvConfig};
use oxifaster::{Error, ErrorKind};
use std::error::Error as _;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The kind of the input/output error at the end of the chain of causes.
fn root(error: &Error) -> Option<io::ErrorKind> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        source = cause.source();
    }
    None
}

/// Upserts keys from `from` on until one is refused; returns how many keys there are and why the next was refused.
fn fill(store: &super::Store, from: u64) -> (u64, Error) {
    let mut session = store.start_session();
    for key in from.. {
        if let Err(error) = session.upsert(key, key * 3) {
            return (key, error);
        }
    }
    unreachable!()
}

fn refuses_and_recovers(kind: io::ErrorKind) {
    let (store, plan) = open(tiny());
    plan.fail_from(IoOp::Write, 3, kind);
    let started = Instant::now();
    let (keys, error) = fill(&store, 0);
    assert!(started.elapsed() < Duration::from_secs(5), "it took {:?} to be told", started.elapsed());
    assert_eq!((error.kind(), root(&error)), (ErrorKind::DeviceFailed, Some(kind)), "{error}");
    assert!(error.to_string().contains("nothing acknowledged is lost"), "{error}");
    assert!((3_000..3_100).contains(&keys), "{keys} keys: memory and the two pages that were written");
    check(&store, keys, keys + 10);
    // Nothing got worse by asking again, and what needs no room still works.
    let (more, error) = fill(&store, keys);
    assert_eq!((more, error.kind()), (keys, ErrorKind::DeviceFailed), "{error}");
    assert_eq!(store.flush().unwrap_err().kind(), ErrorKind::DeviceFailed);
    assert_eq!(store.evict().unwrap_err().kind(), ErrorKind::DeviceFailed);
    check(&store, keys, keys + 10);
    let mut session = store.start_session();
    let refused = session.rmw(keys, |_| true).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::DeviceFailed, "{refused}");
    assert_eq!(session.insert(keys, 1).unwrap_err().kind(), ErrorKind::DeviceFailed);
    plan.repair();
    for key in keys..5 * keys {
        session.upsert(key, key * 3).unwrap();
    }
    store.evict().unwrap();
    check(&store, 5 * keys, 5 * keys + 10);
}

#[test]
fn a_device_that_fails_refuses_writes_and_loses_nothing() {
    refuses_and_recovers(io::ErrorKind::Other);
}

#[test]
fn a_device_that_is_full_refuses_writes_and_loses_nothing() {
    refuses_and_recovers(io::ErrorKind::StorageFull);
}

#[test]
fn a_single_write_that_fails_is_repeated_and_nobody_notices() {
    let (store, plan) = open(tiny());
    let mut session = store.start_session();
    for key in 0..20_000 {
        if key % 2_000 == 1_999 {
            plan.fail_nth(IoOp::Write, 1, io::ErrorKind::Interrupted);
        }
        session.upsert(key, key * 3).unwrap();
    }
    store.flush().unwrap();
    let failures = store.stats().device.write_failures;
    assert_eq!(failures, 10);
    store.evict().unwrap();
    check(&store, 20_000, 20_010);
}

#[test]
fn a_device_that_fails_at_random_times_loses_nothing() {
    let (store, plan) = open(tiny());
    let mut session = store.start_session();
    let mut refused = 0;
    for key in 0..20_000u64 {
        match key % 5_000 {
            1_000 | 3_000 => plan.break_writes(),
            2_000 | 4_500 => plan.repair(),
            _ => {}
        }
        while let Err(error) = session.upsert(key, key * 3) {
            assert_eq!(error.kind(), ErrorKind::DeviceFailed, "{error}");
            refused += 1;
            plan.repair();
        }
    }
    assert!(refused > 0);
    store.evict().unwrap();
    check(&store, 20_000, 20_010);
}

#[test]
fn several_threads_are_all_refused_and_all_go_on() {
    let (store, plan) = open(tiny());
    plan.break_writes();
    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let write = |thread: u64| {
            let (store, refused) = (&store, &refused);
            scope.spawn(move || {
                let mut session = store.start_session();
                let mut was_refused = false;
                for key in (thread..20_000).step_by(4) {
                    while let Err(error) = session.upsert(key, key * 3) {
                        assert_eq!(error.kind(), ErrorKind::DeviceFailed, "{error}");
                        if !std::mem::replace(&mut was_refused, true) {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            })
        };
        let writers: Vec<_> = (0..4).map(write).collect();
        while refused.load(Ordering::Relaxed) < writers.len() {
            assert!(!writers.iter().any(|writer| writer.is_finished()), "20,000 keys do not fit in memory");
            std::thread::yield_now();
        }
        plan.repair();
    });
    store.evict().unwrap();
    check(&store, 20_000, 20_010);
}

#[test]
fn a_device_that_holds_data_is_only_overwritten_if_that_is_wanted() {
    let disk = MemoryDisk::new();
    let old = FasterKv::open(tiny(), disk.clone()).unwrap();
    let mut session = old.start_session();
    (0..10_000u64).for_each(|key| session.upsert(key, [key; 3]).unwrap());
    old.flush().unwrap();
    drop((session, old));
    assert!(disk.info().extent > 0);
    let refused = FasterKv::<u64, u64, _>::open(tiny(), disk.clone()).unwrap_err();
    assert_eq!((refused.kind(), refused.field("bytes there").is_some()), (ErrorKind::Config, true), "{refused}");
    assert!(refused.to_string().contains("with_overwrite"), "{refused}");
    let new = FasterKv::open(tiny().with_overwrite(true), disk).unwrap();
    let mut session = new.start_session();
    (0..10_000u64).for_each(|key| session.upsert(key, [key + 1; 3]).unwrap());
    new.evict().unwrap();
    for key in 0..10_010u64 {
        assert_eq!(session.read(&key).unwrap(), (key < 10_000).then_some([key + 1; 3]), "key {key}");
    }
}

#[test]
fn what_an_earlier_log_left_on_the_device_is_never_served() {
    let disk = MemoryDisk::new();
    let old = FasterKv::open(tiny(), disk.clone()).unwrap();
    let mut session = old.start_session();
    (0..10_000u64).for_each(|key| session.upsert(key, key).unwrap());
    old.evict().unwrap();
    // A second store writes over the first one's log, block by block in the same places.
    let new = FasterKv::open(tiny().with_overwrite(true), disk).unwrap();
    let mut other = new.start_session();
    (0..10_000u64).for_each(|key| other.upsert(key, key + 1).unwrap());
    new.evict().unwrap();
    for key in 0..10_000 {
        assert_eq!(session.read(&key).unwrap_err().kind(), ErrorKind::Corrupt, "key {key}");
    }
}

#[test]
fn a_memory_budget_is_no_reason_to_lose_a_failed_write() {
    // The defaults of a budget, not sizes chosen by hand; large records, so that several writes are under way.
    let config = FasterKvConfig::default().with_memory_budget(4 << 20);
    let store = FasterKv::open(config, oxifaster::device::FaultyDisk::new(MemoryDisk::new())).unwrap();
    let plan = store.device().plan();
    let (mut session, mut faults) = (store.start_session(), 0);
    for key in 0..20_000u64 {
        // One after the other: what fails when it is tried again is told to the caller.
        if key % 1_000 == 0 && store.stats().device.write_failures == faults {
            plan.fail_nth(IoOp::Write, 2, io::ErrorKind::TimedOut);
            faults += 1;
        }
        session.upsert(key, [key; 125]).unwrap();
    }
    assert!(faults > 5, "{faults}");
    store.evict().unwrap();
    for key in 0..20_000 {
        assert_eq!(session.read(&key).unwrap(), Some([key; 125]), "key {key}");
    }
}
