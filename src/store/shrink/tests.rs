//! What tests from outside cannot bring about: keys that share a tag.

use crate::device::MemoryDisk;
use crate::directory::MemoryDirectory;
use crate::store::{CheckpointOptions, Durability, FasterKv, FasterKvConfig, RecoveryTarget, Session};
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

/// The chain of a key leads on to an old record of another one, from when they shared a bucket. The tombstone that hides that is given up
/// together with it, in a block that stays in memory; and then they share a bucket again, and are taken apart once more. In a
/// durable store what was replaced says nothing of it, and a recovery may need the part of the log that was given up.
#[test]
fn what_was_given_up_does_not_come_back_by_another_chain() {
    let [deleted, stays] = keys_of_one_tag([0, 1]);
    for is_durable in [false, true] {
        let config = if is_durable { config().with_durability(Durability::GROUP) } else { config() };
        let store: FasterKv<u64, u64, MemoryDisk> = match is_durable {
            true => FasterKv::open_durable_in(&MemoryDirectory::new(), config, MemoryDisk::new(), &|_| ()).unwrap().0,
            false => FasterKv::open(config, MemoryDisk::new()).unwrap(),
        };
        let mut session = store.start_session();
        session.upsert(deleted, 1).unwrap();
        session.upsert(stays, 2).unwrap();
        store.grow_index(2).unwrap();
        // Not in place: the tombstone is a record of its own, in the same block.
        match is_durable {
            true => drop(session.delete(&deleted).unwrap()),
            false => assert!(session.delete_if(deleted, |value| *value == 1).unwrap().is_done()),
        }
        assert_eq!(session.read(&deleted).unwrap(), None);
        let until = store.addresses().tail;
        if is_durable {
            session.upsert(stays, 2).unwrap();
            session.wait_durable().unwrap();
            store.flush().unwrap();
        }
        store.log_compact_until(until).unwrap();
        assert_eq!(
            store.index_stats().entries,
            1 + u64::from(is_durable),
            "the tombstone is gone, or kept for a recovery"
        );
        store.shrink_index(1).unwrap();
        assert_eq!((store.index_stats().buckets, store.index_growth().halvings), (1, 1));
        assert!(store.addresses().head < store.addresses().begin, "the record is still in memory");
        assert_holds(&mut session, deleted, stays, 2);
        store.grow_index(2).unwrap();
        assert_holds(&mut session, deleted, stays, 2);
        assert!(session.insert(deleted, 3).unwrap(), "it was not there");
        assert_eq!((session.read(&deleted).unwrap(), session.read(&stays).unwrap()), (Some(3), Some(2)));
    }
}

/// Whichever way one looks for them.
fn assert_holds(session: &mut Session<u64, u64>, deleted: u64, stays: u64, value: u64) {
    assert_eq!((session.read(&deleted).unwrap(), session.read(&stays).unwrap()), (None, Some(value)));
    assert_eq!(session.read_batch(&[deleted, stays]).unwrap(), [None, Some(value)]);
    let bytes = [deleted, stays].map(|key| session.read_with(&key, <[u8]>::to_vec).unwrap());
    assert_eq!(bytes, [None, Some(value.to_le_bytes().to_vec())]);
    let read = session.transaction(|transaction| Ok((transaction.read(&deleted)?, transaction.read(&stays)?)));
    assert_eq!(read.unwrap(), (None, Some(value)));
    assert!(!session.delete_if(deleted, |_| true).unwrap().is_done());
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
