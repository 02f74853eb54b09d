//! Changes that depend on what is there, from several threads: a lock, a queue of work, and counts.
//!
//! Run with `cargo run --example conditional`.

use oxifaster::device::MemoryDisk;
use oxifaster::store::{Conditional, FasterKv, FasterKvConfig, Max, Mergeable};

const WORKERS: u64 = 3;

fn main() -> oxifaster::Result<()> {
    let config = FasterKvConfig::default().with_memory_budget(16 << 20);
    let store: FasterKv<u64, u64, _> = FasterKv::open(config, MemoryDisk::new())?;
    let mut session = store.start_session();

    // Of several who want a key, one gets it, and the others are told who.
    assert_eq!(session.insert_or_get(1, 10)?, Conditional::Done);
    assert_eq!(session.insert_or_get(1, 20)?, Conditional::Refused(10));
    assert_eq!(session.delete_if(1, |owner| *owner == 20)?, Conditional::Refused(10));
    assert_eq!(session.delete_if(1, |owner| *owner == 10)?, Conditional::Done);

    // What is newer replaces what is older, in whatever order they come.
    for time in [3, 9, 4] {
        let _ = session.upsert_if(2, time, |known| *known < time)?;
    }
    assert_eq!(session.read(&2)?, Some(9));

    // Each number is drawn once.
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(|| draw(&store))).collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().try_for_each(join)
    })?;
    assert_eq!(session.read(&3)?, Some(100 * WORKERS));

    // Operators may be chosen by name.
    for operator in ["add", "min"] {
        session.merge(3, 7, u64::operator(operator)?)?;
    }
    session.merge(3, 50, &Max)?;
    assert_eq!(session.read(&3)?, Some(50));
    println!("{} keys", store.count()?);
    Ok(())
}

/// Draws a hundred numbers by compare and exchange.
fn draw(store: &FasterKv<u64, u64, MemoryDisk>) -> oxifaster::Result<()> {
    let mut session = store.start_session();
    for _ in 0..100 {
        let mut next = match session.insert_or_get(3, 1)? {
            Conditional::Refused(next) => next,
            _ => continue,
        };
        while let Conditional::Refused(other) = session.compare_exchange(3, &next, next + 1)? {
            next = other;
        }
    }
    Ok(())
}
