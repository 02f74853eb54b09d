//! A feed of changes: another map that follows the store, over a crash.
//!
//! Run with `cargo run --example change_feed`.

use oxifaster::device::FileSystemDisk;
use oxifaster::directory::FileDirectory;
use oxifaster::scan::{Change, ChangeCursor, ChangeOptions, ChangeReach};
use oxifaster::store::{CheckpointOptions, FasterKv, FasterKvConfig, RecoveryTarget};
use std::collections::BTreeMap;

type Store = FasterKv<u64, u64, FileSystemDisk>;

/// Takes in what there is to take in, and says where that ended.
fn follow(store: &Store, from: ChangeCursor, map: &mut BTreeMap<u64, u64>) -> oxifaster::Result<ChangeCursor> {
    // Only what a checkpoint holds: a crash never takes it back.
    let options = ChangeOptions::default().with_reach(ChangeReach::Checkpointed);
    let mut feed = store.changes_with(from, &options)?;
    loop {
        let changes = feed.take(1000)?;
        if changes.is_empty() {
            return Ok(feed.cursor());
        }
        for change in changes {
            match change {
                Change::Delete { key } => drop(map.remove(&key)),
                Change::Insert { key, value } | Change::Update { key, value } => drop(map.insert(key, value)),
                _ => {}
            }
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let (log, directory) = (place.path().join("log"), FileDirectory::open(place.path().join("checkpoints"))?);
    let config = FasterKvConfig::default().with_memory_budget(1 << 20);
    let store: Store = FasterKv::open(config.clone(), FileSystemDisk::open(&log)?)?;
    let mut session = store.start_session();
    let mut follower = BTreeMap::new();

    for key in 0..10_000 {
        session.upsert(key, 1)?;
    }
    session.delete(&17)?;
    store.checkpoint_to(&directory, &CheckpointOptions::default())?;
    let cursor = follow(&store, ChangeCursor::START, &mut follower)?;
    assert_eq!((follower.len(), follower.get(&16), follower.get(&17)), (9_999, Some(&1), None));
    println!("followed to {}", cursor.address());

    // What no checkpoint holds is lost with the process, and the follower has not seen it.
    session.upsert(16, 99)?;
    drop((session, store));
    let kept = cursor.to_bytes();
    let latest = RecoveryTarget::Latest;
    let (store, _) = Store::recover_from(&directory, latest, config, FileSystemDisk::open(&log)?, &|_| ())?;
    let mut session = store.start_session();
    session.upsert(17, 2)?;
    session.rmw(18, |value| {
        *value += 1;
        true
    })?;
    store.checkpoint_to(&directory, &CheckpointOptions::default())?;
    follow(&store, ChangeCursor::from_bytes(kept), &mut follower)?;

    let store_now: BTreeMap<u64, u64> = store.iter()?.collect::<oxifaster::Result<_>>()?;
    assert_eq!(follower, store_now);
    println!("the follower equals the store: {} keys", follower.len());
    Ok(())
}
