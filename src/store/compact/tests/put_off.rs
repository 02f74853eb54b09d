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
            assert_eq!(
                report.live,
                oracle.len() as u64 * 24,
                "{bytes} bytes, {threads} threads: what is in use, and no more"
            );
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

/// A number for each, and a longer one that begins with it and shares its chain.
fn pairs(count: usize) -> Vec<[String; 2]> {
    let chain = |key: &str| {
        let hash = KeyHash::of_bytes(key.as_bytes());
        (hash.bucket(3), hash.tag())
    };
    let longer = |key: String| {
        let other = (0_u64..).map(|more| format!("{key}-{more}")).find(|other| chain(other) == chain(&key));
        other.map(|other| [key, other])
    };
    (0..count).filter_map(|number| longer(number.to_string())).collect()
}

/// What lies above is of another key that begins with theirs, and is often longer than was expected when it was asked for.
#[test]
fn records_of_any_length_are_told_apart_by_their_whole_keys() {
    let (pairs, value) = (pairs(60), |number: usize, round: u8| vec![round; [3, 40, 3500][number % 3]]);
    for (bytes, threads) in [(4096, 1), (4096, 2), (1 << 20, 2)] {
        // Pages of several blocks: an access brings whole ones.
        let config = config_of(bytes, threads).with_page_size_bits(16).with_log_memory_size(6 << 16);
        let store: FasterKv<String, Vec<u8>, _> = FasterKv::open(config, Shredder::new()).unwrap();
        let mut session = store.start_session();
        for round in 0..3 {
            for (number, pair) in pairs.iter().enumerate() {
                session.upsert(pair[round.min(1) as usize].clone(), value(number + round as usize, round)).unwrap();
            }
        }
        for pair in pairs.iter().step_by(7) {
            session.delete(&pair[1]).unwrap();
        }
        all_on_device(&store);
        store.log_compact_until(store.addresses().tail).unwrap();
        for (number, [shorter, longer]) in pairs.iter().enumerate() {
            assert!(session.read(shorter).unwrap() == Some(value(number, 0)), "{shorter} {bytes} {threads}");
            let expected = (number % 7 != 0).then(|| value(number + 2, 2));
            assert!(session.read(longer).unwrap() == expected, "{longer} {bytes} {threads}");
        }
    }
}
