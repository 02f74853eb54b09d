//! Scans: the log as it was written, and the keys as they are, while the store goes on.
//!
//! Run with `cargo run --example log_scan`.

use oxifaster::checkpoint::Catalog;
use oxifaster::device::{FileSystemDisk, StorageDevice};
use oxifaster::directory::FileDirectory;
use oxifaster::scan::DoubleBufferedLogIterator;
use oxifaster::store::{CheckpointOptions, FasterKv, FasterKvConfig};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const KEYS: u64 = 20_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let log = place.path().join("log");
    let store = FasterKv::open(FasterKvConfig::default().with_memory_budget(1 << 20), FileSystemDisk::open(&log)?)?;
    let mut session = store.start_session();
    for version in 1..=3u64 {
        for key in 0..KEYS {
            session.upsert(key, version * 1_000_000 + key)?;
        }
        session.delete(&0)?;
        store.evict()?; // or the next round would change the records in place
    }

    // The log: every record, dead or alive, from memory and from the device.
    let (mut records, mut tombstones) = (0, 0);
    for record in store.scan_log(..)? {
        records += 1;
        tombstones += u64::from(record?.is_tombstone);
    }
    println!("{records} records in the log, {tombstones} of them tombstones");
    assert!(records >= 3 * KEYS);

    // The keys: each once, with its newest value; filtered before they are looked up.
    let mut sum = 0;
    for pair in store.iter()?.with_filter(|key, _| key % 100 == 0) {
        let (key, value) = pair?;
        assert_eq!(value, 3_000_000 + key);
        sum += 1;
    }
    assert_eq!(sum, KEYS / 100 - 1, "key 0 was deleted");
    let all = AtomicU64::new(0);
    let count = store.for_each(2, |key, _| {
        all.fetch_add(*key, Ordering::Relaxed);
    })?;
    println!("{count} keys, about {} by the index", store.approximate_count());
    assert_eq!((count, all.into_inner()), (KEYS - 1, (1..KEYS).sum()));

    // One moment of all sessions, whatever they do meanwhile.
    let snapshot = store.snapshot()?;
    session.upsert(1, 0)?;
    session.delete(&2)?;
    assert!(snapshot.map(|pair| pair.map(|(key, value)| value == 3_000_000 + key)).all(|same| same.unwrap_or(false)));
    println!("key 1 over time: {:?}", store.versions_of(&1)?.iter().map(|one| one.value).collect::<Vec<_>>());

    // A checkpoint's log, without a store and without knowing its types.
    let directory = FileDirectory::open(place.path().join("checkpoints"))?;
    let token = store.checkpoint_to(&directory, &CheckpointOptions::default())?.token;
    drop((session, store));
    let manifest = Catalog::new(&directory).load(token)?;
    let device = Arc::new(FileSystemDisk::open(&log)?) as Arc<dyn StorageDevice>;
    let bytes: usize = DoubleBufferedLogIterator::new(&directory, &manifest, device)?
        .map(|record| record.map(|record| record.size))
        .sum::<oxifaster::Result<usize>>()?;
    println!("{bytes} bytes of records at rest");
    Ok(())
}
