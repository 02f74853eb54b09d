//! Values that end: log-ins that last as long as they are used, a limit on attempts per minute, and a lease.
//!
//! Run with `cargo run --example expiry`.

use oxifaster::clock::VirtualClock;
use oxifaster::device::MemoryDisk;
use oxifaster::record::Expiring;
use oxifaster::store::{FasterKv, FasterKvConfig, TimeToLive};
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn main() -> oxifaster::Result<()> {
    // Without this a store goes by the time of the system. With it, minutes pass at once.
    let clock = Arc::new(VirtualClock::new(1_800_000_000_000));
    let config = FasterKvConfig::default().with_memory_budget(16 << 20).with_clock(Arc::clone(&clock) as _);
    let store: FasterKv<String, Expiring<String>, _> = FasterKv::open(config.clone(), MemoryDisk::new())?;
    let mut session = store.start_session();

    // A log-in that lasts thirty minutes from its last use.
    session.upsert_for("ada".to_owned(), "token".to_owned(), 30 * MINUTE)?;
    for _ in 0..3 {
        clock.advance(20 * MINUTE);
        assert!(session.expire("ada".to_owned(), 30 * MINUTE)?, "it is in use");
    }
    assert_eq!(session.time_to_live("ada")?, Some(TimeToLive::For(30 * MINUTE)));
    clock.advance(30 * MINUTE);
    assert_eq!(session.read("ada")?, None);

    // At most five attempts in a minute: the first one of a row says when the row ends, the others leave that alone.
    let attempts: FasterKv<u64, Expiring<u64>, _> = FasterKv::open(config, MemoryDisk::new())?;
    let mut counting = attempts.start_session();
    let mut attempt = |address: u64| -> oxifaster::Result<bool> {
        let (row_ends, mut count) = (counting.expiry_in(MINUTE), 0);
        counting.rmw(address, |value| {
            if **value == 0 {
                value.set_expiry(row_ends);
            }
            **value += 1;
            count = **value;
            true
        })?;
        Ok(count <= 5)
    };
    let allowed = (0..8).map(|_| attempt(7)).collect::<oxifaster::Result<Vec<bool>>>()?;
    assert_eq!(allowed.iter().filter(|allowed| **allowed).count(), 5);
    clock.advance(MINUTE);
    assert!(attempt(7)?, "a new row");

    // Who holds a lease, until when, and who is next.
    let lease = |holder: &str, ends| Expiring::until(holder.to_owned(), ends);
    let ends = session.expiry_in(MINUTE);
    assert!(session.insert("leader".to_owned(), lease("first", ends))?);
    assert!(!session.insert("leader".to_owned(), lease("second", ends))?);
    clock.advance(MINUTE);
    let ends = session.expiry_in(MINUTE);
    assert!(session.insert("leader".to_owned(), lease("second", ends))?);

    // What has ended is in no scan, and is left behind by the next compaction.
    println!("{} of {} keys are there", store.count()?, store.approximate_count());
    store.log_compact_until(store.addresses().tail)?;
    println!("{} after a compaction", store.approximate_count());
    Ok(())
}
