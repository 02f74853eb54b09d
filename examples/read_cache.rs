//! A read cache: a few keys are read much more often than others, and all of them lie on the device.
//!
//! Run with `cargo run --example read_cache`.

use oxifaster::cache::ReadCacheConfig;
use oxifaster::device::FileSystemDisk;
use oxifaster::store::{FasterKv, FasterKvConfig};

const KEYS: u64 = 50_000;
const HOT: u64 = 500;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let device = FileSystemDisk::open(directory.path().join("read_cache"))?;
    let config = FasterKvConfig::default().with_memory_budget(1 << 20).with_table_size(1 << 12);
    let store = FasterKv::with_read_cache(config, device, ReadCacheConfig::default().with_mem_size(128 << 10));
    let mut session = store.start_session();
    for key in 0..KEYS {
        session.upsert(key, key * key)?;
    }
    store.evict()?; // whatever the log still has in memory, too

    // The first round reads the device, the others find copies.
    let hot: Vec<u64> = (0..KEYS).step_by((KEYS / HOT) as usize).collect();
    let mut misses = Vec::new();
    for _ in 0..10 {
        let before = store.stats().read_misses;
        for (key, value) in hot.iter().zip(session.read_batch(&hot)?) {
            assert_eq!(value, Some(key * key));
        }
        misses.push(store.stats().read_misses - before);
    }
    assert_eq!((misses[0], misses[9]), (HOT, 0), "{misses:?}");

    // A copy never outlives the value it is of.
    session.upsert(hot[7], 1)?;
    session.delete(&hot[8])?;
    assert_eq!((session.read(&hot[7])?, session.read(&hot[8])?), (Some(1), None));

    let cache = store.stats().read_cache.unwrap_or_default();
    println!("{HOT} hot keys of {KEYS}: misses in each round {misses:?}, {} copies made", cache.added);
    Ok(())
}
