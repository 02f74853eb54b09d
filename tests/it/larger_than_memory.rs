//! More data than memory: every key is there, and current.

use oxifaster::device::{FileSystemDisk, MemoryDisk, StorageDevice};
use oxifaster::store::{FasterKv, FasterKvConfig};

#[test]
fn ten_times_memory_from_several_threads() {
    for threads in [2, 4, 8] {
        run_from_threads(threads, MemoryDisk::new());
    }
}

pub(super) fn run_from_threads<D: StorageDevice>(threads: u64, device: D) {
    let config =
        FasterKvConfig::default().with_log_memory_size(64 << 10).with_page_size_bits(12).with_table_size(1 << 10);
    let store = FasterKv::open(config, device).unwrap();
    let keys = 640 * 1024 / 48 / threads * threads;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let store = &store;
            scope.spawn(move || {
                let mut session = store.start_session();
                for round in 0..3u64 {
                    for key in (thread..keys).step_by(threads as usize) {
                        session.upsert(key, [key, round, key ^ round]).unwrap();
                    }
                }
            });
        }
    });
    let mut session = store.start_session();
    for key in 0..keys {
        assert_eq!(session.read(&key).unwrap(), Some([key, 2, key ^ 2]), "key {key}");
    }
    let addresses = store.addresses();
    assert!(addresses.head.get() > 9 * (64 << 10), "{addresses:?}");
}

#[test]
fn on_files() {
    let dir = tempfile::tempdir().unwrap();
    let config = FasterKvConfig::default().with_memory_budget(1 << 20);
    let store = FasterKv::open(config, FileSystemDisk::open(dir.path().join("log")).unwrap()).unwrap();
    let mut session = store.start_session();
    for key in 0..100_000u64 {
        session.upsert(key, key * 3).unwrap();
    }
    let keys: Vec<u64> = (0..100_000).rev().collect();
    for (key, value) in keys.iter().zip(session.read_batch(&keys).unwrap()) {
        assert_eq!(value, Some(key * 3));
    }
}
