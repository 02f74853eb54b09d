//! Futures are ready at once when memory can answer, need no particular executor, and can be dropped at any time.

use super::executor::block_on;
use oxifaster::device::{FaultyDisk, IoOp, MemoryDisk, StorageDevice};
use oxifaster::store::{AsyncSession, FasterKv, FasterKvConfig};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

const KEYS: u64 = 2000;

fn store<D: StorageDevice>(device: D) -> FasterKv<u64, [u64; 4], D> {
    let config = FasterKvConfig::default().with_log_memory_size(64 << 10).with_page_size_bits(12).with_table_size(256);
    FasterKv::open(config.with_max_pending(16), device).unwrap()
}

/// Polls once, with nobody to wake.
pub(super) fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Writes more than memory holds, changes some of it, and reads everything back with all reads in flight.
async fn work(mut session: AsyncSession<u64, [u64; 4]>, first: u64) {
    for key in first..first + KEYS {
        session.upsert(key, [key; 4]).await.unwrap();
    }
    let changes: Vec<_> = (first..first + KEYS)
        .step_by(3)
        .map(|key| {
            session.rmw(key, |value| {
                value[3] += 1;
                true
            })
        })
        .collect();
    for change in changes {
        assert!(change.await.unwrap());
    }
    session.delete(&first).await.unwrap();
    assert!(session.insert(first, [7; 4]).await.unwrap());
    assert!(!session.insert(first + 1, [7; 4]).await.unwrap());
    let reads: Vec<_> = (first..first + KEYS).map(|key| (key, session.read(&key))).collect();
    for (key, read) in reads {
        let changed = u64::from((key - first).is_multiple_of(3));
        let expected = if key == first { [7; 4] } else { [key, key, key, key + changed] };
        assert_eq!(read.await.unwrap(), Some(expected), "key {key}");
    }
    assert_eq!(session.read(&u64::MAX).await.unwrap(), None);
}

#[test]
fn what_memory_can_answer_is_ready_at_the_first_poll() {
    let store = store(MemoryDisk::new());
    let mut session = store.start_async_session();
    assert!(matches!(poll_once(session.upsert(1, [1; 4])), Poll::Ready(Ok(()))));
    assert!(matches!(poll_once(session.read(&1)), Poll::Ready(Ok(Some([1, 1, 1, 1])))));
    assert!(matches!(
        poll_once(session.rmw(1, |value| {
            value[0] = 2;
            true
        })),
        Poll::Ready(Ok(true))
    ));
    assert!(matches!(poll_once(session.insert(1, [3; 4])), Poll::Ready(Ok(false))));
    assert!(matches!(poll_once(session.delete(&1)), Poll::Ready(Ok(()))));
    assert!(matches!(poll_once(session.read(&1)), Poll::Ready(Ok(None))));
}

/// A future that has to wait has copies of what it was lent.
#[test]
fn what_is_borrowed_need_not_outlive_the_call() {
    let config = FasterKvConfig::default().with_log_memory_size(64 << 10).with_page_size_bits(12).with_table_size(256);
    let disk = FaultyDisk::new(MemoryDisk::new());
    let plan = disk.plan();
    let store: FasterKv<String, Vec<u8>, _> = FasterKv::open(config, disk).unwrap();
    let mut session = store.start_async_session();
    for key in 0..100u8 {
        block_on(session.upsert_ref(key.to_string().as_str(), &[key; 50][..])).unwrap();
    }
    store.evict().unwrap();
    plan.pause_only(IoOp::Read);
    let mut reads: Vec<_> = (0..100u8).map(|key| Box::pin(session.read(key.to_string().as_str()))).collect();
    let mut nobody = Context::from_waker(Waker::noop());
    assert!(reads.iter_mut().all(|read| read.as_mut().poll(&mut nobody).is_pending()));
    plan.resume();
    for (key, read) in (0..100u8).zip(reads) {
        assert_eq!(block_on(read).unwrap(), Some(vec![key; 50]));
    }
    // Writers that find no room on the page wait for it to be written.
    plan.pause_only(IoOp::Write);
    let mut writes = Vec::new();
    let full = loop {
        let key = format!("new {}", writes.len());
        let mut write = Box::pin(session.upsert_ref(key.as_str(), vec![7; 900].as_slice()));
        if write.as_mut().poll(&mut nobody).is_pending() {
            break write;
        }
        writes.push(key);
        assert!(writes.len() < 1000, "more than memory has room for");
    };
    plan.resume();
    block_on(full).unwrap();
    writes.push(format!("new {}", writes.len()));
    for key in &writes {
        assert_eq!(block_on(session.read(key)).unwrap(), Some(vec![7; 900]), "{key}");
        block_on(session.delete(key.as_str())).unwrap();
        assert_eq!(block_on(session.read(key)).unwrap(), None, "{key}");
    }
}

#[test]
fn a_hand_written_executor_is_enough() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(oxifaster::device::FileSystemDisk::open(directory.path().join("log")).unwrap());
    block_on(work(store.start_async_session(), 0));
    assert!(store.stats().read_misses > 0);
}

#[test]
fn tasks_of_tokio_move_between_its_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = store(oxifaster::device::FileSystemDisk::open(directory.path().join("log")).unwrap());
    runtime.block_on(async {
        let tasks: Vec<_> = (0..4).map(|task| tokio::spawn(work(store.start_async_session(), task * KEYS))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert!(store.stats().read_misses > 0);
}

#[test]
fn smol_runs_it_too() {
    let store = store(MemoryDisk::new());
    smol::block_on(async {
        let tasks: Vec<_> = (0..4).map(|task| smol::spawn(work(store.start_async_session(), task * KEYS))).collect();
        for task in tasks {
            task.await;
        }
    });
    assert!(store.stats().read_misses > 0);
}

#[test]
fn no_more_accesses_are_under_way_than_configured_and_the_others_follow() {
    let disk = FaultyDisk::new(MemoryDisk::new());
    let plan = disk.plan();
    let store = store(disk);
    let mut session = store.start_async_session();
    for key in 0..100 {
        assert!(poll_once(session.upsert(key, [key; 4])).is_ready());
    }
    store.evict().unwrap();
    plan.pause_only(IoOp::Read);
    let mut reads: Vec<_> = (0..100u64).map(|key| Box::pin(session.read(&key))).collect();
    for read in &mut reads {
        assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(plan.held(), 32, "twice as many as may be pending");
    plan.resume();
    for (key, read) in (0..100).zip(reads) {
        assert_eq!(block_on(read).unwrap(), Some([key; 4]));
    }
}

#[test]
fn futures_that_nobody_polls_any_more_hold_no_other_up() {
    let disk = FaultyDisk::new(MemoryDisk::new());
    let plan = disk.plan();
    let store = store(disk);
    let mut session = store.start_async_session();
    for key in 0..100 {
        assert!(poll_once(session.upsert(key, [key; 4])).is_ready());
    }
    store.evict().unwrap();
    plan.pause_only(IoOp::Read);
    // Each is polled once, for nobody to be woken: some are under way, the others in line.
    let mut reads: Vec<_> = (0..100u64).map(|key| session.read(&key)).collect();
    for read in &mut reads {
        assert!(poll_once(read).is_pending());
    }
    plan.resume();
    // The first ones are never polled again, and the last is awaited first.
    let (left_alone, awaited) = reads.split_at_mut(40);
    for (key, read) in (40..100).rev().zip(awaited.iter_mut().rev()) {
        assert_eq!(block_on(read).unwrap(), Some([key; 4]));
    }
    for (key, read) in (0..40).zip(left_alone) {
        assert_eq!(block_on(read).unwrap(), Some([key; 4]));
    }
}

#[test]
fn a_future_that_is_dropped_leaves_nothing_behind() {
    let disk = FaultyDisk::new(MemoryDisk::new());
    let plan = disk.plan();
    let store = store(disk);
    let mut session = store.start_async_session();
    for key in 0..50 {
        assert!(poll_once(session.upsert(key, [0; 4])).is_ready());
    }
    store.evict().unwrap();
    let increment = |value: &mut [u64; 4]| {
        value[0] += 1;
        true
    };
    // Dropped unpolled, queued, under way, and after its access has ended: many times more than there are permits.
    for round in 0..100 {
        drop(session.rmw(round % 50, increment));
        plan.pause_only(IoOp::Read);
        let mut changes: Vec<_> = (0..50).map(|key| Box::pin(session.rmw(key, increment))).collect();
        for change in &mut changes {
            assert!(change.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        if round % 2 == 0 {
            plan.resume();
        }
        drop(changes);
        plan.resume();
    }
    for key in 0..50 {
        assert!(block_on(session.rmw(key, increment)).unwrap());
        assert_eq!(block_on(session.read(&key)).unwrap(), Some([1, 0, 0, 0]), "only what was awaited took effect");
    }
}

#[test]
fn a_failing_device_fails_the_future() {
    let disk = FaultyDisk::new(MemoryDisk::new());
    let plan = disk.plan();
    let store = store(disk);
    let mut session = store.start_async_session();
    assert!(poll_once(session.upsert(1, [1; 4])).is_ready());
    store.evict().unwrap();
    plan.break_now();
    block_on(session.read(&1)).unwrap_err();
    // Without a device to write to, the log fills up, and then says so.
    let full = (2..100_000).map(|key| block_on(session.upsert(key, [key; 4]))).find_map(Result::err);
    assert_eq!(full.map(|error| error.kind()), Some(oxifaster::ErrorKind::DeviceFailed));
    plan.repair();
    assert_eq!(block_on(session.read(&1)).unwrap(), Some([1; 4]));
    block_on(session.upsert(2, [3; 4])).unwrap();
}

#[test]
fn sessions_and_futures_can_be_sent() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let store = store(MemoryDisk::new());
    let mut session = is_send(store.start_async_session());
    let read = is_send(session.read(&1));
    drop(session);
    assert!(matches!(poll_once(read), Poll::Ready(Ok(None))));
}
