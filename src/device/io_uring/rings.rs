//! The rings of a device, lent to the channels that need one.

use super::PoolReason;
use super::channel::RingChannel;
use super::reactor::Reactor;
use super::ring::{DEPTH, FAREWELL, Ring};
use crate::device::IoChannel;
use crate::device::file::{FilePool, Reading, SegmentFile};
use crate::error::{Error, ErrorKind};
use crate::sync::{AtomicUsize, Mutex, Ordering};
use rustix::process::{Resource, getrlimit};
use std::io;
use std::sync::Arc;

/// The ring of a session that reads files of a device.
pub(super) type ReadRing = Ring<Arc<SegmentFile>, Reading>;

/// Each ring is an open file, of which a process has a limited number: a device takes this share of them.
const FILES_SHARE: u64 = 8;
/// More sessions than this do not profit from reading at the same time, and each ring takes memory beside the store's budget.
const RINGS_PER_CORE: u64 = 16;

/// Makes rings up to a limit, and keeps those that nobody uses for the next who asks.
pub(in crate::device) struct Rings {
    idle: Mutex<Vec<ReadRing>>,
    made: AtomicUsize,
    limit: AtomicUsize,
}

impl Rings {
    /// Makes one ring, to see that it works.
    pub(in crate::device) fn open() -> Result<Self, PoolReason> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let limit = (files / FILES_SHARE).clamp(1, RINGS_PER_CORE * cores as u64) as usize;
        let first = Ring::new(DEPTH).and_then(|mut ring| ring.prove().map(|()| ring)).map_err(refused)?;
        Ok(Self { idle: Mutex::new(vec![first]), made: AtomicUsize::new(1), limit: AtomicUsize::new(limit) })
    }

    /// A channel whose reads go through a ring, whenever it can have one.
    pub(in crate::device) fn channel(self: &Arc<Self>, pool: &Arc<FilePool>) -> Box<dyn IoChannel> {
        Box::new(RingChannel::new(Arc::clone(self), Arc::clone(pool)))
    }

    /// A reactor for those who have no channel.
    pub(in crate::device) fn reactor(&self, pool: &Arc<FilePool>) -> Reactor {
        Reactor::new(pool)
    }

    /// A ring with nothing in it, if one is to be had.
    pub(super) fn borrow(&self) -> Option<ReadRing> {
        if let Some(ring) = self.idle.lock().pop() {
            return Some(ring);
        }
        let limit = self.limit.load(Ordering::Relaxed);
        let count = |made| if made < limit { Some(made + 1) } else { None };
        let before = self.made.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).ok()?;
        match Ring::new(DEPTH) {
            Ok(ring) => Some(ring),
            Err(_) => {
                // Descriptors or memory are short: what there is has to do.
                self.limit.fetch_min(before, Ordering::Relaxed);
                self.made.fetch_sub(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Takes a ring back once the kernel is done with what is in it. The completions are lost.
    pub(super) fn give_back(&self, mut ring: ReadRing) {
        if ring.drain(FAREWELL) {
            self.idle.lock().push(ring);
        } else {
            self.made.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Leaves a ring to the kernel for ever. Returns the reads that were in it, without their buffers.
    #[cold]
    pub(super) fn discard(&self, ring: ReadRing) -> Vec<Reading> {
        self.made.fetch_sub(1, Ordering::Relaxed);
        ring.abandon()
    }

    /// True if no further ring can be made, so that one that is not in use had better be given back.
    pub(super) fn are_scarce(&self) -> bool {
        self.made.load(Ordering::Relaxed) >= self.limit.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Rings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rings").field("made", &self.made).field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cold]
fn refused(error: io::Error) -> PoolReason {
    let help = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "allow io_uring: kernel.io_uring_disabled=0, and no filter on its system calls"
        }
        io::ErrorKind::Unsupported => "use a kernel from 5.11 on",
        _ => "allow the process more open files, or locked memory on kernels before 5.12",
    };
    PoolReason::Refused(Error::new(ErrorKind::Io, "the kernel refuses io_uring").because(error).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{CompletionQueue, CompletionSink, FileSystemDiskOptions, IoRequest, StorageDevice};
    use crate::memory::AlignedBuf;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn read(sector: u64) -> IoRequest {
        IoRequest::read(sector * 4096, 4096, AlignedBuf::zeroed(4096))
    }

    #[test]
    fn who_gets_no_ring_reads_through_the_pool_and_gets_one_when_it_is_free() {
        let directory = tempfile::tempdir().unwrap();
        let disk = FileSystemDiskOptions::new().open(directory.path()).unwrap();
        let Ok(rings) = Rings::open() else { return };
        rings.limit.store(1, Ordering::Relaxed);
        let rings = Arc::new(rings);
        let queue = CompletionQueue::new();
        let write = IoRequest::write(0, 8192, AlignedBuf::zeroed(8192));
        disk.submit(write, Arc::clone(&queue) as Arc<dyn CompletionSink>, 0);
        queue.take_within(PATIENCE).unwrap().1.result.unwrap();
        let open = || RingChannel::new(Arc::clone(&rings), Arc::clone(disk.pool()));
        let (mut first, mut second) = (open(), open());
        first.submit(read(0), 1);
        second.submit(read(1), 2);
        assert!(first.has_ring() && !second.has_ring());
        for (channel, token) in [(&mut second, 2), (&mut first, 1)] {
            let (taken, done) = channel.take_within(PATIENCE).unwrap();
            assert_eq!((taken, done.result.unwrap()), (token, 4096));
        }
        assert!(!first.has_ring(), "others may need it");
        second.submit(read(1), 3);
        assert!(second.has_ring());
        assert_eq!(second.take_within(PATIENCE).unwrap().0, 3);
        second.submit(read(0), 4);
        drop(second);
        first.submit(read(0), 5);
        assert!(first.has_ring(), "a channel that is dropped gives its ring back");
        assert_eq!(first.take_within(PATIENCE).unwrap().0, 5);
    }
}
