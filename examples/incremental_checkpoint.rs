//! A chain of increments: each writes what was touched since the one before, and all of them can be come back to.
//!
//! Run with `cargo run --example incremental_checkpoint`.

use oxifaster::checkpoint::CheckpointKind;
use oxifaster::device::FileSystemDisk;
use oxifaster::directory::FileDirectory;
use oxifaster::store::{CheckpointOptions, FasterKv, FasterKvConfig, RecoveryTarget};

const KEYS: u64 = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let (log, directory) = (place.path().join("log"), FileDirectory::open(place.path().join("checkpoints"))?);
    let config = FasterKvConfig::default().with_memory_budget(32 << 20);
    let options = CheckpointOptions::default().with_kind(CheckpointKind::Incremental);

    let store: FasterKv<u64, u64, _> = FasterKv::open(config.clone(), FileSystemDisk::open(&log)?)?;
    let mut session = store.start_session();
    for key in 0..KEYS {
        session.upsert(key, 0)?;
    }
    let base = store.checkpoint_to(&directory, &options)?;
    println!("{:?} {}: {} bytes", base.kind, base.token, base.file_bytes);

    let mut increments = Vec::new();
    for round in 1..=3 {
        for key in (0..KEYS).step_by(100) {
            session.upsert(key, round)?; // one key in a hundred
        }
        let increment = store.checkpoint_to(&directory, &options)?;
        println!("{:?} {}: {} bytes", increment.kind, increment.token, increment.file_bytes);
        assert!(increment.file_bytes * 100 <= base.file_bytes * 3);
        increments.push(increment);
    }
    drop((session, store));

    // Back to the newest of them.
    let latest = RecoveryTarget::Latest;
    let (store, report) =
        FasterKv::<u64, u64, _>::recover_from(&directory, latest, config, FileSystemDisk::open(&log)?, &|_| ())?;
    assert_eq!(report.token, increments[2].token);
    let mut session = store.start_session();
    for key in 0..KEYS {
        assert_eq!(session.read(&key)?, Some(if key % 100 == 0 { 3 } else { 0 }));
    }
    println!("all {KEYS} keys are as they were at the third increment");
    Ok(())
}
