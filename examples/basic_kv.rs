//! The first steps: write, read, change and delete, in a store whose data outgrows its memory.
//!
//! Run with `cargo run --example basic_kv`.

use oxifaster::device::FileSystemDisk;
use oxifaster::store::{FasterKv, FasterKvConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let device = FileSystemDisk::open(directory.path().join("basic_kv"))?;
    let store = FasterKv::open(FasterKvConfig::default().with_memory_budget(1 << 20), device)?;
    let mut session = store.start_session();

    session.upsert(42u64, 100u64)?;
    assert_eq!(session.read(&42)?, Some(100));

    // A read-modify-write is one step, whoever else is at it; a missing key starts from zero.
    for key in [42, 43] {
        session.rmw(key, |value| {
            *value += 1;
            true
        })?;
    }
    assert_eq!((session.read(&42)?, session.read(&43)?), (Some(101), Some(1)));

    assert!(session.insert(44, 7)?, "there was nothing");
    assert!(!session.insert(44, 8)?, "now there is");
    session.delete(&44)?;
    assert_eq!(session.read(&44)?, None);

    // 4.6 MiB of records with 1 MiB of memory: most of them go to the files and come back from there.
    for key in 0..200_000 {
        session.upsert(key, key * key)?;
    }
    let keys: Vec<u64> = (0..200_000).step_by(997).collect();
    for (key, value) in keys.iter().zip(session.read_batch(&keys)?) {
        assert_eq!(value, Some(key * key));
    }
    let stats = store.stats();
    assert!(stats.device.written_bytes > 3 << 20 && stats.read_misses > 0);
    println!("{} of {} look-ups were answered from memory", stats.read_hits, stats.read_hits + stats.read_misses);
    Ok(())
}
