//! Keys and values of any length: limits, room in place, reads of what is longer than expected, and what a recovery, a
//! compaction and a log keep of them.

use oxifaster::ErrorKind;
use oxifaster::cache::ReadCacheConfig;
use oxifaster::checkpoint::CheckpointKind;
use oxifaster::device::{MemoryDisk, StorageDevice};
use oxifaster::directory::MemoryDirectory;
use oxifaster::record::Encoded;
use oxifaster::store::{CheckpointOptions, Durability, FasterKv, FasterKvConfig, RecoveryTarget, Session};
use std::collections::BTreeMap;
use std::sync::Arc;

type Store = FasterKv<String, Vec<u8>, Arc<MemoryDisk>>;
type Model = BTreeMap<String, Vec<u8>>;

fn config() -> FasterKvConfig {
    FasterKvConfig::default().with_page_size_bits(14).with_log_memory_size(8 << 14).with_table_size(64)
}

fn without_and_with_a_cache() -> [Store; 2] {
    [config(), config().with_read_cache(ReadCacheConfig::default().with_mem_size(16 << 12))].map(open)
}

fn open(config: FasterKvConfig) -> Store {
    FasterKv::open(config, Arc::new(MemoryDisk::new())).unwrap()
}

/// A value of a length of its own.
fn value_of(key: u64, round: u64) -> Vec<u8> {
    let len = match key % 7 {
        0 => 0,
        1..=4 => (key * 13 + round * 5) % 200,
        5 => 1000 + (key + round * 77) % 3000,
        _ => (key * 977 + round * 4001) % 15_000,
    };
    (0..len).map(|at| (at * 31 + key * 7 + round) as u8).collect()
}

/// Changes many keys in every way there is, in the store and in the model.
fn churn(session: &mut Session<String, Vec<u8>>, model: &mut Model, rounds: std::ops::Range<u64>) {
    for round in rounds {
        for number in 0..200 {
            let key = format!("key {}", number * 7 % 199);
            match (number + round) % 6 {
                0..=2 => {
                    let value = value_of(number, round);
                    session.upsert(key.clone(), value.clone()).unwrap();
                    model.insert(key, value);
                }
                3 => {
                    session
                        .rmw(key.clone(), |value| {
                            value.extend([round as u8; 37]);
                            value.truncate(12_000);
                            true
                        })
                        .unwrap();
                    let value = model.entry(key).or_default();
                    value.extend([round as u8; 37]);
                    value.truncate(12_000);
                }
                4 => {
                    session.delete(key.as_str()).unwrap();
                    model.remove(&key);
                }
                _ => {
                    let value = value_of(number, round);
                    assert_eq!(session.insert(key.clone(), value.clone()).unwrap(), !model.contains_key(&key));
                    model.entry(key).or_insert(value);
                }
            }
        }
    }
}

fn check(session: &mut Session<String, Vec<u8>>, model: &Model, when: &str) {
    for number in 0..200 {
        let key = format!("key {number}");
        assert_eq!(session.read(key.as_str()).unwrap().as_ref(), model.get(&key), "{key}, {when}");
    }
    let keys: Vec<String> = (0..200).map(|number| format!("key {number}")).collect();
    let values = session.read_batch(&keys).unwrap();
    for (key, value) in keys.iter().zip(values) {
        assert_eq!(value.as_ref(), model.get(key), "{key} in a batch, {when}");
    }
}

#[test]
fn what_is_too_long_is_refused_before_anything_is_written() {
    let store = open(config());
    let mut session = store.start_session();
    session.upsert("a".into(), vec![1; 100]).unwrap();
    let before = store.addresses().tail;
    // A page without its first 64 bytes and a word for an origin; header, sizes, key and latch are a word each.
    let most = (1 << 14) - 64 - 8 - 4 * 8;
    let is_refused = |outcome: oxifaster::Result<()>| {
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), error.field("bytes of the value")), (ErrorKind::Limit, Some("16281")), "{error}");
        assert!(error.field("largest record").is_some());
    };
    assert_eq!(most + 1, 16281);
    is_refused(session.upsert("a".into(), vec![2; most + 1]));
    is_refused(session.upsert("new".into(), vec![2; most + 1]));
    is_refused(session.upsert_with("a".into(), most + 1, |_| panic!("it is refused before")));
    is_refused(session.insert("new".into(), vec![2; most + 1]).map(drop));
    is_refused(session.upsert_batch(&[("new".into(), vec![2; most + 1])]));
    let grow = |value: &mut Vec<u8>| {
        value.resize(most + 1, 3);
        true
    };
    is_refused(session.rmw("a".into(), grow).map(drop));
    is_refused(session.rmw("new".into(), grow).map(drop));
    let long_key = "k".repeat(1 << 14);
    assert_eq!(session.upsert(long_key.clone(), Vec::new()).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(session.read(long_key.as_str()).unwrap(), None);
    session.delete(long_key.as_str()).unwrap();
    let error = session.upsert_with("a".into(), usize::MAX, |_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(store.addresses().tail, before, "nothing was written");
    assert_eq!(session.read("a").unwrap(), Some(vec![1; 100]));
    assert_eq!(session.read("new").unwrap(), None);
    // The record that was too short for it is as it was: it can still be changed in place.
    session
        .rmw("a".into(), |value| {
            value[0] = 9;
            true
        })
        .unwrap();
    assert_eq!((store.addresses().tail, session.read("a").unwrap().unwrap()[0]), (before, 9));
    session.upsert_with("a".into(), most, |bytes| bytes.fill(7)).unwrap();
    assert_eq!(session.read("a").unwrap(), Some(vec![7; most]));
}

#[test]
fn a_value_is_changed_in_place_as_long_as_its_words_have_room() {
    let store = open(config());
    let mut session = store.start_session();
    session.upsert("key".into(), vec![1; 50]).unwrap();
    let tail = store.addresses().tail;
    for len in [49, 0, 7, 56, 1, 50] {
        session.upsert("key".into(), vec![len as u8; len]).unwrap();
        assert_eq!(session.read("key").unwrap(), Some(vec![len as u8; len]));
    }
    for _ in 0..6 {
        assert!(
            session
                .rmw("key".into(), |value| {
                    value.push(2);
                    true
                })
                .unwrap()
        );
    }
    assert_eq!((session.read("key").unwrap().unwrap().len(), store.addresses().tail), (56, tail), "no new record");
    assert!(
        session
            .rmw("key".into(), |value| {
                value.push(3);
                true
            })
            .unwrap()
    );
    assert_eq!(session.read("key").unwrap().unwrap().len(), 57);
    assert!(store.addresses().tail > tail, "it has outgrown its record");
    // All of it again, from there on.
    session.upsert("key".into(), vec![4; 64]).unwrap();
    session.delete("key").unwrap();
    assert_eq!(session.read("key").unwrap(), None);
    session.upsert("key".into(), vec![5; 3]).unwrap();
    assert_eq!(session.read("key").unwrap(), Some(vec![5; 3]));
}

#[test]
fn bytes_that_are_no_key_of_a_fixed_length_are_not_there() {
    let store: FasterKv<[u8; 8], u64, _> =
        FasterKv::open(FasterKvConfig::default().with_memory_budget(1 << 20), MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    session.upsert(*b"abcdefgh", 7).unwrap();
    assert_eq!(session.read(&b"abcdefgh"[..]).unwrap(), Some(7));
    for other in [&b"abcdefg"[..], b"abcdefghi", b""] {
        assert_eq!(session.read(other).unwrap(), None);
        session.delete(other).unwrap();
    }
    assert_eq!(session.read(b"abcdefgh").unwrap(), Some(7));
    assert_eq!(session.upsert_with(*b"abcdefgh", 7, |_| ()).unwrap_err().kind(), ErrorKind::Config);
    session.upsert_with(*b"abcdefgh", 8, |bytes| bytes[0] = 1).unwrap();
    assert_eq!(session.read(b"abcdefgh").unwrap(), Some(1));
}

#[test]
fn a_record_of_the_usual_length_is_read_in_one_access() {
    let store = open(config());
    let mut session = store.start_session();
    let key = |number: u32| format!("{number:08}");
    for number in 0..1000 {
        session.upsert(key(number), vec![number as u8; 100]).unwrap();
    }
    session.upsert("long".into(), vec![8; 9000]).unwrap();
    store.evict().unwrap();
    let before = store.stats().device;
    for number in 0..1000 {
        assert_eq!(session.read(key(number).as_str()).unwrap(), Some(vec![number as u8; 100]));
    }
    let after = store.stats().device;
    // Chains of other keys are gone through as well: so many accesses as there are records on the way.
    let (reads, bytes) = (after.reads - before.reads, after.read_bytes - before.read_bytes);
    assert!(bytes / reads <= 4096 * 11 / 10, "{reads} accesses brought {bytes} bytes");
    let before = store.stats().device.reads;
    assert_eq!(session.read("long").unwrap(), Some(vec![8; 9000]));
    assert_eq!(store.stats().device.reads - before, 2, "how long it is was not known");
}

#[test]
fn everything_that_is_done_with_values_of_any_length_is_there_from_memory_device_and_cache() {
    for store in without_and_with_a_cache() {
        let (mut session, mut model) = (store.start_session(), Model::new());
        for part in 0..4 {
            churn(&mut session, &mut model, part * 3..part * 3 + 3);
            check(&mut session, &model, "in memory, most of it");
            store.evict().unwrap();
            check(&mut session, &model, "on the device");
            check(&mut session, &model, "once more");
        }
        assert!(store.stats().device.reads > 100);
        if let Some(cache) = store.stats().read_cache {
            assert!(cache.added > 100 && cache.pages_left > 0, "{cache:?}");
        }
    }
}

#[test]
fn checkpoints_of_every_kind_bring_values_of_any_length_back() {
    let kinds = [CheckpointKind::FoldOver, CheckpointKind::Snapshot, CheckpointKind::Incremental]
        .map(|kind| CheckpointOptions::default().with_kind(kind));
    let (directory, disk) = (MemoryDirectory::new(), Arc::new(MemoryDisk::new()));
    let mut store: Store = FasterKv::open(config(), Arc::clone(&disk)).unwrap();
    let mut model = Model::new();
    for round in 0..9 {
        let mut session = store.start_session();
        churn(&mut session, &mut model, round..round + 1);
        // An increment needs a snapshot before it.
        if round % 3 == 2 {
            store.checkpoint_to(&directory, &kinds[1]).unwrap();
            churn(&mut session, &mut model, round + 20..round + 21);
        }
        store.checkpoint_to(&directory, &kinds[round as usize % 3]).unwrap();
        let at_checkpoint = model.clone();
        // What comes after it is not there.
        churn(&mut session, &mut model, round + 40..round + 41);
        model = at_checkpoint;
        drop(session);
        drop(store);
        (store, _) =
            FasterKv::recover_from(&directory, RecoveryTarget::Latest, config(), Arc::clone(&disk), &|_| ()).unwrap();
        let mut session = store.start_session();
        check(&mut session, &model, "after a recovery");
        let scanned: Model = store.iter().unwrap().map(Result::unwrap).collect();
        assert_eq!(scanned, model, "by a scan");
    }
}

#[test]
fn a_checkpoint_of_values_of_any_length_is_of_no_other_store() {
    let (directory, disk) = (MemoryDirectory::new(), Arc::new(MemoryDisk::new()));
    let store: Store = FasterKv::open(config(), Arc::clone(&disk)).unwrap();
    store.start_session().upsert("a".into(), vec![0xff]).unwrap();
    store.checkpoint_to(&directory, &CheckpointOptions::default()).unwrap();
    drop(store);
    let other =
        FasterKv::<u64, u64, _>::recover_from(&directory, RecoveryTarget::Latest, config(), Arc::clone(&disk), &|_| ());
    let error = other.err().unwrap();
    assert_eq!((error.kind(), error.field("bytes of its keys")), (ErrorKind::Config, Some("any")), "{error}");
    // Text is not told from bytes by its length. What is no text is an error, and nothing else.
    let (store, _) =
        FasterKv::<String, String, _>::recover_from(&directory, RecoveryTarget::Latest, config(), disk, &|_| ())
            .unwrap();
    let mut session = store.start_session();
    assert_eq!(session.read("a").unwrap_err().kind(), ErrorKind::Corrupt);
    store.evict().unwrap();
    assert_eq!(session.read("a").unwrap_err().kind(), ErrorKind::Corrupt);
    let changed = session.rmw("a".into(), |_| true);
    assert_eq!(changed.unwrap_err().kind(), ErrorKind::Corrupt);
    session.upsert("a".into(), "text".into()).unwrap();
    assert_eq!(session.read("a").unwrap().as_deref(), Some("text"));
}

#[test]
fn compaction_moves_values_of_any_length_as_they_are() {
    let store = open(config());
    let (mut session, mut model) = (store.start_session(), Model::new());
    for part in 0..3 {
        churn(&mut session, &mut model, part * 4..part * 4 + 4);
        let report = store.log_compact_until(store.addresses().tail).unwrap();
        assert!(report.copied > 0 && report.copied <= report.live, "{report:?}");
        check(&mut session, &model, "after a compaction");
        store.evict().unwrap();
        check(&mut session, &model, "after a compaction, from the device");
    }
    let versions = store.versions_of(&"key 5".to_owned()).unwrap();
    assert_eq!(versions.first().and_then(|version| version.value.as_ref()), model.get("key 5"));
}

#[test]
fn a_durable_store_of_values_of_any_length_is_there_after_every_life() {
    let (directory, disk) = (MemoryDirectory::new(), Arc::new(MemoryDisk::new()));
    let config = config().with_durability(Durability::EveryOperation);
    let mut model = Model::new();
    for life in 0..4 {
        let (store, _) = FasterKv::open_durable_in(&directory, config.clone(), Arc::clone(&disk), &|_| ()).unwrap();
        let mut session = store.start_session();
        check(&mut session, &model, "after the life before");
        churn(&mut session, &mut model, life..life + 1);
        check(&mut session, &model, "in this life");
        if life == 2 {
            store.checkpoint_to(&directory, &CheckpointOptions::default()).unwrap();
            churn(&mut session, &mut model, 50..51);
        }
    }
    assert!(disk.info().extent > 0);
}

#[test]
fn types_with_a_codec_are_keys_and_values() {
    type Tags = Encoded<Vec<String>>;
    let store: FasterKv<Encoded<(u32, String)>, Tags, _> =
        FasterKv::open(FasterKvConfig::default().with_memory_budget(1 << 20), MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    let key = Encoded::new((7, "seven".to_owned())).unwrap();
    for tag in ["one", "two", "three"] {
        let add = |tags: &mut Tags| tags.update(|tags| tags.push(tag.to_owned())).is_ok();
        assert!(session.rmw(key.clone(), add).unwrap());
    }
    store.evict().unwrap();
    assert_eq!(*session.read(&key).unwrap().unwrap(), ["one", "two", "three"]);
    assert_eq!(session.read(&Encoded::new((8, String::new())).unwrap()).unwrap(), None);
}

#[test]
fn what_is_borrowed_is_written_and_looked_at_wherever_it_lies() {
    for store in without_and_with_a_cache() {
        let (mut session, mut model) = (store.start_session(), Model::new());
        for round in 0..6 {
            for number in 0..300 {
                let (key, value) = (format!("key {number}"), value_of(number, round));
                session.upsert_ref(key.as_str(), &value[..]).unwrap();
                model.insert(key, value);
                if (number + round) % 5 == 0 {
                    let key = format!("key {}", (number * 7 + round) % 300);
                    session.delete(key.as_str()).unwrap();
                    model.remove(&key);
                }
            }
            // Some of them twice, of which the last counts.
            let many: Vec<_> = (0..100).map(|at| (format!("key {}", at % 70), value_of(at, round + 10))).collect();
            let lent: Vec<(&str, &[u8])> = many.iter().map(|(key, value)| (key.as_str(), &value[..])).collect();
            session.upsert_batch_ref(&lent).unwrap();
            model.extend(many);
            for _ in 0..2 {
                look_at_all(&mut session, &model);
                store.evict().unwrap();
            }
        }
        assert!(store.stats().device.reads > 100);
    }
}

/// All keys of a model and as many others, in one call that looks.
fn look_at_all(session: &mut Session<String, Vec<u8>>, model: &Model) {
    let keys: Vec<String> = (0..600).map(|number| format!("key {number}")).collect();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut seen = vec![0; names.len()];
    let look = |at: usize, bytes: Option<&[u8]>| {
        assert!(bytes == model.get(names[at]).map(Vec::as_slice), "{} has another value", names[at]);
        seen[at] += 1;
    };
    session.read_batch_with(&names, look).unwrap();
    assert!(seen.iter().all(|times| *times == 1), "each key is told once");
}

#[test]
fn what_is_borrowed_has_the_length_that_all_have() {
    let store: FasterKv<[u8; 4], [u8; 9], _> = FasterKv::open(config(), MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    session.upsert_ref(&[1u8; 4], &[2u8; 9][..]).unwrap();
    let error = session.upsert_ref(&[1u8; 4], &[2u8; 10][..]).unwrap_err();
    assert_eq!((error.kind(), error.field("length")), (ErrorKind::Config, Some("10")));
    let error = session.upsert_ref(&[1u8; 3][..], &[2u8; 9]).unwrap_err();
    assert_eq!((error.kind(), error.field("length of all")), (ErrorKind::Config, Some("4")));
    let lent: [(&[u8], &[u8]); 2] = [(&[1; 4], &[3; 9]), (&[1; 4], &[3; 8])];
    let error = session.upsert_batch_ref(&lent).unwrap_err();
    assert_eq!((error.kind(), error.field("length")), (ErrorKind::Config, Some("8")), "nothing was done");
    let mut told = Vec::new();
    session.read_batch_with(&[&[1u8; 4][..], &[1; 3]], |at, bytes| told.push((at, bytes.map(<[u8]>::to_vec)))).unwrap();
    assert_eq!(told, [(0, Some(vec![2; 9])), (1, None)]);
}

#[test]
fn a_closure_that_panics_amid_a_batch_leaves_the_session_as_it_was() {
    let store = open(config());
    let mut session = store.start_session();
    session.upsert_ref("a", &b"one"[..]).unwrap();
    let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        session.read_batch_with(&["a", "a"], |at, _| assert_eq!(at, 0, "on purpose")).unwrap();
    }));
    assert!(looked.is_err());
    assert_eq!(session.read_with("a", <[u8]>::to_vec).unwrap(), Some(b"one".to_vec()));
    store.evict().unwrap();
    look_at_all(&mut session, &Model::new());
}
