//! What goes wrong outside the store, or in a user's closure, is told and does no lasting harm.

mod closures;
mod full;
mod reads;
mod waits;
mod writes;

use oxifaster::device::{FaultPlan, FaultyDisk, MemoryDisk};
use oxifaster::store::{FasterKv, FasterKvConfig};

type Store = FasterKv<u64, u64, FaultyDisk<MemoryDisk>>;

/// A log of 16 pages of 4 KiB: about 2,700 records of a number each.
fn tiny() -> FasterKvConfig {
    FasterKvConfig::default().with_log_memory_size(64 << 10).with_page_size_bits(12).with_table_size(1 << 10)
}

fn open(config: FasterKvConfig) -> (Store, FaultPlan) {
    let store = FasterKv::open(config, FaultyDisk::new(MemoryDisk::new())).unwrap();
    let plan = store.device().plan();
    (store, plan)
}

/// The store holds every key up to `keys` with three times its number, and no other up to `end`.
fn check(store: &Store, keys: u64, end: u64) {
    let mut session = store.start_session();
    for key in 0..end {
        assert_eq!(session.read(&key).unwrap(), (key < keys).then_some(key * 3), "key {key}");
    }
}
