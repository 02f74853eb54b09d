//! The conformance suite: what every device must pass, for those who write one.
//!
//! ```
//! use oxifaster::device::{MemoryDisk, conformance};
//!
//! conformance::check_device(MemoryDisk::new);
//! ```
//!
//! A violation panics with the name of the clause (see [`StorageDevice`]). Two clauses cannot be checked from outside
//! alone: C7 needs a device whose sync can be made to fail ([`check_sync_failure`]), and C9 (no allocation per access) is
//! left to the profiler, except that a device has to bring back the very buffer it was given.

mod channel;

use super::{CompletionQueue, CompletionSink, DeviceInfo, IoDone, IoOp, IoRequest, StorageDevice, Token};
use crate::error::ErrorKind;
use crate::memory::{AlignedBuf, IoBuf};
use crate::sync::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// How long a completion may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);
/// Accesses that are under way at once where a clause is about many.
const DEPTH: usize = 64;
const THREADS: u64 = 4;

/// Runs every clause that can be checked on any device. `make` gives a new device each time; what it holds already is
/// left alone.
///
/// # Panics
/// If the device violates a clause.
pub fn check_device<D: StorageDevice>(make: impl Fn() -> D) {
    c1_every_request_completes_once(&make());
    c1_requests_in_flight_complete_when_the_device_is_dropped(make());
    c1_the_last_owner_may_be_dropped_by_a_completion(make(), IoOp::Write);
    c1_the_last_owner_may_be_dropped_by_a_completion(make(), IoOp::Read);
    c2_the_buffer_comes_back(&make());
    c3_a_completion_may_submit(make());
    c3_threads_do_not_disturb_each_other(make());
    c5_a_sync_completes_after_the_writes_it_covers(&make());
    c5_small_writes_between_syncs_stay(&make());
    c6_reads_are_short_at_the_end_only(&make());
    c8_truncation_is_idempotent(&make());
    c10_wrong_requests_are_refused(&make());
    c11_a_write_through_is_there(&make());
    channel::check(&make);
}

/// C7 on a device whose syncs fail once `break_sync` was called.
///
/// # Panics
/// If the device violates the clause.
pub fn check_sync_failure<D: StorageDevice>(device: &D, break_sync: impl FnOnce()) {
    let bench = Bench::new(device);
    bench.write("C7", 0, 1);
    break_sync();
    let failure = bench.run("C7", IoRequest::sync());
    demand(failure.result.is_err(), "C7", "a sync that cannot succeed reports an error");
    for op in [IoOp::Write, IoOp::Sync, IoOp::Write] {
        let request = match op {
            IoOp::Sync => IoRequest::sync(),
            _ => bench.write_request(1, 1),
        };
        let refusal = bench.run("C7", request).result;
        let refused = matches!(&refusal, Err(error) if error.kind() == ErrorKind::DeviceFailed);
        demand(refused, "C7", "after a failed sync, writes and syncs are refused with DeviceFailed");
    }
    if bench.info.readable {
        bench.expect_written("C7", 0, 1);
    }
}

/// Fails the suite unless `holds`.
fn demand(holds: bool, clause: &str, rule: &str) {
    assert!(holds, "clause {clause} is violated: {rule}");
}

/// A device with an inbox for its completions. Offsets are in sectors after what the device held at first.
struct Bench<'a, D> {
    device: &'a D,
    info: DeviceInfo,
    queue: Arc<CompletionQueue>,
}

impl<'a, D: StorageDevice> Bench<'a, D> {
    fn new(device: &'a D) -> Self {
        let info = device.info();
        demand(info.sector_size.is_power_of_two(), "C10", "the sector size is a power of two");
        demand(info.sector_size <= AlignedBuf::ALIGN, "C10", "buffers are aligned to sectors");
        Self { device, info, queue: CompletionQueue::new() }
    }

    fn offset(&self, sector: u64) -> u64 {
        let size = self.info.sector_size as u64;
        (self.info.extent.div_ceil(size) + sector) * size
    }

    fn submit(&self, request: IoRequest, token: Token) {
        self.device.submit(request, self.sink(), token);
    }

    fn sink(&self) -> Arc<dyn CompletionSink> {
        Arc::clone(&self.queue) as Arc<dyn CompletionSink>
    }

    fn run(&self, clause: &str, request: IoRequest) -> IoDone {
        self.submit(request, Token::MAX);
        let (token, done) = take(&self.queue, clause);
        demand(token == Token::MAX, clause, "a completion carries the token of its request");
        done
    }

    fn read_request(&self, sector: u64, sectors: usize) -> IoRequest {
        let len = sectors * self.info.sector_size;
        let mut buf = AlignedBuf::zeroed(len);
        // What a device leaves as it was must not look like the zeros of a hole.
        buf.fill(0xEE);
        IoRequest::read(self.offset(sector), len, buf)
    }

    fn write_request(&self, sector: u64, sectors: usize) -> IoRequest {
        let len = sectors * self.info.sector_size;
        let mut buf = AlignedBuf::zeroed(len);
        self.fill(sector, &mut buf);
        IoRequest::write(self.offset(sector), len, buf)
    }

    /// Bytes that tell where on the device they belong.
    fn fill(&self, sector: u64, buf: &mut [u8]) {
        for (index, chunk) in (sector..).zip(buf.chunks_mut(self.info.sector_size)) {
            for (place, byte) in chunk.iter_mut().enumerate() {
                *byte = (index as u8).wrapping_mul(31).wrapping_add(place as u8) | 1;
            }
        }
    }

    fn write(&self, clause: &str, sector: u64, sectors: usize) {
        let len = sectors * self.info.sector_size;
        let result = self.run(clause, self.write_request(sector, sectors)).result;
        demand(matches!(result, Ok(written) if written == len), clause, "a write reports all of its bytes");
    }

    fn expect_written(&self, clause: &str, sector: u64, sectors: usize) {
        let done = self.run(clause, self.read_request(sector, sectors));
        self.expect_content(clause, sector, sectors, &done);
    }

    fn expect_content(&self, clause: &str, sector: u64, sectors: usize, done: &IoDone) {
        let len = sectors * self.info.sector_size;
        demand(matches!(done.result, Ok(read) if read == len), clause, "a read below the end is not short");
        let mut expected = vec![0; len];
        self.fill(sector, &mut expected);
        demand(done.buf[..len] == expected[..], clause, "a read gives what was written");
    }
}

#[allow(clippy::panic, reason = "the result of a test suite")]
fn take(queue: &CompletionQueue, clause: &str) -> (Token, IoDone) {
    match queue.take_within(PATIENCE) {
        Some(completion) => completion,
        None => panic!("clause {clause} is violated: a request did not complete within {PATIENCE:?}"),
    }
}

/// Takes `count` completions and sees that each of the tokens from zero on comes once.
fn take_each_once(queue: &CompletionQueue, count: usize, clause: &str) -> Vec<IoDone> {
    let mut completions: Vec<_> = (0..count).map(|_| take(queue, clause)).collect();
    completions.sort_by_key(|(token, _)| *token);
    let once = completions.iter().zip(0..).all(|((token, _), expected)| *token == expected);
    demand(once, clause, "each request completes exactly once, under its token");
    completions.into_iter().map(|(_, done)| done).collect()
}

fn c1_every_request_completes_once<D: StorageDevice>(device: &D) {
    let bench = Bench::new(device);
    for token in 0..DEPTH as u64 {
        let request = match token % 8 {
            5 => IoRequest::sync(),
            6 => IoRequest::truncate_before(0),
            7 => bench.read_request(token, 1),
            _ => bench.write_request(token * 3, 3),
        };
        bench.submit(request, token);
    }
    take_each_once(&bench.queue, DEPTH, "C1");
    // Whatever came twice came before this one, or is about to come.
    bench.run("C1", IoRequest::sync());
    demand(bench.queue.try_take().is_none(), "C1", "nothing completes twice");
}

fn c1_requests_in_flight_complete_when_the_device_is_dropped<D: StorageDevice>(device: D) {
    let queue = {
        let bench = Bench::new(&device);
        bench.write("C1", 0, DEPTH * 5);
        for token in 0..DEPTH as u64 {
            let request = match token % 16 {
                9 => IoRequest::sync(),
                10.. => bench.read_request(token * 5, 5),
                _ => bench.write_request(token * 5, 5),
            };
            bench.submit(request, token);
        }
        bench.queue
    };
    drop(device);
    take_each_once(&queue, DEPTH, "C1");
    demand(queue.try_take().is_none(), "C1", "nothing completes twice");
}

/// Forwards a completion, and drops an owner of the device before: the last one, unless the completion comes within
/// `submit`.
struct Owner<D> {
    device: Mutex<Option<Arc<D>>>,
    submitter: ThreadId,
    others_gone: Mutex<bool>,
    changed: Condvar,
    queue: Arc<CompletionQueue>,
}

impl<D: StorageDevice> CompletionSink for Owner<D> {
    fn complete(&self, token: Token, done: IoDone) {
        if thread::current().id() != self.submitter {
            let others_gone = self.others_gone.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.changed.wait_timeout_while(others_gone, PATIENCE, |gone| !*gone));
        }
        drop(self.device.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.queue.complete(token, done);
    }
}

fn c1_the_last_owner_may_be_dropped_by_a_completion<D: StorageDevice>(device: D, op: IoOp) {
    Bench::new(&device).write("C1", 0, 8);
    let device = Arc::new(device);
    let queue = CompletionQueue::new();
    let owner = Arc::new(Owner {
        device: Mutex::new(Some(Arc::clone(&device))),
        submitter: thread::current().id(),
        others_gone: Mutex::new(false),
        changed: Condvar::new(),
        queue: Arc::clone(&queue),
    });
    let bench = Bench::new(&*device);
    let request = |sector, op| match op {
        IoOp::Read => bench.read_request(sector, 1),
        _ => bench.write_request(sector, 1),
    };
    device.submit(request(0, op), Arc::clone(&owner) as Arc<dyn CompletionSink>, 0);
    for token in 1..8 {
        let op = if token % 2 == 0 { IoOp::Read } else { IoOp::Write };
        device.submit(request(token, op), Arc::clone(&queue) as Arc<dyn CompletionSink>, token);
    }
    drop(device);
    *owner.others_gone.lock().unwrap_or_else(PoisonError::into_inner) = true;
    owner.changed.notify_all();
    take_each_once(&queue, 8, "C1");
}

fn c2_the_buffer_comes_back<D: StorageDevice>(device: &D) {
    let bench = Bench::new(device);
    let sector = bench.info.sector_size;
    let requests = [
        bench.write_request(0, 4),
        bench.read_request(0, 4),
        bench.read_request(1_000_000, 1),
        IoRequest::write(1, sector, AlignedBuf::zeroed(sector)),
        IoRequest::read(0, 2 * sector, AlignedBuf::zeroed(sector)),
    ];
    for request in requests {
        let (start, len) = (request.buf.as_ptr(), request.buf.len());
        let done = bench.run("C2", request);
        demand(done.buf.as_ptr() == start && done.buf.len() == len, "C2", "the very buffer comes back");
    }
}

/// Submits the next request of a chain within the completion of the one before.
struct Chain<D> {
    this: Weak<Self>,
    device: Weak<D>,
    begin: u64,
    left: AtomicUsize,
    queue: Arc<CompletionQueue>,
}

impl<D: StorageDevice> CompletionSink for Chain<D> {
    fn complete(&self, token: Token, done: IoDone) {
        let next = self.left.fetch_sub(1, Ordering::AcqRel) > 1;
        match (next, self.this.upgrade(), self.device.upgrade()) {
            (true, Some(this), Some(device)) => {
                let len = done.buf.len();
                let offset = self.begin + (token + 1) * len as u64;
                device.submit(IoRequest::write(offset, len, done.buf), this, token + 1);
            }
            _ => self.queue.complete(token, done),
        }
    }
}

fn c3_a_completion_may_submit<D: StorageDevice>(device: D) {
    let device = Arc::new(device);
    let bench = Bench::new(&*device);
    let chain = Arc::new_cyclic(|this| Chain {
        this: this.clone(),
        device: Arc::downgrade(&device),
        begin: bench.offset(0),
        left: AtomicUsize::new(DEPTH),
        queue: Arc::clone(&bench.queue),
    });
    device.submit(bench.write_request(0, 1), chain, 0);
    let (token, _) = take(&bench.queue, "C3");
    demand(token == DEPTH as u64 - 1, "C3", "a completion may submit the next request");
}

/// Nobody polls here or anywhere else in the suite, so this is C4 as well.
fn c3_threads_do_not_disturb_each_other<D: StorageDevice>(device: D) {
    const SECTORS: usize = 3;
    let shared = Bench::new(&device);
    let shared = &shared;
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                let bench = Bench { queue: CompletionQueue::new(), ..*shared };
                let place = |token: u64| (token * THREADS + thread) * SECTORS as u64;
                for token in 0..DEPTH as u64 {
                    bench.submit(bench.write_request(place(token), SECTORS), token);
                }
                take_each_once(&bench.queue, DEPTH, "C4");
                if !bench.info.readable {
                    return;
                }
                for token in 0..DEPTH as u64 {
                    bench.submit(bench.read_request(place(token), SECTORS), token);
                }
                for (token, done) in (0..).zip(take_each_once(&bench.queue, DEPTH, "C4")) {
                    bench.expect_content("C3", place(token), SECTORS, &done);
                }
            });
        }
    });
}

fn c5_a_sync_completes_after_the_writes_it_covers<D: StorageDevice>(device: &D) {
    let bench = Bench::new(device);
    bench.write("C5", 0, 8);
    for token in 0..8 {
        bench.submit(IoRequest::sync(), token);
    }
    let all_good = take_each_once(&bench.queue, 8, "C5").iter().all(|done| matches!(done.result, Ok(0)));
    demand(all_good, "C5", "a sync on a sound device succeeds and reports zero bytes");
    if bench.info.readable {
        bench.expect_written("C5", 0, 8);
    }
}

/// What a device does to make small writes durable quickly must not touch what others write.
fn c5_small_writes_between_syncs_stay<D: StorageDevice>(device: &D) {
    const AT_ONCE: u64 = 4;
    const ROUNDS: u64 = 150;
    let bench = Bench::new(device);
    for first in (0..ROUNDS).map(|round| round * AT_ONCE) {
        for token in 0..AT_ONCE {
            let sector = first + (token + first / 4) % AT_ONCE;
            bench.submit(bench.write_request(sector, 1), token);
        }
        take_each_once(&bench.queue, AT_ONCE as usize, "C5");
        demand(bench.run("C5", IoRequest::sync()).result.is_ok(), "C5", "a sync on a sound device succeeds");
    }
    if bench.info.readable {
        bench.expect_written("C5", 0, (ROUNDS * AT_ONCE) as usize);
    }
}

fn c6_reads_are_short_at_the_end_only<D: StorageDevice>(device: &D) {
    let bench = Bench::new(device);
    let size = bench.info.sector_size;
    if !bench.info.readable {
        let refused = bench.run("C6", bench.read_request(0, 1)).result.is_err();
        return demand(refused, "C6", "a device that cannot be read says so");
    }
    bench.write("C6", 0, 1);
    // Far enough for whatever the device allocates at once to lie between.
    bench.write("C6", 200, 2);
    bench.expect_written("C6", 200, 2);
    let hole = bench.run("C6", bench.read_request(1, 199));
    demand(matches!(hole.result, Ok(read) if read == 199 * size), "C6", "a read below the end is not short");
    demand(hole.buf.iter().all(|byte| *byte == 0), "C6", "what was never written reads as zeros");
    let across = bench.run("C6", bench.read_request(201, 4));
    demand(matches!(across.result, Ok(read) if read == size), "C6", "a read across the end stops at the end");
    let beyond = bench.run("C6", bench.read_request(1_000, 1));
    demand(matches!(beyond.result, Ok(0)), "C6", "a read beyond the end gives nothing, and is no error");
    let nothing = bench.run("C6", bench.read_request(0, 0));
    demand(matches!(nothing.result, Ok(0)), "C6", "an access to no bytes is a success");
}

fn c8_truncation_is_idempotent<D: StorageDevice>(device: &D) {
    let bench = Bench::new(device);
    bench.write("C8", 0, 64);
    for sector in [32, 32, 7, 32] {
        let done = bench.run("C8", IoRequest::truncate_before(bench.offset(sector)));
        demand(matches!(done.result, Ok(0)), "C8", "a truncation may be repeated, also with a lower offset");
    }
    let begin = device.info().begin;
    demand(begin <= bench.offset(32), "C8", "a device does not begin behind what was truncated");
    if bench.info.readable {
        bench.expect_written("C8", 32, 32);
        let below = bench.run("C8", bench.read_request(31, 1));
        if below.result.is_ok() {
            // What was given up reads as it was or as zeros, and never as anything else.
            let is_freed = below.buf.iter().all(|byte| *byte == 0);
            if !is_freed {
                bench.expect_content("C8", 31, 1, &below);
            }
        }
    }
    bench.write("C8", 64, 4);
    let beyond = bench.run("C8", IoRequest::truncate_before(bench.offset(1_000)));
    demand(matches!(beyond.result, Ok(0)), "C8", "a truncation may name an offset beyond the end");
    bench.write("C8", 1_000, 4);
    if bench.info.readable {
        bench.expect_written("C8", 1_000, 4);
    }
}

fn c10_wrong_requests_are_refused<D: StorageDevice>(device: &D) {
    let bench = Bench::new(device);
    let size = bench.info.sector_size;
    let buf = || AlignedBuf::zeroed(2 * size);
    let last_sector = u64::MAX - (size as u64 - 1);
    let wrong = [
        IoRequest::write(1, size, buf()),
        IoRequest::write(size as u64 / 2, size, buf()),
        IoRequest::write(0, size - 1, buf()),
        IoRequest::write(0, 3 * size, buf()),
        IoRequest::write(last_sector, 2 * size, buf()),
        IoRequest::read(1, size, buf()),
        IoRequest::read(0, size + 1, buf()),
        IoRequest::read(0, 3 * size, buf()),
        IoRequest::read(last_sector, size, buf()),
    ];
    for request in wrong {
        let result = bench.run("C10", request).result;
        let refused = matches!(&result, Err(error) if error.kind() == ErrorKind::Config);
        demand(refused, "C10", "a request that cannot be carried out is refused with Config");
    }
    for request in [IoRequest::write(0, size, IoBuf::empty()), IoRequest::read(0, size, IoBuf::empty())] {
        let result = bench.run("C10", request).result;
        let refused = matches!(&result, Err(error) if error.kind() == ErrorKind::Limit);
        demand(refused, "C10", "a request for whose buffer there was no memory is refused with Limit");
    }
    bench.write("C10", 0, 2);
}

fn c11_a_write_through_is_there<D: StorageDevice>(device: &D) {
    const ROUNDS: u64 = 200;
    let bench = Bench::new(device);
    for sector in 0..ROUNDS {
        let request = bench.write_request(sector, 1);
        let (start, len) = (request.buf.as_ptr(), request.len);
        let buf = match device.write_through(request, PATIENCE) {
            Ok(done) => {
                demand(matches!(done.result, Ok(written) if written == len), "C11", "it reports all of its bytes");
                done.buf
            }
            Err(request) => {
                let done = bench.run("C11", request);
                demand(done.result.is_ok(), "C11", "a request that was given back can be submitted");
                demand(bench.run("C11", IoRequest::sync()).result.is_ok(), "C11", "the device is as sound as before");
                done.buf
            }
        };
        demand(buf.as_ptr() == start, "C11", "the very buffer comes back");
    }
    if bench.info.readable {
        bench.expect_written("C11", 0, ROUNDS as usize);
    }
    let wrong = IoRequest::write(1, bench.info.sector_size, AlignedBuf::zeroed(bench.info.sector_size));
    let refused = device.write_through(wrong, PATIENCE).map_or(true, |done| done.result.is_err());
    demand(refused, "C11", "a wrong request is given back or refused");
}
