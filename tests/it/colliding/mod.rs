//! The index shrinks where keys were chosen to collide: they have one tag, so that all keys of a bucket share a chain, and there is memory
//! for a fraction of it.

mod given_up;
mod torn;

use oxifaster::checkpoint::CheckpointKind;
use oxifaster::device::{FaultyDisk, IoOp, MemoryDisk, StorageDevice};
use oxifaster::directory::MemoryDirectory;
use oxifaster::index::GrowthRefusal;
use oxifaster::locks::LockMode;
use oxifaster::store::{CheckpointOptions, Durability, FasterKv, FasterKvConfig, RecoveryTarget, Session};
use oxifaster::utility::KeyHash;
use oxifaster::{ErrorKind, Result};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const TAG_BITS: u32 = 14;
const WORDS: usize = 40;

type Value = [u64; WORDS];
type Store<D> = FasterKv<u64, Value, D>;
type Oracle = HashMap<u64, u64>;

/// With memory for fifty records.
fn config() -> FasterKvConfig {
    FasterKvConfig::default()
        .with_table_size(1)
        .with_log_memory_size(4 << 12)
        .with_page_size_bits(12)
        .with_index_growth(false)
}

fn hash(key: u64) -> KeyHash {
    KeyHash::of_bytes(&key.to_le_bytes())
}

fn tag(key: u64) -> u64 {
    hash(key).get() >> (64 - TAG_BITS)
}

/// So many keys of one tag for each of so many buckets.
fn keys_of_one_tag(buckets: u64, count: usize) -> Vec<Vec<u64>> {
    keys_of_tag(5, buckets, count)
}

fn keys_of_tag(wanted: u64, buckets: u64, count: usize) -> Vec<Vec<u64>> {
    let mut keys = vec![Vec::new(); buckets as usize];
    let has_tag = |key: &u64| tag(*key) == wanted;
    for key in (0..).filter(has_tag) {
        let of_bucket = &mut keys[(hash(key).get() % buckets) as usize];
        if of_bucket.len() < count {
            of_bucket.push(key);
        } else if keys.iter().all(|keys| keys.len() == count) {
            break;
        }
    }
    keys
}

fn put(session: &mut Session<u64, Value>, oracle: &mut Oracle, key: u64, word: u64) {
    session.upsert(key, [word; WORDS]).unwrap();
    oracle.insert(key, word);
}

fn delete(session: &mut Session<u64, Value>, oracle: &mut Oracle, key: u64) {
    session.delete(&key).unwrap();
    oracle.remove(&key);
}

fn assert_holds<D: StorageDevice>(store: &Store<D>, keys: &[Vec<u64>], oracle: &Oracle, what: &str) {
    let mut session = store.start_session();
    for key in keys.iter().flatten() {
        let found = session.read(key).unwrap().map(|value| value[0]);
        assert_eq!(found, oracle.get(key).copied(), "key {key} {what}");
    }
}

fn assert_scan_finds<D: StorageDevice>(store: &Store<D>, oracle: &Oracle) {
    let mut found: Vec<(u64, u64)> =
        store.iter().unwrap().map(|item| item.map(|(key, value)| (key, value[0])).unwrap()).collect();
    let mut expected: Vec<(u64, u64)> = oracle.iter().map(|(key, word)| (*key, *word)).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert!(found == expected, "a scan finds {} keys of {}", found.len(), expected.len());
}

/// An index of two buckets, with a chain in each that does not fit into memory.
fn fill<D: StorageDevice>(store: &Store<D>, keys: &[Vec<u64>]) -> Oracle {
    let (mut session, mut oracle) = (store.start_session(), Oracle::new());
    store.grow_index(2).unwrap();
    for round in 0..3 {
        for at in 0..keys[0].len() {
            for side in keys {
                if round == 0 || at % 4 == round {
                    put(&mut session, &mut oracle, side[at], at as u64 * 3 + round as u64);
                }
            }
        }
    }
    for key in keys.iter().flatten().step_by(7) {
        delete(&mut session, &mut oracle, *key);
    }
    oracle
}

/// As it is, and as it is recovered from checkpoints, with an image of the index and without, in tables of several sizes.
#[test]
fn chains_that_do_not_fit_into_memory_come_together() {
    let keys = keys_of_one_tag(2, 120);
    let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
    let store: Store<MemoryDisk> = FasterKv::open(config(), disk.clone()).unwrap();
    let oracle = fill(&store, &keys);
    store.shrink_index(1).unwrap();
    assert_eq!((store.index_stats().buckets, store.index_growth().under_way), (1, false));
    assert_holds(&store, &keys, &oracle, "after the shrinking");
    assert_scan_finds(&store, &oracle);
    let take = |with_index| {
        let options = CheckpointOptions::default().with_index(with_index).with_kind(CheckpointKind::FoldOver);
        store.checkpoint_to(&directory, &options).unwrap().token
    };
    let mut tokens = vec![take(false), take(true)];
    store.log_compact_until(store.addresses().tail).unwrap();
    assert_holds(&store, &keys, &oracle, "after the compaction");
    tokens.push(take(false));
    drop(store);
    for (token, buckets) in tokens.into_iter().flat_map(|token| [1, 2, 8].map(|buckets| (token, buckets))) {
        let (config, target) = (config().with_table_size(buckets), RecoveryTarget::Token(token));
        let (store, _) = FasterKv::recover_from(&directory, target, config, disk.duplicate(), &|_| ()).unwrap();
        assert_holds(&store, &keys, &oracle, "after the recovery");
        assert_scan_finds(&store, &oracle);
    }
}

/// Whoever needs it ended takes it to its end: a checkpoint, a scan, a compaction, a growth, who locks keys.
#[test]
fn everybody_can_take_it_to_its_end() {
    let keys = keys_of_one_tag(2, 60);
    for call in 0..6 {
        let disk = FaultyDisk::new(MemoryDisk::new());
        let plan = disk.plan();
        // Who only waits is told so soon.
        let store: Store<_> = FasterKv::open(config().with_wait_limit(Duration::from_secs(5)), disk).unwrap();
        let mut oracle = fill(&store, &keys);
        plan.fail_from(IoOp::Read, 20, std::io::ErrorKind::Other);
        store.shrink_index(1).unwrap_err();
        assert!(store.index_growth().under_way);
        plan.repair();
        let mut session = store.start_session();
        for key in keys.iter().flatten().skip(3).step_by(5) {
            put(&mut session, &mut oracle, *key, 1000 + *key);
        }
        match call {
            0 => drop(store.checkpoint_to(&MemoryDirectory::new(), &CheckpointOptions::default()).unwrap()),
            1 => assert_scan_finds(&store, &oracle),
            2 => drop(store.log_compact_until(store.addresses().tail).unwrap()),
            3 => drop(session.lock(&[(keys[0][0], LockMode::Exclusive)]).unwrap()),
            4 => session.transaction(|transaction| transaction.read(&keys[0][0]).map(drop)).unwrap(),
            _ => store.grow_index(2).unwrap(),
        }
        assert!(!store.index_growth().under_way, "call {call}");
        assert_eq!(store.index_growth().halvings, 1, "call {call}");
        assert_holds(&store, &keys, &oracle, "at the end");
    }
}

/// Chains that were one when the index was small are shared by several buckets, and come together again pair by pair.
#[test]
fn chains_that_share_their_ends_come_together() {
    let keys = keys_of_one_tag(4, 30);
    for evicts in [false, true] {
        let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
        let store: Store<MemoryDisk> = FasterKv::open(config(), disk.clone()).unwrap();
        let (mut session, mut oracle) = (store.start_session(), Oracle::new());
        for at in 0..30 {
            keys.iter().for_each(|keys| put(&mut session, &mut oracle, keys[at], at as u64));
        }
        store.evict().unwrap();
        store.grow_index(4).unwrap();
        for round in 1..5 {
            for (side, keys) in keys.iter().enumerate() {
                for key in keys.iter().skip(side + round).step_by(6) {
                    put(&mut session, &mut oracle, *key, round as u64 * 100 + *key);
                }
                delete(&mut session, &mut oracle, keys[round * 3 + side]);
            }
            if evicts {
                store.evict().unwrap();
            }
            store.shrink_index(if round % 2 == 1 { 2 } else { 1 }).unwrap();
            assert_holds(&store, &keys, &oracle, "after a shrinking");
            let report = store.checkpoint_to(&directory, &CheckpointOptions::default().with_index(false)).unwrap();
            let target = RecoveryTarget::Token(report.token);
            let (copy, _) = FasterKv::recover_from(&directory, target, config(), disk.duplicate(), &|_| ()).unwrap();
            assert_holds(&copy, &keys, &oracle, "recovered after a shrinking");
            if round % 2 == 0 {
                store.grow_index(4).unwrap();
                assert_holds(&store, &keys, &oracle, "after a growth");
            }
        }
    }
}

/// Two writers of keys in both chains, and a reader, while they come together and are taken apart.
#[test]
fn writers_find_everything_while_long_chains_come_together() {
    let mut keys = keys_of_one_tag(2, 49);
    let store: Store<MemoryDisk> = FasterKv::open(config(), MemoryDisk::new()).unwrap();
    let stop = AtomicBool::new(false);
    // A first entry would call a shrinking off that has just been announced: both chains have a key that nobody touches.
    let mut oracle = Oracle::new();
    store.grow_index(2).unwrap();
    keys.iter_mut().for_each(|keys| put(&mut store.start_session(), &mut oracle, keys.pop().unwrap(), 1));
    std::thread::scope(|scope| {
        let work = |writer: usize| {
            let (store, stop, keys) = (&store, &stop, &keys);
            move || {
                let (mut session, mut own) = (store.start_session(), Oracle::new());
                for at in 0u64.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let of_side = &keys[(at / 3 % 2) as usize];
                    let key = of_side[(at as usize * 2 + writer) % of_side.len()];
                    match at % 11 {
                        10 => delete(&mut session, &mut own, key),
                        _ => put(&mut session, &mut own, key, at),
                    }
                    let found = session.read(&key).unwrap().map(|value| value[0]);
                    assert_eq!(found, own.get(&key).copied(), "key {key}, at once");
                }
                own
            }
        };
        let writers = [0, 1].map(|writer| scope.spawn(work(writer)));
        let resized = (0..20).try_for_each(|_| store.grow_index(2).and_then(|()| store.shrink_index(1)));
        stop.store(true, Ordering::Relaxed);
        resized.unwrap();
        oracle.extend(writers.into_iter().flat_map(|writer| writer.join().unwrap()));
        assert_holds(&store, &keys, &oracle, "at the end");
        assert_scan_finds(&store, &oracle);
    });
}

/// Both move records: the one that comes second is told so.
#[test]
fn a_compaction_keeps_the_index_from_shrinking() {
    let keys = keys_of_one_tag(2, 60);
    let disk = FaultyDisk::new(MemoryDisk::new());
    let plan = disk.plan();
    let store: Store<_> = FasterKv::open(config().with_wait_limit(Duration::from_secs(5)), disk).unwrap();
    let oracle = fill(&store, &keys);
    store.evict().unwrap();
    let tail = store.addresses().tail;
    std::thread::scope(|scope| {
        plan.pause_only(IoOp::Read);
        let compaction = scope.spawn(|| store.log_compact_until(tail).map(drop));
        assert!(plan.wait_until_held(1, Duration::from_secs(5)));
        let error = store.shrink_index(1).unwrap_err();
        assert!(error.kind() == ErrorKind::Busy && error.to_string().contains("compaction"), "{error}");
        plan.resume();
        compaction.join().unwrap().unwrap();
    });
    store.shrink_index(1).unwrap();
    assert_holds(&store, &keys, &oracle, "in the end");
}

/// It is refused if somebody has keys locked for long, as where the machine stands still.
fn shrink_amid_locks<D: StorageDevice>(store: &Store<D>, buckets: u64) -> Result<()> {
    loop {
        match store.shrink_index(buckets) {
            Err(error) if error.field("reason") == Some(GrowthRefusal::Locks.reason()) => {}
            shrunk => return shrunk,
        }
    }
}

/// Who has keys locked is not waited for long, and others lock theirs again afterwards.
#[test]
fn keys_that_are_locked_keep_the_index_from_shrinking() {
    let keys = keys_of_one_tag(2, 20);
    let store: Store<MemoryDisk> = FasterKv::open(config(), MemoryDisk::new()).unwrap();
    let oracle = fill(&store, &keys);
    let (mut session, mut other) = (store.start_session(), store.start_session());
    let mut locked = session.lock(&[(keys[0][1], LockMode::Exclusive)]).unwrap();
    let error = store.shrink_index(1).unwrap_err();
    assert_eq!((error.kind(), error.field("reason")), (ErrorKind::Busy, Some(GrowthRefusal::Locks.reason())));
    let word = oracle[&keys[0][1]];
    assert_eq!(locked.read(&keys[0][1]).unwrap().map(|words| words[0]), Some(word));
    drop(locked);
    other.transaction(|transaction| transaction.read(&keys[0][1]).map(drop)).unwrap();
    store.shrink_index(1).unwrap();
    other.transaction(|transaction| transaction.read(&keys[0][1]).map(drop)).unwrap();
    assert_holds(&store, &keys, &oracle, "in the end");
}

/// Transactions begin while long chains come together: the first ever, and then many. Each is told where its records will be before it
/// looks, so they and the shrinkings take turns.
#[test]
fn transactions_go_on_while_long_chains_come_together() {
    const TOTAL: u64 = 48 * 100;
    let keys = keys_of_one_tag(2, 24);
    let all: Vec<u64> = keys.iter().flatten().copied().collect();
    for round in 0..4 {
        let store: Store<MemoryDisk> = FasterKv::open(config(), MemoryDisk::new()).unwrap();
        let mut session = store.start_session();
        store.grow_index(2).unwrap();
        for key in &all {
            session.upsert(*key, [100; WORDS]).unwrap();
        }
        store.evict().unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let work = |worker: usize| {
                let (store, stop, all) = (&store, &stop, &all);
                move || {
                    let mut session = store.start_session();
                    for at in round.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let (from, to) = (all[(at * 7 + worker) % all.len()], all[(at * 5 + 11) % all.len()]);
                        if from == to {
                            continue;
                        }
                        let moved = session.transaction(|transaction| {
                            let words = |value: Option<Value>| value.map_or(0, |value| value[0]);
                            let (one, other) = (words(transaction.read(&from)?), words(transaction.read(&to)?));
                            if one > 0 {
                                transaction.upsert(from, [one - 1; WORDS]);
                                transaction.upsert(to, [other + 1; WORDS]);
                            }
                            Ok(())
                        });
                        moved.unwrap();
                    }
                }
            };
            for worker in [0, 1] {
                scope.spawn(work(worker));
            }
            let resized = (0..10).try_for_each(|_| shrink_amid_locks(&store, 1).and_then(|()| store.grow_index(2)));
            stop.store(true, Ordering::Relaxed);
            resized.unwrap();
        });
        let sum: u64 = all.iter().map(|key| session.read(key).unwrap().unwrap()[0]).sum();
        assert_eq!(sum, TOTAL, "round {round}");
    }
}

/// Nobody takes the shrinking on, because the device fails. Inserts go on as long as the smaller table has room for them, and are told then;
/// everything else goes on. When the device is back so do they.
#[test]
fn an_insert_does_not_wait_for_ever_for_a_shrinking_that_nobody_takes_on() {
    let keys = keys_of_one_tag(2, 60);
    let disk = FaultyDisk::new(MemoryDisk::new());
    let plan = disk.plan();
    let config = config().with_wait_limit(Duration::from_millis(300));
    let store: Store<_> = FasterKv::open(config, disk).unwrap();
    let mut oracle = fill(&store, &keys);
    plan.fail_nth(IoOp::Read, 20, std::io::ErrorKind::Other);
    store.shrink_index(1).unwrap_err();
    let (mut session, mut refused) = (store.start_session(), None);
    for key in (0..2000u64).map(|at| at << 40 | 1) {
        let since = Instant::now();
        let inserted: Result<()> = session.upsert(key, [key; WORDS]);
        match inserted {
            Ok(()) => drop(oracle.insert(key, key)),
            Err(error) => {
                assert!(since.elapsed() < Duration::from_secs(10));
                refused = Some((key, error));
                break;
            }
        }
    }
    let (key, error) = refused.unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains("shrink"), "it says what to do: {error}");
    let others = oracle.clone();
    assert_holds(&store, &keys, &others, "meanwhile");
    put(&mut session, &mut oracle, keys[0][1], 77);
    put(&mut session, &mut oracle, keys[1][1], 78);
    store.shrink_index(1).unwrap();
    assert_eq!(store.index_stats().buckets, 1);
    put(&mut session, &mut oracle, key, key);
    assert_holds(&store, &keys, &oracle, "afterwards");
    assert_scan_finds(&store, &oracle);
}
