//! What a compaction puts off, because only the device can tell: with little memory for it, in chains that several keys share.

use super::*;
use crate::compaction::CompactionConfig;

/// All on the device, so that every record whose chain goes on above it is put off.
fn all_on_device<K: Key, V: Value>(store: &FasterKv<K, V, Shredder>) {
    store.evict().unwrap();
}

fn config_of(bytes: u64, threads: usize) -> FasterKvConfig {
    let compaction = CompactionConfig::default().with_num_threads(threads);
    config().with_compaction_memory(bytes).with_compaction(compaction)
}

#[test]
fn what_does_not_fit_into_memory_is_looked_at_in_several_goes() {
    for (bytes, threads) in [(4096, 1), (4096, 3), (16 << 10, 2), (1 << 20, 2)] {
        let store: Store = FasterKv::open(config_of(bytes, threads), Shredder::new()).unwrap();
        let (mut session, mut oracle, keys) = (store.start_session(), Oracle::new(), keys(300));
        for seed in 0..3 {
            work(&mut session, &mut oracle, &keys, seed, 7000);
            all_on_device(&store);
            let report = store.log_compact_until(store.addresses().tail).unwrap();
            assert_eq!(report.live, oracle.len() as u64 * 24, "{bytes} bytes, {threads} threads: what is in use, and no more");
            assert_holds(&mut session, &keys, &oracle);
        }
    }
}

/// Of two keys of one tag the newest record of the one is the head of the other's chain. It says nothing of the other.
#[test]
fn the_head_of_a_chain_decides_for_its_own_key_only() {
    let store: Store = FasterKv::open(config_of(4096, 2), Shredder::new()).unwrap();
    let (mut session, keys) = (store.start_session(), keys(400));
    let (in_use, overwritten) = keys.split_at(200);
    for key in in_use {
        session.upsert(*key, 1).unwrap();
    }
    for round in 0..3 {
        for key in overwritten {
            session.upsert(*key, round).unwrap();
        }
    }
    all_on_device(&store);
    let report = store.log_compact_until(store.addresses().tail).unwrap();
    assert_eq!(report.live, 400 * 24);
    let oracle = in_use.iter().map(|key| (*key, 1)).chain(overwritten.iter().map(|key| (*key, 2))).collect();
    assert_holds(&mut session, &keys, &oracle);
}

/// Keys and values of any length, some much longer than was expected when they were asked for, and keys that begin with one another.
#[test]
fn records_of_any_length_are_told_apart_by_their_whole_keys() {
    let key = |number: usize| "k".repeat(number % 40 + 1) + &number.to_string();
    let value = |number: usize, round: usize| vec![(number + round) as u8; [3, 40, 900][(number + round) % 3]];
    for (bytes, threads) in [(4096, 1), (4096, 2), (1 << 20, 2)] {
        let store: FasterKv<String, Vec<u8>, _> = FasterKv::open(config_of(bytes, threads), Shredder::new()).unwrap();
        let mut session = store.start_session();
        for round in 0..4 {
            for number in 0..150 {
                session.upsert(key(number), value(number, round)).unwrap();
            }
            for number in (round..150).step_by(7) {
                session.delete(&key(number)).unwrap();
            }
        }
        all_on_device(&store);
        store.log_compact_until(store.addresses().tail).unwrap();
        for number in 0..150 {
            let expected = (number % 7 != 3).then(|| value(number, 3));
            assert!(session.read(&key(number)).unwrap() == expected, "{number} {bytes} {threads}");
        }
    }
}
