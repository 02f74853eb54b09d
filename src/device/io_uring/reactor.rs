//! The reads of those who wait without a thread: one ring, served by one thread.
//!
//! ```text
//!   futures: submit --> inbox --+                        +--> sink.complete
//!                   bell (only if it sleeps)             |
//!                       +-------+--> reactor thread -----+
//!                                     |  ^   one system call starts what has come in,
//!                                     v  |   and waits for the next completion or the bell
//!                                    Ring
//! ```
//!
//! The thread begins with the first such read, sleeps in the kernel while there is nothing to do, and ends with the device.
//! No store that is not asked for futures has one.
//!
//! * **N1** A read is in exactly one place: the inbox, the thread's queue, the ring. It leaves by its completion, or, if the
//!   reactor breaks down before the kernel had it, to the thread pool.
//! * **N2** While the inbox says that the thread is asleep, a read of the bell is in the ring: whoever puts something into
//!   the inbox then rings it, once.

use super::channel::to_repeat;
use super::ring::{Access, FAREWELL, Ring};
use crate::device::file::{FilePool, Next, Part, Reading, SegmentFile};
use crate::device::{CompletionSink, IoDone, IoRequest, StorageDevice, Token};
use crate::error::{Error, ErrorKind};
use crate::memory::{AlignedBuf, IoBuf};
use crate::sync::{AtomicUsize, Mutex, Ordering};
use rustix::event::{EventfdFlags, eventfd};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Places in the ring: reads under way at most, and the bell. Twice the depth at which one thread keeps a disk busy; more
/// only queues up in the kernel, at a price.
const DEPTH: usize = 2 * super::ring::DEPTH + 1;
const STACK_SIZE: usize = 256 * 1024;
/// Bytes that a ring of the bell is read as.
const BELL: usize = size_of::<u64>();
/// After this time a reactor that could not be had is asked for again.
const PAUSE: Duration = Duration::from_secs(1);

/// The reactor of a device.
#[derive(Debug)]
pub(in crate::device) struct Reactor {
    desk: Arc<Desk>,
}

/// Where submitters and the thread meet.
struct Desk {
    inbox: Mutex<Inbox>,
    /// Reads that are finished and whose sinks have not been told.
    landed: Mutex<VecDeque<Landed>>,
    /// How many these are, for those who only want to know whether it is worth a look.
    landed_count: AtomicUsize,
    pool: Arc<FilePool>,
}

struct Landed {
    sink: Arc<dyn CompletionSink>,
    token: Token,
    done: IoDone,
}

struct Inbox {
    arrived: Vec<Errand>,
    service: Service,
    thread: Option<JoinHandle<()>>,
}

/// Whether there is a thread that comes for what is in the inbox.
enum Service {
    /// Nobody has needed it; or it could not be had, the last time at this moment.
    None(Option<Instant>),
    Running {
        bell: Arc<OwnedFd>,
        is_asleep: bool,
    },
    /// The device is going away, or the ring broke down: the thread takes care of what it has, and ends.
    Over,
}

/// A read under way: what it needs next, and whom to tell when it needs nothing more.
struct Errand {
    reading: Reading,
    part: Part,
    sink: Arc<dyn CompletionSink>,
}

/// What a read in the ring reads from.
enum Source {
    File(Arc<SegmentFile>),
    Bell(Arc<OwnedFd>),
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::File(file) => file.as_fd(),
            Self::Bell(bell) => bell.as_fd(),
        }
    }
}

/// What comes back with an access: a read and its sink, or nothing with the bell.
type Owner = Option<(Reading, Arc<dyn CompletionSink>)>;

type ReactorRing = Ring<Source, Owner>;

impl Reactor {
    /// A reactor for the files of `pool`, without a thread so far.
    pub(in crate::device) fn new(pool: &Arc<FilePool>) -> Self {
        let inbox = Inbox { arrived: Vec::new(), service: Service::None(None), thread: None };
        let desk = Desk {
            inbox: Mutex::new(inbox),
            landed: Mutex::new(VecDeque::new()),
            landed_count: AtomicUsize::new(0),
            pool: Arc::clone(pool),
        };
        Self { desk: Arc::new(desk) }
    }

    /// Tells the sinks of reads that are finished, in the place of the thread; returns how many that were.
    pub(in crate::device) fn poll(&self) -> usize {
        if self.desk.landed_count.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let landed = {
            let mut landed = self.desk.landed.lock();
            self.desk.landed_count.store(0, Ordering::Relaxed);
            std::mem::take(&mut *landed)
        };
        let count = landed.len();
        landed.into_iter().for_each(Landed::tell);
        count
    }

    /// Has a read carried out, by the thread pool if there is no ring to be had.
    pub(in crate::device) fn submit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        match Reading::begin(self.desk.pool.get_ref(), request, token) {
            Next::Done(token, done) => sink.complete(token, done),
            Next::Part(reading, part) => {
                if let Some(errand) = self.desk.leave(Errand { reading, part, sink }) {
                    self.desk.leave_to_pool(errand);
                }
            }
        }
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        let (service, thread) = {
            let mut inbox = self.desk.inbox.lock();
            (std::mem::replace(&mut inbox.service, Service::Over), inbox.thread.take())
        };
        if let Service::Running { bell, .. } = service {
            ring(&bell);
        }
        // A completion may drop the last owner of the device, on the very thread, which then ends by itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id()) {
            // Panics of sinks are contained, so there is nothing to learn here.
            let _ = thread.join();
        }
    }
}

impl Desk {
    /// Puts a read into the inbox; gives it back if nobody would come for it.
    fn leave(self: &Arc<Self>, errand: Errand) -> Option<Errand> {
        let mut inbox = self.inbox.lock();
        if matches!(inbox.service, Service::None(since) if since.is_none_or(|since| since.elapsed() >= PAUSE)) {
            match self.start() {
                Ok((bell, thread)) => {
                    inbox.thread = Some(thread);
                    inbox.service = Service::Running { bell, is_asleep: false };
                }
                Err(_) => inbox.service = Service::None(Some(Instant::now())),
            }
        }
        let Inbox { arrived, service: Service::Running { bell, is_asleep }, .. } = &mut *inbox else {
            return Some(errand);
        };
        arrived.push(errand);
        if std::mem::take(is_asleep) {
            let bell = Arc::clone(bell);
            drop(inbox);
            ring(&bell);
        }
        None
    }

    /// One that was finished and whose sink has not been told.
    fn next_landed(&self) -> Option<Landed> {
        let mut landed = self.landed.lock();
        let next = landed.pop_front();
        self.landed_count.store(landed.len(), Ordering::Relaxed);
        next
    }

    fn leave_to_pool(&self, Errand { reading, sink, .. }: Errand) {
        let (request, token) = reading.give_up();
        self.pool.submit(request, sink, token);
    }

    /// Starts the thread, which needs a ring, a bell and a stack.
    #[cold]
    fn start(self: &Arc<Self>) -> io::Result<(Arc<OwnedFd>, JoinHandle<()>)> {
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let server = Server {
            desk: Arc::clone(self),
            ring: Ring::for_one_thread(DEPTH)?,
            queued: VecDeque::new(),
            fetched: Vec::new(),
            landed: Vec::new(),
            bell: Arc::clone(&bell),
            bell_buf: Some(AlignedBuf::try_zeroed(BELL).map_err(io::Error::other)?.into()),
        };
        let builder = thread::Builder::new().name("oxifaster-ring".into()).stack_size(STACK_SIZE);
        Ok((bell, builder.spawn(move || server.work())?))
    }
}

/// Wakes the thread that sleeps on `bell`: any count does. The one behind it would have to be full for this to fail.
fn ring(bell: &OwnedFd) {
    let _ = rustix::io::retry_on_intr(|| rustix::io::write(bell, &1u64.to_le_bytes()));
}

/// What the thread has.
struct Server {
    desk: Arc<Desk>,
    ring: ReactorRing,
    /// Reads that wait for a place in the ring.
    queued: VecDeque<Errand>,
    /// The other half of the inbox: the two are exchanged.
    fetched: Vec<Errand>,
    /// What is finished of those that the kernel has just brought.
    landed: Vec<Landed>,
    bell: Arc<OwnedFd>,
    /// Where the bell is read to; in the ring while it is being read.
    bell_buf: Option<IoBuf>,
}

impl Server {
    fn work(mut self) {
        let worked = self.ring.bind().and_then(|()| self.serve());
        if let Err(error) = worked {
            self.break_down(error);
        }
    }

    /// Serves until the device goes away and everything is done.
    fn serve(&mut self) -> io::Result<()> {
        // While the device goes away: since when the kernel has brought nothing.
        let mut silence = None;
        loop {
            let is_over = self.fetch();
            self.fill(is_over);
            if !is_over {
                self.ring.wait(Duration::MAX)?;
            } else if self.ring.under_way() == 0 {
                return Ok(());
            } else if silence.get_or_insert_with(Instant::now).elapsed() >= FAREWELL {
                return Err(io::ErrorKind::TimedOut.into());
            } else {
                self.ring.wait(FAREWELL)?;
            }
            self.note_awake();
            if self.reap() > 0 {
                silence = None;
            }
            self.tell();
        }
    }

    /// Empties the inbox on the way to sleep. Returns whether it is the last time that something may be in it.
    fn fetch(&mut self) -> bool {
        let mut inbox = self.desk.inbox.lock();
        std::mem::swap(&mut inbox.arrived, &mut self.fetched);
        let is_over = match &mut inbox.service {
            Service::Running { is_asleep, .. } => {
                *is_asleep = true;
                false
            }
            Service::None(_) | Service::Over => true,
        };
        drop(inbox);
        self.queued.extend(self.fetched.drain(..));
        is_over
    }

    /// Spares submitters the bell while this thread is going to look at the inbox anyway.
    fn note_awake(&self) {
        if let Service::Running { is_asleep, .. } = &mut self.desk.inbox.lock().service {
            *is_asleep = false;
        }
    }

    /// Moves what waits into the ring, as far as there is room; the bell first (N2).
    fn fill(&mut self, is_over: bool) {
        if !is_over && let Some(buf) = self.bell_buf.take() {
            let file = Source::Bell(Arc::clone(&self.bell));
            let access = Access { file, offset: 0, buf, bytes: 0..BELL, with: None };
            self.bell_buf = self.ring.put(access).err().map(|access| access.buf);
        }
        while !self.ring.is_full() {
            let Some(Errand { mut reading, part, sink }) = self.queued.pop_front() else { return };
            let Part { file, offset, bytes } = part;
            let buf = reading.lend_buf();
            let access = Access { file: Source::File(file), offset, buf, bytes, with: Some((reading, sink)) };
            if let Err(access) = self.ring.put(access) {
                // Not to be: there is a place, and a part of a read is a part of its buffer.
                self.land(access, Err(io::Error::other("the ring does not take the read")));
                self.tell();
            }
        }
    }

    /// Takes out what the kernel is done with; returns how much that was.
    fn reap(&mut self) -> usize {
        let mut landed = 0;
        while let Some((access, result)) = self.ring.take() {
            self.land(access, result.map_err(to_repeat));
            landed += 1;
        }
        landed
    }

    /// Tells the sinks of what is finished. A sink wakes somebody, who may get this thread's processor at once: what is
    /// left he finds on the desk, and need not sleep until this thread comes to it.
    fn tell(&mut self) {
        if self.landed.is_empty() {
            return;
        }
        {
            let mut landed = self.desk.landed.lock();
            landed.extend(self.landed.drain(..));
            self.desk.landed_count.store(landed.len(), Ordering::Relaxed);
        }
        while let Some(landed) = self.desk.next_landed() {
            landed.tell();
        }
    }

    fn land(&mut self, access: Access<Source, Owner>, result: io::Result<usize>) {
        let Access { file, offset, buf, bytes, with } = access;
        let (Source::File(file), Some((reading, sink))) = (file, with) else {
            self.bell_buf = Some(buf);
            return;
        };
        match reading.land(self.desk.pool.get_ref(), buf, Part { file, offset, bytes }, result) {
            Next::Done(token, done) => self.landed.push(Landed { sink, token, done }),
            Next::Part(reading, part) => self.queued.push_back(Errand { reading, part, sink }),
        }
    }

    /// The kernel does not serve the ring any more, which should not happen, or does not answer while the device goes away.
    /// What it has may never come back; what it has not is left to the pool.
    #[cold]
    fn break_down(mut self, error: io::Error) {
        let failure = Error::new(ErrorKind::DeviceFailed, "the kernel does not serve the ring of this device any more")
            .because(error)
            .help("set OXIFASTER_IO_URING=0 to do without rings");
        {
            let mut inbox = self.desk.inbox.lock();
            inbox.service = Service::Over;
            self.queued.extend(inbox.arrived.drain(..));
        }
        for (reading, sink) in self.ring.abandon().into_iter().flatten() {
            let (token, done) = reading.fail(failure.clone());
            Landed { sink, token, done }.tell();
        }
        for errand in self.queued {
            self.desk.leave_to_pool(errand);
        }
    }
}

impl Landed {
    fn tell(self) {
        let Self { sink, token, done } = self;
        // A sink that panics has had its completion; the others are to have theirs.
        let _ = catch_unwind(AssertUnwindSafe(|| sink.complete(token, done)));
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inbox = self.inbox.lock();
        let service = match inbox.service {
            Service::None(_) => "none",
            Service::Running { .. } => "running",
            Service::Over => "over",
        };
        f.debug_struct("Desk").field("arrived", &inbox.arrived.len()).field("service", &service).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{CompletionQueue, FileSystemDisk, FileSystemDiskOptions};

    const PATIENCE: Duration = Duration::from_secs(30);
    const SECTOR: usize = AlignedBuf::ALIGN;

    /// A device of eight sectors of ones, if it has rings.
    fn disk(directory: &tempfile::TempDir) -> Option<FileSystemDisk> {
        let disk = FileSystemDiskOptions::new().open(directory.path()).unwrap();
        let mut buf = AlignedBuf::zeroed(8 * SECTOR);
        buf.fill(1);
        let queue = CompletionQueue::new();
        disk.submit(IoRequest::write(0, 8 * SECTOR, buf), sink(&queue), 0);
        queue.take_within(PATIENCE).unwrap().1.result.unwrap();
        ReactorRing::for_one_thread(8).is_ok().then_some(disk)
    }

    fn sink(queue: &Arc<CompletionQueue>) -> Arc<dyn CompletionSink> {
        Arc::clone(queue) as Arc<dyn CompletionSink>
    }

    fn read(sector: u64) -> IoRequest {
        IoRequest::read(sector * SECTOR as u64, SECTOR, AlignedBuf::zeroed(SECTOR))
    }

    fn errand(disk: &FileSystemDisk, queue: &Arc<CompletionQueue>, token: Token) -> Errand {
        match Reading::begin(disk.pool().get_ref(), read(token), token) {
            Next::Part(reading, part) => Errand { reading, part, sink: sink(queue) },
            Next::Done(..) => panic!("there is something to read"),
        }
    }

    fn expect_ones(queue: &CompletionQueue, token: Token) {
        let (taken, done) = queue.take_within(PATIENCE).unwrap();
        assert_eq!((taken, done.result.unwrap()), (token, SECTOR));
        assert!(done.buf.iter().all(|byte| *byte == 1));
    }

    fn server(reactor: &Reactor) -> Server {
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap());
        Server {
            desk: Arc::clone(&reactor.desk),
            ring: Ring::for_one_thread(4).unwrap(),
            queued: VecDeque::new(),
            fetched: Vec::new(),
            landed: Vec::new(),
            bell,
            bell_buf: Some(AlignedBuf::zeroed(BELL).into()),
        }
    }

    #[test]
    fn reads_come_back_from_the_thread_and_the_thread_sleeps_in_between() {
        let directory = tempfile::tempdir().unwrap();
        let Some(disk) = disk(&directory) else { return };
        let (reactor, queue) = (Reactor::new(disk.pool()), CompletionQueue::new());
        assert!(reactor.desk.inbox.lock().thread.is_none(), "nobody has needed it");
        for token in (0..8).cycle().take(100) {
            reactor.submit(read(token), sink(&queue), token);
            expect_ones(&queue, token);
        }
        assert!(matches!(reactor.desk.inbox.lock().service, Service::Running { .. }));
    }

    #[test]
    fn more_reads_than_the_ring_has_places_all_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let Some(disk) = disk(&directory) else { return };
        let (reactor, queue) = (Reactor::new(disk.pool()), CompletionQueue::new());
        const READS: u64 = 5 * DEPTH as u64;
        for token in 0..READS {
            reactor.submit(read(token % 8), sink(&queue), token);
        }
        drop(reactor);
        let mut tokens: Vec<_> = std::iter::from_fn(|| queue.try_take()).map(|(token, _)| token).collect();
        tokens.sort_unstable();
        assert_eq!(tokens, (0..READS).collect::<Vec<_>>(), "whoever drops it finds everything done");
    }

    #[test]
    fn finished_reads_are_told_by_whoever_polls_first() {
        let directory = tempfile::tempdir().unwrap();
        let Some(disk) = disk(&directory) else { return };
        let (reactor, queue) = (Reactor::new(disk.pool()), CompletionQueue::new());
        let landed = |token| Landed { sink: sink(&queue), token, done: read(0).done(Ok(0)) };
        let mut server = server(&reactor);
        assert_eq!(reactor.poll(), 0);
        reactor.desk.landed.lock().extend([landed(1), landed(2)]);
        server.landed.push(landed(3));
        server.tell();
        let told = || std::iter::from_fn(|| queue.try_take()).map(|(token, _)| token).collect::<Vec<_>>();
        assert_eq!((told(), reactor.poll()), (vec![1, 2, 3], 0));
        reactor.desk.landed.lock().push_back(landed(4));
        reactor.desk.landed_count.store(1, Ordering::Relaxed);
        assert_eq!((reactor.poll(), told(), reactor.poll()), (1, vec![4], 0));
    }

    #[test]
    fn a_reactor_that_breaks_down_fails_what_the_kernel_has_and_leaves_the_rest_to_the_pool() {
        let directory = tempfile::tempdir().unwrap();
        let Some(disk) = disk(&directory) else { return };
        let (reactor, queue) = (Reactor::new(disk.pool()), CompletionQueue::new());
        let mut server = server(&reactor);
        // The bell and three reads fill the ring.
        server.queued.extend((0..3).map(|token| errand(&disk, &queue, token)));
        server.fill(false);
        server.queued.push_back(errand(&disk, &queue, 3));
        reactor.desk.inbox.lock().arrived.push(errand(&disk, &queue, 4));
        server.break_down(io::Error::other("on purpose"));
        let mut results: Vec<_> = (0..5).map(|_| queue.take_within(PATIENCE).unwrap()).collect();
        results.sort_unstable_by_key(|(token, _)| *token);
        for (token, done) in results {
            match done.result {
                Ok(read) => assert!(token >= 3 && read == SECTOR, "{token}"),
                Err(error) => assert!(token < 3 && error.kind() == ErrorKind::DeviceFailed, "{token}: {error}"),
            }
        }
        reactor.submit(read(5), sink(&queue), 5);
        expect_ones(&queue, 5);
        assert!(reactor.desk.inbox.lock().thread.is_none(), "it is not tried again");
    }

    #[test]
    fn a_reactor_that_could_not_be_had_is_asked_for_again_after_a_pause() {
        let directory = tempfile::tempdir().unwrap();
        let Some(disk) = disk(&directory) else { return };
        let (reactor, queue) = (Reactor::new(disk.pool()), CompletionQueue::new());
        let has_thread = || reactor.desk.inbox.lock().thread.is_some();
        // A moment in the future: however slow this test is, the pause is not over.
        reactor.desk.inbox.lock().service = Service::None(Some(Instant::now() + PATIENCE));
        reactor.submit(read(1), sink(&queue), 1);
        expect_ones(&queue, 1);
        assert!(!has_thread(), "the pool has done it");
        reactor.desk.inbox.lock().service = Service::None(Instant::now().checked_sub(PAUSE));
        reactor.submit(read(2), sink(&queue), 2);
        expect_ones(&queue, 2);
        assert!(has_thread());
    }
}
