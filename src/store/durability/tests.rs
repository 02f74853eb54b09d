//! Stores whose changes are durable, on devices in memory: a crash is a copy of what the device holds at a moment.

use crate::ErrorKind;
use crate::address::Address;
use crate::allocator::BLOCK_SIZE;
use crate::checkpoint::{Catalog, CheckpointKind, RecoveryReport, SuffixEnd};
use crate::device::{FaultyDisk, IoOp, MemoryDisk, StorageDevice};
use crate::directory::{Directory, MemoryDirectory};
use crate::error::Result;
use crate::store::{Begun, CheckpointOptions, Durability, FasterKv, FasterKvConfig, Outcome, RecoveryTarget};
use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

type Store = FasterKv<u64, u64, MemoryDisk>;

fn config(durability: Durability) -> FasterKvConfig {
    FasterKvConfig::default()
        .with_page_size_bits(12)
        .with_log_memory_size(64 << 10)
        .with_table_size(64)
        .with_pretouch(false)
        .with_durability(durability)
}

/// Nothing becomes durable by itself while a test runs.
const RARELY: Durability = Durability::Group { interval: Duration::from_secs(600), bytes: u64::MAX };

fn try_open(
    config: FasterKvConfig,
    directory: &MemoryDirectory,
    disk: &MemoryDisk,
) -> Result<(Store, Option<RecoveryReport>)> {
    FasterKv::open_durable_in(directory, config, disk.clone(), &|_| ())
}

fn open(durability: Durability, directory: &MemoryDirectory, disk: &MemoryDisk) -> (Store, Option<RecoveryReport>) {
    try_open(config(durability), directory, disk).unwrap()
}

/// What a crash at this moment leaves.
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

fn read_all(store: &Store, keys: u64) -> HashMap<u64, u64> {
    let mut session = store.start_session();
    (0..keys).filter_map(|key| session.read(&key).unwrap().map(|value| (key, value))).collect()
}

/// Changes one byte of the block in which `address` lies.
fn damage(store: &Store, disk: &MemoryDisk, address: Address) {
    let geometry = store.database.kernel.log.geometry();
    let offset = geometry.device_offset(geometry.block_of(address));
    damage_at(disk, offset + 17);
}

fn damage_at(disk: &MemoryDisk, at: u64) {
    use crate::device::{CompletionQueue, CompletionSink, IoRequest};
    use crate::memory::AlignedBuf;
    let offset = at / BLOCK_SIZE as u64 * BLOCK_SIZE as u64;
    let queue = CompletionQueue::new();
    let sink = || std::sync::Arc::clone(&queue) as std::sync::Arc<dyn CompletionSink>;
    disk.submit(IoRequest::read(offset, BLOCK_SIZE, AlignedBuf::zeroed(BLOCK_SIZE)), sink(), 0);
    let mut buf = queue.take_within(Duration::from_secs(10)).unwrap().1.buf;
    buf[(at - offset) as usize] ^= 0x20;
    disk.submit(IoRequest::write(offset, BLOCK_SIZE, buf), sink(), 0);
    queue.take_within(Duration::from_secs(10)).unwrap().1.result.unwrap();
}

#[test]
fn what_a_call_has_returned_from_is_there_after_a_crash_at_that_moment() {
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    let (store, report) = open(Durability::EveryOperation, &directory, &disk);
    assert!(report.is_none(), "a new one");
    let mut session = store.start_session();
    let mut expected = HashMap::new();
    for step in 0..300u64 {
        let key = step * 7 % 40;
        match step % 5 {
            0 | 1 => {
                session.upsert(key, step).unwrap();
                expected.insert(key, step);
            }
            2 => {
                session
                    .rmw(key, |value| {
                        *value += 1000;
                        true
                    })
                    .unwrap();
                *expected.entry(key).or_insert(0) += 1000;
            }
            3 => {
                session.delete(&key).unwrap();
                expected.remove(&key);
            }
            _ => {
                let inserted = session.insert(key, step).unwrap();
                assert_eq!(inserted, !expected.contains_key(&key));
                expected.entry(key).or_insert(step);
            }
        }
        if step % 17 == 0 || step > 290 {
            let (directory, disk) = crash(&directory, &disk);
            let (again, report) = open(Durability::EveryOperation, &directory, &disk);
            assert_eq!(read_all(&again, 40), expected, "step {step}");
            assert_eq!(report.unwrap().suffix.unwrap().ended, SuffixEnd::Nothing);
        }
    }
}

#[test]
fn a_store_can_be_opened_again_and_again_and_goes_on_each_time() {
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    let mut expected = HashMap::new();
    for life in 0..6u64 {
        // Other sizes each time: the recovered part does or does not fit into memory.
        let config = config(RARELY).with_log_memory_size((16 << 10) << (life % 3)).with_table_size(16 << (life % 2));
        let (store, report) = try_open(config, &directory, &disk).unwrap();
        assert_eq!(report.is_some(), life > 0);
        assert_eq!(read_all(&store, 2000), expected, "life {life}");
        let mut session = store.start_session();
        for key in (life * 13..2000).step_by(3) {
            session.upsert(key, life).unwrap();
            expected.insert(key, life);
        }
        if life % 2 == 0 {
            store.checkpoint_to(&directory, &CheckpointOptions::default().with_index(life == 2)).unwrap();
            session.upsert(life, 77).unwrap();
            expected.insert(life, 77);
        }
        // Closing makes the rest durable.
    }
    let (one, two) = (open(RARELY, &directory, &disk).1.unwrap(), open(RARELY, &directory, &disk).1.unwrap());
    assert!(one.suffix.unwrap().records > 0);
    assert_eq!(
        (two.suffix.unwrap().records, two.version),
        (0, one.version + 1),
        "the manifest of the opening has it all"
    );
    assert_eq!(read_all(&open(RARELY, &directory, &disk).0, 2000), expected);
}

#[test]
fn a_session_is_found_with_the_serial_number_of_its_last_change() {
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    let (store, _) = open(RARELY, &directory, &disk);
    let (mut one, mut two) = (store.start_named_session(1).unwrap(), store.start_named_session(2).unwrap());
    let serials = |store: &Store| {
        let mut cuts: Vec<_> = store.get_recovered_sessions().iter().map(|cut| (cut.guid, cut.serial)).collect();
        cuts.sort_unstable();
        cuts
    };
    for key in 0..10u64 {
        one.upsert(key, 1).unwrap();
        two.read(&key).unwrap();
        two.upsert(100 + key, 2).unwrap();
        two.read(&key).unwrap();
    }
    assert_eq!((one.serial(), two.serial()), (10, 30));
    one.delete(&5000).unwrap(); // changes nothing, as the next two
    one.insert(3, 9).unwrap();
    one.rmw(4, |_| false).unwrap();
    store.commit().unwrap();
    let after_commit = crash(&directory, &disk);
    let (again, _) = open(RARELY, &after_commit.0, &after_commit.1);
    assert_eq!(serials(&again), [(1, 10), (2, 29)], "what changed nothing leaves no trace");
    // In the middle of a batch, and with a checkpoint in between.
    one.upsert_batch(&(200..400).map(|key| (key, 3)).collect::<Vec<_>>()).unwrap();
    let report = store.checkpoint_to(&directory, &CheckpointOptions::default()).unwrap();
    assert!(report.sessions.iter().any(|cut| (cut.guid, cut.serial) == (1, 213)));
    one.upsert(3, 5).unwrap();
    one.rmw_durable(3, |value| {
        *value += 1;
        true
    })
    .unwrap();
    two.upsert(1, 1).unwrap();
    let (directory, disk) = crash(&directory, &disk);
    let (again, report) = open(RARELY, &directory, &disk);
    assert_eq!(serials(&again), [(1, 215), (2, 30)], "the last change of the second one was not waited for");
    assert_eq!(report.unwrap().suffix.unwrap().records, 2);
    let cut = again.get_recovered_sessions().into_iter().find(|cut| cut.guid == 1).unwrap();
    let mut one = again.continue_session(cut).unwrap();
    one.upsert_durable(9, 9).unwrap();
    assert_eq!((one.serial(), one.read(&3).unwrap()), (216, Some(6)));
    let (directory, disk) = crash(&directory, &disk);
    assert_eq!(serials(&open(RARELY, &directory, &disk).0), [(1, 216), (2, 30)]);
}

/// Four threads, cut short at every block: what is recovered is, of every session, exactly its changes up to its serial.
#[test]
fn wherever_the_log_ends_every_session_has_its_changes_up_to_its_serial_and_no_other() {
    const SESSIONS: u64 = 4;
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    let (store, _) = open(RARELY, &directory, &disk);
    std::thread::scope(|scope| {
        for number in 0..SESSIONS {
            let mut session = store.start_named_session(u128::from(number) + 1).unwrap();
            scope.spawn(move || {
                for step in 1..=400u64 {
                    let key = number * 1000 + step % 50;
                    match step % 4 {
                        0 => session.delete(&key).unwrap(),
                        1 => drop(session.read(&key).unwrap()),
                        _ => session.upsert(key, step).unwrap(),
                    }
                }
            });
        }
    });
    store.commit().unwrap();
    let geometry = store.database.kernel.log.geometry();
    let blocks = geometry.block_of(store.addresses().tail);
    let mut met = std::collections::HashSet::new();
    for broken in 1..blocks {
        let (directory, disk) = crash(&directory, &disk);
        damage_at(&disk, geometry.device_offset(broken) + 5);
        // There was one commit, at the end: nothing says that what is missing was durable.
        let (again, report) = open(RARELY, &directory, &disk);
        assert_eq!(report.unwrap().suffix.unwrap().ended, SuffixEnd::Torn);
        let serials: HashMap<u128, u64> =
            again.get_recovered_sessions().iter().map(|cut| (cut.guid, cut.serial)).collect();
        let mut expected = HashMap::new();
        for number in 0..SESSIONS {
            let serial = serials.get(&(u128::from(number) + 1)).copied().unwrap_or(0);
            met.insert(serial);
            for step in 1..=serial {
                let key = number * 1000 + step % 50;
                match step % 4 {
                    0 => drop(expected.remove(&key)),
                    1 => {}
                    _ => drop(expected.insert(key, step)),
                }
            }
        }
        assert_eq!(read_all(&again, SESSIONS * 1000), expected, "block {broken} of {blocks}: {serials:?}");
    }
    assert!(met.len() > 8, "{met:?}");
}

#[test]
fn damage_to_what_was_durable_is_told_from_a_torn_tail() {
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    let (store, _) = open(RARELY, &directory, &disk);
    let mut session = store.start_session();
    let mut places = Vec::new();
    for round in 0..4u64 {
        for key in 0..300 {
            session.upsert(key, round).unwrap();
        }
        store.commit().unwrap();
        places.push(store.durable_address().unwrap());
    }
    // The last commit's block: nobody can tell whether it ever was whole.
    let torn = crash(&directory, &disk);
    damage(&store, &torn.1, places[2]);
    let (again, report) = open(RARELY, &torn.0, &torn.1);
    let suffix = report.unwrap().suffix.unwrap();
    assert_eq!((suffix.ended, suffix.end), (SuffixEnd::Torn, places[2]));
    assert!(read_all(&again, 300).values().all(|value| *value == 2));
    // One before: the last commit knew that it was durable.
    let (directory, disk) = crash(&directory, &disk);
    damage(&store, &disk, places[1]);
    let error = try_open(config(RARELY), &directory, &disk).unwrap_err();
    assert_eq!(
        (error.kind(), error.field("log address")),
        (ErrorKind::Corrupt, Some(&*places[1].to_string())),
        "{error}"
    );
    assert!(error.field("device offset").is_some() && error.to_string().contains("with_damage_accepted"), "{error}");
    let unchanged = try_open(config(RARELY), &directory, &disk).unwrap_err();
    assert_eq!(unchanged.to_string(), error.to_string(), "opening changed nothing");
    let (again, report) = try_open(config(RARELY).with_damage_accepted(true), &directory, &disk).unwrap();
    assert_eq!(report.unwrap().suffix.unwrap().ended, SuffixEnd::Damaged);
    assert!(read_all(&again, 300).values().all(|value| *value == 1));
}

#[test]
fn damage_within_a_checkpoint_is_an_error_also_if_damage_is_accepted() {
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    let (store, _) = open(RARELY, &directory, &disk);
    let mut session = store.start_session();
    (0..500).for_each(|key| session.upsert(key, 1).unwrap());
    store.checkpoint_to(&directory, &CheckpointOptions::default().with_index(false)).unwrap();
    session.upsert_durable(1, 2).unwrap();
    let (directory, disk) = crash(&directory, &disk);
    damage(&store, &disk, Address::new(5000));
    let error = try_open(config(RARELY).with_damage_accepted(true), &directory, &disk).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn a_failed_sync_is_told_to_who_waits_and_ends_all_changes() {
    for (op, every) in [(IoOp::Sync, true), (IoOp::Write, true), (IoOp::Sync, false)] {
        let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
        let faulty = FaultyDisk::new(disk.clone());
        let plan = faulty.plan();
        let durability = if every { Durability::EveryOperation } else { RARELY };
        let (store, _) =
            FasterKv::<u64, u64, _>::open_durable_in(&directory, config(durability), faulty, &|_| ()).unwrap();
        let mut session = store.start_session();
        session.upsert_durable(1, 1).unwrap();
        plan.fail_from(op, 1, std::io::ErrorKind::Other);
        let error = session.upsert_durable(2, 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeviceFailed, "{error}");
        plan.repair();
        let later = [
            session.upsert(3, 3).unwrap_err(),
            session.rmw(3, |_| true).unwrap_err(),
            session.delete(&1).unwrap_err(),
            session.upsert_batch(&[(4, 4)]).unwrap_err(),
            session.begin_rmw(5, |_| true).unwrap_err(),
            store.commit().unwrap_err(),
            ready(store.start_async_session().upsert(6, 6)).unwrap_err(),
        ];
        assert!(later.iter().all(|later| later.to_string() == error.to_string()), "{later:?}");
        assert_eq!(session.read(&1).unwrap(), Some(1), "reading goes on");
        let (directory, disk) = crash(&directory, &disk);
        let found = read_all(&open(RARELY, &directory, &disk).0, 10);
        assert_eq!(found.get(&1), Some(&1));
        assert!(!found.contains_key(&3), "{found:?}");
    }
}

/// What a future gives that is polled until it is ready.
fn ready<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park_timeout(Duration::from_secs(20)),
        }
    }
}

struct Unpark(std::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn futures_and_pending_changes_are_told_when_they_are_durable() {
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    let (store, _) = open(Durability::EveryOperation, &directory, &disk);
    let mut futures = store.start_async_session();
    let mut session = store.start_session();
    let found = |key: u64| {
        let (directory, disk) = crash(&directory, &disk);
        read_all(&open(RARELY, &directory, &disk).0, 1000).get(&key).copied()
    };
    ready(futures.upsert(1, 1)).unwrap();
    assert_eq!(found(1), Some(1));
    assert!(
        ready(futures.rmw(2, |value| {
            *value = 2;
            true
        }))
        .unwrap()
    );
    assert_eq!(found(2), Some(2));
    ready(futures.delete(&1)).unwrap();
    assert_eq!(found(1), None);
    let Begun::Pending(ticket) = session
        .begin_rmw(3, |value| {
            *value = 3;
            true
        })
        .unwrap()
    else {
        panic!("done before it is durable")
    };
    let completed = session.complete_pending(true).unwrap();
    assert_eq!((completed[0].ticket, completed[0].outcome.clone().unwrap()), (ticket, Outcome::Rmw(true)));
    assert_eq!((found(3), session.pending()), (Some(3), 0));
    // Of a record that has to be read first.
    store.evict().unwrap();
    let Begun::Pending(ticket) = session.begin_insert(3, 9).unwrap() else { panic!("it is on the device") };
    let Begun::Pending(other) = session
        .begin_rmw(2, |value| {
            *value += 5;
            true
        })
        .unwrap()
    else {
        panic!("it is on the device")
    };
    let mut outcomes = HashMap::new();
    while session.pending() > 0 {
        outcomes.extend(
            session.complete_pending(true).unwrap().into_iter().map(|done| (done.ticket, done.outcome.unwrap())),
        );
    }
    assert_eq!(outcomes, HashMap::from([(ticket, Outcome::Insert(false)), (other, Outcome::Rmw(true))]));
    assert_eq!(found(2), Some(7));
    // Not waited for, and then waited for.
    session.set_waits_for_durable(false);
    session.upsert(500, 1).unwrap();
    assert!(store.durable_address().unwrap() < store.addresses().tail);
    ready(session.durable()).unwrap();
    assert_eq!(found(500), Some(1));
}

#[test]
fn a_group_commits_by_its_interval_and_by_its_bytes() {
    for durability in [
        Durability::Group { interval: Duration::from_millis(1), bytes: u64::MAX },
        Durability::Group { interval: Duration::from_secs(600), bytes: 4096 },
    ] {
        let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
        let (store, _) = open(durability, &directory, &disk);
        let mut session = store.start_session();
        for round in 0..3u64 {
            (0..400).for_each(|key| session.upsert(key, round).unwrap());
            let (wanted, started) = ((round + 1) * 400 * 32 - 8192, std::time::Instant::now());
            while store.durable_address().unwrap().get() < wanted {
                assert!(started.elapsed() < Duration::from_secs(20), "{durability:?}: {:?}", store.durable_address());
                std::thread::yield_now();
            }
        }
    }
}

#[test]
fn sessions_that_wait_at_the_same_time_share_a_sync() {
    const SESSIONS: u64 = 8;
    const ROUNDS: u64 = 20;
    let (directory, faulty) = (MemoryDirectory::new(), FaultyDisk::new(MemoryDisk::new()));
    let plan = faulty.plan();
    let config = config(Durability::EveryOperation);
    let (store, _) = FasterKv::<u64, u64, _>::open_durable_in(&directory, config, faulty, &|_| ()).unwrap();
    let before = plan.counts().syncs;
    let mut sessions: Vec<_> = (0..SESSIONS).map(|_| store.start_session()).collect();
    for round in 1..=ROUNDS {
        // While the first one's write is held, the others come.
        plan.pause_only(IoOp::Write);
        std::thread::scope(|scope| {
            for (number, session) in (0..).zip(&mut sessions) {
                scope.spawn(move || session.upsert(number, round).unwrap());
            }
            while store.stats().operations.upserts < SESSIONS * round {
                std::thread::yield_now();
            }
            plan.resume();
        });
    }
    let syncs = plan.counts().syncs - before;
    assert!((ROUNDS..SESSIONS * ROUNDS / 2).contains(&syncs), "{syncs} syncs for {} changes", SESSIONS * ROUNDS);
}

#[test]
fn checkpoints_of_every_kind_are_taken_without_files_of_the_log_and_shorten_the_suffix() {
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    let (store, _) = open(RARELY, &directory, &disk);
    let mut session = store.start_session();
    for (round, kind) in
        [CheckpointKind::Snapshot, CheckpointKind::Incremental, CheckpointKind::FoldOver].into_iter().enumerate()
    {
        (0..500).for_each(|key| session.upsert(key, round as u64).unwrap());
        let report =
            store.checkpoint_to(&directory, &CheckpointOptions::default().with_kind(kind).with_keep_last(2)).unwrap();
        assert_eq!(report.kind, CheckpointKind::FoldOver);
        session.upsert_durable(7, 100 + round as u64).unwrap();
        let (directory, disk) = crash(&directory, &disk);
        let (again, report) = open(RARELY, &directory, &disk);
        assert_eq!(report.unwrap().suffix.unwrap().records, 1);
        assert_eq!(read_all(&again, 500).into_iter().filter(|(_, value)| *value == round as u64).count(), 499);
        assert_eq!(read_all(&again, 8)[&7], 100 + round as u64);
    }
    assert_eq!(Catalog::new(&directory).list().unwrap().checkpoints.iter().filter(|one| one.log.is_some()).count(), 2);
}

#[test]
fn the_calls_that_know_nothing_of_the_log_behind_a_checkpoint_are_refused() {
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    let plain = config(Durability::None);
    let error = Store::open(config(RARELY), disk.clone()).unwrap_err();
    assert!(error.to_string().contains("open_durable"), "{error}");
    let error = try_open(plain.clone(), &directory, &disk).unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("with_durability"), "{error}");
    let (store, _) = open(RARELY, &directory, &disk);
    store.start_session().upsert(1, 1).unwrap();
    drop(store);
    let token = Catalog::new(&directory).latest().unwrap().exactly().unwrap().token;
    let recover = |target, config| Store::recover_from(&directory, target, config, disk.duplicate(), &|_| ());
    let error = recover(RecoveryTarget::Latest, plain.clone()).unwrap_err();
    assert!(error.to_string().contains("open_durable"), "{error}");
    assert_eq!(recover(RecoveryTarget::Token(token), config(RARELY)).unwrap_err().kind(), ErrorKind::Config);
    let (older, _) = recover(RecoveryTarget::Token(token), plain).unwrap();
    assert_eq!(read_all(&older, 2), HashMap::new(), "who names the checkpoint gets it");
    assert_eq!(read_all(&open(RARELY, &directory, &disk).0, 2), HashMap::from([(1, 1)]));
}

#[test]
fn a_store_with_checkpoints_becomes_a_durable_one_and_loses_nothing() {
    for kind in [CheckpointKind::FoldOver, CheckpointKind::Snapshot] {
        let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
        let store = Store::open(config(Durability::None), disk.clone()).unwrap();
        let mut session = store.start_session();
        (0..1000).for_each(|key| session.upsert(key, 1).unwrap());
        store.checkpoint_to(&directory, &CheckpointOptions::default().with_kind(kind)).unwrap();
        (0..1000).for_each(|key| session.upsert(key, 2).unwrap());
        store.flush().unwrap();
        drop((session, store));
        let (store, report) = open(RARELY, &directory, &disk);
        assert!(report.unwrap().suffix.is_none(), "what was not promised is not looked for");
        assert!(read_all(&store, 1000).values().all(|value| *value == 1));
        store.start_session().upsert_durable(3, 9).unwrap();
        let (directory, disk) = crash(&directory, &disk);
        let found = read_all(&open(RARELY, &directory, &disk).0, 1000);
        assert_eq!((found.len(), found[&3], found[&4]), (1000, 9, 1));
    }
}

#[test]
fn a_store_that_was_never_written_to_and_one_whose_making_was_cut_short_open_again() {
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    drop(open(RARELY, &directory, &disk));
    assert_eq!(disk.used_bytes(), 0, "the device is not touched before the manifest is there");
    let (store, report) = open(RARELY, &directory, &disk);
    assert_eq!(report.unwrap().suffix.unwrap().records, 0);
    store.start_session().upsert_durable(1, 1).unwrap();
    drop(store);
    // A directory that was lost is not a new store.
    let error = try_open(config(RARELY), &MemoryDirectory::new(), &disk).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert_eq!(read_all(&open(RARELY, &directory, &disk).0, 2).len(), 1);
}

#[test]
fn a_call_that_changes_nothing_waits_for_what_it_found() {
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    let (store, _) = open(Durability::EveryOperation, &directory, &disk);
    let (mut quick, mut careful) = (store.start_session(), store.start_session());
    careful.upsert(1, 1).unwrap();
    quick.set_waits_for_durable(false);
    let found = || {
        let (directory, disk) = crash(&directory, &disk);
        read_all(&open(RARELY, &directory, &disk).0, 10)
    };
    quick.delete(&1).unwrap();
    careful.delete(&1).unwrap();
    assert_eq!(found(), HashMap::new(), "the one who found it deleted was told so");
    quick.upsert(2, 2).unwrap();
    assert!(!careful.insert(2, 9).unwrap());
    assert_eq!(found(), HashMap::from([(2, 2)]));
    quick.upsert(3, 3).unwrap();
    assert!(!ready(store.start_async_session().rmw(3, |_| false)).unwrap());
    assert_eq!(found(), HashMap::from([(2, 2), (3, 3)]));
}

/// Futures of one session, finished by several threads at the same time: as many changes are there as its serial number says.
#[test]
fn a_session_of_futures_has_as_many_changes_as_its_serial_says() {
    const KEYS: u64 = 600;
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    let (store, _) = open(RARELY, &directory, &disk);
    let mut session = store.start_async_session();
    for key in 0..KEYS {
        ready(session.upsert(key, 0)).unwrap();
    }
    store.evict().unwrap();
    let add = |value: &mut u64| {
        *value += 1;
        true
    };
    let mut futures: Vec<_> = (0..KEYS).map(|key| session.rmw(key, add)).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let part = futures.split_off(futures.len() - KEYS as usize / 4);
            scope.spawn(move || part.into_iter().for_each(|future| assert!(ready(future).unwrap())));
        }
    });
    store.commit().unwrap();
    let geometry = store.database.kernel.log.geometry();
    for broken in 1..geometry.block_of(store.addresses().tail) {
        let (directory, disk) = crash(&directory, &disk);
        damage_at(&disk, geometry.device_offset(broken) + 5);
        let Ok((again, _)) = try_open(config(RARELY), &directory, &disk) else { continue }; // it was durable
        let serial = again.get_recovered_sessions().first().map_or(0, |cut| cut.serial);
        let values = read_all(&again, KEYS);
        assert_eq!(serial, values.values().sum::<u64>() + values.len() as u64, "block {broken}");
    }
}

#[test]
fn what_is_not_in_the_log_is_not_waited_for() {
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    let (store, _) = open(RARELY, &directory, &disk);
    store.start_session().upsert(1, 1).unwrap();
    store.wait_durable(Address::MAX).unwrap();
    ready(store.durable(Address::MAX)).unwrap();
    assert_eq!(store.durable_address(), Some(store.addresses().tail));
    store.wait_durable(Address::INVALID).unwrap();
}

/// The chains of a log are those of the largest index that there was: an index as large is needed to find them again.
#[test]
fn a_store_whose_index_has_grown_since_its_checkpoint_is_recovered_with_one_as_large() {
    const KEYS: u64 = 3000;
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    let small = config(RARELY).with_table_size(16).with_memory_budget(8 << 20);
    let (store, _) = try_open(small.clone(), &directory, &disk).unwrap();
    let mut session = store.start_session();
    (0..KEYS).for_each(|key| session.upsert(key, 1).unwrap());
    let grown = store.database.kernel.index.config().buckets;
    assert!(grown >= 128, "{grown}");
    (0..KEYS).for_each(|key| session.upsert(key, 2).unwrap());
    session.wait_durable().unwrap();
    let (directory, disk) = crash(&directory, &disk);
    let (again, report) = try_open(small, &directory, &disk).unwrap();
    assert!(report.unwrap().index_buckets >= grown);
    let found = read_all(&again, KEYS);
    assert_eq!((found.len() as u64, found.values().all(|value| *value == 2)), (KEYS, true));
}

#[test]
fn a_durable_store_without_a_record_takes_checkpoints_and_comes_back_from_them() {
    for kind in [CheckpointKind::FoldOver, CheckpointKind::Snapshot, CheckpointKind::Incremental] {
        let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
        let (store, _) = open(Durability::EveryOperation, &directory, &disk);
        let options = CheckpointOptions::default().with_kind(kind).with_index(true);
        store.checkpoint_to(&directory, &options).unwrap();
        let (directory, disk) = crash(&directory, &disk);
        let (store, report) = open(Durability::EveryOperation, &directory, &disk);
        assert_eq!(report.unwrap().records, 0, "{kind:?}");
        store.checkpoint_to(&directory, &options).unwrap();
        store.start_session().upsert(1, 2).unwrap();
        let (directory, disk) = crash(&directory, &disk);
        let (store, _) = open(Durability::EveryOperation, &directory, &disk);
        assert_eq!(read_all(&store, 3), HashMap::from([(1, 2)]), "{kind:?}");
    }
}

/// What a compaction gives up is still what the newest checkpoint and the log behind it begin with.
#[test]
fn a_durable_store_that_was_compacted_comes_back_whole() {
    const KEYS: u64 = 400;
    for checkpoints in [false, true] {
        let (mut directory, mut disk) = (MemoryDirectory::new(), MemoryDisk::new());
        let mut expected = HashMap::new();
        for life in 0..3u64 {
            let (store, _) = open(RARELY, &directory, &disk);
            assert_eq!(read_all(&store, KEYS), expected, "life {life}, checkpoints: {checkpoints}");
            let mut session = store.start_session();
            for round in 0..6 {
                for key in 0..KEYS {
                    let value = life * 100 + round;
                    if (key + value) % 7 == 0 {
                        session.delete(&key).unwrap();
                        expected.remove(&key);
                    } else if key % 3 != 0 || round == 0 {
                        session.upsert(key, value).unwrap();
                        expected.insert(key, value);
                    }
                }
                let addresses = store.addresses();
                let half = addresses.begin.get() + (addresses.tail.get() - addresses.begin.get()) / 2;
                store.log_compact_until(Address::new(half)).unwrap();
                if checkpoints && round == 3 {
                    let options = CheckpointOptions::default().with_index(life == 1).with_keep_last(1);
                    store.checkpoint_to(&directory, &options).unwrap();
                    store.log_compact_until(store.addresses().tail).unwrap();
                    assert!(store.given_back().is_valid(), "the checkpoint begins where the log does");
                }
            }
            session.wait_durable().unwrap();
            (directory, disk) = crash(&directory, &disk);
        }
    }
}

/// Transactions that write all keys, each larger than a block; and a log that ends at any block.
#[test]
fn a_log_that_ends_anywhere_has_whole_transactions() {
    const KEYS: u64 = 200;
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    let large = || config(RARELY).with_page_size_bits(14).with_log_memory_size(256 << 10);
    let (store, _) = try_open(large(), &directory, &disk).unwrap();
    let mut session = store.start_named_session(1).unwrap();
    let mut beside = store.start_session();
    let geometry = store.database.kernel.log.geometry();
    let first = geometry.block_of(store.addresses().tail);
    for round in 1..=12u64 {
        session
            .transaction(|transaction| {
                (0..KEYS).for_each(|key| transaction.upsert(key, round));
                if round % 3 == 0 {
                    transaction.delete(round);
                }
                Ok(())
            })
            .unwrap();
        beside.upsert(1000 + round, round).unwrap();
    }
    assert_eq!((session.serial(), store.stats().operations.transactions), (12, 12));
    store.flush().unwrap();
    let last = geometry.block_of(store.addresses().tail);
    assert!(last > 15, "{last} blocks");
    let mut before = 12;
    for block in (first..=last).rev() {
        let (directory, disk) = crash(&directory, &disk);
        damage_at(&disk, geometry.device_offset(block) + 17);
        let (again, _) = try_open(large(), &directory, &disk).unwrap();
        let all = read_all(&again, KEYS);
        let round = all.values().copied().max().unwrap_or(0);
        assert!(round <= before, "{round} after {before}: the log ends before block {block} of {last}");
        before = round;
        let expected = (0..KEYS).filter(|key| round > 0 && !(round % 3 == 0 && *key == round));
        assert_eq!(all, expected.map(|key| (key, round)).collect(), "the log ends before block {block}");
        let serial = again.get_recovered_sessions().iter().find(|cut| cut.guid == 1).map_or(0, |cut| cut.serial);
        assert_eq!(serial, round, "a transaction is one operation");
    }
    assert_eq!(before, 0);
}

#[test]
fn a_transaction_waits_until_it_is_durable() {
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    let (store, _) = open(Durability::EveryOperation, &directory, &disk);
    let mut session = store.start_session();
    for round in 0..20u64 {
        let moved = session.transaction(|transaction| {
            let value = transaction.read(&(round % 3))?.unwrap_or(0);
            transaction.delete(round % 3);
            transaction.upsert((round + 1) % 3, value + 1);
            Ok(value + 1)
        });
        let expected = HashMap::from([((round + 1) % 3, moved.unwrap())]);
        let (directory, disk) = crash(&directory, &disk);
        assert_eq!(read_all(&open(Durability::EveryOperation, &directory, &disk).0, 3), expected, "round {round}");
    }
}
