//! Checkpoints, and what was given up while they began.

use super::*;
use oxifaster::directory::{Directory, DirectoryFile};
use std::sync::Mutex;

/// Does something when it is first asked for a file.
struct Meddling {
    directory: MemoryDirectory,
    act: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Directory for Meddling {
    fn names(&self) -> Result<Vec<String>> {
        self.directory.names()
    }

    fn create(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        self.directory.create(name)
    }

    fn open(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        let act = self.act.lock().unwrap().take();
        act.into_iter().for_each(|act| act());
        self.directory.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.directory.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.directory.remove(name)
    }

    fn sync(&self) -> Result<()> {
        self.directory.sync()
    }

    fn place(&self) -> String {
        self.directory.place()
    }
}

/// While a checkpoint begins, a key and its tombstone are given up, and the index is to shrink: the chain of another key leads to the old
/// record then, which the log of the checkpoint may still have.
#[test]
fn a_checkpoint_has_nothing_that_was_given_up_before_chains_came_together() {
    let keys = keys_of_one_tag(2, 1);
    let (deleted, stays) = (keys[0][0], keys[1][0]);
    let disk = MemoryDisk::new();
    let store: Store<MemoryDisk> = FasterKv::open(config(), disk.clone()).unwrap();
    let store = Arc::new(store);
    let directory = Meddling { directory: MemoryDirectory::new(), act: Mutex::default() };
    let (mut session, mut oracle) = (store.start_session(), Oracle::new());
    put(&mut session, &mut oracle, deleted, 1);
    put(&mut session, &mut oracle, stays, 2);
    let options = CheckpointOptions::default().with_index(false);
    store.checkpoint_to(&directory, &options.clone().with_kind(CheckpointKind::Incremental)).unwrap();
    store.grow_index(2).unwrap();
    delete(&mut session, &mut oracle, deleted);
    put(&mut session, &mut oracle, stays, 3);
    let meddler = Arc::clone(&store);
    *directory.act.lock().unwrap() = Some(Box::new(move || {
        meddler.log_compact_until(meddler.addresses().tail).unwrap();
        let _ = meddler.shrink_index(1); // it may be refused
    }));
    let report = store.checkpoint_to(&directory, &options.with_kind(CheckpointKind::Incremental)).unwrap();
    assert!(directory.act.lock().unwrap().is_none(), "it was asked");
    let target = RecoveryTarget::Token(report.token);
    let (store, _) = FasterKv::recover_from(&directory, target, config(), disk.duplicate(), &|_| ()).unwrap();
    assert_holds(&store, &keys, &oracle, "recovered");
}
