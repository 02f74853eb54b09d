//! What tests from outside cannot bring about: keys that share a tag.

use super::*;
use crate::compaction::config::CompactionConfig;
use crate::device::MemoryDisk;
use crate::directory::MemoryDirectory;
use crate::store::compact::{Estimate, Upkeep};
use crate::store::{CheckpointOptions, FasterKv, FasterKvConfig, RecoveryTarget};
use crate::utility::KeyHash;

type Store = FasterKv<u64, u64, MemoryDisk>;

/// Keys of one tag, which lie in these buckets of four.
fn keys_of_one_tag<const N: usize>(buckets: [u64; N]) -> [u64; N] {
    let hash = |key: u64| KeyHash::of_bytes(&key.to_le_bytes());
    let tag = hash(0).tag();
    buckets.map(|bucket| (0..).find(|key| hash(*key).tag() == tag && hash(*key).bucket(3) == bucket).unwrap())
}

fn config() -> FasterKvConfig {
    FasterKvConfig::default()
        .with_table_size(1)
        .with_log_memory_size(64 << 10)
        .with_page_size_bits(12)
        .with_index_growth(false)
}

/// P4 of replay: two copies bring the chains of an index of two buckets together. In the index of four buckets that is made from the log
/// they belong to different chains, and what they are copies of was compacted away.
#[test]
fn every_copy_counts_in_a_larger_index() {
    let [one, other, third] = keys_of_one_tag([0, 2, 1]);
    let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
    let store: Store = FasterKv::open(config(), disk.clone()).unwrap();
    let mut session = store.start_session();
    session.upsert(one, 1).unwrap();
    session.upsert(other, 2).unwrap();
    store.grow_index(2).unwrap();
    session.upsert(third, 3).unwrap();
    let before = store.addresses().tail;
    store.shrink_index(1).unwrap();
    store.log_compact_until(before).unwrap();
    assert!(store.addresses().begin >= before);
    let options = CheckpointOptions::default().with_index(false);
    let report = store.checkpoint_to(&directory, &options).unwrap();
    drop((session, store));
    for buckets in [1, 2, 4] {
        let (config, target) = (config().with_table_size(buckets), RecoveryTarget::Token(report.token));
        let (store, report): (Store, _) =
            FasterKv::recover_from(&directory, target, config, disk.duplicate(), &|_| ()).unwrap();
        assert_eq!(report.index_buckets, buckets);
        let mut session = store.start_session();
        let found = [one, other, third].map(|key| session.read(&key).unwrap());
        assert_eq!(found, [Some(1), Some(2), Some(3)], "in {buckets} buckets");
    }
}

/// A bucket that is joined slowly is frozen for as long as it takes to read a chain. Who writes to it does not fill the log meanwhile with
/// records that come to nothing.
#[test]
fn who_waits_for_a_frozen_bucket_uses_up_no_room() {
    let [one, other] = keys_of_one_tag([0, 1]);
    let store = Store::open(config().with_wait_limit(Duration::from_millis(100)), MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    store.grow_index(2).unwrap();
    session.upsert(one, 1).unwrap();
    session.upsert(other, 2).unwrap();
    let index = &store.database.kernel.index;
    begin(&store);
    let frozen = index.freeze(0).unwrap();
    let records = LogRecords::new(&store.database.kernel);
    {
        let mut driver = Shrinking::new(&store.database, Haste::Urgent).driver;
        let _pinned = driver.pin(&store.database.kernel);
        assert_eq!(frozen.pairs(means_of(&records, Address::INVALID)).len(), 1);
    }
    let close = store.addresses().tail;
    close_below(&store.database, close).unwrap();
    let before = store.addresses().tail;
    for key in [one, other] {
        let refused = [
            session.upsert(key, 3).unwrap_err(),
            session.delete(&key).map(drop).unwrap_err(),
            session.rmw(key, |_| true).map(drop).unwrap_err(),
        ];
        assert!(refused.iter().all(|error| error.kind() == ErrorKind::Busy), "{refused:?}");
    }
    assert_eq!(store.addresses().tail, before);
    assert_eq!([one, other].map(|key| session.read(&key).unwrap()), [Some(1), Some(2)]);
    drop(frozen);
    session.upsert(one, 4).unwrap();
    assert!(store.addresses().tail > before);
    finish_shrinking(&store.database).unwrap();
    assert_eq!([one, other].map(|key| session.read(&key).unwrap()), [Some(4), Some(2)]);
    assert_eq!(store.index_stats().buckets, 1);
}

/// While writers are held up until a compaction makes room, none has its turn; the shrinking that has goes on.
#[test]
fn a_shrinking_does_not_wait_for_room_that_a_compaction_is_to_make() {
    let config = config().with_table_size(1 << 7).with_wait_limit(Duration::from_millis(100));
    let store = Store::open(config, MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    store.database.kernel.log.keep_room(Address::new(1));
    let full = (0..1000).find(|key| session.upsert(*key, *key).is_err());
    assert!(full.is_some(), "a page holds less");
    // More marks than there is room for at the end of a page.
    for _ in 0..3 {
        store.grow_index(1 << 8).unwrap();
        store.shrink_index(1 << 7).unwrap();
    }
    assert!(store.holds_writers_up());
}

/// A worker does not take back what was asked for: an index that was made large before its keys come.
#[test]
fn an_index_that_is_large_for_what_is_to_come_stays_so() {
    let store = Store::open(config().with_index_shrinking(true), MemoryDisk::new()).unwrap();
    store.grow_index(1 << 8).unwrap();
    let config = CompactionConfig::default();
    let look = || {
        let upkeep = Upkeep {
            config: &config,
            target: config.target_utilization,
            pace: &Pace::new(&config),
            min_log_size: 0,
            holds_up_writers: false,
            estimate: &mut Estimate::default(),
            makes_durable: true,
        };
        let kept = store.keep_up(upkeep);
        kept.report.unwrap();
        kept.reclaimed.unwrap();
    };
    look();
    let mut session = store.start_session();
    session.upsert(1, 1).unwrap();
    look();
    assert_eq!(store.index_stats().buckets, 1 << 8);
    // When something was given up and given back it is another matter.
    session.upsert(1, 2).unwrap();
    session.delete(&1).unwrap();
    store.log_compact_until(store.addresses().tail).unwrap();
    assert_eq!(store.index_stats().buckets, 1);
}

/// Puts the smaller table in force, with nothing merged yet.
fn begin(store: &Store) {
    let index = &store.database.kernel.index;
    index.begin_to_shrink(None).unwrap();
    Shrinking::new(&store.database, Haste::Urgent).announce().unwrap();
    index.shrink_in_force().unwrap();
}
