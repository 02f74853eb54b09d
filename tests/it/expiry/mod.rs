//! Values that end: whatever looks for one that has ended finds none, and nothing older comes up from below.

mod calls;
mod kept;
mod model;
mod program;
mod races;
mod space;

use oxifaster::clock::VirtualClock;
use oxifaster::device::MemoryDisk;
use oxifaster::record::{Expiring, Key, Value};
use oxifaster::store::{FasterKv, FasterKvConfig};
use std::sync::Arc;
use std::time::Duration;

type Store<K, V> = FasterKv<K, Expiring<V>, Arc<MemoryDisk>>;

const SECOND: Duration = Duration::from_secs(1);

/// As small as it can be, with a clock that is moved by hand.
fn small(clock: &Arc<VirtualClock>) -> FasterKvConfig {
    FasterKvConfig::default()
        .with_page_size_bits(12)
        .with_log_memory_size(6 << 12)
        .with_table_size(4)
        .with_clock(Arc::clone(clock) as _)
}

/// A store of that kind, at some time.
fn open<K: Key, V: Value>() -> (Store<K, V>, Arc<VirtualClock>) {
    let clock = Arc::new(VirtualClock::new(1_000_000));
    (FasterKv::open(small(&clock), Arc::new(MemoryDisk::new())).unwrap(), clock)
}
