//! A device that cannot be read from, or returns something else.

use super::{check, open, tiny};
use oxifaster::ErrorKind;
use oxifaster::device::{FaultyDisk, IoOp, MemoryDisk, StorageDevice};
use oxifaster::record::Value;
use oxifaster::store::{Begun, FasterKv};
use std::io;

const KEYS: u64 = 10_000;

fn filled() -> (super::Store, oxifaster::device::FaultPlan) {
    let (store, plan) = open(tiny());
    let mut session = store.start_session();
    (0..KEYS).for_each(|key| session.upsert(key, key * 3).unwrap());
    store.evict().unwrap();
    (store, plan)
}

#[test]
fn a_read_that_fails_says_what_and_where_and_works_after_repair() {
    let (store, plan) = filled();
    let mut session = store.start_session();
    plan.break_reads();
    for key in (0..KEYS).step_by(97) {
        let error = session.read(&key).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        let has = |field| error.field(field).is_some();
        assert!(has("log address") && has("offset"), "{error}");
        assert_eq!(session.rmw(key, |_| true).unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(session.insert(key, 1).unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(session.read_batch(&[key, key + 1]).unwrap_err().kind(), ErrorKind::Io);
        drop(session.complete_pending(true).unwrap());
        let Begun::Pending(ticket) = session.begin_read(&key).unwrap() else { panic!("key {key} is in memory") };
        let completed = session.complete_pending(true).unwrap();
        let mine = completed.iter().find(|completed| completed.ticket == ticket).unwrap();
        assert_eq!(mine.outcome.as_ref().unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(session.pending(), 0);
    }
    // Blind writes need no device to be read.
    session.upsert(5, 15).unwrap();
    session.delete(&KEYS).unwrap();
    plan.repair();
    check(&store, KEYS, KEYS + 10);
}

#[test]
fn a_single_read_that_fails_fails_one_call() {
    let (store, plan) = filled();
    let mut session = store.start_session();
    plan.fail_nth(IoOp::Read, 2, io::ErrorKind::TimedOut);
    assert_eq!(session.read(&1).unwrap(), Some(3));
    assert_eq!(session.read(&2).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(session.read(&2).unwrap(), Some(6));
}

#[test]
fn a_batch_that_fails_leaves_no_tickets_behind() {
    let (store, plan) = filled();
    let mut session = store.start_session();
    plan.fail_nth(IoOp::Read, 1, io::ErrorKind::TimedOut);
    assert_eq!(session.read_batch(&[1, 2, 3, 4]).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(session.pending(), 0, "nobody knows the tickets of a batch");
    assert!(session.complete_pending(true).unwrap().is_empty());
    assert_eq!(session.read_batch(&[1, 2]).unwrap(), [Some(3), Some(6)]);
}

/// Flips every bit-bearing place of the device in turn: each key is right or is reported, never wrong and never missing.
fn flipped<V: Value + PartialEq + std::fmt::Debug>(value_of: fn(u64) -> V) {
    const FEW: u64 = 300;
    let store = FasterKv::open(tiny(), FaultyDisk::new(MemoryDisk::new())).unwrap();
    let plan = store.device().plan();
    let mut session = store.start_session();
    (0..FEW).for_each(|key| session.upsert(key, value_of(key)).unwrap());
    store.evict().unwrap();
    let extent = store.device().get_ref().info().extent;
    let mut found = 0;
    for offset in (0..extent).step_by(61) {
        plan.corrupt_reads_at(offset, 1 << (offset % 8));
        for key in (0..FEW).step_by(7) {
            match session.read(&key) {
                Ok(value) => assert_eq!(value, Some(value_of(key)), "key {key}, offset {offset}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                    assert!(error.field("log address").is_some() && error.field("device offset").is_some(), "{error}");
                    found += 1;
                }
            }
            if let Ok(changed) = session.rmw(key, |value| {
                assert_eq!(*value, value_of(key));
                false
            }) {
                assert!(!changed);
            }
        }
        plan.repair();
    }
    assert!(found > 100, "{found}");
    (0..FEW).for_each(|key| assert_eq!(session.read(&key).unwrap(), Some(value_of(key))));
}

#[test]
fn a_flipped_bit_is_reported_and_never_served() {
    flipped::<u64>(|key| key * 3);
    flipped::<[u64; 40]>(|key| [key; 40]);
}
