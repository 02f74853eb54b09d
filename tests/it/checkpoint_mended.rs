//! What once went wrong with checkpoints, found by the simulator and made small.

use oxifaster::checkpoint::{Catalog, CheckpointKind};
use oxifaster::device::MemoryDisk;
use oxifaster::directory::{Directory, DirectoryFile, MemoryDirectory};
use oxifaster::store::{CheckpointOptions, FasterKv, FasterKvConfig, RecoveryTarget, Session};
use oxifaster::{Error, ErrorKind, Result};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

type Store = FasterKv<u64, u64, MemoryDisk>;

fn config() -> FasterKvConfig {
    FasterKvConfig::default().with_memory_budget(1 << 20).with_page_size_bits(14)
}

fn options(kind: CheckpointKind) -> CheckpointOptions {
    CheckpointOptions::default().with_kind(kind)
}

fn recover(directory: &dyn Directory, target: RecoveryTarget, disk: &MemoryDisk) -> Result<Store> {
    let config = FasterKvConfig::default().with_memory_budget(1 << 20);
    FasterKv::recover_from(directory, target, config, disk.clone(), &|_| ()).map(|(store, _)| store)
}

fn write_all(session: &mut Session<u64, u64>, value: u64) {
    (0..200).for_each(|key| session.upsert(key, value).unwrap());
}

fn assert_all(store: &Store, value: u64) {
    let mut session = store.start_session();
    (0..200).for_each(|key| assert_eq!(session.read(&key).unwrap(), Some(value), "key {key}"));
}

/// A part of the log that begins on the device and ends in memory, on one page: all of it was read from the device, which
/// does not have the end.
#[test]
fn an_increment_copies_a_page_of_which_a_part_was_evicted() {
    let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
    let store: Store = FasterKv::open(config(), disk.clone()).unwrap();
    let mut session = store.start_session();
    write_all(&mut session, 1);
    store.checkpoint_to(&directory, &options(CheckpointKind::Incremental)).unwrap();
    write_all(&mut session, 2);
    store.evict().unwrap();
    write_all(&mut session, 3);
    store.checkpoint_to(&directory, &options(CheckpointKind::Incremental)).unwrap();
    drop((session, store));
    assert_all(&recover(&directory, RecoveryTarget::Latest, &disk).unwrap(), 3);
}

/// A snapshot with retention removed the base of the increment that came next, which then failed, and so did all later ones.
#[test]
fn an_increment_whose_base_was_removed_begins_a_new_chain() {
    let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
    let store: Store = FasterKv::open(config(), disk.clone()).unwrap();
    let mut session = store.start_session();
    write_all(&mut session, 1);
    store.checkpoint_to(&directory, &options(CheckpointKind::Incremental)).unwrap();
    store.checkpoint_to(&directory, &options(CheckpointKind::Snapshot).with_keep_last(1)).unwrap();
    write_all(&mut session, 2);
    let next = store.checkpoint_to(&directory, &options(CheckpointKind::Incremental)).unwrap();
    assert_eq!(next.kind, CheckpointKind::Snapshot);
    write_all(&mut session, 3);
    let increment = store.checkpoint_to(&directory, &options(CheckpointKind::Incremental)).unwrap();
    assert_eq!(increment.kind, CheckpointKind::Incremental);
    drop((session, store));
    assert_all(&recover(&directory, RecoveryTarget::Latest, &disk).unwrap(), 3);
}

/// A recovery of an increment, whose part of the log is in files, gave the blocks in their place on the device a generation
/// of their own, although they were there already. A fold-over between base and increment then could not be gone back to.
#[test]
fn the_recovery_of_an_increment_leaves_an_older_fold_over_whole() {
    let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
    let store: Store = FasterKv::open(config(), disk.clone()).unwrap();
    let mut session = store.start_session();
    write_all(&mut session, 1);
    store.checkpoint_to(&directory, &options(CheckpointKind::Incremental)).unwrap();
    write_all(&mut session, 2);
    let fold_over = store.checkpoint_to(&directory, &options(CheckpointKind::FoldOver)).unwrap();
    write_all(&mut session, 3);
    let increment = store.checkpoint_to(&directory, &options(CheckpointKind::Incremental)).unwrap();
    assert_eq!(increment.kind, CheckpointKind::Incremental);
    drop((session, store));

    let store = recover(&directory, RecoveryTarget::Latest, &disk).unwrap();
    store.evict().unwrap();
    assert_all(&store, 3);
    drop(store);
    Catalog::new(&directory).remove(increment.token).unwrap();
    assert_all(&recover(&directory, RecoveryTarget::Token(fold_over.token), &disk).unwrap(), 2);
}

/// A directory of which every sync fails from the second one on, and which remembers what was renamed.
struct Failing {
    directory: MemoryDirectory,
    syncs: AtomicU64,
    renamed: Mutex<Vec<(String, Vec<u8>)>>,
}

impl Directory for Failing {
    fn names(&self) -> Result<Vec<String>> {
        self.directory.names()
    }

    fn create(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        self.directory.create(name)
    }

    fn open(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        self.directory.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let file = self.directory.open(from)?;
        let mut bytes = vec![0; file.len()? as usize];
        file.read_at(0, &mut bytes)?;
        self.renamed.lock().unwrap().push((to.to_owned(), bytes));
        self.directory.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.directory.remove(name)
    }

    fn sync(&self) -> Result<()> {
        match self.syncs.fetch_add(1, Ordering::Relaxed) {
            0 => self.directory.sync(),
            _ => Err(Error::new(ErrorKind::Io, "no sync any more")),
        }
    }

    fn place(&self) -> String {
        self.directory.place()
    }
}

/// The sync after the rename failed. The manifest was removed, and the files with it; but nothing said that the removal of
/// the one was durable before that of the others, and a crash brought back a manifest without files: the newest one.
#[test]
fn a_manifest_that_may_come_back_after_a_failed_sync_finds_its_files() {
    let disk = MemoryDisk::new();
    let directory = Failing { directory: MemoryDirectory::new(), syncs: AtomicU64::new(0), renamed: Mutex::default() };
    let store: Store = FasterKv::open(config(), disk.clone()).unwrap();
    write_all(&mut store.start_session(), 1);
    store.checkpoint_to(&directory, &options(CheckpointKind::Snapshot)).unwrap_err();
    drop(store);
    let gone = recover(&directory.directory, RecoveryTarget::Latest, &disk).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    let (name, bytes) = directory.renamed.lock().unwrap().pop().unwrap();
    directory.directory.create(&name).unwrap().write_at(0, &bytes).unwrap();
    assert_all(&recover(&directory.directory, RecoveryTarget::Latest, &disk).unwrap(), 1);
}
