//! Scans of stores whose keys share chains, while compactions, recoveries and writers are under way.

use super::*;
use crate::checkpoint::CheckpointKind;
use crate::compaction::CompactionConfig;
use crate::device::MemoryDisk;
use crate::directory::MemoryDirectory;
use crate::store::{CheckpointOptions, FasterKvConfig, RecoveryTarget, Session};
use crate::sync::{Arc, AtomicBool, Ordering};
use crate::utility::KeyHash;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

type Store = FasterKv<u64, u64, MemoryDisk>;

fn config() -> FasterKvConfig {
    FasterKvConfig::default().with_table_size(4).with_page_size_bits(12).with_log_memory_size(6 << 12)
}

fn open() -> (Store, MemoryDisk) {
    let disk = MemoryDisk::new();
    (FasterKv::open(config(), disk.clone()).unwrap(), disk)
}

/// Keys of four tags only.
fn keys(count: usize) -> Vec<u64> {
    let few_tags = |key: &u64| KeyHash::of_bytes(&key.to_le_bytes()).tag() & !0b11 == 0;
    (0..).filter(few_tags).take(count).collect()
}

fn fill(session: &mut Session<u64, u64>, keys: &[u64], value: u64) {
    for key in keys {
        session.upsert(*key, value).unwrap();
    }
}

fn all(iterator: LiveIterator<u64, u64>) -> BTreeMap<u64, u64> {
    let mut met = BTreeMap::new();
    for pair in iterator {
        let (key, value) = pair.unwrap();
        assert_eq!(met.insert(key, value), None, "key {key} twice");
    }
    met
}

#[test]
fn a_log_scan_gives_every_record_of_its_range_from_memory_and_disk() {
    let (store, _) = open();
    let (mut session, keys) = (store.start_session(), keys(300));
    for version in 0..4 {
        fill(&mut session, &keys, version);
        store.flush().unwrap(); // or the next ones are updates in place
    }
    session.delete(&keys[0]).unwrap();
    let records: Vec<_> = store.scan_log(..).unwrap().map(|record| record.unwrap()).collect();
    assert!(store.addresses().head > store.addresses().begin, "a part is on the device only: {:?}", store.addresses());
    assert_eq!(records.len(), 1200 + usize::from(records.last().unwrap().is_tombstone));
    for (place, record) in records.iter().take(1200).enumerate() {
        assert_eq!((record.key, record.value), (keys[place % 300], (place / 300) as u64));
        assert!(record.previous < record.address);
    }
    // Any range gives the records that begin in it, wherever it begins and ends.
    for (from, to) in [(64, 65), (70, 5000), (4096, 4097), (5001, 30_000), (9000, 9000)] {
        let (from, to) = (Address::new(from), Address::new(to));
        let expected: Vec<_> = records.iter().filter(|record| from <= record.address && record.address < to).collect();
        let got: Vec<_> = store.scan_log(from..to).unwrap().map(|record| record.unwrap()).collect();
        assert_eq!(got.iter().collect::<Vec<_>>(), expected, "{from} {to}");
    }
    store.log_compact_until(Address::new(9000)).unwrap();
    assert_eq!(store.scan_log(Address::new(64)..).err().unwrap().kind(), ErrorKind::NotFound);
    let from = store.addresses().begin;
    assert_eq!(store.scan_log(from..).unwrap().next().unwrap().unwrap().address, from);
}

#[test]
fn every_key_is_met_once_with_its_newest_value() {
    let (store, _) = open();
    let (mut session, keys) = (store.start_session(), keys(300));
    for version in 0..5 {
        fill(&mut session, &keys, version);
    }
    let mut expected: BTreeMap<u64, u64> = keys.iter().map(|key| (*key, 4)).collect();
    for key in &keys[..100] {
        session.delete(key).unwrap();
        expected.remove(key);
    }
    assert_eq!(all(store.iter().unwrap()), expected);
    assert_eq!(store.count().unwrap(), 200);
    assert!(store.approximate_count() > 0);
    let even = all(store.iter().unwrap().with_filter(|key, value| key % 2 == 0 && *value == 4));
    assert_eq!(even, expected.iter().filter(|(key, _)| *key % 2 == 0).map(|(key, value)| (*key, *value)).collect());
    for threads in [1, 3] {
        let met = crate::sync::Mutex::new(BTreeMap::new());
        let visit = |key: &u64, value: &u64| assert_eq!(met.lock().insert(*key, *value), None);
        assert_eq!(store.for_each(threads, visit).unwrap(), 200);
        assert_eq!(*met.lock(), expected, "{threads} threads");
    }
}

#[test]
fn a_compaction_in_the_middle_of_a_scan_neither_hides_keys_nor_shows_them_twice() {
    for stop_after in [0, 1, 77, 299] {
        for resumes in [false, true] {
            let (store, _) = open();
            let (mut session, keys) = (store.start_session(), keys(300));
            for version in 0..3 {
                fill(&mut session, &keys, version);
            }
            let mut iterator = store.iter().unwrap();
            let mut met: Vec<(u64, u64)> = iterator.by_ref().take(stop_after).map(|pair| pair.unwrap()).collect();
            let report = store.log_compact_until(store.addresses().tail).unwrap();
            assert!(report.held > 0, "the scan keeps what it has not seen: {report:?}");
            fill(&mut session, &keys[..10], 9);
            session.delete(&keys[11]).unwrap();
            if resumes {
                let cursor = iterator.cursor();
                let rest = store.iter_from(cursor).unwrap();
                drop(iterator);
                met.extend(rest.map(|pair| pair.unwrap()));
                assert!(store.iter_from(cursor).is_ok(), "nothing was given back yet");
                store.log_compact_until(store.addresses().tail).unwrap();
                let gone = store.iter_from(cursor).err().map(|error| error.kind());
                assert_eq!(gone, Some(ErrorKind::NotFound));
            } else {
                met.extend(iterator.map(|pair| pair.unwrap()));
            }
            assert_eq!(met.len(), 300, "after {stop_after}");
            let met: BTreeMap<u64, u64> = met.into_iter().collect();
            assert_eq!(met, keys.iter().map(|key| (*key, 2)).collect(), "as of when it began");
            store.log_compact_until(store.addresses().tail).unwrap();
            assert_eq!(store.given_back(), store.addresses().begin, "nothing is kept for a scan that is over");
        }
    }
}

#[test]
fn a_snapshot_is_of_one_moment_while_writers_go_on_and_the_log_is_compacted() {
    let (store, _) = open();
    let store = Arc::new(store);
    let keys = keys(64);
    fill(&mut store.start_session(), &keys, 0);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Each writer counts all its keys up by one, in order: at any moment they differ by one at most, and only once.
        for part in keys.chunks(32) {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                let mut session = store.start_session();
                while !stop.load(Ordering::Relaxed) {
                    for key in part {
                        session
                            .rmw(*key, |value| {
                                *value += 1;
                                true
                            })
                            .unwrap();
                    }
                }
            });
        }
        for _ in 0..20 {
            let snapshot = store.snapshot().unwrap();
            let version = snapshot.version().unwrap();
            assert_eq!(store.version(), version + 1);
            store.log_compact_until(store.addresses().safe_read_only).unwrap();
            let met: HashMap<u64, u64> = snapshot.map(|pair| pair.unwrap()).collect();
            for part in keys.chunks(32) {
                let counts: Vec<u64> = part.iter().map(|key| met[key]).collect();
                assert!(counts.windows(2).all(|pair| pair[0] >= pair[1]), "{counts:?}");
                assert!(counts[0] - counts[31] <= 1, "{counts:?}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn all_versions_of_a_key_that_the_log_holds_are_given() {
    let (store, _) = open();
    let (mut session, keys) = (store.start_session(), keys(40));
    for version in 0..3 {
        fill(&mut session, &keys, version);
        store.evict().unwrap();
    }
    session.delete(&keys[3]).unwrap();
    let values = |key: &u64| store.versions_of(key).unwrap().into_iter().map(|one| one.value).collect::<Vec<_>>();
    assert_eq!(values(&keys[3]), [None, Some(2), Some(1), Some(0)]);
    assert_eq!(values(&keys[7]), [Some(2), Some(1), Some(0)]);
    assert_eq!(values(&u64::MAX), []);
    store.log_compact_until(store.addresses().tail).unwrap();
    assert_eq!((values(&keys[3]), values(&keys[7])), (vec![], vec![Some(2)]));
}

/// Applies changes to a map.
fn apply(map: &mut BTreeMap<u64, u64>, changes: Vec<Change<u64, u64>>) {
    for change in changes {
        match change.value() {
            Some(value) => drop(map.insert(*change.key(), *value)),
            None => drop(map.remove(change.key())),
        }
    }
}

#[test]
fn the_changes_applied_to_a_map_make_it_the_store() {
    let (store, _) = open();
    let (mut session, keys) = (store.start_session(), keys(100));
    let mut feed = store.changes(ChangeCursor::START).unwrap();
    let mut map = BTreeMap::new();
    assert!(feed.take(10).unwrap().is_empty());
    for round in 0..12u64 {
        for (place, key) in keys.iter().enumerate() {
            match (place as u64 + round) % 5 {
                0 => session.delete(key).unwrap(),
                1 => drop(
                    session
                        .rmw(*key, |value| {
                            *value += 1;
                            true
                        })
                        .unwrap(),
                ),
                _ => session.upsert(*key, round).unwrap(),
            }
        }
        if round % 4 == 3 {
            store.log_compact_until(store.addresses().tail).unwrap();
        }
        feed.catch_up().unwrap();
        while feed.behind() > 0 {
            let changes = feed.take(33).unwrap();
            if changes.is_empty() {
                break;
            }
            apply(&mut map, changes);
            // A feed from a cursor that was kept gives the same.
            let cursor = ChangeCursor::from_bytes(feed.cursor().to_bytes());
            feed = store.changes(cursor).unwrap();
        }
        assert_eq!(map, all(store.iter().unwrap()), "after round {round}");
    }
    assert!(feed.take_within(1, Duration::from_millis(1)).unwrap().is_empty());
}

#[test]
fn a_feed_keeps_what_it_has_not_given_within_its_bound() {
    let (store, _) = open();
    let (mut session, keys) = (store.start_session(), keys(200));
    fill(&mut session, &keys, 0);
    let mut patient = store.changes(ChangeCursor::START).unwrap();
    let options = ChangeOptions::default().with_max_held(10_000);
    let mut bounded = store.changes_with(ChangeCursor::START, &options).unwrap();
    for round in 1..10 {
        fill(&mut session, &keys, round);
        store.log_compact_until(store.addresses().tail).unwrap();
    }
    assert!(patient.held() > 10_000);
    assert_eq!(bounded.take(1).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(store.given_back(), Address::new(64), "the patient one has all");
    let mut map = BTreeMap::new();
    while patient.behind() > 0 {
        apply(&mut map, patient.take(500).unwrap());
    }
    assert_eq!(map, keys.iter().map(|key| (*key, 9)).collect());
    drop((patient, bounded));
    store.log_compact_until(store.addresses().begin).unwrap();
    assert_eq!(store.given_back(), store.addresses().begin);
}

/// A store is given up and recovered to its newest checkpoint, again and again. A feed of what checkpoints hold goes on as if
/// nothing had happened; one of more than that is refused if it had seen what is no more.
#[test]
fn a_feed_goes_on_after_a_recovery_or_says_that_it_cannot() {
    for kind in [CheckpointKind::FoldOver, CheckpointKind::Snapshot, CheckpointKind::Incremental] {
        let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
        let keys = keys(80);
        let mut store: Store = FasterKv::open(config(), disk.clone()).unwrap();
        let options = ChangeOptions::default().with_reach(ChangeReach::Checkpointed);
        let (mut cursor, mut map) = (ChangeCursor::START, BTreeMap::new());
        for round in 0..6u64 {
            let mut session = store.start_session();
            for key in keys.iter().skip(round as usize) {
                session.upsert(*key, round * 10).unwrap();
            }
            session.delete(&keys[round as usize]).unwrap();
            // All kinds but a fold-over leave what is open to updates open, and then it is not given.
            store.flush().unwrap();
            let checkpoint = CheckpointOptions::default().with_kind(kind).with_keep_last(1);
            store.checkpoint_to(&directory, &checkpoint).unwrap();
            let saved = all(store.iter().unwrap());
            let mut feed = store.changes_with(cursor, &options).unwrap();
            // What comes after the checkpoint is not given, and is lost.
            fill(&mut session, &keys, round * 10 + 1);
            store.flush().unwrap();
            loop {
                let changes = feed.take(20).unwrap();
                if changes.is_empty() {
                    break;
                }
                apply(&mut map, changes);
            }
            cursor = ChangeCursor::from_bytes(feed.cursor().to_bytes());
            assert_eq!(map, saved, "{kind:?} round {round}");
            let mut hasty = store.changes(cursor).unwrap();
            hasty.catch_up().unwrap();
            assert!(!hasty.take(1000).unwrap().is_empty());
            let too_far = hasty.cursor();
            drop((hasty, feed, session));
            drop(store);
            let target = RecoveryTarget::Latest;
            store = FasterKv::recover_from(&directory, target, config(), disk.clone(), &|_| ()).unwrap().0;
            assert_eq!(store.changes(too_far).err().unwrap().kind(), ErrorKind::NotFound, "{kind:?} round {round}");
            fill(&mut store.start_session(), &keys, round * 10 + 2);
            fill(&mut store.start_session(), &keys, round * 10 + 3);
            store.flush().unwrap();
            assert_eq!(store.changes(too_far).err().unwrap().kind(), ErrorKind::NotFound, "{kind:?} round {round}");
        }
    }
}

/// A snapshot holds what a record was, and not what it became in its place before it was given. That the last record is the same as ever
/// says nothing of the others.
#[test]
fn a_feed_that_was_given_more_than_a_snapshot_holds_does_not_go_on() {
    for (kind, goes_on) in [(CheckpointKind::Snapshot, false), (CheckpointKind::FoldOver, true)] {
        let (store, disk) = open();
        let mut session = store.start_session();
        fill(&mut session, &[1, 2], 1);
        let directory = MemoryDirectory::new();
        store.checkpoint_to(&directory, &CheckpointOptions::default().with_kind(kind)).unwrap();
        if !goes_on {
            session.upsert(1, 7).unwrap(); // where its record lies; that of 2 stays as it is
        }
        let mut feed = store.changes(ChangeCursor::START).unwrap();
        feed.catch_up().unwrap();
        let mut map = BTreeMap::new();
        apply(&mut map, feed.take(100).unwrap());
        assert_eq!(map, BTreeMap::from([(1, if goes_on { 1 } else { 7 }), (2, 1)]));
        let cursor = ChangeCursor::from_bytes(feed.cursor().to_bytes());
        drop((feed, session, store));
        let recover = || {
            FasterKv::<u64, u64, _>::recover_from(&directory, RecoveryTarget::Latest, config(), disk.clone(), &|_| ())
        };
        let store = recover().unwrap().0;
        assert_eq!(store.start_session().read(&1).unwrap(), Some(1));
        let outcome = store.changes(cursor);
        assert_eq!(outcome.map_err(|error| error.kind()).err(), (!goes_on).then_some(ErrorKind::NotFound), "{kind:?}");
        // What the recovered store gives is there again however often it is recovered.
        let mut feed = store.changes(ChangeCursor::START).unwrap();
        feed.take(100).unwrap();
        let cursor = feed.cursor();
        drop((feed, store));
        let store = recover().unwrap().0;
        assert!(store.changes(cursor).is_ok(), "{kind:?}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (store, _) = open();
    fill(&mut store.start_session(), &[1, 2, 3], 1);
    assert_eq!(store.changes(ChangeCursor::from_bytes([0xff; 24])).err().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(store.for_each(0, |_, _| ()).unwrap_err().kind(), ErrorKind::Config);
    assert!(store.scan_log(Address::MAX..).unwrap().next().is_none());
    let config = CompactionConfig::default().with_num_threads(0);
    assert!(FasterKv::<u64, u64, _>::open(self::config().with_compaction(config), MemoryDisk::new()).is_err());
}
