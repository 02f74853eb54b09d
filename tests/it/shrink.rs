//! The index shrinks: after mass deletion, while sessions work, with most of the data on the device, and between checkpoints.

use super::checkpoint::{apply, assert_prefix};
use super::duplicate::duplicate;
use oxifaster::ErrorKind;
use oxifaster::cache::ReadCacheConfig;
use oxifaster::checkpoint::{CheckpointKind, ImageUse};
use oxifaster::compaction::{AutoCompactionConfig, AutoCompactionWorker};
use oxifaster::device::MemoryDisk;
use oxifaster::directory::MemoryDirectory;
use oxifaster::index::GrowthRefusal;
use oxifaster::store::{CheckpointOptions, Durability, FasterKv, FasterKvConfig, RecoveryTarget, Session};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

type Store = FasterKv<u64, u64, MemoryDisk>;

fn config(log_memory: u64) -> FasterKvConfig {
    FasterKvConfig::default()
        .with_table_size(1 << 8)
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

/// What is left of `keys` keys when most were deleted.
fn is_left(key: u64) -> bool {
    key.is_multiple_of(12)
}

fn fill_and_delete(session: &mut Session<u64, u64>, keys: u64) {
    for key in 0..keys {
        session.upsert(key, key * 3).unwrap();
    }
    for key in (0..keys).filter(|key| !is_left(*key)) {
        session.delete(&key).unwrap();
    }
}

fn assert_left(store: &Store, keys: u64) {
    let mut session = store.start_session();
    let all: Vec<u64> = (0..keys).collect();
    for (key, value) in all.iter().zip(session.read_batch(&all).unwrap()) {
        assert_eq!(value, is_left(*key).then_some(key * 3), "key {key}");
    }
}

fn compact(store: &Store) {
    store.log_compact_until(store.addresses().tail).unwrap();
}

/// As small as it becomes.
fn shrink(store: &Store) -> u64 {
    let error = store.shrink_index(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    let growth = store.index_growth();
    assert!(!growth.under_way && growth.refused.is_some(), "{growth:?}");
    store.index_stats().buckets
}

/// With everything in memory, with memory for a fraction of it, and with a read cache.
#[test]
fn after_mass_deletion_and_compaction_it_is_halved_several_times() {
    const KEYS: u64 = 150_000;
    let cached = config(256 << 10).with_read_cache(ReadCacheConfig::default().with_mem_size(128 << 10));
    for config in [config(16 << 20), config(128 << 10), cached] {
        let fits = config.log_memory_size == Some(16 << 20);
        let store = open(config);
        let mut session = store.start_session();
        store.grow_index(1 << 15).unwrap();
        fill_and_delete(&mut session, KEYS);
        let before = store.index_stats();
        assert!(before.buckets >= 1 << 15, "{before:?}");
        compact(&store);
        let buckets = shrink(&store);
        let after = store.index_stats();
        assert!(buckets <= before.buckets / 8 && after.growth.halvings >= 3, "{after:?}");
        assert_eq!(after.saturated_buckets, 0);
        assert_left(&store, KEYS);
        // It works on, and grows again if it would by itself.
        for key in KEYS..2 * KEYS {
            session.upsert(key, key).unwrap();
        }
        assert!(!fits || store.index_stats().buckets > buckets);
        assert_left(&store, KEYS);
        assert!((KEYS..2 * KEYS).step_by(7).all(|key| session.read(&key).unwrap() == Some(key)));
    }
}

/// All chains go on on the device, and many collide: keys share tags and buckets, as a table of few buckets has them.
#[test]
fn chains_on_the_device_are_brought_together() {
    const KEYS: u64 = 6000;
    let config = config(64 << 10).with_table_size(1 << 5).with_page_size_bits(12);
    for evicts in [false, true] {
        let store = open(config.clone());
        let mut session = store.start_session();
        let mut oracle = HashMap::new();
        store.grow_index(1 << 14).unwrap();
        for round in 0..3 {
            for at in 0..KEYS {
                let key = mix(at + round * 17) % KEYS;
                if at % 5 == 0 {
                    session.delete(&key).unwrap();
                    oracle.remove(&key);
                } else {
                    session.upsert(key, at + round).unwrap();
                    oracle.insert(key, at + round);
                }
            }
            if evicts {
                store.evict().unwrap();
            }
            let buckets = store.index_stats().buckets;
            store.shrink_index(buckets / 2).unwrap();
            let keys: Vec<u64> = (0..KEYS).collect();
            for (key, value) in keys.iter().zip(session.read_batch(&keys).unwrap()) {
                assert_eq!(value, oracle.get(key).copied(), "key {key} after round {round}");
            }
        }
        let mut found: Vec<(u64, u64)> = store.iter().unwrap().map(|item| item.unwrap()).collect();
        found.sort_unstable();
        let mut expected: Vec<(u64, u64)> = oracle.into_iter().collect();
        expected.sort_unstable();
        assert!(found == expected, "a scan finds what is there");
    }
}

#[test]
fn it_shrinks_by_itself_after_a_compaction_and_not_below_what_was_configured() {
    const KEYS: u64 = 60_000;
    let store = open(config(4 << 20).with_index_shrinking(true));
    let mut session = store.start_session();
    fill_and_delete(&mut session, KEYS);
    let before = store.index_stats().buckets;
    let used = |store: &Store| {
        let memory = store.stats().memory;
        memory.iter().find(|(name, _)| *name == "index").map_or(0, |(_, bytes)| *bytes)
    };
    let used_before = used(&store);
    for key in (0..KEYS).filter(|key| is_left(*key) && key % 7 != 0) {
        session.delete(&key).unwrap();
    }
    compact(&store);
    let stats = store.index_stats();
    assert!(stats.buckets <= before / 8 && stats.growth.halvings >= 3, "{stats:?}");
    assert!(used(&store) <= used_before / 8, "the budget has the memory");
    for key in 0..KEYS {
        let is_left = is_left(key) && key % 7 == 0;
        assert_eq!(session.read(&key).unwrap(), is_left.then_some(key * 3), "key {key}");
        if is_left {
            session.delete(&key).unwrap();
        }
    }
    compact(&store);
    assert_eq!(store.index_stats().buckets, 1 << 8);
    let error = store.shrink_index(1).unwrap_err();
    assert_eq!((error.kind(), error.field("reason")), (ErrorKind::Limit, Some(GrowthRefusal::Smallest.reason())));
}

/// What was deleted is moved no more, its space is given back beside that, its entries are freed then, and the index shrinks: also if nothing
/// is written any more, and so nothing compacted.
#[test]
fn it_shrinks_by_itself_where_a_worker_compacts() {
    const KEYS: u64 = 60_000;
    let store = Arc::new(open(config(1 << 20).with_index_shrinking(true)));
    let mut session = store.start_session();
    fill_and_delete(&mut session, KEYS);
    let is_left = |key: &u64| is_left(*key) && key.is_multiple_of(7);
    for key in (0..KEYS).filter(|key| !is_left(key)) {
        session.delete(&key).unwrap();
    }
    let before = store.index_stats().buckets;
    let at_once = AutoCompactionConfig::default()
        .with_min_log_size(0)
        .with_check_interval(Duration::from_millis(1))
        .with_durable_within(Duration::ZERO);
    let worker = AutoCompactionWorker::new(at_once);
    worker.start(Arc::downgrade(&store)).unwrap();
    let since = Instant::now();
    while store.index_growth().halvings < 3 {
        let growth = store.index_growth();
        assert!(since.elapsed() < Duration::from_secs(60), "{growth:?}, {:?}", worker.state());
        std::thread::yield_now();
    }
    worker.stop();
    let state = worker.state();
    assert!(state.failures == 0 && state.total.reclaimed > 0, "{state:?}");
    assert!(store.index_stats().buckets <= before / 8);
    for key in 0..KEYS {
        assert_eq!(session.read(&key).unwrap(), is_left(&key).then_some(key * 3), "key {key}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_memory_of_the_larger_table_is_given_back() {
    let config = config(1 << 20).with_table_size(1 << 15).with_table_size_max(1 << 17);
    let store = open(config);
    store.grow_index(1 << 17).unwrap();
    let before = store.memory_stats().index;
    store.shrink_index(1 << 15).unwrap();
    let after = store.memory_stats().index;
    assert_eq!(after.bytes, before.bytes / 4);
    assert!(after.resident.unwrap() <= before.resident.unwrap() / 3, "{after:?}");
    store.grow_index(1 << 17).unwrap();
    assert_eq!(store.memory_stats().index.bytes, before.bytes);
}

/// A checkpoint from before is recovered with the larger size, one from after with the smaller one, with an image and without.
#[test]
fn checkpoints_from_before_and_after_are_recovered() {
    const KEYS: u64 = 12_000;
    for kind in [CheckpointKind::FoldOver, CheckpointKind::Snapshot] {
        for log_memory in [64 << 10, 4 << 20] {
            let (disk, directory, config) = (MemoryDisk::new(), MemoryDirectory::new(), config(log_memory));
            let store: Store = FasterKv::open(config.clone(), disk.clone()).unwrap();
            let mut session = store.start_session();
            store.grow_index(1 << 14).unwrap();
            fill_and_delete(&mut session, KEYS);
            let mut reports = Vec::new();
            let mut take = |with_index: bool| {
                let options = CheckpointOptions::default().with_kind(kind).with_index(with_index);
                let report = store.checkpoint_to(&directory, &options).unwrap();
                reports.push((report.token, store.index_stats().buckets, with_index));
            };
            take(true);
            take(false);
            store.shrink_index(store.index_stats().buckets / 4).unwrap();
            take(false);
            take(true);
            compact(&store);
            take(false);
            drop((session, store));
            for (token, buckets, with_index) in reports {
                let target = RecoveryTarget::Token(token);
                let (store, report) =
                    FasterKv::recover_from(&directory, target, config.clone(), disk.duplicate(), &|_| ()).unwrap();
                assert_left(&store, KEYS);
                let has_used = matches!(report.image, ImageUse::Used { .. });
                assert!(has_used || report.index_buckets == buckets, "{report:?}, had {buckets}");
                assert!(has_used || !with_index, "{report:?}");
                shrink(&store);
                assert_left(&store, KEYS);
            }
        }
    }
}

/// The log of a durable store can end anywhere: also between the copies that bring two chains together.
#[test]
fn a_durable_store_comes_back_from_its_log_after_shrinking() {
    const KEYS: u64 = 4000;
    let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
    let config = config(256 << 10).with_table_size(1 << 5).with_durability(Durability::GROUP);
    let open = |directory: &_, disk| Store::open_durable_in(directory, config.clone(), disk, &|_| ()).unwrap().0;
    let store = open(&directory, disk.clone());
    let mut session = store.start_session();
    for key in 0..KEYS {
        session.upsert(key, key).unwrap();
    }
    store.grow_index(1 << 13).unwrap();
    fill_and_delete(&mut session, KEYS);
    compact(&store);
    // What was deleted is in the log, and in the index, as long as the checkpoint from the beginning may need it.
    for _ in 0..2 {
        store.shrink_index(store.index_stats().buckets / 2).unwrap();
        session.upsert(0, 0).unwrap();
        session.wait_durable().unwrap();
        let again = open(&duplicate(&directory), disk.duplicate());
        assert_left(&again, KEYS);
    }
    drop((session, store));
    let store = open(&directory, disk);
    assert_left(&store, KEYS);
    compact(&store);
    shrink(&store);
    assert_left(&store, KEYS);
}

/// Writers of every kind, a reader of all, and checkpoints, while the index grows and shrinks again and again.
#[test]
fn writers_find_everything_while_the_index_shrinks_and_grows() {
    const WRITERS: usize = 2;
    for log_memory in [64 << 10, 4 << 20] {
        let config = || config(log_memory).with_table_size(1 << 5).with_page_size_bits(12);
        let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
        let store: Store = FasterKv::open(config(), disk.clone()).unwrap();
        let stop = AtomicBool::new(false);
        let mut guids = vec![0; WRITERS];
        let mut reports = Vec::new();
        std::thread::scope(|scope| {
            let mut writers = Vec::new();
            for (writer, guid) in guids.iter_mut().enumerate() {
                let (store, stop) = (&store, &stop);
                let mut session = store.start_session();
                *guid = session.guid();
                writers.push(scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) && session.serial() < 60_000 {
                        let serial = session.serial() + 1;
                        apply(&mut session, writer as u64, serial).unwrap();
                    }
                    session // every checkpoint is to know it
                }));
            }
            for round in 0.. {
                // It is refused as long as first entries come that it would have no room for: at the latest it goes on when the writers
                // are done.
                if round >= 12 && store.index_growth().halvings >= 3 {
                    break;
                }
                store.grow_index(1 << 13).unwrap();
                if let Err(error) = store.shrink_index(1 << 11) {
                    // What is written meanwhile may be too much for either.
                    assert!(matches!(error.kind(), ErrorKind::Limit | ErrorKind::Busy), "{error}");
                }
                if round % 3 == 2 && round < 12 {
                    let options = CheckpointOptions::default().with_index(round % 2 == 0);
                    reports.push(store.checkpoint_to(&directory, &options).unwrap());
                }
                if round % 4 == 3 {
                    store.log_compact_until(store.addresses().safe_read_only).unwrap();
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        drop(store);
        for report in reports {
            let (copy, target) = (disk.duplicate(), RecoveryTarget::Token(report.token));
            let (store, _) = FasterKv::recover_from(&directory, target, config(), copy, &|_| ()).unwrap();
            assert_prefix(&store, &guids, &[0; WRITERS]);
        }
    }
}

/// While a scan is under way the index stays as it is; and a scan that was interrupted does not go on when records were brought elsewhere.
#[test]
fn a_scan_keeps_the_index_from_shrinking() {
    const KEYS: u64 = 3000;
    let store = open(config(1 << 20).with_table_size(1 << 5));
    store.grow_index(1 << 13).unwrap();
    let mut session = store.start_session();
    fill_and_delete(&mut session, KEYS);
    let mut scan = store.iter().unwrap();
    assert!(scan.next().unwrap().is_ok());
    let cursor = scan.cursor();
    let error = store.shrink_index(1 << 12).unwrap_err();
    assert_eq!((error.kind(), error.field("reason")), (ErrorKind::Busy, Some(GrowthRefusal::Scan.reason())));
    assert_eq!(scan.count() as u64, (0..KEYS).filter(|key| is_left(*key)).count() as u64 - 1);
    store.shrink_index(1 << 12).unwrap();
    assert_left(&store, KEYS);
    assert_eq!(store.iter_from(cursor).err().map(|error| error.kind()), Some(ErrorKind::NotFound));
    let cursor = store.iter().unwrap().cursor();
    assert_eq!(store.iter_from(cursor).unwrap().count() as u64, (0..KEYS).filter(|key| is_left(*key)).count() as u64);
}

/// Where no two chains come together entries may be left out all the same: of what was given up, which the scan may be about.
#[test]
fn no_scan_goes_on_in_a_smaller_index() {
    let store = open(config(1 << 20).with_table_size(1));
    let mut session = store.start_session();
    store.grow_index(2).unwrap();
    session.upsert(1, 1).unwrap();
    let cursor = store.iter().unwrap().cursor();
    store.shrink_index(1).unwrap();
    assert_eq!(store.iter_from(cursor).err().map(|error| error.kind()), Some(ErrorKind::NotFound));
}

/// Transactions hold the places of their keys; the index shrinks around them.
#[test]
fn transactions_go_on_while_the_index_shrinks() {
    const ACCOUNTS: u64 = 400;
    let store = open(config(1 << 20).with_table_size(1 << 4).with_page_size_bits(12));
    store.grow_index(1 << 10).unwrap();
    let mut session = store.start_session();
    for key in 0..ACCOUNTS {
        session.upsert(key, 100).unwrap();
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for worker in 0..2u64 {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                let mut session = store.start_session();
                for at in 0..20_000u64 {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let (from, to) = (mix(at * 2 + worker) % ACCOUNTS, mix(at * 3 + worker + 7) % ACCOUNTS);
                    if from == to {
                        continue;
                    }
                    let moved = session.transaction(|transaction| {
                        let (one, other) = (transaction.read(&from)?.unwrap_or(0), transaction.read(&to)?.unwrap_or(0));
                        if one > 0 {
                            transaction.upsert(from, one - 1);
                            transaction.upsert(to, other + 1);
                        }
                        Ok(())
                    });
                    moved.unwrap();
                }
            });
        }
        for _ in 0..10 {
            store.grow_index(1 << 12).unwrap();
            if let Err(error) = store.shrink_index(1 << 8) {
                // As where the machine stands still.
                assert_eq!(error.field("reason"), Some(GrowthRefusal::Locks.reason()), "{error}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let sum: u64 = (0..ACCOUNTS).map(|key| session.read(&key).unwrap().unwrap()).sum();
    assert_eq!(sum, ACCOUNTS * 100);
}

/// What is used again may lie below what is in front of it in the other chain, so the two are never brought together.
#[test]
fn a_store_that_uses_space_again_refuses() {
    let store = open(config(1 << 20).with_table_size(1 << 5).with_revivification(true).with_index_shrinking(true));
    store.grow_index(1 << 10).unwrap();
    let mut session = store.start_session();
    fill_and_delete(&mut session, 2000);
    let error = store.shrink_index(1 << 9).unwrap_err();
    let reason = GrowthRefusal::Revivification.reason();
    assert_eq!((error.kind(), error.field("reason")), (ErrorKind::Limit, Some(reason)));
    let buckets = store.index_stats().buckets;
    compact(&store);
    assert_eq!(store.index_stats().buckets, buckets, "nor does it by itself");
    assert_left(&store, 2000);
}
