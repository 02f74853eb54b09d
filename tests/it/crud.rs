//! A key that was written is there with its newest value; one that was deleted is not.

use oxifaster::device::{MemoryDisk, NullDisk, StorageDevice};
use oxifaster::store::{FasterKv, FasterKvConfig};

fn config() -> FasterKvConfig {
    FasterKvConfig::default().with_memory_budget(1 << 20)
}

#[test]
fn the_first_example_of_the_document_works_on_a_null_disk() {
    let store = FasterKv::new(FasterKvConfig::default(), NullDisk::new());
    let mut session = store.start_session();
    session.upsert(42u64, 100u64).unwrap();
    assert_eq!(session.read(&42).unwrap(), Some(100));
    session.delete(&42).unwrap();
    assert_eq!(session.read(&42).unwrap(), None);
}

#[test]
fn every_operation_on_every_region() {
    run_every_operation_on_every_region(MemoryDisk::new());
}

pub(super) fn run_every_operation_on_every_region<D: StorageDevice>(device: D) {
    let store = FasterKv::open(config(), device).unwrap();
    let mut session = store.start_session();
    for evict in [false, true] {
        for key in 0..1000u64 {
            session.upsert(key, [key; 4]).unwrap();
        }
        let maybe_evict = || {
            if evict {
                store.evict().unwrap()
            }
        };
        maybe_evict();
        for key in 0..1000 {
            assert_eq!(session.read(&key).unwrap(), Some([key; 4]));
        }
        for key in 0..1000 {
            let changed = session.rmw(key, |value| {
                value[3] += 1;
                true
            });
            assert!(changed.unwrap());
        }
        maybe_evict();
        for key in 0..1000 {
            assert_eq!(session.read(&key).unwrap(), Some([key, key, key, key + 1]));
            assert!(!session.insert(key, [0; 4]).unwrap());
        }
        for key in 0..1000 {
            session.delete(&key).unwrap();
        }
        maybe_evict();
        for key in 0..1000 {
            assert_eq!(session.read(&key).unwrap(), None);
            assert!(session.insert(key, [9; 4]).unwrap());
        }
    }
    assert!(store.stats().read_misses > 0);
}
