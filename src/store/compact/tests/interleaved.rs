//! Compactions in the middle of operations, and operations in the middle of the search of a compaction: at every access of the
//! device, before it is made and before its outcome is looked at.

use super::*;
use crate::allocator::{LiveReader, ReadLimits};
use crate::device::CompletionQueue;
use crate::kernel::ConditionalInsertOp;
use crate::kernel::{DeleteOp, Insert, Kernel, Modify, ReadOp, RmwOp, UpsertOp};
use crate::operation::{Operation, Step};
use crate::record::{RecordInfo, RecordLayout};
use std::time::Duration;

type Core = Kernel<u64, u64>;

/// Takes an operation to its end. `meddle` is called between any two of its steps, and told how many there were.
fn drive<O: Operation<Core>>(store: &Store, mut operation: O, mut meddle: impl FnMut(usize)) -> O::Output {
    let kernel = &store.database.kernel;
    let mut participant = store.database.epoch.join();
    let mut point = 0;
    let mut next = || {
        meddle(point);
        point += 1;
    };
    loop {
        let step = operation.step(kernel, &participant.pin());
        match step {
            Step::Done(output) => return output,
            Step::Failed(error) => panic!("{error}"),
            Step::Retry(_) => kernel.log.help(),
            Step::Wait(request) => {
                next();
                let queue = CompletionQueue::new();
                let request = kernel.log.with_buffer(request);
                store.device.submit(request, Arc::clone(&queue) as Arc<dyn CompletionSink>, 0);
                let (_, done) = queue.try_take().unwrap();
                next();
                operation.resume(kernel, done).unwrap();
            }
        }
    }
}

/// Four keys of one chain, with three versions of each on the device.
fn one_chain() -> (Store, [u64; 4]) {
    let store = open(&Shredder::new());
    let hash = |key: &u64| KeyHash::of_bytes(&key.to_le_bytes());
    let same = |key: &u64| hash(key).tag() == 1 && hash(key).bucket(3) == 2;
    let keys: Vec<u64> = (0..).filter(same).take(4).collect();
    let mut session = store.start_session();
    for version in 1..=3 {
        for key in &keys {
            session.upsert(*key, version).unwrap();
        }
        store.evict().unwrap();
    }
    (store, keys.try_into().unwrap())
}

fn compact_all(store: &Store) {
    store.log_compact_until(store.addresses().tail).unwrap();
}

/// What is done in the middle, and what the key has then if it had `before`.
type Meddling = (&'static str, fn(&Store, u64), fn(Option<u64>) -> Option<u64>);

const MEDDLINGS: [Meddling; 7] = [
    ("compact", |store, _| compact_all(store), |before| before),
    (
        "compact twice",
        |store, _| {
            compact_all(store);
            compact_all(store);
        },
        |before| before,
    ),
    (
        "compact and evict",
        |store, _| {
            compact_all(store);
            store.evict().unwrap();
        },
        |before| before,
    ),
    (
        "overwrite, compact, evict",
        |store, key| {
            store.start_session().upsert(key, 50).unwrap();
            compact_all(store);
            store.evict().unwrap();
        },
        |_| Some(50),
    ),
    (
        "delete, compact",
        |store, key| {
            store.start_session().delete(&key).unwrap();
            compact_all(store);
        },
        |_| None,
    ),
    (
        "compact, delete, compact, evict",
        |store, key| {
            compact_all(store);
            store.start_session().delete(&key).unwrap();
            compact_all(store);
            store.evict().unwrap();
        },
        |_| None,
    ),
    (
        "compact, add, compact",
        |store, key| {
            compact_all(store);
            let add = |value: &mut u64| {
                *value += 100;
                true
            };
            store.start_session().rmw(key, add).unwrap();
            compact_all(store);
        },
        |before| Some(before.unwrap_or(0) + 100),
    ),
];

/// Runs `operation` on each key with each meddling at each point, as long as there is such a point.
fn at_every_point(check: impl Fn(&Store, u64, &Meddling, &mut dyn FnMut(usize))) {
    for meddling in &MEDDLINGS {
        for which in 0..4 {
            for at in 0.. {
                let (store, keys) = one_chain();
                let (key, mut was_there) = (keys[which], false);
                check(&store, key, meddling, &mut |point| {
                    if point == at {
                        was_there = true;
                        (meddling.1)(&store, key);
                    }
                });
                let mut session = store.start_session();
                for other in keys.iter().filter(|other| **other != key) {
                    assert_eq!(session.read(other).unwrap(), Some(3), "another key after {}", meddling.0);
                }
                if !was_there {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_read_whose_record_is_moved_or_given_up_meanwhile_finds_what_was_there_before_or_after() {
    at_every_point(|store, key, (name, _, then), meddle| {
        let value = drive(store, ReadOp::new(key), meddle);
        assert!(value == Some(3) || value == then(Some(3)), "{name}: {value:?}");
    });
}

#[test]
fn a_read_modify_write_in_the_middle_of_which_the_log_is_compacted_counts_once() {
    at_every_point(|store, key, (name, _, then), meddle| {
        let mut meddled = false;
        let modify = Modify(|value: &mut u64| {
            *value += 1;
            true
        });
        drive(store, RmwOp::new(key, modify), |point| {
            let before = store.addresses().tail;
            meddle(point);
            meddled |= store.addresses().tail != before;
        });
        let last = store.start_session().read(&key).unwrap();
        let expected = if meddled { then(Some(3)).unwrap_or(0) + 1 } else { 4 };
        assert_eq!(last, Some(expected), "{name}");
    });
}

#[test]
fn an_insert_finds_the_key_wherever_it_was_moved_to() {
    at_every_point(|store, key, (name, _, then), meddle| {
        let mut meddled = false;
        let status = drive(store, RmwOp::new(key, Insert(9)), |point| {
            let before = store.addresses().tail;
            meddle(point);
            meddled |= store.addresses().tail != before;
        });
        let there = if meddled { then(Some(3)) } else { Some(3) };
        assert_eq!(status.changed(), there.is_none(), "{name}");
        assert_eq!(store.start_session().read(&key).unwrap(), Some(there.unwrap_or(9)), "{name}");
    });
}

#[test]
fn blind_writes_after_a_compaction_are_found() {
    at_every_point(|store, key, (name, ..), meddle| {
        meddle(0);
        drive(store, UpsertOp::new(key, 77), |_| ());
        assert_eq!(store.start_session().read(&key).unwrap(), Some(77), "{name}");
        meddle(1);
        drive(store, DeleteOp::new(key), |_| ());
        compact_all(store);
        assert_eq!(store.start_session().read(&key).unwrap(), None, "{name}");
    });
}

/// Of every version of every key, whether it is found to be in use, while the key is changed at every point of the search.
#[test]
fn a_record_that_is_superseded_during_the_search_is_not_copied_over_what_superseded_it() {
    type Change = (&'static str, fn(&Store, u64), Option<u64>);
    let changes: [Change; 6] = [
        ("nothing", |_, _| (), Some(3)),
        ("overwrite", |store, key| store.start_session().upsert(key, 50).unwrap(), Some(50)),
        (
            "overwrite and evict",
            |store, key| {
                store.start_session().upsert(key, 50).unwrap();
                store.evict().unwrap();
            },
            Some(50),
        ),
        ("delete", |store, key| store.start_session().delete(&key).unwrap(), None),
        (
            "delete and evict",
            |store, key| {
                store.start_session().delete(&key).unwrap();
                store.evict().unwrap();
            },
            None,
        ),
        (
            "another key of the chain",
            |store, key| {
                let hash = |key: &u64| KeyHash::of_bytes(&key.to_le_bytes());
                let same = |other: &u64| hash(other).tag() == 1 && hash(other).bucket(3) == 2 && *other > key;
                let other = (0..).filter(same).nth(5).unwrap();
                store.start_session().upsert(other, 1).unwrap();
                store.evict().unwrap();
            },
            Some(3),
        ),
    ];
    for (name, change, expected) in changes {
        for which in 0..4 {
            for version in 1..=3u64 {
                for at in 0.. {
                    let (store, keys) = one_chain();
                    let key = keys[which];
                    let mut was_there = false;
                    let (at_record, bytes) = record_of(&store, key, version);
                    let insert = ConditionalInsertOp::new(key, &bytes, at_record);
                    let is_copied = drive(&store, insert, |point| {
                        if point == at {
                            was_there = true;
                            change(&store, key);
                        }
                    });
                    let value = store.start_session().read(&key).unwrap();
                    let expected = if was_there { expected } else { Some(3) };
                    assert_eq!(value, expected, "{name} at {at}, version {version}");
                    assert!(!is_copied || version == 3, "{name} at {at}: an old version is in use");
                    if !was_there {
                        break;
                    }
                }
            }
        }
    }
}

/// The record of `key` with `value`, and its bytes.
fn record_of(store: &Store, key: u64, value: u64) -> (Address, [u8; 24]) {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&RecordInfo::new(Address::INVALID, 0).word().to_le_bytes());
    bytes[8..16].copy_from_slice(&key.to_le_bytes());
    bytes[16..].copy_from_slice(&value.to_le_bytes());
    (record_at(store, key, value), bytes)
}

/// Where the record of `key` with `value` is.
fn record_at(store: &Store, key: u64, value: u64) -> Address {
    let mut found = Vec::new();
    let log = &store.database.kernel.log;
    let layout = RecordLayout::of::<u64, u64>();
    let limits = ReadLimits { buffer_bytes: 1 << 14, wait: Duration::from_secs(5) };
    let mut reader = LiveReader::new(log, layout, limits).unwrap();
    reader.go_to(log.begin()..reader.end()).unwrap();
    let mut participant = store.database.epoch.join();
    let mut visit = |at, _, bytes: &[u8]| {
        let record = RecordLayout::parse::<u64, u64>(bytes)?;
        if (record.key, record.value) == (key, Some(value)) {
            found.push(at);
        }
        Ok(())
    };
    while reader.advance(log, &mut participant, &mut visit).unwrap() {}
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}
