//! Stores whose keys share chains: a table of four buckets, and keys of four tags only.

mod beside;
mod checkpoints;
mod interleaved;
mod put_off;
mod random;
mod room;

use super::*;
use crate::device::{CompletionSink, DeviceInfo, IoDone, IoOp, IoRequest, MemoryDisk, Token};
use crate::store::{FasterKvConfig, Session};
use crate::sync::AtomicU64;
use crate::utility::KeyHash;
use std::collections::BTreeMap;

type Store = FasterKv<u64, u64, Shredder>;
type Oracle = BTreeMap<u64, u64>;

fn config() -> FasterKvConfig {
    FasterKvConfig::default().with_table_size(4).with_page_size_bits(12).with_log_memory_size(6 << 12)
}

fn open(disk: &Shredder) -> Store {
    FasterKv::open(config(), disk.clone()).unwrap()
}

/// A disk of which nothing can be read any more below where it was truncated, to the byte: ones come back.
#[derive(Clone)]
struct Shredder {
    inner: MemoryDisk,
    begin: Arc<AtomicU64>,
}

impl Shredder {
    fn new() -> Self {
        Self { inner: MemoryDisk::new(), begin: Arc::new(AtomicU64::new(0)) }
    }

    /// One of its own with the same bytes.
    fn duplicate(&self) -> Self {
        let begin = AtomicU64::new(self.begin.load(Ordering::Acquire));
        Self { inner: self.inner.duplicate(), begin: Arc::new(begin) }
    }

    fn kept_bytes(&self) -> u64 {
        self.inner.info().extent - self.begin.load(Ordering::Acquire)
    }
}

impl StorageDevice for Shredder {
    fn info(&self) -> DeviceInfo {
        self.inner.info()
    }

    fn submit(&self, mut request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        let begin = self.begin.load(Ordering::Acquire);
        match request.op {
            IoOp::TruncateBefore => {
                self.begin.fetch_max(request.offset, Ordering::AcqRel);
                sink.complete(token, IoDone { buf: request.buf, result: Ok(0) });
            }
            IoOp::Read if request.offset < begin => {
                let len = request.len;
                request.buf[..len].fill(0xff);
                sink.complete(token, IoDone { buf: request.buf, result: Ok(len) });
            }
            _ => self.inner.submit(request, sink, token),
        }
    }
}

/// `count` keys of two-bit tags: the lowest numbers whose hash has no other bits in the tag.
fn keys(count: usize) -> Vec<u64> {
    let few_tags = |key: &u64| KeyHash::of_bytes(&key.to_le_bytes()).tag() & !0b11 == 0;
    (0..).filter(few_tags).take(count).collect()
}

fn assert_holds(session: &mut Session<u64, u64>, keys: &[u64], oracle: &Oracle) {
    for (key, value) in keys.iter().zip(session.read_batch(keys).unwrap()) {
        assert_eq!(value, oracle.get(key).copied(), "key {key}");
        assert_eq!(session.read(key).unwrap(), value, "key {key} alone");
    }
}

/// Overwrites and deletes at random, and keeps the oracle.
fn work(session: &mut Session<u64, u64>, oracle: &mut Oracle, keys: &[u64], seed: u64, count: u64) {
    let mut random = seed;
    for step in 0..count {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = keys[(random >> 33) as usize % keys.len()];
        match (random >> 29) % 4 {
            0 => {
                session.delete(&key).unwrap();
                oracle.remove(&key);
            }
            1 => {
                session
                    .rmw(key, |value| {
                        *value += 1;
                        true
                    })
                    .unwrap();
                *oracle.entry(key).or_default() += 1;
            }
            _ => {
                session.upsert(key, step).unwrap();
                oracle.insert(key, step);
            }
        }
    }
}

#[test]
fn keys_that_share_chains_survive_and_what_is_of_no_use_is_given_back() {
    let disk = Shredder::new();
    let (store, keys) = (open(&disk), keys(200));
    let (mut session, mut oracle) = (store.start_session(), Oracle::new());
    for round in 0..20 {
        work(&mut session, &mut oracle, &keys, round, 500);
        let (before, at) = (store.addresses(), store.addresses());
        let until = Address::new(at.begin.get() + (at.tail.get() - at.begin.get()) / 3);
        let report = store.log_compact_until(until).unwrap();
        assert!(store.addresses().begin >= until && store.addresses().begin == report.begin, "{report:?}");
        assert!(report.copied == report.live && report.scanned > 0 && report.held == 0, "{report:?}");
        assert_eq!(store.given_back(), report.begin);
        assert!(before.begin < report.begin);
        assert_holds(&mut session, &keys, &oracle);
    }
    let report = store.log_compact_until(store.addresses().tail).unwrap();
    assert_eq!(report.live, oracle.len() as u64 * 24);
    assert!(disk.kept_bytes() < 64 << 10, "{}", disk.kept_bytes());
    assert_holds(&mut session, &keys, &oracle);
}

#[test]
fn threads_share_the_work_and_come_to_the_same() {
    for threads in [1, 2, 4] {
        let disk = Shredder::new();
        let config = config().with_compaction(CompactionConfig::default().with_num_threads(threads));
        let (store, keys) = (FasterKv::open(config, disk.clone()).unwrap(), keys(300));
        let (mut session, mut oracle) = (store.start_session(), Oracle::new());
        work(&mut session, &mut oracle, &keys, 7, 20_000);
        let report = store.log_compact_until(store.addresses().tail).unwrap();
        assert_eq!((report.live, report.copied), (oracle.len() as u64 * 24, oracle.len() as u64 * 24), "{threads}");
        assert_holds(&mut session, &keys, &oracle);
    }
}

#[test]
fn a_store_of_nothing_but_deleted_keys_gives_all_back_and_can_be_used_on() {
    let disk = Shredder::new();
    let (store, keys) = (open(&disk), keys(400));
    let mut session = store.start_session();
    for key in &keys {
        session.upsert(*key, 1).unwrap();
    }
    store.evict().unwrap();
    for key in &keys {
        session.delete(key).unwrap();
    }
    let report = store.log_compact_until(store.addresses().tail).unwrap();
    assert_eq!((report.live, store.addresses().begin), (0, report.begin));
    assert_eq!(store.index_stats().entries, 0, "entries that lead to nothing are freed");
    assert_holds(&mut session, &keys, &Oracle::new());
    assert!(session.insert(keys[0], 5).unwrap());
    let again = store.log_compact_until(store.addresses().tail).unwrap();
    assert_eq!((again.live, session.read(&keys[0]).unwrap()), (24, Some(5)));
    assert_eq!(store.log_compact_until(Address::new(64)).unwrap().scanned, 0, "it begins above");
}

#[test]
fn a_store_without_a_device_gives_its_memory_back() {
    let config = config().with_table_size(1 << 10);
    let store: FasterKv<u64, u64, _> = FasterKv::open(config, crate::device::NullDisk::new()).unwrap();
    let mut session = store.start_session();
    for round in 0..50 {
        for key in 0..100 {
            session.upsert(key, round).unwrap();
        }
        store.log_compact_until(store.addresses().tail).unwrap();
    }
    assert!(store.addresses().tail.get() > 6 << 12, "more than fits into memory at once");
    assert!((0..100).all(|key| session.read(&key).unwrap() == Some(49)));
}

#[test]
fn a_compaction_goes_on_until_the_target_is_reached() {
    let disk = Shredder::new();
    let config = config().with_table_size(1 << 10);
    let store: Store = FasterKv::open(config, disk.clone()).unwrap();
    let mut session = store.start_session();
    for round in 0..10 {
        for key in 0..2000 {
            session.upsert(key, round).unwrap();
        }
    }
    let before = store.utilization();
    let report = store.compact(&CompactionConfig::default().with_target_utilization(0.5)).unwrap();
    assert!(before < 0.2 && store.utilization() >= 0.5, "{before} {} {report:?}", store.utilization());
    assert!(report.yielded() > 0.5 && report.reclaimed > 0, "{report:?}");
    let again = store.compact(&CompactionConfig::default().with_target_utilization(0.5)).unwrap();
    assert_eq!(again.scanned, 0, "the target is reached");
    assert!((0..2000).all(|key| session.read(&key).unwrap() == Some(9)));
    let wrong = store.compact(&CompactionConfig::default().with_num_threads(0)).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Config);
}

#[test]
fn of_two_compactions_one_is_refused() {
    let store = open(&Shredder::new());
    let turn = store.database.reclaim.turn().unwrap();
    assert_eq!(store.log_compact_until(Address::new(128)).unwrap_err().kind(), ErrorKind::Busy);
    drop(turn);
    store.log_compact_until(Address::new(128)).unwrap();
}
