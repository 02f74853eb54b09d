//! Compaction: a store that is overwritten again and again, and does not grow.
//!
//! Run with `cargo run --example compaction`.

use oxifaster::compaction::{AutoCompactionConfig, AutoCompactionWorker, CompactionConfig};
use oxifaster::device::FileSystemDisk;
use oxifaster::store::{FasterKv, FasterKvConfig};
use std::sync::Arc;

const KEYS: u64 = 50_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let config = FasterKvConfig::default().with_memory_budget(4 << 20);
    let compaction = CompactionConfig::default().with_target_utilization(0.5).with_num_threads(2);
    let disk = FileSystemDisk::open(place.path().join("log"))?;
    let store = Arc::new(FasterKv::with_compaction_config(config, disk, compaction));
    let mut session = store.start_session();

    // By hand: everything below an address.
    for round in 0..5 {
        for key in 0..KEYS {
            session.upsert(key, [round, key])?;
        }
    }
    let report = store.log_compact_until(store.addresses().safe_read_only)?;
    println!(
        "looked at {} records in {:.2} s: {} bytes were in use and moved, {} given back",
        report.records, report.seconds, report.live, report.reclaimed
    );
    assert!(report.reclaimed > 0 && store.addresses().begin == report.begin);

    // To a target: half of the log is to be in use.
    for key in 0..KEYS {
        session.upsert(key, [5, key])?;
    }
    store.compact(&compaction)?;
    println!("{:.0} % of the log is in use", store.utilization() * 100.0);
    assert!(store.utilization() >= 0.5);

    // By itself, while the store is being overwritten.
    let worker = AutoCompactionWorker::new(AutoCompactionConfig::default().with_compaction(compaction));
    worker.start(Arc::downgrade(&store))?;
    for round in 6..16 {
        for key in 0..KEYS {
            session.upsert(key, [round, key])?;
        }
    }
    worker.stop();
    let state = worker.state();
    assert!(state.last_error.is_none(), "{:?}", state.last_error);
    println!("the worker compacted {} parts and moved {} bytes", state.steps, state.total.copied);

    for key in 0..KEYS {
        assert_eq!(session.read(&key)?, Some([15, key]));
    }
    println!("all {KEYS} keys have their newest values");
    Ok(())
}
