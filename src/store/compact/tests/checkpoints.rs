//! Checkpoints and compactions in each other's way.

use super::*;
use crate::checkpoint::CheckpointKind;
use crate::directory::{DirectoryFile, MemoryDirectory};
use crate::store::{CheckpointOptions, RecoveryTarget};
use crate::sync::Mutex;

const KINDS: [CheckpointKind; 3] = [CheckpointKind::FoldOver, CheckpointKind::Snapshot, CheckpointKind::Incremental];

/// A directory that calls somebody at every change.
#[derive(Clone)]
struct Meddling {
    inner: MemoryDirectory,
    meddler: Arc<Meddler>,
}

struct Meddler {
    action: Mutex<Option<Box<dyn FnMut() + Send>>>,
    point: AtomicU64,
    at: AtomicU64,
}

impl Meddler {
    fn new() -> Arc<Self> {
        Arc::new(Self { action: Mutex::new(None), point: AtomicU64::new(0), at: AtomicU64::new(0) })
    }

    fn point(&self) {
        if self.point.fetch_add(1, Ordering::Relaxed) == self.at.load(Ordering::Relaxed)
            && let Some(mut action) = self.action.lock().take()
        {
            action();
        }
    }
}

struct File {
    inner: Box<dyn DirectoryFile>,
    meddler: Arc<Meddler>,
}

impl DirectoryFile for File {
    fn len(&self) -> Result<u64> {
        self.inner.len()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.meddler.point();
        self.inner.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize> {
        self.inner.read_at(offset, bytes)
    }

    fn sync(&self) -> Result<()> {
        self.meddler.point();
        self.inner.sync()
    }
}

impl Directory for Meddling {
    fn names(&self) -> Result<Vec<String>> {
        self.inner.names()
    }

    fn create(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        self.meddler.point();
        let inner = self.inner.create(name)?;
        Ok(Box::new(File { inner, meddler: Arc::clone(&self.meddler) }))
    }

    fn open(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        self.inner.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.meddler.point();
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.meddler.point();
        self.inner.remove(name)
    }

    fn sync(&self) -> Result<()> {
        self.meddler.point();
        self.inner.sync()
    }

    fn place(&self) -> String {
        self.inner.place()
    }
}

fn recovered(directory: &dyn Directory, disk: &Shredder) -> Store {
    FasterKv::recover_from(directory, RecoveryTarget::Latest, config(), disk.duplicate(), &|_| ()).unwrap().0
}

#[test]
fn a_checkpoint_can_be_recovered_whatever_is_compacted_after_it_and_lets_go_when_it_is_removed() {
    for kind in KINDS {
        let (disk, directory, keys) = (Shredder::new(), MemoryDirectory::new(), keys(60));
        let store = open(&disk);
        let (mut session, mut oracle) = (store.start_session(), Oracle::new());
        work(&mut session, &mut oracle, &keys, 3, 3000);
        let options = CheckpointOptions::default().with_kind(kind);
        let first = store.checkpoint_to(&directory, &options).unwrap().token;
        let saved = oracle.clone();
        for round in 0..4 {
            work(&mut session, &mut oracle, &keys, 100 + round, 1000);
            let report = store.log_compact_until(store.addresses().safe_read_only).unwrap();
            assert!(report.held > 0 && report.reclaimed == 0, "{report:?}");
            assert_holds(&mut recovered(&directory, &disk).start_session(), &keys, &saved);
        }
        store.checkpoint_to(&directory, &options).unwrap();
        assert_eq!(store.given_back(), Address::new(64), "the first one is still there");
        let gone = Catalog::new(&directory).remove(first).unwrap();
        let reclaimed = store.look_at_checkpoints(&directory).unwrap();
        assert!(reclaimed > 0 && gone.log_begin == Some(store.given_back()), "{reclaimed}");
        assert_holds(&mut recovered(&directory, &disk).start_session(), &keys, &oracle);
        assert_holds(&mut session, &keys, &oracle);
    }
}

/// At every write, sync, rename and removal of a checkpoint with retention everything is compacted. What is recovered from it
/// is what was there when it was cut, from any disk that there was since.
#[test]
fn a_compaction_at_any_moment_of_a_checkpoint_takes_nothing_from_it() {
    for kind in KINDS {
        for at in 0.. {
            let (disk, keys) = (Shredder::new(), keys(40));
            let directory = Meddling { inner: MemoryDirectory::new(), meddler: Meddler::new() };
            let store = Arc::new(open(&disk));
            let (mut session, mut oracle) = (store.start_session(), Oracle::new());
            let options = CheckpointOptions::default().with_kind(kind).with_keep_last(1);
            work(&mut session, &mut oracle, &keys, 5, 600);
            store.checkpoint_to(&directory.inner, &options).unwrap();
            work(&mut session, &mut oracle, &keys, 6, 600);
            let meddle = {
                let store = Arc::clone(&store);
                move || {
                    store.log_compact_until(store.addresses().tail).unwrap();
                }
            };
            directory.meddler.at.store(at, Ordering::Relaxed);
            *directory.meddler.action.lock() = Some(Box::new(meddle));
            store.checkpoint_to(&directory, &options).unwrap();
            let was_there = directory.meddler.action.lock().take().is_none();
            assert_holds(&mut recovered(&directory.inner, &disk).start_session(), &keys, &oracle);
            store.log_compact_until(store.addresses().tail).unwrap();
            assert_holds(&mut recovered(&directory.inner, &disk).start_session(), &keys, &oracle);
            assert_holds(&mut session, &keys, &oracle);
            if !was_there {
                assert!(at > 5, "there are more moments than that");
                break;
            }
        }
    }
}

#[test]
fn increments_go_on_over_compactions_and_an_empty_log_can_be_kept() {
    let (disk, directory, keys) = (Shredder::new(), MemoryDirectory::new(), keys(60));
    let store = open(&disk);
    let (mut session, mut oracle) = (store.start_session(), Oracle::new());
    let options = CheckpointOptions::default().with_kind(CheckpointKind::Incremental).with_keep_last(2);
    for round in 0..12 {
        work(&mut session, &mut oracle, &keys, round, 700);
        if round % 3 == 1 {
            let at = store.addresses();
            let part = [at.begin, at.head, at.tail][round as usize / 3 % 3];
            store.log_compact_until(part).unwrap();
        }
        store.checkpoint_to(&directory, &options).unwrap();
        assert_holds(&mut recovered(&directory, &disk).start_session(), &keys, &oracle);
    }
    assert!(store.given_back() > Address::new(64));
    session.delete_batch(&keys).unwrap();
    store.log_compact_until(store.addresses().tail).unwrap();
    for kind in KINDS {
        store.checkpoint_to(&directory, &CheckpointOptions::default().with_kind(kind)).unwrap();
        let empty = recovered(&directory, &disk);
        let mut session = empty.start_session();
        assert_holds(&mut session, &keys, &Oracle::new());
        session.upsert(1, 1).unwrap();
        empty.log_compact_until(empty.addresses().tail).unwrap();
        assert_eq!(session.read(&1).unwrap(), Some(1));
    }
}
