//! A store whose index has grown, opened with less memory than that takes.

use oxifaster::checkpoint::CheckpointKind;
use oxifaster::device::{CompletionSink, DeviceInfo, IoOp, IoRequest, MemoryDisk, StorageDevice, Token};
use oxifaster::directory::MemoryDirectory;
use oxifaster::store::{CheckpointOptions, Durability, FasterKv, FasterKvConfig, RecoveryTarget};
use oxifaster::{Error, ErrorKind, Result, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const KEYS: u64 = 3000;
const BUCKETS: u64 = 1 << 16;

/// A disk that counts what is written to it.
#[derive(Default)]
struct Counted {
    inner: MemoryDisk,
    writes: AtomicU64,
}

impl StorageDevice for Counted {
    fn info(&self) -> DeviceInfo {
        self.inner.info()
    }

    fn submit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        if request.op == IoOp::Write {
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.submit(request, sink, token);
    }
}

impl Counted {
    fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }
}

/// For an index that has 1024 buckets at first.
fn config(budget: u64) -> FasterKvConfig {
    FasterKvConfig::default()
        .with_memory_budget(budget)
        .with_page_size_bits(12)
        .with_table_size(1024)
        .with_pretouch(false)
}

/// With room for an index that grows.
fn roomy() -> FasterKvConfig {
    config(32 << 20).with_log_memory_size(1 << 20)
}

fn small() -> FasterKvConfig {
    config(2 << 20)
}

/// Says how much is needed, and that this is more than there is.
fn needed(error: &Error) -> u64 {
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert_eq!(error.field("memory_budget"), Some("2097152"), "{error}");
    assert_eq!(error.field("buckets of its index"), Some("65536"), "{error}");
    assert!(error.to_string().contains("raise memory_budget"), "{error}");
    let needed = error.field("memory_budget needed").unwrap().parse().unwrap();
    assert!((4 << 20..8 << 20).contains(&needed), "{error}");
    needed
}

#[test]
fn a_checkpoint_of_a_grown_index_says_how_much_memory_it_needs() {
    for with_index in [false, true] {
        let (directory, disk) = (MemoryDirectory::new(), Arc::new(Counted::default()));
        let store = FasterKv::<u64, u64, _>::open(roomy(), Arc::clone(&disk)).unwrap();
        let mut session = store.start_session();
        (0..KEYS).for_each(|key| session.upsert(key, key).unwrap());
        store.grow_index(BUCKETS).unwrap();
        (KEYS..2 * KEYS).for_each(|key| session.upsert(key, key).unwrap());
        let options = CheckpointOptions::default().with_kind(CheckpointKind::FoldOver).with_index(with_index);
        store.checkpoint_to(&directory, &options).unwrap();
        drop((session, store));
        let recover = |config: FasterKvConfig| -> Result<FasterKv<u64, u64, Arc<Counted>>> {
            let disk = Arc::clone(&disk);
            FasterKv::recover_from(&directory, RecoveryTarget::Latest, config, disk, &|_| ()).map(|(store, _)| store)
        };
        let writes = disk.writes();
        let needed = needed(&recover(small()).err().unwrap());
        assert_eq!(recover(config(needed - 4096)).err().map(|error| error.kind()), Some(ErrorKind::Config));
        assert_eq!(disk.writes(), writes, "nothing was written");
        for config in [config(needed), FasterKvConfig::default()] {
            let store = recover(config).unwrap();
            let mut session = store.start_session();
            (0..2 * KEYS).for_each(|key| assert_eq!(session.read(&key).unwrap(), Some(key), "key {key}"));
        }
    }
}

/// The index has grown since the last checkpoint: the log says so.
#[test]
fn a_durable_store_whose_index_has_grown_says_how_much_memory_it_needs() {
    for with_image in [false, true] {
        let (directory, disk) = (MemoryDirectory::new(), Arc::new(Counted::default()));
        let open = |config: FasterKvConfig| -> Result<FasterKv<u64, u64, Arc<Counted>>> {
            let config = config.with_durability(Durability::EveryOperation);
            FasterKv::open_durable_in(&directory, config, Arc::clone(&disk), &|_| ()).map(|(store, _)| store)
        };
        let store = open(roomy()).unwrap();
        let mut session = store.start_session();
        session.set_waits_for_durable(false);
        (0..KEYS).for_each(|key| session.upsert(key, key).unwrap());
        if with_image {
            store.checkpoint_to(&directory, &CheckpointOptions::default().with_index(true)).unwrap();
        }
        store.grow_index(BUCKETS).unwrap();
        (KEYS..2 * KEYS).for_each(|key| session.upsert(key, key).unwrap());
        session.wait_durable().unwrap();
        drop((session, store));
        let writes = disk.writes();
        let needed = needed(&open(small()).err().unwrap());
        assert_eq!(disk.writes(), writes, "nothing was written");
        for _ in 0..2 {
            let store = open(config(needed)).unwrap();
            let mut session = store.start_session();
            (0..2 * KEYS).for_each(|key| assert_eq!(session.read(&key).unwrap(), Some(key), "key {key}"));
        }
    }
}

#[test]
fn a_store_in_a_directory_says_so_as_well() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    let open = |config| Store::<u64, u64>::open_with(&path, config);
    let store = open(roomy()).unwrap();
    (0..KEYS).for_each(|key| store.put(key, key).unwrap());
    store.kv().grow_index(BUCKETS).unwrap();
    (KEYS..2 * KEYS).for_each(|key| store.put(key, key).unwrap());
    store.compact().unwrap();
    drop(store);
    let needed = needed(&open(small()).err().unwrap());
    let store = open(config(needed)).unwrap();
    assert!((0..2 * KEYS).all(|key| store.get(&key).unwrap() == Some(key)));
    drop(store);
    let store = Store::<u64, u64>::open(&path).unwrap();
    assert!((0..2 * KEYS).all(|key| store.get(&key).unwrap() == Some(key)));
}
