//! What calls say of values that end, one by one.

use super::{SECOND, Store, open, small};
use crate::executor::block_on;
use oxifaster::clock::VirtualClock;
use oxifaster::device::MemoryDisk;
use oxifaster::record::{Expiring, Expiry, RecordLayout};
use oxifaster::store::{
    Add, Change, ChangeCursor, Conditional, FasterKv, FasterKvConfig, Mergeable, OfValue, Session, TimeToLive,
};
use std::sync::Arc;
use std::time::Duration;

fn value<V>(value: &Option<Expiring<V>>) -> Option<&V> {
    value.as_deref()
}

#[test]
fn a_value_ends_to_the_millisecond_and_only_if_it_is_to() {
    let (store, clock) = open::<u64, u64>();
    let mut session = store.start_session();
    session.upsert_for(1, 10, SECOND).unwrap();
    session.upsert(2, 20.into()).unwrap();
    session.upsert_for(3, 30, Duration::MAX).unwrap();
    assert_eq!(session.time_to_live(&1).unwrap(), Some(TimeToLive::For(SECOND)));
    assert_eq!(session.time_to_live(&2).unwrap(), Some(TimeToLive::Forever));
    assert_eq!(session.time_to_live(&3).unwrap(), Some(TimeToLive::Forever), "further than can be counted");
    clock.advance(Duration::from_millis(999));
    assert_eq!(session.time_to_live(&1).unwrap(), Some(TimeToLive::For(Duration::from_millis(1))));
    clock.advance(Duration::from_millis(1));
    assert_eq!(session.time_to_live(&1).unwrap(), None);
    let batch = session.read_batch(&[1, 2, 3]).unwrap();
    assert_eq!(batch.iter().map(value).collect::<Vec<_>>(), [None, Some(&20), Some(&30)]);
    clock.set(0);
    assert_eq!(session.read(&1).unwrap(), None, "what is over stays over, whatever the clock says");
    clock.set(u64::MAX);
    assert_eq!(session.read_with(&2, <[u8]>::to_vec).unwrap(), Some(20u64.to_le_bytes().to_vec()));
    assert_eq!(session.expiry_in(SECOND), Expiry::NEVER);
}

#[test]
fn an_expiry_is_set_moved_and_taken_away_in_memory_and_on_the_device() {
    for evicts in [false, true] {
        let (store, clock) = open::<String, String>();
        let mut session = store.start_session();
        let evict = || {
            if evicts {
                store.evict().unwrap()
            }
        };
        session.upsert("a".into(), "value".to_owned().into()).unwrap();
        evict();
        assert!(session.expire("a".into(), SECOND).unwrap());
        assert!(!session.expire("b".into(), SECOND).unwrap() && !session.persist("b".into()).unwrap());
        evict();
        clock.advance(SECOND / 2);
        assert!(session.expire("a".into(), SECOND).unwrap(), "later");
        evict();
        clock.advance(SECOND / 2);
        assert_eq!(session.time_to_live("a").unwrap(), Some(TimeToLive::For(SECOND / 2)));
        assert!(session.persist("a".into()).unwrap());
        evict();
        clock.advance(10 * SECOND);
        assert_eq!(value(&session.read("a").unwrap()).map(String::as_str), Some("value"));
        assert!(session.expire("a".into(), Duration::ZERO).unwrap(), "it was there");
        evict();
        assert_eq!(session.read("a").unwrap(), None);
        assert!(!session.persist("a".into()).unwrap(), "what is over does not come back");
        assert_eq!(session.read("a").unwrap(), None);
        let mut futures = store.start_async_session();
        assert_eq!(block_on(futures.read("a")).unwrap(), None);
        block_on(futures.upsert_for("b".into(), "value".to_owned(), SECOND)).unwrap();
        evict();
        assert!(block_on(futures.expire("b".into(), 3 * SECOND)).unwrap());
        assert!(!block_on(futures.expire("a".into(), SECOND)).unwrap());
        evict();
        clock.advance(2 * SECOND);
        assert_eq!(value(&block_on(futures.read("b")).unwrap()).map(String::as_str), Some("value"));
        clock.advance(SECOND);
        assert!(!block_on(futures.persist("b".into())).unwrap());
        assert_eq!(session.read("b").unwrap(), None);
    }
}

#[test]
fn changes_keep_the_expiry_unless_they_set_it_and_begin_anew_after_the_end() {
    for evicts in [false, true] {
        let (store, clock) = open::<u64, u64>();
        let mut session = store.start_session();
        let evict = || {
            if evicts {
                store.evict().unwrap()
            }
        };
        let count = |value: &mut Expiring<u64>| {
            **value += 1;
            true
        };
        session.upsert_for(1, 10, SECOND).unwrap();
        evict();
        session.rmw(1, count).unwrap();
        session.merge(1, Expiring::from(100), &OfValue(&Add)).unwrap();
        evict();
        assert_eq!(session.time_to_live(&1).unwrap(), Some(TimeToLive::For(SECOND)), "as it was");
        assert_eq!(value(&session.read(&1).unwrap()), Some(&111));
        let later = session.expiry_in(3 * SECOND);
        session
            .rmw(1, |value| {
                value.set_expiry(later);
                true
            })
            .unwrap();
        clock.advance(2 * SECOND);
        assert_eq!(value(&session.read(&1).unwrap()), Some(&111));
        evict();
        clock.advance(SECOND);
        // It is over: what comes starts from nothing, and stays.
        session.rmw(1, count).unwrap();
        assert_eq!(session.read(&1).unwrap(), Some(1.into()));
        session.upsert_for(1, 5, SECOND).unwrap();
        evict();
        clock.advance(SECOND);
        let operator = u64::operator("add").unwrap();
        session.merge(1, Expiring::until(7, Expiry::NEVER), &OfValue(operator)).unwrap();
        assert_eq!(session.read(&1).unwrap(), Some(7.into()), "the operand alone");
    }
}

#[test]
fn conditions_do_not_see_what_is_over() {
    for evicts in [false, true] {
        let (store, clock) = open::<u64, u64>();
        let mut session = store.start_session();
        let over = |session: &mut Session<_, _>| {
            session.upsert_for(1, 10, SECOND).unwrap();
            if evicts {
                store.evict().unwrap();
            }
            clock.advance(SECOND);
        };
        over(&mut session);
        assert_eq!(session.compare_exchange(1, &10.into(), 11.into()).unwrap(), Conditional::Absent);
        assert_eq!(session.replace_if(1, 11.into(), |_| panic!("there is none")).unwrap(), Conditional::Absent);
        assert_eq!(session.delete_if(1, |_| panic!("there is none")).unwrap(), Conditional::Absent);
        assert_eq!(session.insert_or_get(1, 12.into()).unwrap(), Conditional::Done);
        assert_eq!(session.insert_or_get(1, 13.into()).unwrap(), Conditional::Refused(12.into()));
        over(&mut session);
        assert!(session.insert(1, 14.into()).unwrap() && !session.insert(1, 15.into()).unwrap());
        over(&mut session);
        assert!(session.upsert_if(1, 16.into(), |_| panic!("there is none")).unwrap().is_done());
        let seen = session.transaction(|transaction| transaction.read(&1)).unwrap();
        assert_eq!(value(&seen), Some(&16));
        over(&mut session);
        assert_eq!(session.transaction(|transaction| transaction.read(&1)).unwrap(), None);
    }
}

/// What a transaction has read is there when it takes effect.
#[test]
fn a_transaction_that_outlives_what_it_read_is_run_again() {
    let (store, clock) = open::<u64, u64>();
    let mut session = store.start_session();
    session.upsert_for(1, 10, SECOND).unwrap();
    let mut attempts = 0;
    let found = session.transaction(|transaction| {
        attempts += 1;
        let found = transaction.read(&1)?.map(Expiring::into_inner);
        transaction.upsert(2, found.unwrap_or(0).into());
        if attempts == 1 {
            clock.advance(SECOND);
        }
        Ok(found)
    });
    assert_eq!((found.unwrap(), attempts), (None, 2));
    assert_eq!(value(&session.read(&2).unwrap()), Some(&0));
}

#[test]
fn scans_counts_and_feeds_leave_out_what_is_over() {
    let (store, clock) = open::<u64, u64>();
    let mut session = store.start_session();
    for key in 0..100 {
        session.upsert(key, 1.into()).unwrap();
    }
    let mut feed = store.changes(ChangeCursor::START).unwrap();
    feed.catch_up().unwrap();
    assert_eq!(feed.take(1000).unwrap().len(), 100);
    for key in 0..100 {
        session.upsert_for(key, 2, if key < 30 { SECOND } else { 9 * SECOND }).unwrap();
    }
    let early = store.iter().unwrap();
    let cursor = store.iter().unwrap().cursor();
    clock.advance(SECOND);
    assert_eq!(store.count().unwrap(), 70);
    let keys = store.iter().unwrap().map(|found| found.unwrap().0);
    assert_eq!(keys.collect::<Vec<_>>(), (30..100).collect::<Vec<_>>());
    assert_eq!(store.snapshot().unwrap().count(), 70);
    assert_eq!(early.count(), 100, "as of when it began");
    assert_eq!(store.iter_from(cursor).unwrap().count(), 100, "and so when it is gone on with");
    feed.catch_up().unwrap();
    for change in feed.take(1000).unwrap() {
        match change {
            Change::Delete { key } => assert!(key < 30, "{key}"),
            Change::Update { key, value } => assert!(key >= 30 && value.expiry() > Expiry::at_ms(0), "{key}"),
            other => panic!("{other:?}"),
        }
    }
    // The log itself is shown as it lies.
    assert_eq!(store.scan_log(..).unwrap().count(), 200);
    assert_eq!(store.versions_of(&7).unwrap().len(), 2);
}

/// A copy in the read cache ends with what it is a copy of.
#[test]
fn a_copy_in_the_read_cache_ends_too() {
    let clock = Arc::new(VirtualClock::new(0));
    let cache = oxifaster::cache::ReadCacheConfig::default().with_mem_size(4 << 12);
    let config = small(&clock).with_read_cache(cache);
    let store: FasterKv<u64, Expiring<u64>, _> = FasterKv::open(config, MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    session.upsert(1, 10.into()).unwrap();
    store.evict().unwrap();
    session.upsert_for(1, 11, SECOND).unwrap();
    store.evict().unwrap();
    for _ in 0..2 {
        assert_eq!(value(&session.read(&1).unwrap()), Some(&11));
    }
    assert_eq!(store.stats().read_cache.unwrap().added, 1);
    clock.advance(SECOND);
    assert_eq!(session.read(&1).unwrap(), None);
    assert_eq!(session.read_batch(&[1]).unwrap(), [None]);
    assert_eq!(session.compare_exchange(1, &11.into(), 12.into()).unwrap(), Conditional::Absent);
    assert!(session.insert(1, 13.into()).unwrap());
}

/// The clock of the system moves by itself.
#[test]
fn a_store_goes_by_the_time_of_the_system_if_nothing_else_is_said() {
    let config = FasterKvConfig::default().with_memory_budget(1 << 20);
    let store: FasterKv<u64, Expiring<u64>, _> = FasterKv::open(config, MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    session.upsert_for(1, 10, Duration::from_millis(30)).unwrap();
    session.upsert_for(2, 20, Duration::from_secs(3600)).unwrap();
    let since = std::time::Instant::now();
    while session.read(&1).unwrap().is_some() {
        assert!(since.elapsed() < Duration::from_secs(20), "it does not end");
        std::thread::yield_now();
    }
    assert!(since.elapsed() >= Duration::from_millis(15), "too early by more than a tick");
    assert!(session.read(&2).unwrap().is_some());
}

/// Who has no values that end pays nothing: the same bytes as ever.
#[test]
fn records_of_other_values_are_as_large_as_they_were() {
    assert_eq!(RecordLayout::of::<u64, u64>().record_size(), Some(24));
    assert_eq!(RecordLayout::of::<u64, [u8; 100]>().record_size(), Some(128));
    assert_eq!(RecordLayout::of::<u64, Expiring<u64>>().record_size(), Some(40));
    assert_eq!(RecordLayout::of::<u64, Expiring<[u8; 100]>>().record_size(), Some(136));
    let store: Store<u64, u64> = open().0;
    let (begin, mut session) = (store.addresses().tail, store.start_session());
    session.upsert(1, 1.into()).unwrap();
    assert_eq!(store.addresses().tail.get() - begin.get(), 40);
}
