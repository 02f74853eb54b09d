//! What tests from outside cannot bring about: keys that share a tag.

use crate::device::MemoryDisk;
use crate::directory::MemoryDirectory;
use crate::store::{CheckpointOptions, FasterKv, FasterKvConfig, RecoveryTarget};
use crate::utility::KeyHash;

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
    let store: FasterKv<u64, u64, MemoryDisk> = FasterKv::open(config(), disk.clone()).unwrap();
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
        let (store, report): (FasterKv<u64, u64, MemoryDisk>, _) =
            FasterKv::recover_from(&directory, target, config, disk.duplicate(), &|_| ()).unwrap();
        assert_eq!(report.index_buckets, buckets);
        let mut session = store.start_session();
        let found = [one, other, third].map(|key| session.read(&key).unwrap());
        assert_eq!(found, [Some(1), Some(2), Some(3)], "in {buckets} buckets");
    }
}
