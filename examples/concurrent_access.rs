//! Many threads, one store: counters that lose no increment, while their pages go to disk under them.
//!
//! Run with `cargo run --example concurrent_access`.

use oxifaster::device::FileSystemDisk;
use oxifaster::store::{FasterKv, FasterKvConfig};

const THREADS: u64 = 4;
const COUNTERS: u64 = 100;
const ROUNDS: u64 = 500;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let device = FileSystemDisk::open(directory.path().join("concurrent_access"))?;
    let store = FasterKv::open(FasterKvConfig::default().with_memory_budget(1 << 20), device)?;

    let results: Vec<oxifaster::Result<()>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let store = &store;
                scope.spawn(move || {
                    // A session per thread. It can be moved, but serves one thread at a time.
                    let mut session = store.start_session();
                    for round in 0..ROUNDS {
                        for counter in 0..COUNTERS {
                            session.rmw(counter, |count| {
                                *count += 1;
                                true
                            })?;
                        }
                        // Keys of its own, to push the counters out of memory.
                        for key in 0..50 {
                            session.upsert(COUNTERS + (thread * ROUNDS + round) * 50 + key, round)?;
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    results.into_iter().collect::<oxifaster::Result<()>>()?;

    let mut session = store.start_session();
    for counter in 0..COUNTERS {
        assert_eq!(session.read(&counter)?, Some(THREADS * ROUNDS));
    }
    println!("{} increments from {THREADS} threads, none lost", THREADS * ROUNDS * COUNTERS);
    Ok(())
}
