//! Epochs by themselves: a value is replaced while readers may still be using the old one, and taken apart only once none
//! can be.
//!
//! Run with `cargo run --example epoch_protection`.

use oxifaster::epoch::LightEpoch;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A table that is no longer valid once it was closed.
struct Table {
    closed: AtomicBool,
    name: &'static str,
}

fn main() {
    let epoch = LightEpoch::new();
    let tables: Arc<[Table; 2]> = Arc::new(["old", "new"].map(|name| Table { closed: AtomicBool::new(false), name }));
    let current = Arc::new(AtomicUsize::new(0));

    let mut reader = epoch.join();
    let guard = reader.pin();
    let found = &tables[current.load(Ordering::Acquire)];
    assert_eq!(found.name, "old");

    // Replace first, then bump: the action runs when everyone who may have seen the old table has left.
    current.store(1, Ordering::Release);
    let closing = Arc::clone(&tables);
    epoch.bump(move || closing[0].closed.store(true, Ordering::Release));

    assert!(!epoch.drain(), "the reader is still pinned, so the action waits");
    assert!(!found.closed.load(Ordering::Acquire), "and what the reader found is still good");

    drop(guard);
    assert!(epoch.drain(), "nobody is pinned any more");
    assert!(tables[0].closed.load(Ordering::Acquire));

    let _guard = reader.pin();
    assert_eq!(tables[current.load(Ordering::Acquire)].name, "new");
    println!("the old table was closed after its last reader had left");
}
