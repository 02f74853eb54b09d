//! The same promises with files that are read through rings and with files that are read by threads.

use super::async_session::poll_once;
use super::executor::block_on;
use oxifaster::ErrorKind;
use oxifaster::device::{FaultPlan, FaultyDisk, FileSystemDisk, FileSystemDiskOptions, IoBackend, IoOp};
use oxifaster::store::{Begun, FasterKv, FasterKvConfig, Outcome, Session};
use std::io;
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;

const KEYS: u64 = 20_000;
const PATIENCE: Duration = Duration::from_secs(30);

type Store = FasterKv<u64, u64, FaultyDisk<FileSystemDisk>>;

fn tiny() -> FasterKvConfig {
    FasterKvConfig::default().with_log_memory_size(64 << 10).with_page_size_bits(12).with_table_size(1 << 12)
}

/// The ways in which sessions may read, as options: rings or threads, past the page cache or through it, and with segments
/// that end in the midst of pages.
fn ways() -> impl Iterator<Item = FileSystemDiskOptions> {
    let base = FileSystemDiskOptions::new().with_segment_size(20 << 12);
    [(true, true), (true, false), (false, true), (false, false)]
        .into_iter()
        .map(move |(rings, direct)| base.clone().with_io_uring(rings).with_direct_io(direct))
}

fn filled(options: &FileSystemDiskOptions) -> (TempDir, Store, FaultPlan) {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(options.open(directory.path().join("log")).unwrap());
    let plan = disk.plan();
    let store = FasterKv::open(tiny(), disk).unwrap();
    let mut session = store.start_session();
    (0..KEYS).for_each(|key| session.upsert(key, key * 3).unwrap());
    store.evict().unwrap();
    drop(session);
    (directory, store, plan)
}

fn check(session: &mut Session<u64, u64>) {
    let keys: Vec<u64> = (0..KEYS).map(|key| key * 7_919 % (KEYS + 5)).collect();
    for (key, value) in keys.iter().zip(session.read_batch(&keys).unwrap()) {
        assert_eq!(value, (*key < KEYS).then_some(key * 3), "key {key}");
    }
}

#[test]
fn every_operation_on_every_region() {
    for options in ways() {
        let directory = tempfile::tempdir().unwrap();
        super::crud::run_every_operation_on_every_region(options.open(directory.path().join("log")).unwrap());
    }
}

#[test]
fn several_threads_on_ten_times_their_memory() {
    for options in ways() {
        let directory = tempfile::tempdir().unwrap();
        super::larger_than_memory::run_from_threads(3, options.open(directory.path().join("log")).unwrap());
    }
}

#[test]
fn reads_that_fail_are_told_and_go_on_after_repair() {
    for options in ways() {
        let (_directory, store, plan) = filled(&options);
        let mut session = store.start_session();
        plan.break_reads();
        for key in (0..KEYS).step_by(997) {
            assert_eq!(session.read(&key).unwrap_err().kind(), ErrorKind::Io);
            assert_eq!(session.rmw(key, |_| true).unwrap_err().kind(), ErrorKind::Io);
            assert_eq!(session.read_batch(&[key, key + 1]).unwrap_err().kind(), ErrorKind::Io);
        }
        plan.repair();
        plan.fail_nth(IoOp::Read, 2, io::ErrorKind::TimedOut);
        assert_eq!(session.read(&1).unwrap(), Some(3));
        assert_eq!(session.read(&2).unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(session.read(&2).unwrap(), Some(6));
        check(&mut session);
    }
}

#[test]
fn a_flipped_bit_is_reported_and_never_served() {
    for options in ways() {
        let (_directory, store, plan) = filled(&options);
        let mut session = store.start_session();
        plan.corrupt_reads_at(8 * 4096 + 123, 4);
        let keys: Vec<u64> = (0..1_500).collect();
        let hit: Vec<u64> = keys.iter().copied().filter(|key| session.read(key).is_err()).collect();
        assert!(!hit.is_empty());
        for key in &hit {
            assert_eq!(session.read(key).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        assert_eq!(session.read_batch(&keys).unwrap_err().kind(), ErrorKind::Corrupt);
        plan.repair();
        check(&mut session);
    }
}

#[test]
fn reads_that_are_held_open_are_waited_for_and_may_be_left_behind() {
    for options in ways() {
        let (_directory, store, plan) = filled(&options);
        let (mut stays, mut leaves) = (store.start_session(), store.start_session());
        plan.pause_only(IoOp::Read);
        // Keys of different blocks: those of one block would share an access.
        for key in 0..5 {
            assert!(matches!(stays.begin_read(&(key * 300)).unwrap(), Begun::Pending(_)));
            assert!(matches!(leaves.begin_read(&(key * 300)).unwrap(), Begun::Pending(_)));
        }
        assert!(plan.wait_until_held(10, PATIENCE));
        assert!(stays.complete_pending(false).unwrap().is_empty());
        drop(leaves);
        plan.resume();
        let mut sum = 0;
        while stays.pending() > 0 {
            for completed in stays.complete_pending(true).unwrap() {
                let Outcome::Read(value) = completed.outcome.unwrap() else { panic!("only reads were begun") };
                sum += value.unwrap();
            }
        }
        assert_eq!(sum, (0..5).map(|key| key * 900).sum::<u64>());
        check(&mut stays);
    }
}

#[test]
fn sessions_go_from_thread_to_thread_with_reads_under_way() {
    const SESSIONS: u64 = 6;
    for options in ways() {
        let (_directory, store, _) = filled(&options);
        let (sender, receiver) = mpsc::channel::<(u64, Session<u64, u64>)>();
        std::thread::scope(|scope| {
            // Each round begins in one thread, which ends, and goes on in another.
            for at in 0..SESSIONS {
                let mut session = store.start_session();
                let sender = sender.clone();
                scope.spawn(move || {
                    begin_many(&mut session, at);
                    sender.send((0, session)).unwrap();
                });
            }
            let mut ended = 0;
            while ended < SESSIONS {
                let (round, mut session) = receiver.recv_timeout(PATIENCE).unwrap();
                if round == 40 {
                    finish(&mut session);
                    check(&mut session);
                    ended += 1;
                    continue;
                }
                let sender = sender.clone();
                scope.spawn(move || {
                    if round % 2 == 0 {
                        finish(&mut session);
                    } else {
                        assert!(session.complete_pending(true).unwrap().iter().all(|one| one.outcome.is_ok()));
                    }
                    begin_many(&mut session, round);
                    assert_eq!(session.read(&(round * 11)).unwrap(), Some(round * 33));
                    sender.send((round + 1, session)).unwrap();
                });
            }
        });
    }
}

fn begin_many(session: &mut Session<u64, u64>, seed: u64) {
    for step in 0..50 {
        session.begin_read(&((seed * 50 + step) * 13 % KEYS)).unwrap();
    }
}

fn finish(session: &mut Session<u64, u64>) {
    while session.pending() > 0 {
        assert!(session.complete_pending(true).unwrap().iter().all(|completed| completed.outcome.is_ok()));
    }
}

#[test]
fn sessions_end_with_reads_under_way_over_and_over() {
    for options in ways() {
        let (_directory, store, _) = filled(&options);
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let store = &store;
                scope.spawn(move || {
                    for round in 0..60 {
                        begin_many(&mut store.start_session(), round * 3 + thread);
                    }
                });
            }
        });
        assert_eq!(store.session_count(), 0);
        check(&mut store.start_session());
    }
}

#[test]
fn futures_of_several_threads_are_awaited_and_dropped() {
    for options in ways() {
        let (_directory, store, plan) = filled(&options);
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let mut session = store.start_async_session();
                scope.spawn(move || {
                    for round in 0..20 {
                        let key = |at: u64| (thread * 7_919 + round * 101 + at * 13) % KEYS;
                        let mut reads: Vec<_> = (0..200).map(|at| (key(at), session.read(&key(at)))).collect();
                        for (_, read) in &mut reads {
                            // Whatever it comes to: what is not ready is awaited or dropped below.
                            if poll_once(&mut *read).is_ready() {
                                *read = session.read(&0);
                            }
                        }
                        reads.retain(|(key, _)| key % 3 > 0);
                        for (key, read) in reads {
                            let value = block_on(read).unwrap();
                            assert!(value == Some(key * 3) || value == Some(0), "key {key}: {value:?}");
                        }
                    }
                });
            }
        });
        let mut session = store.start_async_session();
        plan.break_reads();
        assert_eq!(block_on(session.read(&7)).unwrap_err().kind(), ErrorKind::Io);
        plan.repair();
        assert!(
            block_on(session.rmw(7, |value| {
                *value += 1;
                true
            }))
            .unwrap()
        );
        assert_eq!(block_on(session.read(&7)).unwrap(), Some(22));
        // A device that goes away while somebody is interested in nothing but his own future.
        // (An access may be finished before the poll returns: then another one is tried.)
        let begun = (9..KEYS)
            .map(|key| (key, session.read(&key)))
            .find_map(|(key, mut read)| poll_once(&mut read).is_pending().then_some((key, read)));
        let (key, last) = begun.unwrap();
        drop((session, store));
        assert_eq!(block_on(last).unwrap(), Some(key * 3));
    }
}

#[test]
fn rings_are_what_is_chosen_where_there_are_any() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FileSystemDisk::open(directory.path().join("log")).unwrap();
    let expected = cfg!(all(target_os = "linux", feature = "io_uring"));
    match disk.backend() {
        IoBackend::IoUring => assert!(expected),
        other => assert!(!other.to_string().contains("built without") || !expected, "{other}"),
    }
}
