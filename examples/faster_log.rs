//! A durable log: append, commit, follow, cut off, and go on after a restart.
//!
//! Run with `cargo run --example faster_log`.

use oxifaster::device::FileSystemDisk;
use oxifaster::log::{FasterLog, FasterLogConfig};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let device = || FileSystemDisk::open(directory.path().join("faster_log"));
    let log = FasterLog::open(FasterLogConfig::default(), device()?)?;

    // An append is in memory. It is durable within ten milliseconds, or when somebody waits for it.
    let mut addresses = Vec::new();
    for number in 0..10_000u32 {
        addresses.push(log.append(format!("event {number}").as_bytes())?);
    }
    log.append_and_wait(b"and this one is on the disk when the call returns")?;
    assert_eq!(log.read_entry(addresses[77])?, b"event 77");

    // A reader takes what is durable, notes how far it has come, and waits for more.
    let mut reader = log.scan(..);
    let mut read = 0;
    while let Some((address, _)) = reader.try_next()? {
        read += 1;
        log.set_cursor("reader", address)?;
    }
    assert_eq!(read, 10_001);
    let next = log.append(b"one more")?;
    assert!(log.wait_beyond(next, Duration::from_secs(10)) > next);
    assert_eq!(reader.try_next()?, Some((next, b"one more".to_vec())));

    // What is not needed any more goes at the front; a follower of a leader that has changed cuts off the end.
    log.truncate_before(addresses[9_000])?;
    log.truncate_suffix(next)?;
    let commit = log.commit_with(b"term 7")?;
    drop((reader, log)); // the device is free again

    let log = FasterLog::open(FasterLogConfig::default(), device()?)?;
    let entries: Vec<Vec<u8>> = log.scan_all().map(|entry| entry.1).collect();
    assert_eq!((entries.len(), entries[0].as_slice()), (1_001, b"event 9000".as_slice()));
    assert_eq!((log.cookie(), log.cursor("reader").is_some()), (b"term 7".to_vec(), true));
    println!("{} entries, durable up to {}, found again after a restart", entries.len(), commit.until);
    Ok(())
}
