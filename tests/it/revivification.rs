//! Space of deleted and outgrown records is used again: the log comes to rest where keys come and go, and nothing else changes.

use oxifaster::checkpoint::CheckpointKind;
use oxifaster::device::MemoryDisk;
use oxifaster::directory::MemoryDirectory;
use oxifaster::record::{Key, Value};
use oxifaster::stats::RevivificationStats;
use oxifaster::store::{Change, ChangeCursor, CheckpointOptions, FasterKv, FasterKvConfig, RecoveryTarget, Session};
use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

type Store<K, V> = FasterKv<K, V, MemoryDisk>;
type Text = Store<String, Vec<u8>>;
type Model = BTreeMap<String, Vec<u8>>;

fn config() -> FasterKvConfig {
    FasterKvConfig::default()
        .with_memory_budget(6 << 20)
        .with_log_memory_size(3 << 20)
        .with_table_size(512)
        .with_page_size_bits(14)
        .with_revivification(true)
}

fn stats<K: Key, V: Value>(store: &Store<K, V>) -> RevivificationStats {
    store.stats().revivification.unwrap()
}

fn tail<K: Key, V: Value>(store: &Store<K, V>) -> u64 {
    store.addresses().tail.get()
}

/// Numbers that look random, from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let (len, byte) = (self.below(most), self.below(256));
        vec![byte as u8; len as usize]
    }
}

/// How far the log grows while keys come and go, once as many have as it takes to find its size.
fn growth_where_keys_come_and_go<K: Key, V: Value>(
    config: FasterKvConfig,
    key: impl Fn(u64) -> K,
    value: impl Fn(&mut Dice) -> V,
) -> u64 {
    const LIVE: u64 = 500;
    let store = Store::<K, V>::open(config, MemoryDisk::new()).unwrap();
    let (mut session, mut dice, mut settled) = (store.start_session(), Dice(1), 0);
    for number in 0..40_000 {
        if number == 20_000 {
            settled = tail(&store);
        }
        session.upsert(key(number), value(&mut dice)).unwrap();
        if let Some(oldest) = number.checked_sub(LIVE) {
            session.delete(&key(oldest)).unwrap();
        }
    }
    for number in 0..40_000 {
        assert_eq!(session.read(&key(number)).unwrap().is_some(), number >= 40_000 - LIVE, "key {number}");
    }
    tail(&store) - settled
}

#[test]
fn the_log_comes_to_rest_where_keys_come_and_go() {
    let text = |number| format!("key {number:08}");
    // A few keys share a chain by chance, and leave their tombstones there.
    let few = 1 << 12;
    assert!(growth_where_keys_come_and_go(config(), |number| number, |dice| dice.below(1000)) < few);
    assert!(growth_where_keys_come_and_go(config(), |number| number, |dice| [dice.below(1000); 9]) < few);
    assert!(growth_where_keys_come_and_go(config(), text, |dice| [dice.below(1000); 9]) < few);
    let grown = growth_where_keys_come_and_go(config(), text, |dice| dice.bytes(600));
    assert!(grown < 64 << 10, "of 6 MiB that were written the log grew by {grown}");
    let plain = growth_where_keys_come_and_go(config().with_revivification(false), text, |dice| dice.bytes(600));
    assert!(plain > 6 << 20, "otherwise it grows by all that is written, not {plain}");
}

#[test]
fn the_log_comes_to_rest_where_values_become_longer_and_shorter_and_keys_go_and_come_back() {
    let store = Text::open(config(), MemoryDisk::new()).unwrap();
    let (mut session, mut dice, mut model, mut settled) = (store.start_session(), Dice(2), Model::new(), 0);
    for number in 0..60_000 {
        if number == 30_000 {
            settled = tail(&store);
        }
        change(&mut session, &mut model, &mut dice, 0..300);
    }
    compare(&mut session, &model, 0..300);
    let (grown, stats) = (tail(&store) - settled, stats(&store));
    assert!(stats.freed > 1000 && stats.reused > 1000, "{stats:?}");
    assert!(grown < 128 << 10, "grown by {grown} of 9 MiB: {stats:?}");
}

#[test]
fn a_key_with_an_older_record_comes_back_where_its_tombstone_lies() {
    let store = Text::open(config(), MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    let keys = || (0..100).map(|number| format!("key {number}"));
    let write = |session: &mut Session<_, _>, round: usize| {
        keys().for_each(|key| session.upsert(key, vec![round as u8; 100 - round % 50]).unwrap());
    };
    write(&mut session, 0);
    store.flush().unwrap();
    write(&mut session, 0);
    let settled = tail(&store);
    for round in 0..100 {
        keys().for_each(|key| session.delete(&key).unwrap());
        assert!(keys().all(|key| session.read(&key).unwrap().is_none()));
        match round % 3 {
            0 => write(&mut session, round),
            1 => keys().for_each(|key| assert!(session.insert(key, vec![round as u8; 100 - round % 50]).unwrap())),
            _ => keys().for_each(|key| {
                let fill = |value: &mut Vec<u8>| {
                    value.resize(100 - round % 50, round as u8);
                    true
                };
                assert!(session.rmw(key, fill).unwrap());
            }),
        }
        assert!(keys().all(|key| session.read(&key).unwrap() == Some(vec![round as u8; 100 - round % 50])));
    }
    assert_eq!((tail(&store), stats(&store).in_place), (settled, 100 * 100));
    // What does not fit goes in front, and the tombstone makes room.
    keys().for_each(|key| session.delete(&key).unwrap());
    keys().for_each(|key| session.upsert(key, vec![1; 1000]).unwrap());
    assert_eq!(stats(&store).freed, 100);
    assert!(keys().all(|key| session.read(&key).unwrap() == Some(vec![1; 1000])));
}

/// Changes one of the keys in one of the ways there are.
fn change(session: &mut Session<String, Vec<u8>>, model: &mut Model, dice: &mut Dice, keys: std::ops::Range<u64>) {
    let key = format!("key {}", keys.start + dice.below(keys.end - keys.start));
    match dice.below(8) {
        0..=2 => {
            let value = dice.bytes(300);
            session.upsert(key.clone(), value.clone()).unwrap();
            model.insert(key, value);
        }
        3 => {
            let add = |value: &mut Vec<u8>| {
                value.truncate(250);
                value.extend([7; 20]);
                true
            };
            session.rmw(key.clone(), add).unwrap();
            add(model.entry(key).or_default());
        }
        4 => {
            let value = dice.bytes(300);
            let is_new = session.insert(key.clone(), value.clone()).unwrap();
            assert_eq!(is_new, !model.contains_key(&key), "{key}");
            model.entry(key).or_insert(value);
        }
        5 => {
            let is_short = |value: &Vec<u8>| value.len() < 100;
            drop(session.delete_if(key.clone(), is_short).unwrap());
            model.retain(|other, value| *other != key || !is_short(value));
        }
        _ => {
            session.delete(&key).unwrap();
            model.remove(&key);
        }
    }
}

fn compare(session: &mut Session<String, Vec<u8>>, model: &Model, keys: std::ops::Range<u64>) {
    for number in keys {
        let key = format!("key {number}");
        let found = session.read(&key).unwrap();
        assert!(
            found.as_ref() == model.get(&key),
            "{key}: {:?}, and not {:?}",
            found.map(|value| value.len()),
            model.get(&key).map(Vec::len)
        );
    }
}

/// Checkpoints of all kinds, images and growth of the index, scans, compactions and recoveries, between changes: what is there is
/// always what the model says.
#[test]
fn a_recovery_finds_what_was_there_whatever_space_was_used_again() {
    const KINDS: [CheckpointKind; 4] =
        [CheckpointKind::FoldOver, CheckpointKind::Snapshot, CheckpointKind::Incremental, CheckpointKind::Index];
    for seed in 0..18 {
        let (disk, directory, mut dice) = (MemoryDisk::new(), MemoryDirectory::new(), Dice(seed));
        // Where the index is small and stays so, most keys share a chain.
        let config = config().with_table_size([512, 8, 1][seed as usize % 3]).with_index_growth(seed % 2 == 0);
        let mut store = Text::open(config.clone(), disk.clone()).unwrap();
        let (mut session, mut model) = (store.start_session(), Model::new());
        for round in 0..12 {
            for _ in 0..dice.below(2500) {
                change(&mut session, &mut model, &mut dice, 0..200);
            }
            match dice.below(8) {
                0 => store.flush().unwrap(),
                1 => drop(store.log_compact_until(store.addresses().tail).unwrap()),
                2 => store.grow_index(store.index_stats().buckets * 2).unwrap(),
                3 => assert_eq!(store.iter().unwrap().count(), model.len()),
                4 => assert_eq!(store.snapshot().unwrap().count(), model.len()),
                _ => {}
            }
            for _ in 0..dice.below(2500) {
                change(&mut session, &mut model, &mut dice, 0..200);
            }
            let kind = KINDS[dice.below(4) as usize];
            let options = CheckpointOptions::default().with_kind(kind).with_index(dice.below(2) == 0);
            store.checkpoint_to(&directory, &options).unwrap();
            let saved = model.clone();
            for _ in 0..dice.below(1000) {
                change(&mut session, &mut model, &mut dice, 0..200);
            }
            if kind != CheckpointKind::Index && dice.below(2) == 0 {
                drop((session, store));
                let (target, config) = (RecoveryTarget::Latest, config.clone());
                let recovered = FasterKv::recover_from(&directory, target, config, disk.clone(), &|_| ());
                store = recovered.unwrap().0;
                (session, model) = (store.start_session(), saved);
            }
            compare(&mut session, &model, 0..200);
            assert_eq!(store.count().unwrap(), model.len() as u64, "seed {seed}, round {round}");
        }
    }
}

/// Who follows the changes comes to what is there.
#[test]
fn a_feed_of_changes_misses_nothing() {
    let store = Text::open(config(), MemoryDisk::new()).unwrap();
    let (mut session, mut dice, mut model) = (store.start_session(), Dice(3), Model::new());
    let (mut feed, mut followed) = (store.changes(ChangeCursor::START).unwrap(), Model::new());
    for _ in 0..20 {
        for _ in 0..1000 {
            change(&mut session, &mut model, &mut dice, 0..150);
        }
        if dice.below(2) == 0 {
            continue;
        }
        feed.catch_up().unwrap();
        loop {
            let changes = feed.take(100).unwrap();
            if changes.is_empty() {
                break;
            }
            for change in changes {
                match change {
                    Change::Insert { key, value } | Change::Update { key, value } => drop(followed.insert(key, value)),
                    Change::Delete { key } => drop(followed.remove(&key)),
                    other => panic!("{other:?}"),
                }
            }
        }
        assert!(followed == model, "{} and {} keys", followed.len(), model.len());
    }
    assert!(stats(&store).reused > 100);
}

/// Threads with keys of their own, while the store is looked at, saved, compacted, and its index grows.
#[test]
fn sessions_beside_each_other_find_their_own_values() {
    const THREADS: u64 = 3;
    let store = Text::open(config().with_table_size(64), MemoryDisk::new()).unwrap();
    let (directory, begin, is_over) =
        (MemoryDirectory::new(), Barrier::new(THREADS as usize + 1), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let threads = Vec::from_iter((0..THREADS).map(|thread| {
            let (mut session, begin) = (store.start_session(), &begin);
            scope.spawn(move || {
                let (mut dice, mut model, keys) = (Dice(thread), Model::new(), thread * 1000..thread * 1000 + 100);
                begin.wait();
                for _ in 0..40 {
                    for _ in 0..500 {
                        change(&mut session, &mut model, &mut dice, keys.clone());
                    }
                    compare(&mut session, &model, keys.clone());
                }
                model.len()
            })
        }));
        let disturber = scope.spawn(|| {
            begin.wait();
            let mut round = 0;
            while !is_over.load(Ordering::Acquire) {
                round += 1;
                match round % 7 {
                    0 => store.flush().unwrap(),
                    1 => drop(store.checkpoint_to(&directory, &CheckpointOptions::default()).unwrap()),
                    2 => assert!(store.iter().unwrap().map(Result::unwrap).count() <= 300),
                    3 => drop(store.log_compact_until(store.addresses().read_only).unwrap()),
                    4 if round < 30 => store.grow_index(store.index_stats().buckets * 2).unwrap(),
                    5 => drop(store.versions_of(&format!("key {}", round % 100)).unwrap()),
                    _ => (0..20).for_each(|_| std::thread::yield_now()),
                }
            }
        });
        let live: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        is_over.store(true, Ordering::Release);
        disturber.join().unwrap();
        assert_eq!(store.count().unwrap(), live as u64);
    });
    assert!(stats(&store).freed > 0);
}
