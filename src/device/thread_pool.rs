//! Threads that carry out blocking accesses and complete them.
//!
//! ```text
//!   submit --> accesses --+
//!                         +--> worker --> BlockingDevice --> sink.complete
//!   submit --> syncs -----+     (at most one worker is in a sync; it answers all that wait)
//!   sync_turn --> a caller syncs by itself, and no worker does
//! ```
//!
//! * **W1** A request is in exactly one place: in a queue, or in the hands of one worker. It leaves the worker by its
//!   completion only.
//! * **W2** A queue that is not empty has at least one live worker, and no worker leaves while a queue is not empty.
//! * **W3** At most one sync is under way. Those that arrive meanwhile wait and are then answered together by one call: it
//!   begins after they all were submitted, so it covers what each of them has to cover. If two syncs could overlap, the
//!   one could take the kernel's report of a lost write away from the other.

use super::sync_failure::SyncFailure;
use super::{BlockingDevice, CompletionSink, DeviceInfo, IoOp, IoRequest, StorageDevice, Token};
use crate::error::{Error, ErrorKind, Result};
use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

const STACK_SIZE: usize = 256 * 1024;
const THREADS_PER_CORE: usize = 4;
const THREADS_DEFAULT_MAX: usize = 16;

thread_local! {
    /// Where what the workers share lies, whose worker this thread is.
    static AT_WORK_FOR: Cell<usize> = const { Cell::new(0) };
}

/// Makes a [`StorageDevice`] of a [`BlockingDevice`].
///
/// Its threads start when they are first needed: a further one whenever a request arrives and all are busy, up to the
/// limit. Dropping the device completes what was accepted and then ends the threads.
#[derive(Debug)]
pub struct ThreadPoolDevice<B: BlockingDevice> {
    shared: Arc<Shared<B>>,
    thread_max: usize,
}

#[derive(Debug)]
struct Shared<B> {
    device: B,
    sector_size: usize,
    queue: Mutex<Queue>,
    arrived: Condvar,
    sync_failure: SyncFailure,
}

#[derive(Debug, Default)]
struct Queue {
    accesses: VecDeque<Job>,
    syncs: Vec<Job>,
    syncing: bool,
    idle: usize,
    closing: bool,
    workers: Vec<JoinHandle<()>>,
}

struct Job {
    request: IoRequest,
    sink: Arc<dyn CompletionSink>,
    token: Token,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("request", &self.request).field("token", &self.token).finish_non_exhaustive()
    }
}

impl<B: BlockingDevice> ThreadPoolDevice<B> {
    /// Lets up to four threads per core, at most sixteen, work on `device`.
    pub fn new(device: B) -> Self {
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
        Self::with_threads(device, (cores * THREADS_PER_CORE).min(THREADS_DEFAULT_MAX))
    }

    /// Lets up to `thread_max` threads, at least one, work on `device`: that many accesses are under way at once.
    pub fn with_threads(device: B, thread_max: usize) -> Self {
        let shared = Shared {
            sector_size: device.info().sector_size,
            device,
            queue: Mutex::default(),
            arrived: Condvar::new(),
            sync_failure: SyncFailure::default(),
        };
        Self { shared: Arc::new(shared), thread_max: thread_max.max(1) }
    }

    /// The device that the threads work on.
    pub fn get_ref(&self) -> &B {
        &self.shared.device
    }

    /// The turn of a sync (W3) for the calling thread: `None` if one is under way or waiting, or has failed.
    #[cfg(all(target_os = "linux", feature = "io_uring"))]
    pub(super) fn sync_turn(&self) -> Option<SyncTurn<'_, B>> {
        self.shared.sync_failure.check(IoOp::Sync).ok()?;
        let mut queue = self.shared.queue();
        if queue.syncing || !queue.syncs.is_empty() {
            return None;
        }
        queue.syncing = true;
        Some(SyncTurn(&self.shared))
    }

    /// Queues `job` and sees to it that a worker is there for it (W2). Gives it back if no thread can be had.
    fn enqueue(&self, job: Job) -> std::result::Result<(), (Job, Error)> {
        let mut queue = self.shared.queue();
        if job.request.op == IoOp::Sync && self.shared.is_at_work_here() {
            // A completion has asked for it. This worker comes to it when that is over, before another one is awake (W2).
            queue.syncs.push(job);
            return Ok(());
        }
        let waiting = queue.accesses.len() + queue.syncs.len();
        if waiting >= queue.idle && queue.workers.len() < self.thread_max {
            match self.start_worker(queue.workers.len()) {
                Ok(worker) => queue.workers.push(worker),
                // The workers that there are will come to it.
                Err(_) if !queue.workers.is_empty() => {}
                Err(error) => return Err((job, error)),
            }
        }
        match job.request.op {
            IoOp::Sync => queue.syncs.push(job),
            IoOp::Read | IoOp::Write | IoOp::TruncateBefore => queue.accesses.push_back(job),
        }
        drop(queue);
        self.shared.arrived.notify_one();
        Ok(())
    }

    fn start_worker(&self, number: usize) -> Result<JoinHandle<()>> {
        let shared = Arc::clone(&self.shared);
        thread::Builder::new()
            .name(format!("oxifaster-io-{number}"))
            .stack_size(STACK_SIZE)
            .spawn(move || shared.work())
            .map_err(|error| {
                Error::new(ErrorKind::Io, "starting a thread for the device")
                    .because(error)
                    .help("raise the limit on threads, or free some memory")
            })
    }
}

impl<B: BlockingDevice> StorageDevice for ThreadPoolDevice<B> {
    fn info(&self) -> DeviceInfo {
        self.shared.device.info()
    }

    fn submit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        let job = Job { request, sink, token };
        if let Err(error) = job.request.check(self.shared.sector_size) {
            return job.complete(Err(error));
        }
        if let Err((job, error)) = self.enqueue(job) {
            job.complete(Err(error));
        }
    }
}

impl<B: BlockingDevice> Drop for ThreadPoolDevice<B> {
    fn drop(&mut self) {
        let workers = {
            let mut queue = self.shared.queue();
            queue.closing = true;
            std::mem::take(&mut queue.workers)
        };
        self.shared.arrived.notify_all();
        // A completion may drop the last owner of the device, on a worker. That worker cannot wait for itself; it finishes
        // the queue like the others and is the owner of what they share.
        let this_thread = thread::current().id();
        if workers.iter().all(|worker| worker.thread().id() != this_thread) {
            for worker in workers {
                // A worker contains every panic of the device and of the sinks, so there is nothing to learn here.
                let _ = worker.join();
            }
        }
    }
}

/// While it lasts, no sync is under way but that of its owner (W3).
#[cfg(all(target_os = "linux", feature = "io_uring"))]
pub(super) struct SyncTurn<'p, B: BlockingDevice>(&'p Shared<B>);

#[cfg(all(target_os = "linux", feature = "io_uring"))]
impl<B: BlockingDevice> SyncTurn<'_, B> {
    /// Notes that it failed.
    pub(super) fn record(&self, failure: &Error) {
        self.0.sync_failure.record(failure);
    }
}

#[cfg(all(target_os = "linux", feature = "io_uring"))]
impl<B: BlockingDevice> Drop for SyncTurn<'_, B> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.syncing = false;
        if !queue.syncs.is_empty() {
            self.0.arrived.notify_one(); // W2: a worker may have passed them over
        }
    }
}

/// What a worker found to do.
enum Task {
    Access(Job),
    Syncs(Vec<Job>),
}

impl<B: BlockingDevice> Shared<B> {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True on its workers.
    fn is_at_work_here(&self) -> bool {
        AT_WORK_FOR.get() == std::ptr::from_ref(self).addr()
    }

    fn work(&self) {
        AT_WORK_FOR.set(std::ptr::from_ref(self).addr());
        while let Some(task) = self.next_task() {
            // A sink that panics has had its completion; the worker goes on.
            let _ = catch_unwind(AssertUnwindSafe(|| match task {
                Task::Access(job) => self.access(job),
                Task::Syncs(jobs) => self.sync(jobs),
            }));
        }
    }

    /// The next task; `None` when the device is closing and nothing is left that this worker could take.
    fn next_task(&self) -> Option<Task> {
        let mut queue = self.queue();
        loop {
            if !queue.syncing && !queue.syncs.is_empty() {
                queue.syncing = true;
                return Some(Task::Syncs(std::mem::take(&mut queue.syncs)));
            }
            if let Some(job) = queue.accesses.pop_front() {
                return Some(Task::Access(job));
            }
            // Syncs that wait for one under way are taken by the worker that is in it.
            if queue.closing {
                return None;
            }
            queue.idle += 1;
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }

    fn access(&self, mut job: Job) {
        let result = self.sync_failure.check(job.request.op).and_then(|()| {
            let request = &mut job.request;
            let (op, offset, len) = (request.op, request.offset, request.len);
            contain(|| match op {
                IoOp::Read => self.device.read_at(offset, &mut request.buf[..len]).map(|read| read.min(len)),
                IoOp::Write => self.device.write_at(offset, &request.buf[..len]).map(|()| len),
                IoOp::TruncateBefore => self.device.truncate_before(offset).map(|()| 0),
                IoOp::Sync => self.device.sync().map(|()| 0),
            })
        });
        job.complete(result);
    }

    /// One sync for all of `jobs` (W3).
    fn sync(&self, jobs: Vec<Job>) {
        let result = self
            .sync_failure
            .check(IoOp::Sync)
            .and_then(|()| contain(|| self.device.sync()).inspect_err(|error| self.sync_failure.record(error)));
        self.queue().syncing = false;
        for job in jobs {
            // One sink's panic must not cost the others their completions.
            let _ = catch_unwind(AssertUnwindSafe(|| job.complete(result.clone().map(|()| 0))));
        }
    }
}

impl Job {
    fn complete(self, result: Result<usize>) {
        let Self { request, sink, token } = self;
        sink.complete(token, request.done(result));
    }
}

/// Calls a device of somebody else's making: its panic must not lose the request.
fn contain<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        Err(Error::new(ErrorKind::DeviceFailed, "the device panicked").with("message", panic_message(&*panic)))
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("none")
}
