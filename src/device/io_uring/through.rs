//! Writes that are durable when they are done, on the thread that waits for them.

use super::ring::{Access, Ring};
use super::rings::Rings;
use crate::device::file::{FilePool, SegmentFile};
use crate::device::{IoDone, IoOp, IoRequest};
use crate::error::{Error, ErrorKind};
use crate::memory::{AlignedBuf, IoBuf};
use crate::sync::Mutex;
use std::io;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

type WriteRing = Ring<Arc<SegmentFile>, ()>;

/// Rings for one write at a time, made when they are first needed.
///
/// The kernel does such a write and the sync after it as one request, so nobody has to be woken in between. It is not the thread that
/// waits which is in the disk's hands, as it would be in a call that writes and syncs: the wait has an end.
pub(in crate::device) struct Through {
    idle: Mutex<Idle>,
}

/// Rings in which nothing is under way.
#[derive(Default)]
struct Idle {
    /// One that works for the first thread that wrote, and no other: the kernel has a little less to do for it then.
    bound: Option<(ThreadId, WriteRing)>,
    /// One for whoever comes.
    free: Option<WriteRing>,
    has_bound: bool,
}

impl Idle {
    /// A ring for this thread, if the kernel has one, and whether it is bound to it.
    fn take(&mut self) -> io::Result<(WriteRing, bool)> {
        let this_thread = thread::current().id();
        if let Some((_, ring)) = self.bound.take_if(|(thread, _)| *thread == this_thread) {
            return Ok((ring, true));
        }
        if !std::mem::replace(&mut self.has_bound, true) {
            let ring = Ring::for_one_thread(1)?;
            ring.bind()?;
            return Ok((ring, true));
        }
        self.free.take().map_or_else(|| Ring::new(1), Ok).map(|ring| (ring, false))
    }

    fn give_back(&mut self, ring: WriteRing, is_bound: bool) {
        match is_bound {
            true => self.bound = Some((thread::current().id(), ring)),
            false => self.free = Some(ring),
        }
    }
}

impl Through {
    /// For a device for which the kernel has made rings.
    pub(in crate::device) fn new(_rings: &Rings) -> Self {
        Self { idle: Mutex::new(Idle::default()) }
    }

    /// See [`StorageDevice::write_through`](crate::device::StorageDevice::write_through).
    pub(in crate::device) fn write(
        &self,
        pool: &FilePool,
        mut request: IoRequest,
        limit: Duration,
    ) -> Result<IoDone, IoRequest> {
        if request.op != IoOp::Write || request.check(AlignedBuf::ALIGN).is_err() {
            return Err(request);
        }
        // W3 of the pool: this is a sync as well, whose failure is to be told to all who come after.
        let Some(turn) = pool.sync_turn() else { return Err(request) };
        let Some((file, offset)) = pool.get_ref().place_to_write_through(request.offset, request.len) else {
            return Err(request);
        };
        let Ok((mut ring, is_bound)) = self.idle.lock().take() else { return Err(request) };
        let buf = std::mem::replace(&mut request.buf, IoBuf::empty());
        let access = Access { file, offset, buf, bytes: 0..request.len, with: () };
        if let Err(Access { buf, .. }) = ring.put_through(access) {
            self.idle.lock().give_back(ring, is_bound);
            request.buf = buf;
            return Err(request);
        }
        let (Access { file, buf, .. }, written) = match wait(&mut ring, limit) {
            Ok(ended) => ended,
            Err(failure) => {
                // U3: what the kernel may be writing still is left to it.
                ring.abandon();
                turn.record(&failure);
                return Ok(request.failed(failure));
            }
        };
        self.idle.lock().give_back(ring, is_bound);
        request.buf = buf;
        match written {
            Ok(bytes) if bytes == request.len => {
                pool.get_ref().note_end(request.offset + bytes as u64);
                Ok(request.done(Ok(bytes)))
            }
            Err(error) if !is_harmless(&error) => {
                let failure = file.failed_to_write(offset, error);
                turn.record(&failure);
                Ok(request.failed(failure))
            }
            Ok(_) | Err(_) => Err(request),
        }
    }
}

impl std::fmt::Debug for Through {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Through").finish_non_exhaustive()
    }
}

/// Has the kernel begin what is in the ring, and waits for its end.
fn wait<F, T>(ring: &mut Ring<F, T>, limit: Duration) -> Result<(Access<F, T>, io::Result<usize>), Error> {
    let begin = Instant::now();
    loop {
        let left = limit.saturating_sub(begin.elapsed());
        let entered = ring.wait(left);
        if let Some(ended) = ring.take() {
            return Ok(ended);
        }
        if let Err(error) = entered {
            return Err(Error::new(ErrorKind::DeviceFailed, "the kernel does not serve the ring of a write any more")
                .because(error)
                .help("set OXIFASTER_IO_URING=0 to do without rings"));
        }
        if left.is_zero() {
            return Err(Error::new(ErrorKind::DeviceFailed, "the device did not finish a write in time")
                .with("milliseconds waited", limit.as_millis())
                .help("check the device, or raise the wait limit"));
        }
    }
}

/// True for refusals before anything was written or synced. Whoever makes the access another way is told what is wrong, or succeeds.
fn is_harmless(error: &io::Error) -> bool {
    let refusals = [libc::EAGAIN, libc::ECANCELED, libc::EINTR, libc::EINVAL, libc::EOPNOTSUPP, libc::ENOMEM];
    let no_space = [libc::ENOSPC, libc::EDQUOT];
    error.raw_os_error().is_some_and(|code| refusals.contains(&code) || no_space.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{
        CompletionQueue, CompletionSink, FileSystemDisk, FileSystemDiskOptions, StorageDevice, access,
    };

    const PATIENCE: Duration = Duration::from_secs(30);
    const BLOCK: usize = AlignedBuf::ALIGN;

    fn block(number: u64) -> IoRequest {
        let mut buf = AlignedBuf::zeroed(BLOCK);
        buf.fill(number as u8 | 1);
        IoRequest::write(number * BLOCK as u64, BLOCK, buf)
    }

    fn write_and_sync(disk: &FileSystemDisk, number: u64) {
        access(disk, block(number), PATIENCE).unwrap();
        access(disk, IoRequest::sync(), PATIENCE).unwrap();
    }

    /// A disk with one thread, if there are rings and direct access here.
    fn disk(directory: &tempfile::TempDir) -> Option<FileSystemDisk> {
        let disk = FileSystemDiskOptions::new().with_threads(1).open(directory.path()).unwrap();
        (disk.is_direct() && matches!(disk.backend(), super::super::IoBackend::IoUring)).then_some(disk)
    }

    #[test]
    fn what_finds_zeros_ahead_is_written_through_and_the_rest_is_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let Some(disk) = disk(&directory) else { return };
        let given_back = disk.write_through(block(0), PATIENCE).unwrap_err();
        assert_eq!((given_back.offset, given_back.buf.len()), (0, BLOCK), "nothing was synced so far");
        (0..2).for_each(|number| write_and_sync(&disk, number));
        let through = (2..).take_while(|number| {
            let done = disk.write_through(block(*number), PATIENCE);
            done.is_ok_and(|done| done.result.unwrap() == BLOCK && done.buf.len() == BLOCK)
        });
        let count = through.count() as u64;
        assert!((100..130).contains(&count), "as far as the zeros lay: {count}");
        let read = |disk: &FileSystemDisk, at: u64| {
            access(disk, IoRequest::read(at * BLOCK as u64, BLOCK, AlignedBuf::zeroed(BLOCK)), PATIENCE).unwrap()
        };
        let check = |disk: FileSystemDisk| {
            for number in 0..2 + count {
                let done = read(&disk, number);
                assert_eq!(done.result.unwrap(), BLOCK, "block {number}");
                assert!(done.buf.iter().all(|byte| *byte == number as u8 | 1), "block {number}");
            }
        };
        check(disk);
        let disk = FileSystemDisk::open(directory.path()).unwrap();
        read(&disk, 0); // the file is open
        assert!(disk.write_through(block(1), PATIENCE).is_err(), "who had it before may have synced nothing");
        access(&disk, IoRequest::sync(), PATIENCE).unwrap();
        assert!(disk.write_through(block(1), PATIENCE).is_ok());
        check(disk);
    }

    #[test]
    fn other_requests_are_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let Some(disk) = disk(&directory) else { return };
        (0..2).for_each(|number| write_and_sync(&disk, number));
        let odd = IoRequest::write(BLOCK as u64 + 1, BLOCK, AlignedBuf::zeroed(BLOCK));
        let read = IoRequest::read(0, BLOCK, AlignedBuf::zeroed(BLOCK));
        let none = IoRequest::write(0, BLOCK, IoBuf::empty());
        for request in [odd, read, none, IoRequest::sync()] {
            assert!(disk.write_through(request, PATIENCE).is_err());
        }
        assert!(disk.write_through(block(2), PATIENCE).is_ok());
    }

    #[test]
    fn any_thread_may_write_through() {
        let directory = tempfile::tempdir().unwrap();
        let Some(disk) = disk(&directory) else { return };
        (0..2).for_each(|number| write_and_sync(&disk, number));
        let write = |number| assert!(disk.write_through(block(number), PATIENCE).unwrap().result.is_ok());
        thread::scope(|scope| scope.spawn(|| write(2)).join().unwrap());
        (3..6).for_each(write);
        thread::scope(|scope| scope.spawn(|| (6..9).for_each(write)).join().unwrap());
        write(9);
    }

    #[test]
    fn there_is_one_sync_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let Some(disk) = disk(&directory) else { return };
        (0..2).for_each(|number| write_and_sync(&disk, number));
        let turn = disk.pool().sync_turn().unwrap();
        assert!(disk.pool().sync_turn().is_none());
        assert!(disk.write_through(block(2), PATIENCE).is_err());
        let queue = CompletionQueue::new();
        disk.submit(IoRequest::sync(), Arc::clone(&queue) as Arc<dyn CompletionSink>, 0);
        access(&disk, block(2), PATIENCE).unwrap(); // the only thread has passed the sync over
        assert!(queue.is_empty());
        drop(turn);
        assert!(queue.take_within(PATIENCE).is_some_and(|(_, done)| done.result.is_ok()));
        assert!(disk.write_through(block(3), PATIENCE).is_ok());
    }

    #[test]
    fn a_failure_is_that_of_a_sync() {
        let directory = tempfile::tempdir().unwrap();
        let Some(disk) = disk(&directory) else { return };
        (0..2).for_each(|number| write_and_sync(&disk, number));
        disk.pool().sync_turn().unwrap().record(&Error::new(ErrorKind::Io, "test"));
        assert!(disk.write_through(block(2), PATIENCE).is_err());
        for request in [block(2), IoRequest::sync()] {
            let refusal = access(&disk, request, PATIENCE).unwrap_err();
            assert_eq!(refusal.kind(), ErrorKind::DeviceFailed);
        }
    }

    #[test]
    fn what_does_not_end_is_not_waited_for_beyond_the_limit() {
        const LIMIT: Duration = Duration::from_millis(20);
        let Ok(mut ring) = Ring::<Arc<io::PipeReader>, ()>::new(1) else { return };
        let (reader, _writer) = io::pipe().unwrap();
        let buf = IoBuf::from(AlignedBuf::zeroed(BLOCK));
        // To the ring a read of nothing that comes is as good as a write that hangs.
        let access = Access { file: Arc::new(reader), offset: 0, buf, bytes: 0..BLOCK, with: () };
        assert!(ring.put(access).is_ok());
        let begin = Instant::now();
        let failure = wait(&mut ring, LIMIT).map(|_| ()).unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::DeviceFailed);
        assert!((LIMIT..PATIENCE).contains(&begin.elapsed()));
        ring.abandon();
    }

    #[test]
    fn a_disk_that_is_full_is_tried_the_other_way_and_one_that_is_broken_is_not() {
        let is_harmless = |code| is_harmless(&io::Error::from_raw_os_error(code));
        assert!([libc::ENOSPC, libc::EDQUOT, libc::EAGAIN, libc::EOPNOTSUPP].into_iter().all(is_harmless));
        assert!(![libc::EIO, libc::EROFS, libc::EBADF].into_iter().any(is_harmless));
    }
}
