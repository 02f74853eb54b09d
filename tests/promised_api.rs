//! The shapes that are promised to every user: each compiles as written and does what it says.
#![cfg(not(oxifaster_loom))]

use oxifaster::address::{Address, AtomicAddress};
use oxifaster::cache::ReadCacheConfig;
use oxifaster::device::{FileSystemDisk, MemoryDisk, NullDisk};
use oxifaster::epoch::LightEpoch;
use oxifaster::index::MemoryIndex;
use oxifaster::log::faster_log::{FasterLog, FasterLogConfig};
use oxifaster::record::{Key, Record, RecordInfo, RecordLayout, Value};
use oxifaster::status::{OperationStatus, Status};
use oxifaster::store::{Begun, FasterKv, FasterKvConfig, Session};
use oxifaster::utility::KeyHash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_store_with_defaults_reads_writes_modifies_and_deletes() {
    let store = Arc::new(FasterKv::new(FasterKvConfig::default(), NullDisk::new()));
    let mut session = store.start_session();
    session.upsert(1u64, 10u64).unwrap();
    assert_eq!(session.read(&1).unwrap(), Some(10));
    session
        .rmw(1, |value| {
            *value += 1;
            true
        })
        .unwrap();
    assert_eq!(session.read(&1).unwrap(), Some(11));
    session
        .rmw(1, |value| {
            *value = 0;
            false
        })
        .unwrap();
    assert_eq!(session.read(&1).unwrap(), Some(11), "returning false leaves the store as it is");
    session
        .rmw(2, |value| {
            *value += 5;
            true
        })
        .unwrap();
    assert_eq!(session.read(&2).unwrap(), Some(5), "a missing key starts from zero");
    session.delete(&1).unwrap();
    assert_eq!(session.read(&1).unwrap(), None);
}

#[test]
fn a_store_on_a_single_file() -> oxifaster::Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let config = FasterKvConfig::default()
        .with_table_size(1 << 10)
        .with_log_memory_size(1 << 20)
        .with_page_size_bits(14)
        .with_mutable_fraction(0.9)
        .with_memory_budget(8 << 20);
    let device = FileSystemDisk::single_file(dir.path().join("oxifaster.db"))?;
    let store = Arc::new(FasterKv::new(config.clone(), device));
    let mut session = store.start_session();
    for key in 0..100_000u64 {
        session.upsert(key, key)?;
    }
    assert_eq!(session.read(&0)?, Some(0));
    let stats = store.stats();
    assert_eq!((stats.operations.upserts, stats.operations.reads), (100_000, 1));
    assert_eq!((stats.read_hits, stats.read_misses, stats.cache_hit_rate()), (0, 1, 0.0));
    session.read(&99_999)?;
    assert_eq!(store.stats().cache_hit_rate(), 0.5);
    Ok(())
}

#[test]
fn any_number_of_threads_each_with_a_session() {
    let store = Arc::new(FasterKv::new(FasterKvConfig::default().with_memory_budget(4 << 20), NullDisk::new()));
    let threads: Vec<_> = (0..4u64)
        .map(|thread| {
            let store = Arc::clone(&store);
            std::thread::spawn(move || {
                let mut session = store.start_session();
                for step in 0..1_000 {
                    session.upsert(thread * 1_000 + step, step).unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let mut session = store.start_session();
    assert!((0..4_000).all(|key| session.read(&key).unwrap() == Some(key % 1_000)));
}

#[test]
fn a_session_has_a_pending_face_and_can_be_sent() {
    fn is_send<T: Send>(_: &T) {}
    let store = FasterKv::new(FasterKvConfig::default(), NullDisk::new());
    let mut session: Session<u64, u64> = store.start_session();
    is_send(&session);
    session.upsert(1, 2).unwrap();
    let begun = session.begin_read(&1).unwrap();
    assert_eq!((begun.status(), begun), (Status::Ok, Begun::Done(Some(2))));
    assert!(session.complete_pending(true).unwrap().is_empty());
}

oxifaster::pod! {
    /// A type of one's own.
    #[derive(Eq)]
    struct Position { x: i64, y: i64 }
}

#[test]
fn types_of_ones_own_are_keys_and_values() {
    fn is_key<K: Key>() {}
    fn is_value<V: Value>() {}
    is_key::<Position>();
    is_value::<Position>();
    let store = FasterKv::new(FasterKvConfig::default(), NullDisk::new());
    let mut session = store.start_session();
    let (here, there) = (Position { x: 1, y: 2 }, Position { x: -1, y: 0 });
    session.upsert(here, there).unwrap();
    assert_eq!((session.read(&here).unwrap(), session.read(&there).unwrap()), (Some(there), None));
}

#[test]
fn addresses_have_48_bits_and_a_default_split() {
    let address = Address::new((3 << 25) + 128);
    assert_eq!((address.page(), address.offset(), u64::from(address)), (3, 128, (3 << 25) + 128));
    assert_eq!(Address::MAX.get(), (1 << 48) - 1);
    assert_eq!(address.to_string(), "0x6000080");
    let shared = AtomicAddress::new(Address::INVALID);
    shared.store(address);
    assert_eq!(shared.load(), address);
    assert_eq!(shared.compare_exchange(address, Address::MAX), Ok(address));
    assert_eq!(shared.compare_exchange(address, Address::MAX), Err(Address::MAX));
}

#[test]
fn record_headers_and_records_are_what_the_format_says() {
    let info = RecordInfo::new(Address::new(64), 7);
    assert_eq!((info.previous(), info.version()), (Address::new(64), 7));
    assert!(!info.is_tombstone() && info.with_tombstone().is_tombstone() && !info.is_invalid());
    assert_eq!(RecordLayout::of::<u64, u64>().record_size(), Some(24));
    let bytes: Vec<u8> = [info.word(), 5, 6].iter().flat_map(|word| word.to_le_bytes()).collect();
    let record: Record<u64, u64> = RecordLayout::parse(&bytes).unwrap();
    assert_eq!((record.info, record.key, record.value), (info, 5, Some(6)));
}

#[test]
fn an_epoch_runs_an_action_when_nobody_can_still_be_looking() {
    let epoch = LightEpoch::new();
    let ran = Arc::new(AtomicBool::new(false));
    let mut participant = epoch.join();
    let guard = participant.pin();
    let run = Arc::clone(&ran);
    epoch.bump(move || run.store(true, Ordering::Release));
    assert!(!epoch.drain() && !ran.load(Ordering::Acquire));
    drop(guard);
    assert!(epoch.drain() && ran.load(Ordering::Acquire));
}

#[test]
fn outcomes_are_one_byte() {
    assert_eq!((size_of::<Status>(), size_of::<OperationStatus>()), (1, 1));
    assert!(OperationStatus::Created.changed() && !OperationStatus::NotFound.changed());
}

#[test]
fn a_checkpoint_and_back() -> oxifaster::Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let (log, checkpoints) = (dir.path().join("log"), dir.path().join("checkpoints"));
    let config = FasterKvConfig::default().with_memory_budget(4 << 20);
    let store = Arc::new(FasterKv::open(config.clone(), FileSystemDisk::open(&log)?)?);
    let mut session = store.start_session();
    session.upsert(1u64, 10u64)?;
    let token = store.checkpoint(&checkpoints)?;
    session.upsert(1, 11)?;
    drop((session, store));

    let store = FasterKv::recover(&checkpoints, token, config, FileSystemDisk::open(&log)?)?;
    let sessions = store.get_recovered_sessions();
    assert_eq!((sessions.len(), sessions[0].serial), (1, 1));
    let mut session: Session<u64, u64> = store.continue_session(sessions[0])?;
    assert_eq!((session.read(&1)?, session.serial()), (Some(10), 2));
    Ok(())
}

#[test]
fn a_store_with_a_read_cache() -> oxifaster::Result<()> {
    let cache_config = ReadCacheConfig::default().with_mem_size(1024 * 1024).with_mutable_fraction(0.5);
    let config = FasterKvConfig::default().with_memory_budget(8 << 20);
    let store = FasterKv::with_read_cache(config, MemoryDisk::new(), cache_config);
    let mut session = store.start_session();
    session.upsert(1u64, 2u64)?;
    store.evict()?;
    assert_eq!((session.read(&1)?, session.read(&1)?), (Some(2), Some(2)));
    let stats = store.stats();
    assert_eq!((stats.operations.reads, stats.read_hits, stats.read_misses), (2, 1, 1));
    assert!((stats.cache_hit_rate() - 0.5).abs() < 1e-9);
    Ok(())
}

#[test]
fn a_log_is_appended_to_committed_read_and_scanned() -> oxifaster::Result<()> {
    let config = FasterLogConfig::default();
    let device = NullDisk::new();
    let log = FasterLog::new(config, device);
    let addr = log.append(b"data")?;
    log.commit()?;
    let data = log.read_entry(addr)?;
    assert_eq!(data, b"data");
    let mut seen = Vec::new();
    for (addr, data) in log.scan_all() {
        seen.push(format!("{addr}: {data:?}"));
    }
    assert_eq!(seen, [format!("{addr}: [100, 97, 116, 97]")]);
    Ok(())
}

#[test]
fn the_memory_index_grows_by_a_rehash_callback() -> oxifaster::Result<()> {
    let keys: Vec<u64> = (0..1000).collect();
    let hash_of = |key: u64| KeyHash::of_bytes(&key.to_le_bytes());
    let index = MemoryIndex::new(512)?;
    for key in &keys {
        index.update_entry(hash_of(*key), Address::new((key + 1) * 8))?;
    }
    for doubling in 1..=3 {
        // Of some it is not known what they are.
        index.grow_with_rehash(|address| {
            let key = address.get() / 8 - 1;
            (!key.is_multiple_of(100)).then(|| hash_of(keys[key as usize]).get())
        })?;
        assert_eq!(index.stats().buckets, 512 << doubling);
    }
    for key in &keys {
        assert_eq!(index.find_entry(hash_of(*key)), Some(Address::new((key + 1) * 8)));
    }
    assert!(index.update_entry(hash_of(7), Address::new(63)).is_err());
    index.update_entry(hash_of(7), Address::INVALID)?;
    assert_eq!(index.find_entry(hash_of(7)), None);
    Ok(())
}
