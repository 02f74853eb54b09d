//! A hash index that begins far too small, and grows while two threads work: by itself, and when it is asked to. After most keys were
//! deleted it shrinks.
//!
//! Run with `cargo run --example index_growth`.

use oxifaster::device::MemoryDisk;
use oxifaster::store::{FasterKv, FasterKvConfig};

const KEYS: u64 = 200_000;
const WRITERS: u64 = 2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = FasterKvConfig::default()
        .with_table_size(1 << 6)
        // The index may grow to this by itself. The memory for it is set aside, and that of the table before the last one.
        .with_table_size_max(1 << 16)
        .with_log_memory_size(32 << 20);
    let store = FasterKv::open(config, MemoryDisk::new())?;

    let results: Vec<oxifaster::Result<()>> = std::thread::scope(|scope| {
        let write = |writer: u64| {
            let store = &store;
            move || -> oxifaster::Result<()> {
                let mut session = store.start_session();
                for key in (writer..KEYS).step_by(WRITERS as usize) {
                    session.upsert(key, key * key)?;
                }
                Ok(())
            }
        };
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(write(writer))).collect();
        let join = |writer: std::thread::ScopedJoinHandle<'_, _>| {
            writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        writers.into_iter().map(join).collect()
    });
    results.into_iter().collect::<oxifaster::Result<()>>()?;
    let stats = store.index_stats();
    println!("by itself: {} buckets, {:.0} % full", stats.buckets, stats.load_factor() * 100.0);
    assert!(stats.buckets >= 1 << 15 && stats.saturated_buckets == 0, "{stats:?}");

    // On request, it becomes as large as is asked for. Sessions go on meanwhile.
    store.grow_index(1 << 16)?;
    let stats = store.index_stats();
    println!("on request: {} buckets after {} doublings", stats.buckets, stats.growth.doublings);
    assert_eq!((stats.buckets, stats.growth.doublings, stats.growth.under_way), (1 << 16, 10, false));

    // What the budget has no room for is refused, and the index stays as large as it has become.
    let refused = store.grow_index(1 << 24).err().ok_or("there is no memory for that")?;
    println!("refused: {refused}");

    let mut session = store.start_session();
    for key in 0..KEYS {
        assert_eq!(session.read(&key)?, Some(key * key));
    }
    println!("{KEYS} keys, all there");

    // When most of them are gone and their records given up, the index becomes smaller again.
    for key in (0..KEYS).filter(|key| key % 20 != 0) {
        session.delete(&key)?;
    }
    let before = store.index_stats().buckets;
    store.shrink_index(1 << 13)?;
    let stats = store.index_stats();
    println!("after the deletion: {} buckets after {} halvings", stats.buckets, stats.growth.halvings);
    assert_eq!((stats.buckets, stats.buckets << stats.growth.halvings), (1 << 13, before));
    for key in 0..KEYS {
        assert_eq!(session.read(&key)?, (key % 20 == 0).then_some(key * key));
    }
    Ok(())
}
