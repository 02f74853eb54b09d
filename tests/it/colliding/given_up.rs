//! What was given up before two chains come together, and one of them leads on to it.

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

/// Whichever way one looks for them.
fn assert_finds(session: &mut Session<u64, Value>, deleted: u64, stays: u64) {
    let words = |value: Option<Value>| value.map(|words| words[0]);
    assert_eq!([deleted, stays].map(|key| words(session.read(&key).unwrap())), [None, Some(2)]);
    let found = session.read_batch(&[deleted, stays]).unwrap();
    assert_eq!(found.into_iter().map(words).collect::<Vec<_>>(), [None, Some(2)]);
    let lens = [deleted, stays].map(|key| session.read_with(&key, <[u8]>::len).unwrap());
    assert_eq!(lens, [None, Some(8 * WORDS)]);
    assert!(!session.delete_if(deleted, |_| true).unwrap().is_done());
}

/// The chain of a key leads on to an old record of another one, from when they shared a bucket. The tombstone that hides that is given up
/// together with it, in a block that stays in memory; and then they share a bucket again, and are taken apart once more. In a durable store
/// nothing says of a record that it was replaced, and a recovery may need the part of the log that was given up.
#[test]
fn what_was_given_up_does_not_come_back_by_another_chain() {
    let keys = keys_of_one_tag(2, 1);
    let (deleted, stays) = (keys[0][0], keys[1][0]);
    let config = config().with_durability(Durability::GROUP);
    let (store, _) = Store::open_durable_in(&MemoryDirectory::new(), config, MemoryDisk::new(), &|_| ()).unwrap();
    let (mut session, mut oracle) = (store.start_session(), Oracle::new());
    put(&mut session, &mut oracle, deleted, 1);
    put(&mut session, &mut oracle, stays, 2);
    store.grow_index(2).unwrap();
    delete(&mut session, &mut oracle, deleted);
    let until = store.addresses().tail;
    put(&mut session, &mut oracle, stays, 2);
    session.wait_durable().unwrap();
    store.flush().unwrap();
    store.log_compact_until(until).unwrap();
    store.shrink_index(1).unwrap();
    assert!(store.addresses().head < store.addresses().begin, "the record is still in memory");
    assert_finds(&mut session, deleted, stays);
    store.grow_index(2).unwrap();
    assert_finds(&mut session, deleted, stays);
    assert_eq!(session.transaction(|transaction| transaction.read(&deleted)).unwrap(), None);
    assert!(session.insert(deleted, [3; WORDS]).unwrap(), "it was not there");
    assert_eq!(session.read(&deleted).unwrap().map(|words| words[0]), Some(3));
}
