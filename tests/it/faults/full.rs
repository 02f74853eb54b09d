//! A store whose device keeps nothing.

use super::tiny;
use oxifaster::ErrorKind;
use oxifaster::device::NullDisk;
use oxifaster::store::FasterKv;

#[test]
fn a_store_that_keeps_nothing_on_a_device_is_full_at_some_point_and_loses_nothing() {
    let store = FasterKv::open(tiny(), NullDisk::new()).unwrap();
    let mut session = store.start_session();
    let keys = (0..10_000u64).take_while(|key| session.upsert(*key, key * 3).is_ok()).count() as u64;
    assert!((2_600..2_800).contains(&keys), "{keys} keys");
    for error in [
        session.upsert(keys, 0).unwrap_err(),
        session.rmw(keys, |_| true).unwrap_err(),
        session.insert(keys, 0).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        assert!(error.to_string().contains("more memory"), "{error}");
    }
    for key in 0..keys {
        assert_eq!(session.read(&key).unwrap(), Some(key * 3));
        assert!(
            session
                .rmw(key, |value| {
                    *value += 1;
                    true
                })
                .unwrap()
        );
    }
    assert_eq!(session.read(&keys).unwrap(), None);
    session.delete(&0).unwrap();
    assert_eq!((session.read(&0).unwrap(), session.read(&1).unwrap()), (None, Some(4)));
}

#[test]
fn a_store_that_keeps_nothing_on_a_device_cannot_be_evicted_out_of_memory() {
    let store = FasterKv::open(tiny(), NullDisk::new()).unwrap();
    let mut session = store.start_session();
    (0..1_000u64).for_each(|key| session.upsert(key, key * 3).unwrap());
    assert_eq!(store.evict().unwrap_err().kind(), ErrorKind::Limit);
    store.flush().unwrap();
    (0..1_000).for_each(|key| assert_eq!(session.read(&key).unwrap(), Some(key * 3)));
}
