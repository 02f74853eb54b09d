//! Checkpoints while sessions go on, and what is there after a recovery.

use oxifaster::cache::ReadCacheConfig;
use oxifaster::checkpoint::{Catalog, CheckpointKind, CheckpointToken, ImageUse, SessionCut};
use oxifaster::device::{MemoryDisk, NullDisk};
use oxifaster::directory::MemoryDirectory;
use oxifaster::store::{CheckpointOptions, FasterKv, FasterKvConfig, RecoveryTarget, Session};
use oxifaster::{ErrorKind, Result};
use std::collections::HashMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

type Store = FasterKv<u64, u64, MemoryDisk>;

const KINDS: [CheckpointKind; 3] = [CheckpointKind::FoldOver, CheckpointKind::Snapshot, CheckpointKind::Incremental];
const KEYS: u64 = 3000;
const WRITERS: u64 = 4;
/// Operations of a writer at most, so that what they come to can be worked out in time.
const MOST: u64 = 100_000;

fn config() -> FasterKvConfig {
    FasterKvConfig::default().with_memory_budget(512 << 10).with_page_size_bits(13).with_table_size(512)
}

fn options(kind: CheckpointKind) -> CheckpointOptions {
    CheckpointOptions::default().with_kind(kind)
}

fn recover(directory: &MemoryDirectory, target: RecoveryTarget, disk: &MemoryDisk) -> Result<Store> {
    FasterKv::recover_from(directory, target, config(), disk.clone(), &|_| ()).map(|(store, _)| store)
}

/// The operation of a writer that has this serial number. Writers have keys of their own, so that the state at any serial
/// number is known; each operation says by its value which one it was.
pub(super) fn apply(session: &mut Session<u64, u64>, writer: u64, serial: u64) -> Result<()> {
    let key = writer * KEYS + serial * 7919 % KEYS;
    match serial % 5 {
        0 => session.delete(&key),
        1 => session
            .rmw(key, |value| {
                *value = value.wrapping_mul(31).wrapping_add(serial);
                true
            })
            .map(drop),
        2 => session.read(&key).map(drop),
        _ => session.upsert(key, serial),
    }
}

/// What [`apply`] leaves of a writer's keys after the operation `serial`.
fn state_at(writer: u64, serial: u64) -> HashMap<u64, u64> {
    let mut state = HashMap::new();
    for serial in 1..=serial {
        let key = writer * KEYS + serial * 7919 % KEYS;
        match serial % 5 {
            0 => {
                state.remove(&key);
            }
            1 => {
                let value = state.entry(key).or_insert(0u64);
                *value = value.wrapping_mul(31).wrapping_add(serial);
            }
            2 => {}
            _ => {
                state.insert(key, serial);
            }
        }
    }
    state
}

/// Every key of every writer is as it was after its session's last operation of the checkpoint.
pub(super) fn assert_prefix(store: &Store, guids: &[u128], at_least: &[u64]) {
    let cuts: HashMap<u128, u64> = store.get_recovered_sessions().iter().map(|cut| (cut.guid, cut.serial)).collect();
    let mut session = store.start_session();
    for (writer, guid) in guids.iter().enumerate() {
        let serial = cuts[guid];
        assert!(serial >= at_least[writer], "writer {writer}: {serial} of at least {}", at_least[writer]);
        let state = state_at(writer as u64, serial);
        for key in writer as u64 * KEYS..(writer as u64 + 1) * KEYS {
            let found = session.read(&key).unwrap();
            assert_eq!(found, state.get(&key).copied(), "key {key} of writer {writer} at {serial}");
        }
    }
}

#[test]
fn a_checkpoint_of_any_kind_holds_every_session_at_one_serial_number() {
    for kind in KINDS {
        let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
        let store: Store = FasterKv::open(config(), disk.clone()).unwrap();
        let (stop, begun) = (AtomicBool::new(false), Barrier::new(WRITERS as usize + 1));
        let done = AtomicU64::new(0);
        let mut guids = vec![0; WRITERS as usize];
        let mut tokens = Vec::new();
        std::thread::scope(|scope| {
            for (writer, guid) in guids.iter_mut().enumerate() {
                let (store, stop, begun, done) = (&store, &stop, &begun, &done);
                let mut session = store.start_session();
                *guid = session.guid();
                scope.spawn(move || {
                    begun.wait();
                    while !stop.load(Ordering::Relaxed) {
                        if session.serial() == MOST {
                            std::thread::yield_now();
                            continue;
                        }
                        let serial = session.serial() + 1;
                        apply(&mut session, writer as u64, serial).unwrap();
                        assert_eq!(session.serial(), serial);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            begun.wait();
            for round in 1..=6 {
                while done.load(Ordering::Relaxed) < round * 2000 {
                    std::thread::yield_now();
                }
                tokens.push(store.checkpoint_to(&directory, &options(kind)).unwrap());
            }
            stop.store(true, Ordering::Relaxed);
        });
        drop(store);
        let mut least = vec![0; WRITERS as usize];
        for report in &tokens {
            let (copy, target) = (disk.duplicate(), RecoveryTarget::Token(report.token));
            assert_prefix(&recover(&directory, target, &copy).unwrap(), &guids, &least);
            let cuts: HashMap<u128, u64> = report.sessions.iter().map(|cut| (cut.guid, cut.serial)).collect();
            for (least, guid) in least.iter_mut().zip(&guids) {
                *least = cuts[guid];
            }
        }
        assert!(least.iter().sum::<u64>() > 0, "something was written while checkpoints were taken");
    }
}

#[test]
fn batches_fall_on_one_side_of_the_cut() {
    for kind in KINDS {
        let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
        let store: Store = FasterKv::open(config(), disk.clone()).unwrap();
        let (stop, begun) = (AtomicBool::new(false), Barrier::new(3));
        let mut last = None;
        std::thread::scope(|scope| {
            for writer in 0..2 {
                let (store, stop, begun) = (&store, &stop, &begun);
                scope.spawn(move || {
                    let mut session = store.start_session();
                    begun.wait();
                    let keys: Vec<u64> = (0..500).map(|key| writer * KEYS + key * 5).collect();
                    while !stop.load(Ordering::Relaxed) {
                        assert_eq!(
                            session
                                .rmw_batch(&keys, |_, value| {
                                    *value += 1;
                                    true
                                })
                                .unwrap(),
                            keys.len()
                        );
                        assert_eq!(session.serial() % keys.len() as u64, 0);
                    }
                });
            }
            begun.wait();
            for _ in 0..5 {
                last = Some(store.checkpoint_to(&directory, &options(kind)).unwrap());
            }
            stop.store(true, Ordering::Relaxed);
        });
        drop(store);
        let report = last.unwrap();
        let store = recover(&directory, RecoveryTarget::Latest, &disk).unwrap();
        let mut session = store.start_session();
        let mut sums = Vec::new();
        for writer in 0..2 {
            let values: Vec<Option<u64>> =
                (0..500).map(|key| session.read(&(writer * KEYS + key * 5)).unwrap()).collect();
            assert!(values.iter().all(|value| *value == values[0]), "{kind:?}: a batch was cut through");
            sums.push(values[0].unwrap_or(0) * 500);
        }
        let mut cuts: Vec<u64> = report.sessions.iter().map(|cut| cut.serial).collect();
        cuts.sort_unstable();
        sums.sort_unstable();
        assert_eq!(cuts, sums, "{kind:?}");
    }
}

#[test]
fn a_recovered_session_goes_on_where_it_was_cut_and_can_be_cut_again() {
    let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
    let store: Store = FasterKv::open(config(), disk.clone()).unwrap();
    let mut session = store.start_session();
    let guid = session.guid();
    (1..=100).for_each(|serial| apply(&mut session, 0, serial).unwrap());
    store.checkpoint_to(&directory, &options(CheckpointKind::FoldOver)).unwrap();
    (101..=200).for_each(|serial| apply(&mut session, 0, serial).unwrap());
    drop((session, store));

    let mut store = recover(&directory, RecoveryTarget::Latest, &disk).unwrap();
    for (round, kind) in KINDS.into_iter().enumerate() {
        let begin = 100 + 150 * round as u64;
        let recovered: Vec<SessionCut> =
            store.get_recovered_sessions().into_iter().filter(|session| session.guid == guid).collect();
        assert_eq!(recovered, [SessionCut { guid, serial: begin }]);
        assert_prefix(&store, &[guid], &[begin]);
        let mut session = store.continue_session(SessionCut { guid, serial: 0 }).unwrap();
        assert_eq!((session.guid(), session.serial()), (guid, begin));
        let again = store.continue_session(SessionCut { guid, serial: begin }).err().unwrap();
        assert_eq!(again.kind(), ErrorKind::NotFound);
        (begin + 1..=begin + 150).for_each(|serial| apply(&mut session, 0, serial).unwrap());
        // It ends before the checkpoint, which is to know of it all the same.
        drop(session);
        store.checkpoint_to(&directory, &options(kind)).unwrap();
        let mut later = store.start_session();
        (1..100).for_each(|key| later.upsert(key, 9).unwrap());
        drop((later, store));
        store = recover(&directory, RecoveryTarget::Latest, &disk).unwrap();
    }
}

#[test]
fn a_store_without_a_disk_comes_back_from_a_snapshot() {
    let directory = MemoryDirectory::new();
    let store: FasterKv<u64, u64, NullDisk> = FasterKv::open(config(), NullDisk::new()).unwrap();
    let mut session = store.start_session();
    (1..=500).for_each(|key| session.upsert(key, key * 3).unwrap());
    let refused = store.checkpoint_to(&directory, &options(CheckpointKind::FoldOver)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Limit);
    let report = store.checkpoint_to(&directory, &options(CheckpointKind::Snapshot)).unwrap();
    (1..=500).for_each(|key| session.upsert(key, 0).unwrap());
    drop((session, store));
    let store = recover(&directory, RecoveryTarget::Token(report.token), &MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    (1..=500).for_each(|key| assert_eq!(session.read(&key).unwrap(), Some(key * 3)));
}

#[test]
fn an_increment_holds_what_was_touched_and_needs_its_base() {
    let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
    let config = FasterKvConfig::default().with_memory_budget(8 << 20);
    let store: Store = FasterKv::open(config.clone(), disk.clone()).unwrap();
    let mut session = store.start_session();
    (0..100_000).for_each(|key| session.upsert(key, key).unwrap());
    let base = store.checkpoint_to(&directory, &options(CheckpointKind::Incremental)).unwrap();
    assert_eq!(base.kind, CheckpointKind::Snapshot, "the first increment is a snapshot");
    (0..1000).for_each(|key| session.upsert(key * 100, 7).unwrap());
    let increment = store.checkpoint_to(&directory, &options(CheckpointKind::Incremental)).unwrap();
    assert_eq!(increment.kind, CheckpointKind::Incremental);
    assert!(increment.file_bytes * 100 <= base.file_bytes * 3, "{} of {}", increment.file_bytes, base.file_bytes);
    drop((session, store));
    let (store, report) =
        FasterKv::<u64, u64, _>::recover_from(&directory, RecoveryTarget::Latest, config, disk, &|_| ()).unwrap();
    assert_eq!(report.token, increment.token);
    let mut session = store.start_session();
    for key in 0..100_000 {
        assert_eq!(session.read(&key).unwrap(), Some(if key % 100 == 0 { 7 } else { key }));
    }
}

#[test]
fn an_increment_after_touching_one_key_in_a_hundred_writes_at_most_three_hundredths_of_a_full_one() {
    const MANY: u64 = 200_000;
    let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
    let config = FasterKvConfig::default().with_memory_budget(32 << 20);
    let store: Store = FasterKv::open(config, disk).unwrap();
    let mut session = store.start_session();
    (0..MANY).for_each(|key| session.upsert(key, key).unwrap());
    let options = options(CheckpointKind::Incremental).with_index(false);
    let full = store.checkpoint_to(&directory, &options).unwrap();
    for round in 0..3 {
        // Touched more than once, as keys are: what counts is how many they are.
        for key in (0..MANY).filter(|key| key % 100 == round).cycle().take(MANY as usize / 20) {
            session.upsert(key, round).unwrap();
        }
        let next = store.checkpoint_to(&directory, &options).unwrap();
        assert_eq!((full.kind, next.kind), (CheckpointKind::Snapshot, CheckpointKind::Incremental));
        assert!(full.file_bytes >= MANY * 24, "{full:?}");
        assert!(next.file_bytes * 100 <= full.file_bytes * 3, "{} of {}", next.file_bytes, full.file_bytes);
    }
}

#[test]
fn a_cancelled_checkpoint_leaves_nothing_and_the_next_one_succeeds() {
    let (disk, directory) = (MemoryDisk::new(), std::sync::Arc::new(MemoryDirectory::new()));
    let store: Store = FasterKv::open(config(), disk).unwrap();
    let mut session = store.start_session();
    (0..1000).for_each(|key| session.upsert(key, key).unwrap());
    let late = store
        .checkpoint_to(&*directory, &options(CheckpointKind::Snapshot).with_deadline(std::time::Duration::ZERO))
        .unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Busy);
    let handle = store.begin_checkpoint(directory.clone(), options(CheckpointKind::Snapshot)).unwrap();
    handle.cancel();
    let outcome = handle.wait();
    let names = oxifaster::directory::Directory::names(&*directory).unwrap();
    match outcome {
        Ok(_) => assert!(!names.is_empty(), "it was durable before it noticed"),
        Err(error) => assert!(error.kind() == ErrorKind::Cancelled && names.is_empty(), "{error}: {names:?}"),
    }
    let version = store.version();
    let report = store.begin_checkpoint(directory, options(CheckpointKind::FoldOver)).unwrap().wait().unwrap();
    assert_eq!((report.version, store.version()), (version, version + 1));
}

/// Back to the first of two checkpoints, and on from there: the newest is then the one of the new future, not that of the one
/// that was given up.
#[test]
fn who_goes_back_gives_the_later_checkpoints_up() {
    for kind in KINDS {
        let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
        let store: Store = FasterKv::open(config(), disk.clone()).unwrap();
        let mut session = store.start_session();
        (0..1000).for_each(|key| session.upsert(key, 1).unwrap());
        let first = store.checkpoint_to(&directory, &options(kind)).unwrap();
        (0..1000).for_each(|key| session.upsert(key, 2).unwrap());
        let abandoned = store.checkpoint_to(&directory, &options(kind)).unwrap();
        drop((session, store));

        let store = recover(&directory, RecoveryTarget::Token(first.token), &disk).unwrap();
        let mut session = store.start_session();
        (0..500).for_each(|key| session.upsert(key, 3).unwrap());
        let newest = store.checkpoint_to(&directory, &options(kind)).unwrap();
        assert!(newest.version > abandoned.version, "{kind:?}");
        drop((session, store));

        let store = recover(&directory, RecoveryTarget::Latest, &disk).unwrap();
        let mut session = store.start_session();
        for key in 0..1000 {
            assert_eq!(session.read(&key).unwrap(), Some(if key < 500 { 3 } else { 1 }), "{kind:?}: key {key}");
        }
    }
}

/// Chains of increments too: the newest state of a version or an older one, the newest that was begun by a time; and none if there
/// is none so old.
#[test]
fn a_store_comes_back_to_a_version_and_to_a_time() {
    for kind in KINDS {
        let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
        let store: Store = FasterKv::open(config(), disk.clone()).unwrap();
        let mut session = store.start_session();
        let newest = || Catalog::new(&directory).list().unwrap().checkpoints.pop();
        for round in 1..=4 {
            (0..1000).for_each(|key| session.upsert(key, round).unwrap());
            // Each is begun in a millisecond of its own.
            let before = newest().map_or(0, |manifest| u128::from(manifest.created));
            while std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() <= before {
                std::thread::yield_now();
            }
            store.checkpoint_to(&directory, &options(kind)).unwrap();
        }
        drop((session, store));
        let all = Catalog::new(&directory).list().unwrap().checkpoints;
        assert_eq!(all.len(), 4);
        let mut targets: Vec<(RecoveryTarget, Option<u64>)> = vec![
            (RecoveryTarget::Version(all[0].version - 1), None),
            (RecoveryTarget::Time(all[0].created - 1), None),
            (RecoveryTarget::Version(u64::MAX), Some(4)),
            (RecoveryTarget::Time(u64::MAX), Some(4)),
        ];
        for (manifest, round) in all.iter().zip(1..) {
            targets.push((RecoveryTarget::Version(manifest.version), Some(round)));
            targets.push((RecoveryTarget::Time(manifest.created), Some(round)));
        }
        for (target, round) in targets {
            match (recover(&directory, target, &disk.duplicate()), round) {
                (Ok(store), Some(round)) => {
                    let mut session = store.start_session();
                    let is_it = |key| session.read(&key).unwrap() == Some(round);
                    assert!((0..1000).all(is_it), "{kind:?}: {target:?} is not round {round}");
                }
                (Err(error), None) => assert_eq!(error.kind(), ErrorKind::NotFound, "{kind:?}, {target:?}: {error}"),
                (Ok(_), None) => panic!("{kind:?}: there is something at {target:?}"),
                (Err(error), Some(_)) => panic!("{kind:?}, {target:?}: {error}"),
            }
        }
    }
}

/// Back to the first of two checkpoints for good. Then the store ends before it has taken one of its own: what comes back is the
/// state that was gone back to, whatever kind the younger one is, and however much was written over it.
#[test]
fn a_future_that_was_given_up_for_good_does_not_come_back() {
    for (kind, is_flushed) in KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
        let store: Store = FasterKv::open(config(), disk.clone()).unwrap();
        let mut session = store.start_session();
        (0..1000).for_each(|key| session.upsert(key, 1).unwrap());
        let first = store.checkpoint_to(&directory, &options(kind)).unwrap().token;
        (0..1000).for_each(|key| session.upsert(key, 2).unwrap());
        let second = store.checkpoint_to(&directory, &options(kind)).unwrap().token;
        drop((session, store));

        let back = |target| FasterKv::<u64, u64, _>::recover_from(&directory, target, config(), disk.clone(), &|_| ());
        let (store, report) = back(RecoveryTarget::Token(first)).unwrap();
        assert_eq!(report.newer, [second], "{kind:?}: it says what is newer");
        drop(store);
        let (_, report) = back(RecoveryTarget::Latest).unwrap();
        assert_eq!((report.token, report.newer.len()), (second, 0), "{kind:?}: to look back costs nothing");

        Catalog::new(&directory).give_up_after(first, Some(&disk)).unwrap();
        let (store, report) = back(RecoveryTarget::Latest).unwrap();
        assert_eq!((report.token, report.newer.len()), (first, 0), "{kind:?}");
        let mut session = store.start_session();
        (0..500).for_each(|key| session.upsert(key, 3).unwrap());
        if is_flushed {
            store.flush().unwrap();
        }
        drop((session, store));

        let (store, report) = back(RecoveryTarget::Latest).unwrap();
        assert_eq!(report.token, first, "{kind:?}");
        let mut session = store.start_session();
        assert!((0..1000).all(|key| session.read(&key).unwrap() == Some(1)), "{kind:?}, flushed {is_flushed}");
    }
}

/// After going back, every checkpoint of the directory is one of the states it was taken of, or refused: whatever was written
/// since, and whichever kinds were mixed.
#[test]
fn no_checkpoint_of_a_given_up_future_comes_back_as_a_mixture() {
    let all = |value: u64, below: u64, other: u64| -> HashMap<u64, u64> {
        (0..1000).map(|key| (key, if key < below { value } else { other })).collect()
    };
    for (kind, later) in KINDS.into_iter().flat_map(|kind| KINDS.map(|later| (kind, later))) {
        let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
        let store: Store = FasterKv::open(config(), disk.clone()).unwrap();
        let mut session = store.start_session();
        let mut expected = Vec::new();
        for round in 1..=3 {
            (0..1000).for_each(|key| session.upsert(key, round).unwrap());
            let report = store.checkpoint_to(&directory, &options(kind)).unwrap();
            expected.push((report.token, all(round, 1000, 0)));
        }
        drop((session, store));
        let store = recover(&directory, RecoveryTarget::Token(expected[0].0), &disk).unwrap();
        let mut session = store.start_session();
        (0..500).for_each(|key| session.upsert(key, 9).unwrap());
        let try_all = |expected: &[(CheckpointToken, HashMap<u64, u64>)]| -> Vec<CheckpointToken> {
            let mut refused = Vec::new();
            for (token, state) in expected {
                match recover(&directory, RecoveryTarget::Token(*token), &disk.duplicate()) {
                    Ok(store) => {
                        let mut session = store.start_session();
                        let found = (0..1000).filter_map(|key| Some((key, session.read(&key).unwrap()?))).collect();
                        assert!(*state == found, "{kind:?}, {later:?}: another state than that of {token}");
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Corrupt, "{kind:?}, {later:?}: {error}");
                        refused.push(*token);
                    }
                }
            }
            refused
        };
        try_all(&expected);
        store.flush().unwrap();
        try_all(&expected);
        let report = store.checkpoint_to(&directory, &options(later)).unwrap();
        expected.push((report.token, all(9, 500, 1)));
        let refused = try_all(&expected);
        let listing = Catalog::new(&directory).list().unwrap();
        let given_up = listing.checkpoints.iter().filter(|manifest| listing.is_given_up(manifest));
        let given_up: Vec<_> = given_up.map(|manifest| manifest.token).collect();
        assert_eq!(given_up, refused, "{kind:?}, {later:?}");
        assert_eq!(refused.is_empty(), kind != CheckpointKind::FoldOver, "{kind:?}, {later:?}");
        drop((session, store));
        // Those that cannot come back do not count among those that are kept.
        Catalog::new(&directory).keep_last(2, Some(&disk)).unwrap();
        let left = Catalog::new(&directory).list().unwrap();
        let is_left = |token: &CheckpointToken| left.checkpoints.iter().any(|manifest| manifest.token == *token);
        assert!(!refused.iter().any(is_left), "{kind:?}, {later:?}");
        let newest = expected.iter().rev().map(|(token, _)| token).filter(|token| !refused.contains(token)).take(2);
        assert!(newest.into_iter().all(is_left), "{kind:?}, {later:?}");
    }
}

/// Index and log of sizes that were set, larger than the default budget: what opens a store recovers it as well.
#[test]
fn a_configuration_that_opens_a_store_recovers_it() {
    let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
    let config = || {
        FasterKvConfig::default()
            .with_table_size(1 << 22)
            .with_log_memory_size(1 << 20)
            .with_page_size_bits(14)
            .with_pretouch(false)
    };
    let store: Store = FasterKv::open(config(), disk.clone()).unwrap();
    let mut session = store.start_session();
    (0..1000).for_each(|key| session.upsert(key, key).unwrap());
    let options = options(CheckpointKind::FoldOver).with_index(false);
    store.checkpoint_to(&directory, &options).unwrap();
    drop((session, store));
    let (store, _) = Store::recover_from(&directory, RecoveryTarget::Latest, config(), disk, &|_| ()).unwrap();
    let mut session = store.start_session();
    (0..1000).for_each(|key| assert_eq!(session.read(&key).unwrap(), Some(key)));
}

/// Any number of threads brings back the same store: from the log alone, and from an image of the index and the log behind it; in
/// memory that holds all of it, and in a part of that.
#[test]
fn any_number_of_threads_recovers_the_same_store() {
    const KEYS: u64 = 60_000;
    for with_image in [false, true] {
        let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
        let config = || config().with_memory_budget(8 << 20);
        let store: Store = FasterKv::open(config(), disk.clone()).unwrap();
        let mut session = store.start_session();
        (0..KEYS).for_each(|key| session.upsert(key, key).unwrap());
        if with_image {
            store.checkpoint_to(&directory, &options(CheckpointKind::FoldOver)).unwrap();
        }
        // Each key has several records in the part that is read again, so it matters which one is found last.
        for round in 1..4 {
            store.flush().unwrap();
            (0..KEYS).step_by(3).for_each(|key| session.upsert(key, key + round).unwrap());
            (1..KEYS).step_by(3 * round as usize).for_each(|key| session.delete(&key).unwrap());
        }
        store.checkpoint_to(&directory, &options(CheckpointKind::FoldOver).with_index(false)).unwrap();
        drop((session, store));
        for (threads, memory) in [(1, 8), (2, 8), (5, 8), (16, 2)] {
            let config = config().with_memory_budget(memory << 20).with_recovery_threads(threads);
            let latest = RecoveryTarget::Latest;
            let (store, _) = Store::recover_from(&directory, latest, config, disk.clone(), &|_| ()).unwrap();
            let mut session = store.start_session();
            for key in 0..KEYS {
                let expected = [Some(key + 3), None, Some(key)][key as usize % 3];
                assert_eq!(session.read(&key).unwrap(), expected, "{threads} threads, {memory} MiB");
            }
        }
    }
}

/// Copies in a read cache are no part of a store: not of an image of its index, not of what is recovered.
#[test]
fn a_store_whose_chains_begin_in_the_read_cache_is_recovered_whole() {
    let cached = || config().with_table_size(64).with_read_cache(ReadCacheConfig::default().with_mem_size(64 << 10));
    for kind in KINDS {
        let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
        let store: Store = FasterKv::open(cached(), disk.clone()).unwrap();
        let mut session = store.start_session();
        (0..KEYS).for_each(|key| session.upsert(key, key + 1).unwrap());
        store.evict().unwrap();
        let keys: Vec<u64> = (0..KEYS).collect();
        for key in &keys {
            assert_eq!(session.read(key).unwrap(), Some(key + 1));
        }
        (0..KEYS).step_by(7).for_each(|key| session.upsert(key, 0).unwrap());
        let added = store.stats().read_cache.unwrap().added;
        assert!(added > KEYS / 2, "only {added} copies");
        store.checkpoint_to(&directory, &options(kind).with_index(true)).unwrap();
        drop((session, store));
        let (store, report) =
            FasterKv::<u64, u64, _>::recover_from(&directory, RecoveryTarget::Latest, cached(), disk.clone(), &|_| ())
                .unwrap();
        assert!(matches!(report.image, ImageUse::Used { .. }), "{report:?}");
        let mut session = store.start_session();
        for _ in 0..2 {
            for (key, value) in keys.iter().zip(session.read_batch(&keys).unwrap()) {
                assert_eq!(value, Some(if key % 7 == 0 { 0 } else { key + 1 }), "key {key}, {kind:?}");
            }
        }
    }
}
