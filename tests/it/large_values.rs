//! Values larger than a page: written and read piece by piece, beside everything else that a store does.

use crate::executor::block_on;
use oxifaster::ErrorKind;
use oxifaster::checkpoint::CheckpointKind;
use oxifaster::compaction::CompactionConfig;
use oxifaster::device::{CompletionSink, DeviceInfo, IoDone, IoOp, IoRequest, MemoryDisk, StorageDevice, Token};
use oxifaster::directory::MemoryDirectory;
use oxifaster::record::Expiring;
use oxifaster::store::{
    AsyncSession, Change, ChangeCursor, CheckpointOptions, Conditional, FasterKv, FasterKvConfig, RecoveryTarget,
    Session, ValueWriter,
};
use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

type Store = FasterKv<String, Vec<u8>, Arc<Shredder>>;

/// A disk of which nothing can be read any more below where it was truncated, to the byte: ones come back.
#[derive(Default)]
struct Shredder {
    inner: MemoryDisk,
    begin: AtomicU64,
}

impl StorageDevice for Shredder {
    fn info(&self) -> DeviceInfo {
        self.inner.info()
    }

    fn submit(&self, mut request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        match request.op {
            IoOp::TruncateBefore => {
                self.begin.fetch_max(request.offset, Ordering::AcqRel);
                sink.complete(token, IoDone { buf: request.buf, result: Ok(0) });
            }
            IoOp::Read if request.offset < self.begin.load(Ordering::Acquire) => {
                let len = request.len;
                request.buf[..len].fill(0xff);
                sink.complete(token, IoDone { buf: request.buf, result: Ok(len) });
            }
            _ => self.inner.submit(request, sink, token),
        }
    }
}

/// Pages of 4 KiB have leaves of 968 bytes, and lists of 121.
const LEAF: usize = 968;

fn config(page_bits: u32) -> FasterKvConfig {
    FasterKvConfig::default().with_page_size_bits(page_bits).with_log_memory_size(8 << page_bits).with_table_size(64)
}

fn open(page_bits: u32) -> Store {
    FasterKv::open(config(page_bits), Arc::new(Shredder::default())).unwrap()
}

/// Bytes of which no part is the same as that of another version.
fn bytes_of(version: u64, len: usize) -> Vec<u8> {
    let word =
        |at: u64| (at ^ version.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ version;
    (0..).map(word).flat_map(u64::to_le_bytes).take(len).collect()
}

fn read(session: &mut Session<String, Vec<u8>>, key: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let len = session.read_into(key, &mut bytes).unwrap();
    assert!(len.is_none_or(|len| len == bytes.len() as u64));
    len.map(|_| bytes)
}

#[test]
fn values_of_every_length_come_back_from_memory_and_from_the_device() {
    let around = |len: usize| [len.saturating_sub(9), len - 1, len, len + 1, len + 8];
    let mut lens: Vec<usize> = vec![0, 1, 2, 7, 8, 9, 100];
    lens.extend([LEAF, 2 * LEAF, 4 * LEAF, 4096, 4088, 31 * LEAF, 32 * LEAF, 33 * LEAF].into_iter().flat_map(around));
    lens.extend([120 * LEAF, 121 * LEAF, 122 * LEAF, 242 * LEAF, 32 * 121 * LEAF].into_iter().flat_map(around));
    let store = open(12);
    let mut session = store.start_session();
    for (version, len) in lens.into_iter().enumerate() {
        let bytes = bytes_of(version as u64, len);
        let key = format!("key {len}");
        match version % 3 {
            0 => assert_eq!(session.upsert_from(key.clone(), None, &bytes[..]).unwrap(), len as u64),
            1 => assert_eq!(session.upsert_from(key.clone(), Some(len as u64), &bytes[..]).unwrap(), len as u64),
            _ => {
                let mut writer = session.value_writer(key.clone(), None).unwrap();
                bytes.chunks(1 + version * 37).for_each(|chunk| writer.write_all(chunk).unwrap());
                assert_eq!(writer.len(), len as u64);
                assert_eq!(writer.commit().unwrap(), len as u64);
            }
        }
        assert!(read(&mut session, &key) == Some(bytes.clone()), "{len} bytes, just written");
        if version % 4 == 0 {
            store.evict().unwrap();
            assert!(read(&mut session, &key) == Some(bytes), "{len} bytes, from the device");
        }
        if len <= LEAF {
            assert_eq!(session.read(&key).unwrap().map(|value| value.len()), Some(len), "it is a value like any other");
        }
    }
    assert_eq!(read(&mut session, "nobody's"), None);
}

#[test]
fn where_values_may_end_large_ones_are_the_same() {
    type Store = FasterKv<String, Expiring<Vec<u8>>, MemoryDisk>;
    let store: Store = FasterKv::open(config(12), MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    for len in [LEAF + 1, 5000, 50_000, 200_000] {
        let key = format!("key {len}");
        let bytes = bytes_of(len as u64, len);
        session.upsert_for(key.clone(), vec![1], Duration::from_secs(3600)).unwrap();
        session.upsert_from(key.clone(), None, &bytes[..]).unwrap();
        for _ in 0..2 {
            let mut read = Vec::new();
            assert_eq!(session.read_into(&key, &mut read).unwrap(), Some(len as u64));
            assert!(read == bytes, "{len} bytes come back as others");
            store.evict().unwrap();
        }
    }
}

#[test]
fn a_value_of_some_hundred_pages_of_memory_goes_through_a_small_store() {
    let store = open(16); // 512 KiB of memory
    let mut session = store.start_session();
    let len = 48 << 20;
    session.upsert_from("film".to_owned(), None, io::repeat(7).take(len)).unwrap();
    session.upsert("small".to_owned(), b"x".to_vec()).unwrap();
    let mut reader = session.value_reader("film").unwrap().unwrap();
    assert_eq!(reader.len(), len);
    let mut met = 0;
    loop {
        let bytes = reader.fill_buf().unwrap();
        let there = bytes.len();
        if there == 0 {
            break;
        }
        assert!(bytes.iter().all(|byte| *byte == 7));
        reader.consume(there);
        met += there as u64;
    }
    assert_eq!(met, len);
    assert_eq!(session.read("small").unwrap(), Some(b"x".to_vec()));
}

#[test]
fn a_reader_goes_to_any_place() {
    let store = open(12);
    let mut session = store.start_session();
    let bytes = bytes_of(3, 200 * LEAF + 17);
    session.upsert_from("a".to_owned(), None, &bytes[..]).unwrap();
    session.upsert("b".to_owned(), bytes[..500].to_vec()).unwrap();
    for (key, len) in [("a", bytes.len()), ("b", 500)] {
        for evicts in [false, true] {
            if evicts {
                store.evict().unwrap();
            }
            let mut reader = session.value_reader(key).unwrap().unwrap();
            for at in (0..len).step_by(1 + len / 53).rev().chain([0, len - 1, LEAF.min(len) - 1, len / 2]) {
                assert_eq!(reader.seek(SeekFrom::Start(at as u64)).unwrap(), at as u64);
                let mut there = vec![0; (len - at).min(1500)];
                reader.read_exact(&mut there).unwrap();
                assert!(there == bytes[at..at + there.len()], "{key} at {at}");
            }
            assert_eq!(reader.seek(SeekFrom::End(-3)).unwrap(), len as u64 - 3);
            assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap(), 3);
            assert_eq!(reader.seek(SeekFrom::End(30)).unwrap(), len as u64 + 30);
            assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap(), 0, "nothing is behind the end");
            assert_eq!(reader.seek(SeekFrom::Current(-40)).unwrap(), len as u64 - 10);
            assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap(), 10);
            assert!(reader.seek(SeekFrom::Current(-(len as i64) - 1)).is_err());
        }
    }
}

#[test]
fn calls_that_give_values_as_a_whole_say_what_to_do_and_the_others_work() {
    let store = open(12);
    let mut session = store.start_session();
    let (key, bytes) = ("key".to_owned(), bytes_of(1, 10_000));
    for evicts in [false, true] {
        session.upsert_from(key.clone(), None, &bytes[..]).unwrap();
        if evicts {
            store.evict().unwrap();
        }
        let refused = |error: oxifaster::Error| {
            assert_eq!((error.kind(), error.field("bytes")), (ErrorKind::LargeValue, Some("10000")), "{error}");
            assert!(error.to_string().contains("read_into"), "{error}");
        };
        refused(session.read(&key).unwrap_err());
        refused(session.read_with(&key, |_| ()).unwrap_err());
        refused(session.read_batch(std::slice::from_ref(&key)).unwrap_err());
        refused(session.rmw(key.clone(), |_| true).unwrap_err());
        refused(session.insert(key.clone(), Vec::new()).unwrap_err());
        refused(session.compare_exchange(key.clone(), &Vec::new(), Vec::new()).unwrap_err());
        refused(session.delete_if(key.clone(), |_| true).unwrap_err());
        refused(session.transaction(|t| t.read(&key).map(drop)).unwrap_err());
        assert!(read(&mut session, &key) == Some(bytes.clone()), "none of them changed it");
        session.upsert(key.clone(), b"small".to_vec()).unwrap();
        assert_eq!(session.read(&key).unwrap(), Some(b"small".to_vec()));
        session.upsert_from(key.clone(), None, &bytes[..]).unwrap();
        session.delete(&key).unwrap();
        assert_eq!((session.read(&key).unwrap(), read(&mut session, &key)), (None, None));
        assert!(session.insert(key.clone(), b"again".to_vec()).unwrap(), "it was deleted");
        session.upsert_from(key.clone(), None, &bytes[..]).unwrap();
        session
            .transaction(|t| {
                t.upsert(key.clone(), b"by a transaction".to_vec());
                Ok(())
            })
            .unwrap();
        assert_eq!(session.upsert_if(key.clone(), vec![1], |old| old.len() == 16).unwrap(), Conditional::Done);
    }
    let error = session.upsert(key, vec![0; 5000]).unwrap_err();
    assert!(error.kind() == ErrorKind::Limit && error.to_string().contains("upsert_from"), "{error}");
}

#[test]
fn a_writer_that_is_dropped_or_fails_leaves_what_was_there() {
    struct Fails(usize);
    impl Read for Fails {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(buf.len()).ok_or_else(|| io::Error::other("the line is cut"))?;
            Ok(buf.len())
        }
    }
    let store = open(12);
    let mut session = store.start_session();
    let (key, old) = ("key".to_owned(), bytes_of(1, 5000));
    session.upsert_from(key.clone(), None, &old[..]).unwrap();
    let serial = session.serial();
    let mut writer = session.value_writer(key.clone(), None).unwrap();
    writer.write_all(&bytes_of(2, 300_000)).unwrap();
    drop(writer);
    let error = session.upsert_from(key.clone(), None, Fails(300_000)).unwrap_err();
    assert!(error.kind() == ErrorKind::Io && error.field("bytes before").is_some(), "{error}");
    let error = session.upsert_from(key.clone(), Some(300_000), &old[..]).unwrap_err();
    assert_eq!(
        (error.kind(), error.field("bytes"), error.field("bytes told")),
        (ErrorKind::Limit, Some("5000"), Some("300000"))
    );
    let mut writer = session.value_writer(key.clone(), Some(10)).unwrap();
    let error = writer.write_all(&[0; 11]).unwrap_err();
    let error = error.get_ref().unwrap().downcast_ref::<oxifaster::Error>().unwrap();
    assert_eq!((error.kind(), error.field("bytes told")), (ErrorKind::Limit, Some("10")));
    drop(writer);
    assert_eq!(session.serial(), serial, "none of them was an operation");
    assert!(read(&mut session, &key) == Some(old));
    assert_eq!(session.upsert_from(key.clone(), Some(3), io::repeat(9)).unwrap(), 3, "as many as were told");
    assert_eq!(session.read(&key).unwrap(), Some(vec![9; 3]));
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let store = open(12);
    let mut session = store.start_session();
    let tail = store.addresses().tail;
    let most = ValueWriter::<String, Vec<u8>>::LEN_MAX;
    let error = session.upsert_from("key".to_owned(), Some(most + 1), io::repeat(0)).unwrap_err();
    assert_eq!((error.kind(), error.field("largest value")), (ErrorKind::Limit, Some("1073741824")));
    let error = session.value_writer("k".repeat(4000), None).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert_eq!(store.addresses().tail, tail);
    assert_eq!(
        session.upsert_from("k".repeat(3900), Some(10), io::repeat(1)).unwrap(),
        10,
        "with so few bytes there is room"
    );
}

#[test]
fn compaction_moves_values_in_use_and_gives_up_the_others() {
    let disk = Arc::new(Shredder::default());
    let store: Store = FasterKv::open(config(12), Arc::clone(&disk)).unwrap();
    let mut session = store.start_session();
    let mut model = BTreeMap::new();
    for round in 0..6u64 {
        for key in 0..5u64 {
            let len = 3000 + (key as usize * 7919 + round as usize * 104_729) % 90_000;
            let bytes = bytes_of(round * 10 + key, len);
            session.upsert_from(format!("key {key}"), None, &bytes[..]).unwrap();
            model.insert(format!("key {key}"), bytes);
            session.upsert(format!("small {key}"), vec![key as u8; 20]).unwrap();
        }
        session.delete(format!("key {}", round % 5).as_str()).unwrap();
        model.remove(&format!("key {}", round % 5));
        let mut writer = session.value_writer("never".to_owned(), None).unwrap();
        writer.write_all(&[1; 50_000]).unwrap();
        drop(writer);
        let addresses = store.addresses();
        let middle = addresses.begin.get() + (addresses.tail.get() - addresses.begin.get()) * (round + 1) / 7;
        let report = store.log_compact_until(oxifaster::address::Address::from_word(middle)).unwrap();
        assert!(report.begin.get() >= middle.min(addresses.tail.get()), "{report:?}");
        for (key, bytes) in &model {
            assert!(read(&mut session, key).as_ref() == Some(bytes), "{key} after round {round}");
        }
        assert_eq!(store.count().unwrap(), model.len() as u64 + 5);
    }
    let live: usize = model.values().map(Vec::len).sum();
    let tail = store.addresses().tail;
    store.log_compact_until(tail).unwrap();
    let held = store.addresses().tail.get() - store.addresses().begin.get();
    assert!(held < live as u64 * 2, "{held} bytes for {live}");
    for (key, bytes) in &model {
        assert!(read(&mut session, key).as_ref() == Some(bytes));
    }
    assert_eq!(read(&mut session, "never"), None);
    assert!(disk.begin.load(Ordering::Acquire) > 0, "the device gave space back");
}

/// A root may be met by a thread that is ahead of the one that is to meet its title.
#[test]
fn a_root_is_moved_with_its_title_and_not_as_a_record_of_its_own() {
    let store = open(12);
    let mut session = store.start_session();
    for key in 0..40u64 {
        let bytes = bytes_of(key, 5000 + key as usize * 100);
        session.upsert_from(format!("key {key}"), None, &bytes[..]).unwrap();
    }
    let all = CompactionConfig::default().with_num_threads(4).with_target_utilization(1.0);
    for round in 0..10 {
        store.compact(&all).unwrap();
        for key in 0..40u64 {
            let expected = bytes_of(key, 5000 + key as usize * 100);
            assert!(read(&mut session, &format!("key {key}")) == Some(expected), "key {key} after round {round}");
        }
    }
}

#[test]
fn a_reader_gives_the_value_it_began_with_whatever_becomes_of_the_key() {
    let store = open(12);
    let (mut reads, mut writes) = (store.start_session(), store.start_session());
    let old = bytes_of(1, 150_000);
    writes.upsert_from("key".to_owned(), None, &old[..]).unwrap();
    let mut reader = reads.value_reader("key").unwrap().unwrap();
    let mut met = vec![0; 1000];
    reader.read_exact(&mut met).unwrap();
    writes.upsert_from("key".to_owned(), None, &bytes_of(2, 200_000)[..]).unwrap();
    let held = store.log_compact_until(store.addresses().tail).unwrap().held;
    assert!(held > 100_000, "the space is kept for the reader: {held}");
    writes.delete("key").unwrap();
    for round in 0..3 {
        writes.upsert_from("other".to_owned(), None, &bytes_of(3 + round, 200_000)[..]).unwrap();
        store.log_compact_until(store.addresses().tail).unwrap();
    }
    reader.read_to_end(&mut met).unwrap();
    assert!(met == old);
    drop(reader);
    let report = store.log_compact_until(store.addresses().tail).unwrap();
    assert!(report.reclaimed > 0 && report.held == 0, "{report:?}");
}

#[test]
fn a_writer_that_a_compaction_overtakes_loses_nothing() {
    let store = open(12);
    let mut session = store.start_session();
    session.upsert("small".to_owned(), vec![1]).unwrap();
    let bytes = bytes_of(7, 400 * LEAF);
    let mut writer = session.value_writer("key".to_owned(), None).unwrap();
    for chunk in bytes.chunks(bytes.len() / 4) {
        writer.write_all(chunk).unwrap();
        store.log_compact_until(store.addresses().tail).unwrap();
    }
    writer.commit().unwrap();
    assert!(read(&mut session, "key").as_ref() == Some(&bytes));
    store.log_compact_until(store.addresses().tail).unwrap();
    assert!(read(&mut session, "key").as_ref() == Some(&bytes));
    let config = CompactionConfig::default().with_target_utilization(0.9);
    let mut writer = session.value_writer("other".to_owned(), None).unwrap();
    writer.write_all(&bytes).unwrap();
    let tail = store.addresses().tail;
    let report = store.compact(&config).unwrap();
    assert!(report.begin < tail, "what is being written is not overtaken by itself: {report:?}");
    writer.commit().unwrap();
    assert!(read(&mut session, "other") == Some(bytes));
}

#[test]
fn every_kind_of_checkpoint_has_large_values_whole() {
    for kind in [CheckpointKind::FoldOver, CheckpointKind::Snapshot, CheckpointKind::Incremental] {
        for with_index in [false, true] {
            let (disk, directory) = (Arc::new(Shredder::default()), MemoryDirectory::new());
            let store: Store = FasterKv::open(config(12), Arc::clone(&disk)).unwrap();
            let mut session = store.start_session();
            let mut model = BTreeMap::new();
            for round in 0..3u64 {
                for key in 0..4u64 {
                    let bytes = bytes_of(round * 10 + key, 2000 + 9000 * (key as usize + round as usize));
                    session.upsert_from(format!("key {key}"), None, &bytes[..]).unwrap();
                    model.insert(format!("key {key}"), bytes);
                }
                if round == 1 {
                    store.log_compact_until(store.addresses().tail).unwrap();
                }
                let options = CheckpointOptions::default().with_kind(kind).with_index(with_index);
                let mut late = session.value_writer("late".to_owned(), None).unwrap();
                late.write_all(&bytes_of(99, 30_000)).unwrap();
                store.checkpoint_to(&directory, &options).unwrap();
                late.commit().unwrap(); // its parts are below the cut, its root is not
            }
            drop(session);
            drop(store);
            let (store, _) =
                Store::recover_from(&directory, RecoveryTarget::Latest, config(12), disk, &|_| ()).unwrap();
            let mut session = store.start_session();
            for (key, bytes) in &model {
                assert!(read(&mut session, key).as_ref() == Some(bytes), "{kind:?}, {key}");
            }
            // That of the round before; what came after the last cut is no part of it.
            assert!(read(&mut session, "late") == Some(bytes_of(99, 30_000)));
            session.upsert_from("key 0".to_owned(), None, &bytes_of(50, 70_000)[..]).unwrap();
            store.log_compact_until(store.addresses().tail).unwrap();
            assert!(read(&mut session, "key 0") == Some(bytes_of(50, 70_000)));
            assert!(read(&mut session, "key 3").as_ref() == model.get("key 3"));
        }
    }
}

#[test]
fn scans_show_roots_with_their_lengths_and_nothing_of_the_pieces() {
    let store = open(12);
    let mut session = store.start_session();
    session.upsert("small".to_owned(), vec![5]).unwrap();
    session.upsert_from("large".to_owned(), None, &bytes_of(1, 20_000)[..]).unwrap();
    session.upsert_from("gone".to_owned(), None, &bytes_of(2, 9_000)[..]).unwrap();
    session.delete("gone").unwrap();
    session.value_writer("half".to_owned(), None).unwrap().write_all(&[0; 20_000]).unwrap();
    let records: Vec<_> = store.scan_log(..).unwrap().map(|record| record.unwrap()).collect();
    let told: Vec<_> =
        records.iter().map(|record| (record.key.as_str(), record.large_len, record.is_tombstone)).collect();
    let expected =
        [("small", None, false), ("large", Some(20_000), false), ("gone", Some(9_000), false), ("gone", None, true)];
    assert_eq!(told, expected);
    let keys: Vec<_> = store.iter().unwrap().keys().map(|key| key.unwrap()).collect();
    assert_eq!(keys, [("small".to_owned(), 1), ("large".to_owned(), 20_000)]);
    let mut items = store.iter().unwrap();
    assert_eq!(items.next().unwrap().unwrap().0, "small");
    assert_eq!(items.next().unwrap().unwrap_err().kind(), ErrorKind::LargeValue);
    assert!(items.next().is_none());
    assert_eq!(store.snapshot().unwrap().keys().count(), 2);
    assert_eq!((store.count().unwrap(), store.approximate_count()), (2, 3));
    assert_eq!(store.for_each(1, |_, _| ()).unwrap_err().kind(), ErrorKind::LargeValue);
    let sum = AtomicU64::new(0);
    let add = |_: &String, len: u64| {
        sum.fetch_add(len, Ordering::Relaxed);
    };
    store.for_each_key(2, add).unwrap();
    assert_eq!(sum.into_inner(), 20_001);
    let versions = store.versions_of(&"gone".to_owned()).unwrap();
    let told: Vec<_> = versions.iter().map(|version| (version.value.is_some(), version.large_len)).collect();
    assert_eq!(told, [(false, None), (false, Some(9_000))]);
    let mut feed = store.changes(ChangeCursor::START).unwrap();
    feed.catch_up().unwrap();
    let changes = feed.take(100).unwrap();
    assert_eq!(changes.len(), 4);
    assert_eq!(changes[1], Change::Large { key: "large".to_owned(), len: 20_000 });
}

/// Has the other threads of a test end when the one that holds it panics.
struct EndsAll<'t>(&'t AtomicBool);

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        self.0.fetch_or(std::thread::panicking(), Ordering::AcqRel);
    }
}

/// Writers overwrite, readers stream, the log is compacted, checkpoints are taken and the index grows: every value that is read is one
/// that was written, whole, and no older than what was written before the read began.
#[test]
fn nobody_ever_reads_a_mixture() {
    const KEYS: u64 = 3;
    let store = Arc::new(open(13));
    let is_over = AtomicBool::new(false);
    let newest: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let len_of = |version: u64| 500 + (version * 7919 % 61) as usize * 1500;
    let check = |bytes: &[u8], least: u64| {
        let version = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert!(version >= least, "{version} is older than {least}");
        let mut whole = version.to_le_bytes().to_vec();
        whole.extend(bytes_of(version, len_of(version)));
        assert!(bytes == whole, "version {version}: {} bytes are a mixture", bytes.len());
    };
    std::thread::scope(|scope| {
        for key in 0..KEYS {
            let (store, newest, is_over) = (&store, &newest, &is_over);
            scope.spawn(move || {
                let (_ends, mut session) = (EndsAll(is_over), store.start_session());
                for version in 1..=120u64 {
                    let mut bytes = version.to_le_bytes().to_vec();
                    bytes.extend(bytes_of(version, len_of(version)));
                    let mut writer = session.value_writer(format!("key {key}"), None).unwrap();
                    bytes.chunks(7000).for_each(|chunk| writer.write_all(chunk).unwrap());
                    writer.commit().unwrap();
                    newest[key as usize].store(version, Ordering::Release);
                    if version % 10 == 0 {
                        session.upsert(format!("other {version} {key}"), vec![0; 100]).unwrap();
                    }
                }
            });
        }
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let (_ends, mut session, mut met) = (EndsAll(&is_over), store.start_session(), 0u64);
                    let is_newest = |version: &AtomicU64| version.load(Ordering::Acquire) == 120;
                    while !newest.iter().all(is_newest) && !is_over.load(Ordering::Acquire) {
                        for key in 0..KEYS {
                            let least = newest[key as usize].load(Ordering::Acquire);
                            match read(&mut session, &format!("key {key}")) {
                                Some(bytes) => check(&bytes, least),
                                None => assert_eq!(least, 0, "a value is gone"),
                            }
                            met += 1;
                        }
                    }
                    met
                })
            })
            .collect();
        scope.spawn(|| {
            let directory = MemoryDirectory::new();
            let mut round = 0u64;
            while !is_over.load(Ordering::Acquire) {
                round += 1;
                store.log_compact_until(store.addresses().read_only).unwrap();
                match round % 4 {
                    0 => {
                        drop(store.checkpoint_to(&directory, &CheckpointOptions::default().with_keep_last(1)).unwrap())
                    }
                    1 => drop(store.compact(&CompactionConfig::default().with_target_utilization(0.9)).unwrap()),
                    2 => store.evict().unwrap(),
                    _ => store.snapshot().unwrap().keys().for_each(|key| drop(key.unwrap())),
                }
                store.look_at_checkpoints(&directory).unwrap();
            }
        });
        let met: Vec<_> = readers.into_iter().map(|reader| reader.join()).collect();
        is_over.store(true, Ordering::Release);
        let met: u64 = met.into_iter().map(|met| met.unwrap()).sum();
        assert!(met > 10, "{met} reads");
    });
    let mut session = store.start_session();
    for key in 0..KEYS {
        check(&read(&mut session, &format!("key {key}")).unwrap(), 120);
    }
    assert_eq!(store.count().unwrap(), KEYS + 12 * KEYS);
}

async fn write_in_pieces(session: &mut AsyncSession<String, Vec<u8>>, key: &str, bytes: &[u8], piece: usize) -> u64 {
    let mut writer = session.value_writer(key.to_owned(), None).unwrap();
    for piece in bytes.chunks(piece) {
        writer.write(piece).await.unwrap();
    }
    writer.commit().await.unwrap()
}

async fn read_all(session: &mut AsyncSession<String, Vec<u8>>, key: &str) -> Option<Vec<u8>> {
    let mut reader = session.value_reader(&key.to_owned()).await.unwrap()?;
    let mut met = Vec::new();
    while let Some(bytes) = reader.next().await.unwrap() {
        met.extend(bytes);
    }
    assert_eq!(met.len() as u64, reader.len());
    Some(met)
}

#[test]
fn futures_write_and_read_piece_by_piece() {
    fn is_send<T: Send>(future: T) -> T {
        future
    }
    let store = open(12);
    let mut session = store.start_async_session();
    for (version, len) in [0, 10, LEAF, LEAF + 1, 5000, 121 * LEAF + 1, 300_000].into_iter().enumerate() {
        let bytes = bytes_of(version as u64, len);
        let serial = session.serial();
        assert_eq!(block_on(is_send(write_in_pieces(&mut session, "key", &bytes, 4000))), len as u64);
        assert_eq!(session.serial(), serial + 1, "one operation");
        if version.is_multiple_of(2) {
            store.evict().unwrap();
        }
        assert!(block_on(is_send(read_all(&mut session, "key"))) == Some(bytes), "{len} bytes");
    }
    assert_eq!(block_on(session.read(&"key".to_owned())).unwrap_err().kind(), ErrorKind::LargeValue);
    assert_eq!(block_on(read_all(&mut session, "nobody's")), None);
    assert_eq!(store.stats().operations.upserts, 7);
}

#[test]
fn a_future_that_is_dropped_within_a_write_ends_its_writer_and_nothing_else() {
    let store = open(12);
    let mut session = store.start_async_session();
    let bytes = bytes_of(1, 1 << 20);
    block_on(write_in_pieces(&mut session, "key", &bytes, 1 << 16));
    let mut writer = session.value_writer("key".to_owned(), None).unwrap();
    let mut was_pending = false;
    for piece in bytes.chunks(1 << 18) {
        let mut write = Box::pin(writer.write(piece));
        if write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            was_pending = true;
            break;
        }
    }
    if was_pending {
        let error = block_on(writer.write(&[1])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        assert_eq!(block_on(writer.commit()).unwrap_err().kind(), ErrorKind::Cancelled);
    } else {
        drop(writer);
    }
    assert!(block_on(read_all(&mut session, "key")) == Some(bytes));
}

#[test]
fn a_store_without_ceremony_takes_files_in_and_gives_them_out() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    let bytes = bytes_of(1, 3 << 20);
    let small = || FasterKvConfig::default().with_memory_budget(2 << 20);
    let store: oxifaster::Store<String, Vec<u8>> = oxifaster::Store::open_with(&path, small()).unwrap();
    let input = place.path().join("input");
    std::fs::write(&input, &bytes).unwrap();
    let len = store.put_from("file".to_owned(), None, std::fs::File::open(&input).unwrap()).unwrap();
    assert_eq!(len, 3 << 20);
    store.put_from("other".to_owned(), Some(5), &bytes[..]).unwrap();
    store.sync().unwrap();
    store.compact().unwrap();
    drop(store);
    let store: oxifaster::Store<String, Vec<u8>> = oxifaster::Store::open_with(&path, small()).unwrap();
    let mut output = Vec::new();
    assert_eq!(store.get_into("file", &mut output).unwrap(), Some(len));
    assert!(output == bytes);
    assert_eq!(store.get("other").unwrap(), Some(bytes[..5].to_vec()));
    assert_eq!(store.get_into("nobody's", io::sink()).unwrap(), None);
    assert_eq!(store.get("file").unwrap_err().kind(), ErrorKind::LargeValue);
}
