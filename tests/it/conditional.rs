//! Conditional changes and merges: what they say, and that none of several at the same time is lost.

use crate::executor::block_on;
use oxifaster::device::MemoryDisk;
use oxifaster::directory::MemoryDirectory;
use oxifaster::record::{Encoded, Value};
use oxifaster::store::{
    Add, Append, CheckpointOptions, Conditional, FasterKv, FasterKvConfig, Max, MergeOperator, Mergeable, Min,
    RecoveryTarget, Session, Union,
};
use oxifaster::{Error, ErrorKind};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

fn open<V: Value>() -> FasterKv<u64, V, MemoryDisk> {
    let config = FasterKvConfig::default().with_page_size_bits(12).with_log_memory_size(8 << 12).with_table_size(64);
    FasterKv::open(config, MemoryDisk::new()).unwrap()
}

/// Every answer, wherever the record lies.
fn answers<V: Value + PartialEq + std::fmt::Debug>(value: impl Fn(u8) -> V) {
    for place in ["mutable", "immutable", "on the device"] {
        let store = open::<V>();
        let mut session = store.start_session();
        let settle = || match place {
            "immutable" => store.flush().unwrap(),
            "on the device" => store.evict().unwrap(),
            _ => {}
        };
        let v = &value;
        let is = |session: &mut Session<u64, V>, expected: Option<u8>| {
            assert_eq!(session.read(&7).unwrap(), expected.map(v), "{place}");
        };
        assert_eq!(session.compare_exchange(7, &v(1), v(2)).unwrap(), Conditional::Absent);
        assert_eq!(session.replace_if(7, v(1), |_| true).unwrap(), Conditional::Absent);
        assert_eq!(session.delete_if(7, |_| true).unwrap(), Conditional::Absent);
        is(&mut session, None);
        assert_eq!(session.insert_or_get(7, v(1)).unwrap(), Conditional::Done);
        settle();
        assert_eq!(session.insert_or_get(7, v(2)).unwrap(), Conditional::Refused(v(1)));
        assert_eq!(session.compare_exchange(7, &v(2), v(3)).unwrap(), Conditional::Refused(v(1)));
        is(&mut session, Some(1));
        assert_eq!(session.compare_exchange(7, &v(1), v(3)).unwrap(), Conditional::Done);
        settle();
        assert_eq!(session.upsert_if(7, v(4), |old| *old == v(1)).unwrap(), Conditional::Refused(v(3)));
        assert_eq!(session.upsert_if(7, v(4), |old| *old == v(3)).unwrap(), Conditional::Done);
        settle();
        assert_eq!(session.replace_if(7, v(5), |_| false).unwrap(), Conditional::Refused(v(4)));
        assert_eq!(session.delete_if(7, |old| *old == v(5)).unwrap(), Conditional::Refused(v(4)));
        is(&mut session, Some(4));
        assert_eq!(session.delete_if(7, |old| *old == v(4)).unwrap(), Conditional::Done);
        is(&mut session, None);
        settle();
        assert_eq!(session.delete_if(7, |_| true).unwrap(), Conditional::Absent);
        assert_eq!(session.upsert_if(7, v(6), |_| false).unwrap(), Conditional::Done);
        is(&mut session, Some(6));
        // What was closed or sealed for a deletion that was refused in the end can still be changed.
        session.upsert(7, v(8)).unwrap();
        session
            .rmw(7, |old| {
                *old = v(9);
                true
            })
            .unwrap();
        is(&mut session, Some(9));
    }
}

#[test]
fn a_conditional_change_says_what_it_found() {
    answers(u64::from);
    answers(|number| number);
    answers(|number| [u64::from(number); 5]);
    answers(|number| vec![number; usize::from(number) * 40]);
    answers(|number| "x".repeat(usize::from(number)));
}

/// What futures say, wherever the record lies: what they were given goes with them to the device and back.
fn answers_of_futures<V: Value + PartialEq + std::fmt::Debug>(value: fn(u8) -> V) {
    let is = |number| move |old: &V| *old == value(number);
    for is_evicted in [false, true] {
        let store = open::<V>();
        let mut session = store.start_async_session();
        let settle = || {
            if is_evicted {
                store.evict().unwrap()
            }
        };
        let v = value;
        assert_eq!(block_on(session.compare_exchange(7, v(1), v(2))).unwrap(), Conditional::Absent);
        assert_eq!(block_on(session.replace_if(7, v(1), |_| true)).unwrap(), Conditional::Absent);
        assert_eq!(block_on(session.insert_or_get(7, v(1))).unwrap(), Conditional::Done);
        settle();
        assert_eq!(block_on(session.insert_or_get(7, v(2))).unwrap(), Conditional::Refused(v(1)));
        settle();
        assert_eq!(block_on(session.compare_exchange(7, v(2), v(3))).unwrap(), Conditional::Refused(v(1)));
        settle();
        assert_eq!(block_on(session.compare_exchange(7, v(1), v(3))).unwrap(), Conditional::Done);
        settle();
        assert_eq!(block_on(session.upsert_if(7, v(4), is(1))).unwrap(), Conditional::Refused(v(3)));
        assert_eq!(block_on(session.upsert_if(7, v(4), is(3))).unwrap(), Conditional::Done);
        settle();
        assert_eq!(block_on(session.delete_if(7, is(5))).unwrap(), Conditional::Refused(v(4)));
        settle();
        assert_eq!(block_on(session.delete_if(7, is(4))).unwrap(), Conditional::Done);
        settle();
        assert_eq!(block_on(session.delete_if(7, |_| true)).unwrap(), Conditional::Absent);
        assert_eq!(block_on(session.read(&7)).unwrap(), None);
        assert_eq!(store.stats().operations.rmws, 11);
    }
}

#[test]
fn futures_of_conditional_changes_say_what_they_found() {
    answers_of_futures(u64::from);
    answers_of_futures(|number| [u64::from(number); 5]);
    answers_of_futures(|number| vec![number; usize::from(number) * 40]);
}

/// What was closed or sealed because of a condition lies in the log as it is, and is read there: by compactions, scans and recoveries.
#[test]
fn what_was_deleted_on_a_condition_is_compacted_and_recovered() {
    fn look<V: Value + PartialEq + std::fmt::Debug>(value: impl Fn(u8) -> V) {
        let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
        let config =
            || FasterKvConfig::default().with_page_size_bits(12).with_log_memory_size(8 << 12).with_table_size(64);
        let store: FasterKv<u64, V, MemoryDisk> = FasterKv::open(config(), disk.clone()).unwrap();
        let mut session = store.start_session();
        for key in 0..60u8 {
            session.upsert(u64::from(key), value(key)).unwrap();
            assert!(session.delete_if(u64::from(key), |old| *old == value(key) && key % 2 == 0).is_ok());
        }
        let expected = |key: u8| (key % 2 == 1).then(|| value(key));
        let check = |store: &FasterKv<u64, V, MemoryDisk>| {
            let mut session = store.start_session();
            (0..60u8).for_each(|key| assert_eq!(session.read(&u64::from(key)).unwrap(), expected(key), "{key}"));
        };
        store.checkpoint_to(&directory, &CheckpointOptions::default().with_index(false)).unwrap();
        let recovered = FasterKv::recover_from(&directory, RecoveryTarget::Latest, config(), disk.clone(), &|_| ());
        let (recovered, report) = recovered.unwrap();
        assert!(report.records >= 60, "{report:?}");
        check(&recovered);
        drop((session, store));
        recovered.log_compact_until(recovered.addresses().tail).unwrap();
        check(&recovered);
    }
    look(u64::from);
    look(|number| [u64::from(number); 5]);
    look(|number| vec![number; usize::from(number) * 4]);
    look(|number| "x".repeat(usize::from(number)));
}

/// Counts by adding one, while others take what was counted by deleting it. Nothing is taken twice, nothing is lost.
fn nothing_is_lost<V: Value>(one: impl Fn(&mut V) + Sync, count_of: impl Fn(&V) -> u64 + Sync) {
    const ADDERS: u64 = 2;
    const EACH: u64 = 20_000;
    let store = open::<V>();
    let (taken, left) = (AtomicU64::new(0), AtomicU64::new(ADDERS));
    std::thread::scope(|scope| {
        for _ in 0..ADDERS {
            scope.spawn(|| {
                let mut session = store.start_session();
                for step in 0..EACH {
                    session
                        .rmw(step % 3, |value| {
                            one(value);
                            true
                        })
                        .unwrap();
                }
                left.fetch_sub(1, Ordering::AcqRel);
            });
        }
        for taker in 0..2 {
            let (store, taken, left, count_of) = (&store, &taken, &left, &count_of);
            scope.spawn(move || {
                let mut session = store.start_session();
                let mut step = taker;
                while left.load(Ordering::Acquire) > 0 {
                    step += 1;
                    let mut seen = 0;
                    let outcome = session.delete_if(step % 3, |value| {
                        seen = count_of(value);
                        seen > 2
                    });
                    if outcome.unwrap().is_done() {
                        taken.fetch_add(seen, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut session = store.start_session();
    let rest: u64 = (0..3).filter_map(|key| session.read(&key).unwrap()).map(|value| count_of(&value)).sum();
    assert_eq!(taken.into_inner() + rest, ADDERS * EACH);
}

#[test]
fn of_what_is_counted_and_taken_at_the_same_time_nothing_is_lost() {
    nothing_is_lost(|value: &mut u64| *value += 1, |value| *value);
    nothing_is_lost(|value: &mut [u64; 3]| value[2] += 1, |value| value[2]);
    nothing_is_lost(|value: &mut Vec<u8>| value.push(1), |value| value.len() as u64);
}

#[test]
fn of_concurrent_exchanges_each_counts_that_was_made() {
    let store = open::<u64>();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut session = store.start_session();
                let mut made = 0;
                while made < 2_000 {
                    let outcome = match session.read(&1).unwrap() {
                        Some(old) => session.compare_exchange(1, &old, old + 1),
                        None => session.insert_or_get(1, 1),
                    };
                    made += u64::from(outcome.unwrap().is_done());
                }
            });
        }
    });
    assert_eq!(store.start_session().read(&1).unwrap(), Some(8_000));
}

#[test]
fn merges_come_to_the_same_however_they_are_grouped() {
    fn check<V: Value + PartialEq + std::fmt::Debug>(operator: &'static dyn MergeOperator<V>, values: [V; 3], all: &V) {
        let store = open::<V>();
        let mut session = store.start_session();
        let [one, two, three] = values;
        for value in [&one, &two, &three] {
            session.merge(1, value.clone(), operator).unwrap();
        }
        let mut both = two.clone();
        operator.merge(&mut both, &three).unwrap();
        session.merge(2, one.clone(), operator).unwrap();
        store.evict().unwrap();
        session.merge(2, both, operator).unwrap();
        let mut futures = store.start_async_session();
        for value in [one, two, three] {
            block_on(futures.merge(3, value, operator)).unwrap();
            store.evict().unwrap();
        }
        for key in [1, 2, 3] {
            assert_eq!(session.read(&key).unwrap().as_ref(), Some(all), "{}", operator.name());
        }
    }
    check(&Add, [1u64, 2, 3], &6);
    check(&Add, [i8::MAX, 1, 1], &(i8::MIN + 1));
    check(&Max, [1u64, 3, 2], &3);
    check(&Min, [-1i32, -3, 2], &-3);
    check(&Append, ["a".to_owned(), "b".to_owned(), "c".to_owned()], &"abc".to_owned());
    check(&Append, [b"a".to_vec(), Vec::new(), b"c".to_vec()], &b"ac".to_vec());
    let set = |items: &[u32]| Encoded::<BTreeSet<u32>>::new(items.iter().copied().collect()).unwrap();
    check(&Union, [set(&[1, 2]), set(&[2, 3]), set(&[1])], &set(&[1, 2, 3]));
}

#[test]
fn operators_are_found_by_their_names() {
    for name in ["add", "max", "min"] {
        assert_eq!(u64::operator(name).unwrap().name(), name);
    }
    assert_eq!(Encoded::<BTreeSet<u8>>::operator("union").unwrap().name(), "union");
    let error = <Vec<u8> as Mergeable>::operator("add").err().unwrap();
    assert_eq!((error.kind(), error.field("operators")), (ErrorKind::NotFound, Some("append, max, min")));
}

#[test]
fn an_operator_that_fails_leaves_the_value_and_says_why() {
    struct Never;
    impl MergeOperator<u64> for Never {
        fn name(&self) -> &'static str {
            "never"
        }

        fn merge(&self, value: &mut u64, _: &u64) -> oxifaster::Result<()> {
            *value = 99;
            Err(Error::new(ErrorKind::Unsupported, "on purpose"))
        }
    }
    let store = open::<u64>();
    let mut session = store.start_session();
    session.merge(1, 5, &Never).unwrap(); // there was nothing to merge with
    assert_eq!(session.merge(1, 6, &Never).unwrap_err().what(), "on purpose");
    assert_eq!(session.read(&1).unwrap(), Some(5));
    for _ in 0..2 {
        let merged = block_on(store.start_async_session().merge(1, 6, &Never));
        assert_eq!(merged.unwrap_err().what(), "on purpose");
        assert_eq!(session.read(&1).unwrap(), Some(5));
        store.evict().unwrap();
    }
}

/// A value that is closed to changes for its deletion says so in a bit beside its length: that is still its length.
#[test]
fn what_was_deleted_on_a_condition_is_read_by_who_walks_the_log() {
    let store = open::<[u8; 100]>();
    let mut session = store.start_session();
    for key in 0..20 {
        session.upsert(key, [key as u8; 100]).unwrap();
        assert!(session.delete_if(key, |_| key % 2 == 0).unwrap().is_done() == (key % 2 == 0));
    }
    assert_eq!(store.scan_log(..).unwrap().map(Result::unwrap).count(), 30);
    assert_eq!(store.count().unwrap(), 10);
    store.log_compact_until(store.addresses().tail).unwrap();
    assert_eq!(store.count().unwrap(), 10);
}
