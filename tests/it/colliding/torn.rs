//! Copies that join two chains, of which the last one is missing: the log ended, or the device failed, between two of them.

use super::*;
use crate::duplicate::duplicate;

/// What comes back from a copy of all there is: a store that is opened takes a checkpoint.
fn reopened(directory: &MemoryDirectory, config: FasterKvConfig, disk: MemoryDisk) -> Store<MemoryDisk> {
    Store::open_durable_in(&duplicate(directory), config, disk, &|_| ()).unwrap().0
}

/// In so many buckets every key has a chain of its own, which leads to whatever counts for it.
const MANY: u64 = 1 << 14;

/// A key whose chain is none of theirs: what is written before it is durable when it is.
fn of_no_tag() -> u64 {
    (0..).find(|key| tag(*key) > 100).unwrap()
}

/// All copies are made in one go, and the log of a durable store ends between two of them. Without the last one those that are there would
/// hide what was not copied yet.
#[test]
fn a_log_that_ends_between_two_copies_has_all_keys() {
    let keys = keys_of_one_tag(2, 60);
    for nth in 1..12 {
        let disk = FaultyDisk::new(MemoryDisk::new());
        let (plan, directory) = (disk.plan(), MemoryDirectory::new());
        let config = || config().with_log_memory_size(64 << 12).with_durability(Durability::GROUP);
        let (store, _) = Store::open_durable_in(&directory, config(), disk, &|_| ()).unwrap();
        let oracle = fill(&store, &keys);
        store.flush().unwrap();
        let reads = plan.counts().reads;
        plan.fail_from(IoOp::Write, nth, std::io::ErrorKind::Other);
        // What of it comes to the device is all that counts here.
        let _ = store.shrink_index(1);
        assert_eq!(plan.counts().reads, reads, "all is in memory");
        let _ = store.flush();
        for buckets in [1, 2, MANY] {
            let config = config().with_table_size(buckets);
            let copy = reopened(&directory, config, store.device().get_ref().duplicate());
            assert_holds(&copy, &keys, &oracle, &format!("recovered into {buckets} buckets, up to write {nth}"));
        }
    }
}

/// The device fails between any two copies. What was copied by then is in no chain and counts for nobody, whatever becomes of the keys: not
/// in memory, nor when their tombstones are given up, nor in what is recovered.
#[test]
fn copies_that_came_to_nothing_count_for_nobody() {
    let keys = keys_of_one_tag(2, 60);
    for nth in (1..150).step_by(13) {
        let disk = FaultyDisk::new(MemoryDisk::new());
        let (plan, directory) = (disk.plan(), MemoryDirectory::new());
        let config = || config().with_durability(Durability::GROUP);
        let copy_of = |store: &Store<FaultyDisk<MemoryDisk>>| store.device().get_ref().duplicate();
        let (store, _) = Store::open_durable_in(&directory, config(), disk, &|_| ()).unwrap();
        let mut oracle = fill(&store, &keys);
        let mut session = store.start_session();
        session.upsert(of_no_tag(), [0; WORDS]).unwrap();
        plan.fail_nth(IoOp::Read, nth, std::io::ErrorKind::Other);
        let shrunk = store.shrink_index(1);
        plan.repair();
        assert!(nth > 100 || shrunk.is_err(), "it fails at access {nth}");
        assert_holds(&store, &keys, &oracle, "in two tables");
        let reopen = |disk| reopened(&directory, config(), disk);
        session.upsert(of_no_tag(), [1; WORDS]).unwrap();
        session.wait_durable().unwrap();
        assert_holds(&reopen(copy_of(&store)), &keys, &oracle, "recovered as it was left");
        for (at, key) in keys.iter().flatten().enumerate().skip(1) {
            match at % 3 {
                0 => put(&mut session, &mut oracle, *key, 2000 + *key),
                1 => delete(&mut session, &mut oracle, *key),
                _ => {}
            }
        }
        assert_holds(&store, &keys, &oracle, "in two tables, changed");
        session.wait_durable().unwrap();
        assert_holds(&reopen(copy_of(&store)), &keys, &oracle, "recovered in two tables");
        store.log_compact_until(store.addresses().safe_read_only).unwrap();
        assert!(!store.index_growth().under_way);
        assert_holds(&store, &keys, &oracle, "compacted");
        session.wait_durable().unwrap();
        assert_holds(&reopen(copy_of(&store)), &keys, &oracle, "recovered after a compaction");
    }
}

/// A key is deleted after it was copied in vain, and the tombstone hides nothing any more but that copy: all that it leads to is given up. What
/// is recovered into a large index, where the key has a chain of its own, does not have it.
#[test]
fn a_copy_that_came_to_nothing_does_not_come_back() {
    let keys = keys_of_one_tag(2, 60);
    for nth in [2, 10, 30, 50] {
        let (inner, directory) = (MemoryDisk::new(), MemoryDirectory::new());
        let disk = FaultyDisk::new(inner);
        let plan = disk.plan();
        let store: Store<_> = FasterKv::open(config(), disk).unwrap();
        let (mut session, mut oracle) = (store.start_session(), Oracle::new());
        store.grow_index(2).unwrap();
        for at in 0..60 {
            keys.iter().for_each(|keys| put(&mut session, &mut oracle, keys[at], at as u64));
        }
        store.evict().unwrap();
        let before = store.addresses().tail;
        plan.fail_nth(IoOp::Read, nth, std::io::ErrorKind::Other);
        store.shrink_index(1).unwrap_err();
        plan.repair();
        assert!(nth <= 2 || store.addresses().tail > before, "there are copies");
        delete(&mut session, &mut oracle, keys[0][59]);
        store.log_compact_until(before).unwrap();
        assert_holds(&store, &keys, &oracle, "compacted");
        let report = store.checkpoint_to(&directory, &CheckpointOptions::default().with_index(false)).unwrap();
        for buckets in [1, 2, MANY] {
            let (config, target) = (config().with_table_size(buckets), RecoveryTarget::Token(report.token));
            let copy = store.device().get_ref().duplicate();
            let (store, _) = FasterKv::recover_from(&directory, target, config, copy, &|_| ()).unwrap();
            assert_holds(&store, &keys, &oracle, &format!("recovered into {buckets} buckets"));
        }
    }
}

/// Two pairs of chains are to be joined, and the device fails at the second one. The first one is joined by then: if what was copied for it
/// were in no chain, it would count all the same where a log is replayed, and bring back what was deleted since.
#[test]
fn a_pair_that_is_joined_stays_so_when_the_next_one_fails() {
    let [first, second] = [5, 6].map(|tag| keys_of_tag(tag, 2, 30));
    for nth in [32, 45] {
        let (disk, directory) = (FaultyDisk::new(MemoryDisk::new()), MemoryDirectory::new());
        let plan = disk.plan();
        let store: Store<_> = FasterKv::open(config(), disk).unwrap();
        let (mut session, mut oracle) = (store.start_session(), Oracle::new());
        store.grow_index(2).unwrap();
        for keys in first.iter().zip(&second).flat_map(|(one, other)| [one, other]) {
            keys.iter().for_each(|key| put(&mut session, &mut oracle, *key, *key));
        }
        store.evict().unwrap();
        let before = store.addresses().tail;
        plan.fail_nth(IoOp::Read, nth, std::io::ErrorKind::Other);
        store.shrink_index(1).unwrap_err();
        plan.repair();
        // First those in front of which the copies were: what is above is not copied when the two come together in the end.
        for key in first.iter().rev().flatten().step_by(2) {
            delete(&mut session, &mut oracle, *key);
        }
        store.log_compact_until(before).unwrap();
        let report = store.checkpoint_to(&directory, &CheckpointOptions::default().with_index(false)).unwrap();
        for buckets in [1, 2, MANY] {
            let (config, target) = (config().with_table_size(buckets), RecoveryTarget::Token(report.token));
            let copy = store.device().get_ref().duplicate();
            let (store, _) = FasterKv::recover_from(&directory, target, config, copy, &|_| ()).unwrap();
            for keys in [&first, &second] {
                assert_holds(&store, keys, &oracle, &format!("recovered into {buckets} buckets"));
            }
        }
    }
}
