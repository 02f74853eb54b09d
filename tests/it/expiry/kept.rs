//! The expiry of a value is kept with it: in checkpoints, in the log of a durable store, and in the simple store.

use super::{SECOND, Store, open, small};
use oxifaster::ErrorKind;
use oxifaster::checkpoint::CheckpointKind;
use oxifaster::clock::VirtualClock;
use oxifaster::device::MemoryDisk;
use oxifaster::directory::MemoryDirectory;
use oxifaster::record::Expiring;
use oxifaster::store::{CheckpointOptions, FasterKv, FasterKvConfig, RecoveryTarget, TimeToLive};
use std::sync::Arc;

#[test]
fn a_checkpoint_of_every_kind_keeps_the_time_and_not_how_long_it_is_until_then() {
    for kind in [CheckpointKind::FoldOver, CheckpointKind::Snapshot] {
        let (store, clock) = open::<u64, u64>();
        let (disk, directory) = (store.device().clone(), MemoryDirectory::new());
        let mut session = store.start_session();
        session.upsert(1, 1.into()).unwrap();
        store.evict().unwrap();
        session.upsert_for(1, 10, 2 * SECOND).unwrap();
        session.upsert_for(2, 20, 4 * SECOND).unwrap();
        store.checkpoint_to(&directory, &CheckpointOptions::default().with_kind(kind)).unwrap();
        drop((session, store));
        clock.advance(SECOND);
        let recover = || -> Store<u64, u64> {
            FasterKv::recover_from(&directory, RecoveryTarget::Latest, small(&clock), disk.clone(), &|_| ()).unwrap().0
        };
        let store = recover();
        assert_eq!(store.start_session().time_to_live(&1).unwrap(), Some(TimeToLive::For(SECOND)));
        drop(store);
        clock.advance(SECOND);
        let store = recover();
        let mut session = store.start_session();
        assert_eq!(
            session.read_batch(&[1, 2]).unwrap().iter().flatten().map(|value| **value).collect::<Vec<_>>(),
            [20]
        );
        assert_eq!(store.count().unwrap(), 1);
    }
}

#[test]
fn a_store_of_values_that_end_is_no_other_store() {
    let (store, clock) = open::<u64, u64>();
    let (disk, directory) = (store.device().clone(), MemoryDirectory::new());
    store.start_session().upsert(1, 1.into()).unwrap();
    store.checkpoint_to(&directory, &CheckpointOptions::default()).unwrap();
    drop(store);
    let other: oxifaster::Result<(FasterKv<u64, u64, _>, _)> =
        FasterKv::recover_from(&directory, RecoveryTarget::Latest, small(&clock), disk, &|_| ());
    let error = other.err().unwrap();
    assert_eq!((error.kind(), error.field("its values may end")), (ErrorKind::Config, Some("true")), "{error}");
    assert_eq!(error.field("the store's values may end"), Some("false"));

    let (disk, directory) = (Arc::new(MemoryDisk::new()), MemoryDirectory::new());
    let store: FasterKv<u64, u64, _> = FasterKv::open(small(&clock), disk.clone()).unwrap();
    store.start_session().upsert(1, 1).unwrap();
    store.checkpoint_to(&directory, &CheckpointOptions::default()).unwrap();
    drop(store);
    let other: oxifaster::Result<(Store<u64, u64>, _)> =
        FasterKv::recover_from(&directory, RecoveryTarget::Latest, small(&clock), disk, &|_| ());
    assert_eq!(other.err().unwrap().kind(), ErrorKind::Config);
}

#[test]
fn the_simple_store_has_them_too() {
    let (place, clock) = (tempfile::tempdir().unwrap(), Arc::new(VirtualClock::new(77)));
    let config = FasterKvConfig::default().with_memory_budget(4 << 20).with_clock(Arc::clone(&clock) as _);
    let open = || oxifaster::Store::<String, Expiring<u64>>::open_with(place.path(), config.clone()).unwrap();
    let store = open();
    store.put_for("session".into(), 1, SECOND).unwrap();
    store.put("user".into(), 2.into()).unwrap();
    store.update("session".into(), |visits| **visits += 1).unwrap();
    assert_eq!(store.get("session").unwrap().as_deref(), Some(&2));
    assert!(store.expire("user".into(), 3 * SECOND).unwrap() && !store.expire("nobody".into(), SECOND).unwrap());
    drop(store);
    clock.advance(SECOND);
    let store = open();
    assert_eq!(store.get("session").unwrap(), None);
    assert_eq!(store.get_with("session", <[u8]>::len).unwrap(), None);
    assert_eq!(store.time_to_live("user").unwrap(), Some(TimeToLive::For(2 * SECOND)));
    assert!(store.persist("user".into()).unwrap());
    clock.advance(100 * SECOND);
    store.compact().unwrap();
    assert_eq!(store.get("user").unwrap(), Some(2.into()));
    assert_eq!(store.kv().count().unwrap(), 1);
}
