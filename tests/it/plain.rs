//! The store without ceremony, and looks at values that make none.

use oxifaster::device::MemoryDisk;
use oxifaster::store::{Durability, FasterKv, FasterKvConfig};
use oxifaster::{ErrorKind, Store};
use std::sync::atomic::{AtomicBool, Ordering};

fn small() -> FasterKvConfig {
    FasterKvConfig::default().with_memory_budget(4 << 20)
}

#[test]
fn a_store_is_there_again_when_it_is_opened_again() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("new").join("store");
    for life in 0u64..4 {
        let store: Store<String, Vec<u8>> = Store::open_with(&path, small()).unwrap();
        assert_eq!(store.get("life").unwrap(), life.checked_sub(1).map(|before| vec![before as u8; 30]));
        store.put("life".to_owned(), vec![life as u8; 30]).unwrap();
        store.update("lives".to_owned(), |lives| lives.push(life as u8)).unwrap();
        store.put_ref("borrowed", &[life as u8][..]).unwrap();
        assert_eq!(store.get_with("borrowed", |bytes| bytes[0]).unwrap(), Some(life as u8));
        assert_eq!(store.get_with("lives", |lives| lives.iter().copied().max()).unwrap(), Some(Some(life as u8)));
        store.put(format!("gone {life}"), Vec::new()).unwrap();
        store.delete(format!("gone {life}").as_str()).unwrap();
        store.sync().unwrap();
        if life == 2 {
            store.compact().unwrap();
        }
    }
    let store: Store<String, Vec<u8>> = Store::open_with(&path, small()).unwrap();
    assert_eq!(store.get("lives").unwrap(), Some(vec![0, 1, 2, 3]));
    assert!((0..4).all(|life| store.get(format!("gone {life}").as_str()).unwrap().is_none()));
    let second = Store::<String, Vec<u8>>::open_with(&path, small()).err().unwrap();
    assert!(matches!(second.kind(), ErrorKind::Busy | ErrorKind::Config), "{second}");
    drop(store);
    let other = Store::<u64, u64>::open_with(&path, small()).err().unwrap();
    assert_eq!(other.kind(), ErrorKind::Config);
}

#[test]
fn any_number_of_threads_call_one_store() {
    const THREADS: u64 = 20;
    const EACH: u64 = 300;
    let place = tempfile::tempdir().unwrap();
    let store: Store<u64, u64> = Store::open_with(place.path(), small()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                for step in 0..EACH {
                    store.update(step % 7, |count| *count += 1).unwrap();
                    store.put(1000 + thread, step).unwrap();
                    assert_eq!(store.get(&(1000 + thread)).unwrap(), Some(step));
                }
                store.delete(&(1000 + thread)).unwrap();
            });
        }
    });
    let sum: u64 = (0..7).map(|key| store.get(&key).unwrap().unwrap()).sum();
    assert_eq!(sum, THREADS * EACH);
    assert!(store.kv().session_count() <= THREADS as usize, "sessions are lent again");
    assert_eq!(store.kv().count().unwrap(), 7);
}

#[test]
fn what_a_session_is_lent_for_is_done_when_it_comes_back() {
    let place = tempfile::tempdir().unwrap();
    let config = small().with_durability(Durability::EveryOperation);
    let store: Store<u64, u64> = Store::open_with(place.path(), config).unwrap();
    store.put(1, 1).unwrap();
    let read = store.with_session(|session| session.read_batch(&[1, 2])).unwrap();
    assert_eq!(read, [Some(1), None]);
    // One that has something pending does not come back.
    let _ = store
        .with_session(|session| {
            session.begin_rmw(1, |value| {
                *value += 1;
                true
            })
        })
        .unwrap();
    assert_eq!(store.kv().session_count(), 0);
    store.put(1, 5).unwrap();
    assert_eq!((store.get(&1).unwrap(), store.kv().session_count()), (Some(5), 1));
}

/// Whoever looks at a value sees all of it, and none of another, while it becomes longer and shorter, in place and not.
#[test]
fn a_value_that_is_looked_at_is_whole() {
    let config = FasterKvConfig::default().with_page_size_bits(12).with_log_memory_size(8 << 12).with_table_size(16);
    let store: FasterKv<u64, Vec<u8>, _> = FasterKv::open(config, MemoryDisk::new()).unwrap();
    let (stop, seen) = (AtomicBool::new(false), AtomicBool::new(false));
    let of = |byte: u8| vec![byte; usize::from(byte) * 11 % 500];
    let is_whole = |bytes: &[u8]| bytes.first().is_none_or(|byte| bytes == of(*byte));
    std::thread::scope(|scope| {
        for writer in 0..2u8 {
            let (store, stop, seen) = (&store, &stop, &seen);
            scope.spawn(move || {
                let mut session = store.start_session();
                // So many writes, and on until the reader has met some: it may start last.
                let steps = (0u32..).take_while(|step| *step < 40_000 || !seen.load(Ordering::Acquire));
                for step in steps.map(|step| step as u8 ^ writer) {
                    if step % 3 == 0 {
                        session
                            .rmw(u64::from(step % 4), |value| {
                                *value = of(step);
                                true
                            })
                            .unwrap();
                    } else {
                        session.upsert(u64::from(step % 4), of(step)).unwrap();
                    }
                }
                stop.store(true, Ordering::Release);
            });
        }
        scope.spawn(|| {
            let mut session = store.start_session();
            while !stop.load(Ordering::Acquire) {
                for key in 0..4 {
                    if session.read_with(&key, |bytes| assert!(is_whole(bytes))).unwrap().is_some() {
                        seen.store(true, Ordering::Release);
                    }
                    assert!(session.read(&key).unwrap().is_none_or(|value| is_whole(&value)));
                }
            }
        });
    });
}
