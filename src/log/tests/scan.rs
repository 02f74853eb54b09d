//! Scans from memory and from the device, and as futures.

use super::{data, entries, open};
use crate::device::{CompletionSink, DeviceInfo, IoOp, IoRequest, MemoryDisk, StorageDevice, Token};
use crate::error::{Error, ErrorKind};
use crate::log::{FasterLog, FasterLogConfig};
use crate::sync::{Arc, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// A disk that counts its reads, and fails them when it is told to.
#[derive(Default)]
struct Counting {
    disk: MemoryDisk,
    reads: AtomicU64,
    bytes: AtomicU64,
    fails: AtomicU64,
}

struct Handle(Arc<Counting>);

impl StorageDevice for Handle {
    fn submit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        if request.op == IoOp::Read {
            self.0.reads.fetch_add(1, Ordering::SeqCst);
            self.0.bytes.fetch_add(request.len as u64, Ordering::SeqCst);
            if self.0.fails.load(Ordering::SeqCst) > 0 {
                return sink.complete(token, request.done(Err(Error::new(ErrorKind::Io, "as planned"))));
            }
        }
        self.0.disk.submit(request, sink, token);
    }

    fn info(&self) -> DeviceInfo {
        self.0.disk.info()
    }
}

#[test]
fn what_is_in_memory_is_scanned_without_the_device_and_the_rest_in_large_accesses() {
    let device = Arc::new(Counting::default());
    let config = FasterLogConfig::default().with_commit_interval(None);
    let log = FasterLog::open(config.clone(), Handle(Arc::clone(&device))).unwrap();
    let count = 30_000;
    for number in 0..count {
        log.append(&data(number, 300)).unwrap();
    }
    log.commit().unwrap();
    let reads = || device.reads.load(Ordering::SeqCst);
    let before = reads();
    assert_eq!(log.scan(..).count() as u64, count);
    assert_eq!(reads(), before, "all of it is in memory");
    drop(log);
    let log = FasterLog::open(config, Handle(Arc::clone(&device))).unwrap();
    let before = reads();
    let found = entries(&log);
    assert!(
        found.iter().zip(0..).all(|((_, found), number)| *found == data(number, 300)) && found.len() as u64 == count
    );
    assert!(reads() - before < 20, "{} reads of 9 MB", reads() - before);
    let (before, bytes) = (reads(), device.bytes.load(Ordering::SeqCst));
    assert_eq!(log.scan(..).next().unwrap().unwrap(), found[0]);
    assert_eq!(reads() - before, 1);
    assert!(device.bytes.load(Ordering::SeqCst) - bytes <= 64 << 10, "who wants one entry pays for little more");
    device.fails.store(1, Ordering::SeqCst);
    let mut scan = log.scan(..);
    assert_eq!(scan.try_next().unwrap_err().kind(), ErrorKind::Io);
    assert!(scan.try_next().unwrap().is_none(), "a scan that failed is at its end");
}

#[test]
fn a_scan_goes_on_behind_what_is_given_up_under_it() {
    let log = open(&MemoryDisk::new());
    let addresses: Vec<_> = (0..400).map(|number| log.append(&data(number, 300)).unwrap()).collect();
    log.commit().unwrap();
    let mut scan = log.scan(..);
    assert_eq!(scan.next_entry().unwrap().unwrap(), (addresses[0], data(0, 300).as_slice()));
    log.truncate_before(addresses[350]).unwrap();
    let rest: Vec<_> = scan.map(|entry| entry.unwrap().0).collect();
    assert!(rest.ends_with(&addresses[350..]) && rest.is_sorted());
}

struct Count(AtomicU64);

impl Wake for Count {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_scan_is_polled_and_woken_when_there_is_more() {
    let log = open(&MemoryDisk::new());
    let count = std::sync::Arc::new(Count(AtomicU64::new(0)));
    let waker = Waker::from(std::sync::Arc::clone(&count));
    let mut context = Context::from_waker(&waker);
    let woken = || count.0.load(Ordering::SeqCst);
    let mut scan = log.scan(..);
    assert!(scan.poll_next(&mut context).is_pending());
    let first = log.append(b"first").unwrap();
    assert!(scan.poll_next(&mut context).is_pending() && woken() == 0, "it is not durable");
    log.commit().unwrap();
    assert!(woken() > 0);
    let expected = Poll::Ready(Some((first, b"first".to_vec())));
    assert_eq!(scan.poll_next(&mut context).map(|entry| entry.map(Result::unwrap)), expected);
    assert!(scan.poll_next(&mut context).is_pending());
    let before = woken();
    log.append(b"last").unwrap();
    log.complete().unwrap();
    assert!(woken() > before);
    assert!(matches!(scan.poll_next(&mut context), Poll::Ready(Some(Ok(_)))));
    assert!(matches!(scan.poll_next(&mut context), Poll::Ready(None)), "the log is complete");
}

#[test]
fn a_future_of_a_scan_ends_with_the_failure_of_the_log() {
    let log = open(&MemoryDisk::new());
    let mut scan = log.scan(..);
    let waker = Waker::noop();
    assert!(scan.poll_next(&mut Context::from_waker(waker)).is_pending());
    log.core.group.fail(Error::new(ErrorKind::DeviceFailed, "as planned"));
    let Poll::Ready(Some(Err(error))) = scan.poll_next(&mut Context::from_waker(waker)) else { panic!("no error") };
    assert_eq!(error.kind(), ErrorKind::DeviceFailed);
    assert!(matches!(scan.poll_next(&mut Context::from_waker(waker)), Poll::Ready(None)));
}

#[test]
fn nobody_waits_for_what_was_not_appended() {
    let log = open(&MemoryDisk::new());
    let started = Instant::now();
    assert_eq!(log.wait_durable(log.tail()).unwrap_err().kind(), ErrorKind::NotFound);
    let mut future = std::pin::pin!(log.durable(log.tail()));
    let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Err(error)) if error.kind() == ErrorKind::NotFound));
    assert!(started.elapsed() < Duration::from_secs(10));
}
