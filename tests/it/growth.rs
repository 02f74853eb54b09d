//! The index grows: while sessions work, in the midst of checkpoints, with most of the data on the device, and not beyond its
//! budget.

use super::checkpoint::{apply, assert_prefix};
use oxifaster::ErrorKind;
use oxifaster::cache::ReadCacheConfig;
use oxifaster::checkpoint::{CheckpointKind, ImageUse};
use oxifaster::device::MemoryDisk;
use oxifaster::directory::MemoryDirectory;
use oxifaster::index::GrowthRefusal;
use oxifaster::store::{Begun, CheckpointOptions, FasterKv, FasterKvConfig, Outcome, RecoveryTarget, Session};
use std::collections::HashMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

type Store = FasterKv<u64, u64, MemoryDisk>;

fn small_index(log_memory: u64) -> FasterKvConfig {
    FasterKvConfig::default()
        .with_table_size(16)
        .with_table_size_max(1 << 16)
        .with_log_memory_size(log_memory)
        .with_page_size_bits(14)
}

fn open(config: FasterKvConfig) -> Store {
    FasterKv::open(config, MemoryDisk::new()).unwrap()
}

fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// One of all kinds of operations on a key of this writer, checked against what the writer knows.
fn operate(session: &mut Session<u64, u64>, oracle: &mut HashMap<u64, u64>, key: u64, random: u64) {
    match random % 10 {
        0 => {
            session.delete(&key).unwrap();
            oracle.remove(&key);
        }
        1 | 2 => {
            session
                .rmw(key, |value| {
                    *value = value.wrapping_add(random);
                    true
                })
                .unwrap();
            let value = oracle.entry(key).or_insert(0);
            *value = value.wrapping_add(random);
        }
        3 => {
            assert_eq!(session.insert(key, random).unwrap(), !oracle.contains_key(&key), "insert of {key}");
            oracle.entry(key).or_insert(random);
        }
        4 => {
            let keys = [key, key + 3, key.saturating_sub(3)];
            let values = session.read_batch(&keys).unwrap();
            assert_eq!(values[0], oracle.get(&key).copied(), "batched read of {key}");
        }
        5 => assert_eq!(session.read(&key).unwrap(), oracle.get(&key).copied(), "read of {key}"),
        6 => {
            session.upsert_batch(&[(key, random), (key, random + 1)]).unwrap();
            oracle.insert(key, random + 1);
        }
        _ => {
            session.upsert(key, random).unwrap();
            oracle.insert(key, random);
        }
    }
}

fn assert_holds(store: &Store, oracle: &HashMap<u64, u64>, keys: u64) {
    let mut session = store.start_session();
    let keys: Vec<u64> = (0..keys).collect();
    for (key, value) in keys.iter().zip(session.read_batch(&keys).unwrap()) {
        assert_eq!(value, oracle.get(key).copied(), "key {key}");
    }
}

/// From 2^4 buckets to 2^16: with everything in memory, with most of it on the device, and with copies of that in a read cache.
#[test]
fn writers_find_everything_while_the_index_grows_a_thousandfold() {
    const WRITERS: u64 = 3;
    const OPERATIONS: u64 = 60_000;
    let cached = small_index(256 << 10).with_read_cache(ReadCacheConfig::default().with_mem_size(128 << 10));
    for config in [small_index(16 << 20), small_index(256 << 10), cached] {
        let fits = config.log_memory_size == Some(16 << 20);
        let store = open(config);
        let begun = Barrier::new(WRITERS as usize + 1);
        let oracle: HashMap<u64, u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (store, begun) = (&store, &begun);
                    scope.spawn(move || {
                        let (mut session, mut oracle) = (store.start_session(), HashMap::new());
                        begun.wait();
                        for at in 0..OPERATIONS {
                            let random = mix(at << 8 | writer);
                            let key = (random >> 20) % (at + 1) * WRITERS + writer;
                            operate(&mut session, &mut oracle, key, random >> 8);
                        }
                        oracle
                    })
                })
                .collect();
            begun.wait();
            store.grow_index(1 << 16).unwrap();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let stats = store.index_stats();
        assert_eq!((stats.buckets, stats.growth.doublings, stats.growth.under_way), (1 << 16, 12, false), "{stats:?}");
        if fits {
            assert_eq!(stats.saturated_buckets, 0, "{stats:?}");
        }
        assert_holds(&store, &oracle, OPERATIONS * WRITERS);
    }
}

/// The index doubles again and again, by itself and on request, while checkpoints of every kind are taken. Each can be come back to.
#[test]
fn checkpoints_between_and_during_doublings_hold_every_session_at_one_serial_number() {
    const WRITERS: usize = 3;
    for kind in [CheckpointKind::FoldOver, CheckpointKind::Snapshot, CheckpointKind::Incremental] {
        let config = || small_index(512 << 10);
        let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
        let store: Store = FasterKv::open(config(), disk.clone()).unwrap();
        let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
        let (mut guids, mut reports) = (vec![0; WRITERS], Vec::new());
        std::thread::scope(|scope| {
            for (writer, guid) in guids.iter_mut().enumerate() {
                let (store, stop, done) = (&store, &stop, &done);
                let mut session = store.start_session();
                *guid = session.guid();
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        if session.serial() == 60_000 {
                            std::thread::yield_now();
                            continue;
                        }
                        let serial = session.serial() + 1;
                        apply(&mut session, writer as u64, serial).unwrap();
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let (store, stop, directory) = (&store, &stop, &directory);
            let grower = scope.spawn(move || {
                for bits in 5..=13 {
                    // A checkpoint that is just taking an image says so.
                    while let Err(error) = store.grow_index(1 << bits) {
                        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                        std::thread::yield_now();
                    }
                    std::thread::yield_now();
                }
            });
            while !grower.is_finished() || reports.len() < 4 {
                let before = done.load(Ordering::Relaxed);
                reports.push(store.checkpoint_to(directory, &CheckpointOptions::default().with_kind(kind)).unwrap());
                while done.load(Ordering::Relaxed) < before + 200 && !grower.is_finished() && before < 150_000 {
                    std::thread::yield_now();
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        drop(store);
        let some = reports.iter().step_by(reports.len().div_ceil(6)).chain(reports.last());
        for report in some {
            let (copy, target) = (disk.duplicate(), RecoveryTarget::Token(report.token));
            let (store, report) = FasterKv::recover_from(&directory, target, config(), copy, &|_| ()).unwrap();
            let has_own_image = kind != CheckpointKind::Incremental;
            assert!(!has_own_image || matches!(report.image, ImageUse::Used { .. }), "{report:?}");
            assert_prefix(&store, &guids, &[0; WRITERS]);
            store.grow_index(store.index_stats().buckets * 2).unwrap();
            assert_prefix(&store, &guids, &[0; WRITERS]);
        }
    }
}

/// An index checkpoint of a smaller table is of no use for a log that was linked under a larger one: recovery passes it over.
#[test]
fn an_image_of_a_smaller_table_costs_time_and_no_key() {
    let (disk, directory, config) = (MemoryDisk::new(), MemoryDirectory::new(), small_index(1 << 20));
    let store: Store = FasterKv::open(config.clone(), disk.clone()).unwrap();
    let (mut session, mut oracle) = (store.start_session(), HashMap::new());
    let mut work = |session: &mut Session<u64, u64>, from: u64| {
        for at in from..from + 3000 {
            operate(session, &mut oracle, mix(at) % 4000, mix(at) >> 8);
        }
    };
    work(&mut session, 0);
    let options = CheckpointOptions::default().with_kind(CheckpointKind::Index);
    store.checkpoint_to(&directory, &options).unwrap();
    store.grow_index(1 << 12).unwrap();
    work(&mut session, 3000);
    store.checkpoint_to(&directory, &CheckpointOptions::default().with_index(false)).unwrap();
    drop((session, store));
    let (store, report) = FasterKv::recover_from(&directory, RecoveryTarget::Latest, config, disk, &|_| ()).unwrap();
    assert!(report.index_buckets >= 1 << 12, "{report:?}");
    assert_holds(&store, &oracle, 4000);
}

/// Entries of records on the device are in both halves of their bucket, and what is found by way of either is right.
#[test]
fn reads_that_wait_for_the_device_find_their_key_in_an_index_that_has_grown_meanwhile() {
    const KEYS: u64 = 5000;
    let store = open(small_index(64 << 10));
    let mut session = store.start_session();
    for key in 0..KEYS {
        session.upsert(key, key * 3).unwrap();
    }
    for key in (0..KEYS).step_by(7) {
        session.delete(&key).unwrap();
    }
    store.evict().unwrap();
    let expected = |key: u64| if key.is_multiple_of(7) { None } else { Some(key * 3) };
    let mut bits = store.index_stats().buckets.ilog2();
    for round in 0..3 {
        let mut pending = HashMap::new();
        for key in (round..KEYS * 2).step_by(97) {
            match session.begin_read(&key).unwrap() {
                Begun::Done(value) => assert_eq!(value, if key < KEYS { expected(key) } else { None }),
                Begun::Pending(ticket) => drop(pending.insert(ticket, key)),
            }
        }
        for key in (round..KEYS).step_by(89).filter(|key| key % 7 != 0) {
            let increment = |value: &mut u64| {
                *value += 0;
                true
            };
            session.begin_rmw(key, increment).unwrap();
        }
        bits += 1;
        store.grow_index(1 << bits).unwrap();
        while session.pending() > 0 {
            for completed in session.complete_pending(true).unwrap() {
                if let Outcome::Read(value) = completed.outcome.unwrap() {
                    let key = pending.remove(&completed.ticket).unwrap();
                    assert_eq!(value, if key < KEYS { expected(key) } else { None }, "key {key}");
                }
            }
        }
        assert!(pending.is_empty());
        store.evict().unwrap();
    }
    let keys: Vec<u64> = (0..KEYS).collect();
    for (key, value) in keys.iter().zip(session.read_batch(&keys).unwrap()) {
        assert_eq!(value, expected(*key), "key {key}");
    }
}

#[test]
fn without_room_in_the_budget_the_index_stays_as_it_is_and_says_why() {
    let config = FasterKvConfig::default().with_memory_budget(1 << 20).with_page_size_bits(12).with_table_size(1 << 8);
    let store = open(config);
    let mut session = store.start_session();
    for key in 0..20_000u64 {
        session.upsert(key, key).unwrap();
        if key % 1000 == 0 {
            let stats = store.stats();
            assert!(stats.memory.iter().map(|(_, bytes)| bytes).sum::<usize>() <= stats.memory_budget);
        }
    }
    let stats = store.index_stats();
    assert_eq!(stats.growth.refused, Some(GrowthRefusal::Budget), "{stats:?}");
    assert!(stats.saturated_buckets > 0 && !stats.growth.under_way);
    let error = store.grow_index(1 << 20).unwrap_err();
    assert_eq!((error.kind(), error.field("reason")), (ErrorKind::Limit, Some(GrowthRefusal::Budget.reason())));
    for key in 0..20_000 {
        assert_eq!(session.read(&key).unwrap(), Some(key));
    }
}

#[test]
fn a_store_that_is_asked_not_to_grows_only_on_request() {
    let store = open(small_index(1 << 20).with_index_growth(false));
    let mut session = store.start_session();
    for key in 0..1000u64 {
        session.upsert(key, key).unwrap();
    }
    let before = store.index_stats();
    assert!(before.buckets == 16 && before.saturated_buckets == 16, "{before:?}");
    store.grow_index(1 << 10).unwrap();
    let after = store.index_stats();
    assert_eq!((after.buckets, after.saturated_buckets, after.entries), (1 << 10, 0, 1000), "short chains again");
    assert!(after.load_factor() < 0.2);
    store.grow_index(5).unwrap();
    assert_eq!(store.index_stats().buckets, 1 << 10, "it is as large as that");
}

#[test]
#[cfg(target_os = "linux")]
fn the_memory_of_the_table_before_is_given_back() {
    let config = FasterKvConfig::default()
        .with_table_size(1 << 16)
        .with_table_size_max(1 << 17)
        .with_log_memory_size(1 << 20)
        .with_page_size_bits(14);
    let store = open(config);
    let before = store.memory_stats().index;
    store.grow_index(1 << 17).unwrap();
    let after = store.memory_stats().index;
    assert_eq!(after.bytes, 2 * before.bytes);
    let index = store.stats().memory.iter().find(|(name, _)| *name == "index").map(|(_, bytes)| *bytes as u64);
    assert_eq!(index, Some(after.bytes), "and the budget has it back");
}
