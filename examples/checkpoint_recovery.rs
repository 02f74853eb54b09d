//! A stream processor that survives a crash: checkpoints while it works, and replay of what came after the last one.
//!
//! Run with `cargo run --example checkpoint_recovery`.

use oxifaster::Result;
use oxifaster::device::FileSystemDisk;
use oxifaster::directory::FileDirectory;
use oxifaster::store::{CheckpointOptions, FasterKv, FasterKvConfig, Session};
use std::path::Path;
use std::sync::Arc;

/// The input: event number `serial` counts one more for its key. It can be read again from any place.
fn key_of_event(serial: u64) -> u64 {
    serial * 7919 % 1000
}

/// One operation per event, so that serial numbers of the session are those of the events.
fn process(session: &mut Session<u64, u64>, events: std::ops::RangeInclusive<u64>) -> Result<()> {
    for event in events {
        session.rmw(key_of_event(event), |count| {
            *count += 1;
            true
        })?;
        assert_eq!(session.serial(), event);
    }
    Ok(())
}

fn first_life(log: &Path, checkpoints: &Path) -> Result<()> {
    let store = FasterKv::open(FasterKvConfig::default().with_memory_budget(4 << 20), FileSystemDisk::open(log)?)?;
    let mut session = store.start_session();
    process(&mut session, 1..=50_000)?;
    // The checkpoint is taken on a thread of its own while the session goes on: where it is cut is known afterwards only.
    let directory = Arc::new(FileDirectory::open(checkpoints)?);
    let checkpoint = store.begin_checkpoint(directory, CheckpointOptions::default())?;
    process(&mut session, 50_001..=100_000)?;
    println!("checkpoint {} taken while events were counted", checkpoint.wait()?.token);
    process(&mut session, 100_001..=120_000)
    // Here the process dies. What came after the checkpoint is lost, as in a crash.
}

fn second_life(log: &Path, checkpoints: &Path) -> Result<()> {
    let config = FasterKvConfig::default().with_memory_budget(4 << 20);
    let store: FasterKv<u64, u64, _> = FasterKv::recover_latest(checkpoints, config, FileSystemDisk::open(log)?)?;
    let recovered = store.get_recovered_sessions();
    println!("recovered up to event {}", recovered[0].serial);
    assert!((50_000..=100_000).contains(&recovered[0].serial));

    let mut session = store.continue_session(recovered[0])?;
    let next = session.serial() + 1;
    process(&mut session, next..=120_000)?;

    let mut counts = vec![0; 1000];
    (1..=120_000).for_each(|event| counts[key_of_event(event) as usize] += 1);
    for (key, count) in counts.into_iter().enumerate() {
        assert_eq!(session.read(&(key as u64))?, Some(count), "each event counted once");
    }
    println!("all 120000 events are counted, each once");
    Ok(())
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let (log, checkpoints) = (directory.path().join("log"), directory.path().join("checkpoints"));
    first_life(&log, &checkpoints)?;
    second_life(&log, &checkpoints)?;
    Ok(())
}
