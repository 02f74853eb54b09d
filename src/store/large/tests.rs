//! Large values in durable stores that crash, and on devices that return other bytes than were written.

use crate::ErrorKind;
use crate::device::{CompletionQueue, CompletionSink, IoRequest, MemoryDisk, StorageDevice};
use crate::directory::{Directory, MemoryDirectory};
use crate::memory::AlignedBuf;
use crate::record::Held;
use crate::store::{CheckpointOptions, Durability, FasterKv, FasterKvConfig, Session};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

type Store = FasterKv<u64, Vec<u8>, MemoryDisk>;

fn config() -> FasterKvConfig {
    let config = FasterKvConfig::default().with_page_size_bits(12).with_log_memory_size(48 << 10).with_table_size(16);
    config.with_pretouch(false).with_durability(Durability::EveryOperation)
}

fn open(directory: &MemoryDirectory, disk: &MemoryDisk) -> Store {
    FasterKv::open_durable_in(directory, config(), disk.clone(), &|_| ()).unwrap().0
}

/// What a crash at this moment leaves, if everything has come to the device that was written.
fn crash(directory: &MemoryDirectory, disk: &MemoryDisk) -> (MemoryDirectory, MemoryDisk) {
    let copy = MemoryDirectory::new();
    for name in directory.names().unwrap() {
        let file = directory.open(&name).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        copy.create(&name).unwrap().write_at(0, &bytes).unwrap();
    }
    (copy, disk.duplicate())
}

fn bytes_of(version: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(version | 1) >> 3) as u8 ^ version as u8).collect()
}

fn read(session: &mut Session<u64, Vec<u8>>, key: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    session.read_into(&key, &mut bytes).unwrap().map(|_| bytes)
}

#[test]
fn a_crash_at_any_piece_leaves_the_old_value_and_after_the_commit_the_new_one() {
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    let store = open(&directory, &disk);
    let mut session = store.start_session();
    for version in 1..6u64 {
        let (old, new) = (
            bytes_of(version - 1, 20_000 + version as usize * 999),
            bytes_of(version, 20_999 + version as usize * 999),
        );
        let before = (version > 1).then_some(old);
        let mut writer = session.value_writer(7, None).unwrap();
        for piece in new.chunks(6000) {
            writer.write_all(piece).unwrap();
            let (directory, disk) = crash(&directory, &disk);
            let again = open(&directory, &disk);
            assert!(read(&mut again.start_session(), 7) == before, "version {version}");
        }
        writer.commit().unwrap();
        match version {
            2 => drop(store.checkpoint_to(&directory, &CheckpointOptions::default().with_keep_last(1)).unwrap()),
            3 => drop(store.log_compact_until(store.addresses().tail).unwrap()),
            _ => {}
        }
        let (directory, disk) = crash(&directory, &disk);
        for _ in 0..2 {
            let again = open(&directory, &disk);
            let mut session = again.start_session();
            assert!(read(&mut session, 7).as_ref() == Some(&new), "version {version}");
            assert_eq!(again.count().unwrap(), 1);
            again.log_compact_until(again.addresses().tail).unwrap();
            assert!(read(&mut session, 7).as_ref() == Some(&new), "version {version}, moved");
        }
    }
}

#[test]
fn sessions_are_told_how_far_they_came_with_large_values_among_their_changes() {
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    let store = open(&directory, &disk);
    let mut session = store.start_named_session(5).unwrap();
    for key in 0..10u64 {
        if key % 3 == 0 {
            session.upsert_from(key, None, &bytes_of(key, 9000)[..]).unwrap();
        } else {
            session.upsert(key, vec![key as u8]).unwrap();
        }
    }
    assert_eq!(session.serial(), 10);
    let (directory, disk) = crash(&directory, &disk);
    let again = open(&directory, &disk);
    let cut = again.get_recovered_sessions().into_iter().find(|cut| cut.guid == 5).unwrap();
    assert_eq!(cut.serial, 10);
}

/// Changes one byte of the block in which `address` lies.
fn damage(store: &Store, disk: &MemoryDisk, address: crate::address::Address) {
    let geometry = store.database.kernel.log.geometry();
    let offset = geometry.device_offset(geometry.block_of(address));
    let queue = CompletionQueue::new();
    let sink = || Arc::clone(&queue) as Arc<dyn CompletionSink>;
    disk.submit(IoRequest::read(offset, 4096, AlignedBuf::zeroed(4096)), sink(), 0);
    let mut buf = queue.take_within(Duration::from_secs(10)).unwrap().1.buf;
    buf[17] ^= 0x20;
    disk.submit(IoRequest::write(offset, 4096, buf), sink(), 0);
    queue.take_within(Duration::from_secs(10)).unwrap().1.result.unwrap();
}

#[test]
fn a_damaged_piece_is_an_error_that_says_where_and_ends_the_read() {
    let disk = MemoryDisk::new();
    let config = config().with_durability(Durability::None);
    let store: Store = FasterKv::open(config, disk.clone()).unwrap();
    let mut session = store.start_session();
    let bytes = bytes_of(1, 24_000);
    session.upsert_from(1, None, &bytes[..]).unwrap();
    store.evict().unwrap();
    let held = session.run_uncounted(&mut crate::kernel::LookOp::new(1u64)).unwrap();
    let Some(Held::Large(root)) = held else { panic!("it is a large one") };
    damage(&store, &disk, root.below[20]);
    let mut written = Vec::new();
    let error = session.read_into(&1, &mut written).unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.field("log address").is_some(), "{error}");
    assert!(bytes.starts_with(&written) && written.len() >= 15 * root.leaf, "what came before is right");
    session.upsert(2, vec![1]).unwrap();
    assert_eq!(session.read(&2).unwrap(), Some(vec![1]), "the session goes on");
}
