//! The files of a log without the log: what the disk gives.

use crate::failure::Failure;
use oxifaster::device::{CompletionQueue, FileSystemDisk, IoDone, IoRequest, StorageDevice};
use oxifaster::memory::{AlignedBuf, IoBuf};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of a sequential write: about as large as the log's own.
pub(super) const RAW_WRITE: u64 = 256 << 10;
/// Bytes of a sequential read: as large as a scan's.
const RAW_READ: u64 = 1 << 20;
const UNDER_WAY: usize = 4;
/// Of the smallest durable write.
const RAW_COMMIT: usize = 4096;
const WAIT: Duration = Duration::from_secs(60);

/// A device like the log's, which is written to from one end to the other.
pub(super) struct Raw {
    device: FileSystemDisk,
    queue: Arc<CompletionQueue>,
    end: u64,
}

impl Raw {
    pub(super) fn open(directory: &Path) -> Result<Self, Failure> {
        let device = FileSystemDisk::open(directory)?;
        let end = device.info().extent.next_multiple_of(RAW_WRITE);
        Ok(Self { device, queue: CompletionQueue::new(), end })
    }

    pub(super) fn extent(&self) -> u64 {
        self.device.info().extent
    }

    /// Bytes a second of writes for some `seconds`, with a sync behind them.
    pub(super) fn write(&mut self, seconds: f64) -> Result<f64, Failure> {
        let (started, begin, mut under_way) = (Instant::now(), self.end, 0);
        let mut free: Vec<IoBuf> = (0..UNDER_WAY).map(|_| AlignedBuf::zeroed(RAW_WRITE as usize).into()).collect();
        while started.elapsed().as_secs_f64() < seconds {
            while let Some(buf) = free.pop() {
                self.submit(IoRequest::write(self.end, RAW_WRITE as usize, buf));
                (under_way, self.end) = (under_way + 1, self.end + RAW_WRITE);
            }
            free.push(self.land()?.buf);
            under_way -= 1;
        }
        for _ in 0..under_way {
            self.land()?;
        }
        self.submit(IoRequest::sync());
        self.land()?;
        Ok((self.end - begin) as f64 / started.elapsed().as_secs_f64())
    }

    /// Bytes a second of reads of `len` bytes from `begin` on.
    pub(super) fn read(&mut self, begin: u64, len: u64) -> Result<f64, Failure> {
        let (started, mut under_way, mut next, end) = (Instant::now(), 0, begin, begin + len);
        let mut free: Vec<IoBuf> = (0..UNDER_WAY).map(|_| AlignedBuf::zeroed(RAW_READ as usize).into()).collect();
        while next < end || under_way > 0 {
            while next < end
                && let Some(buf) = free.pop()
            {
                self.submit(IoRequest::read(next, RAW_READ as usize, buf));
                (under_way, next) = (under_way + 1, next + RAW_READ);
            }
            free.push(self.land()?.buf);
            under_way -= 1;
        }
        Ok((next - begin) as f64 / started.elapsed().as_secs_f64())
    }

    /// Microseconds of a small write and a sync.
    pub(super) fn commit(&mut self) -> Result<f64, Failure> {
        let started = Instant::now();
        self.submit(IoRequest::write(self.end, RAW_COMMIT, AlignedBuf::zeroed(RAW_COMMIT)));
        self.end += RAW_COMMIT as u64;
        self.land()?;
        self.submit(IoRequest::sync());
        self.land()?;
        Ok(started.elapsed().as_secs_f64() * 1e6)
    }

    fn submit(&self, request: IoRequest) {
        self.device.submit(request, Arc::clone(&self.queue) as Arc<_>, 0);
    }

    fn land(&self) -> Result<IoDone, Failure> {
        let (_, mut done) = self
            .queue
            .take_within(WAIT)
            .ok_or_else(|| Failure::usage("the device does not answer", "look for a hung disk"))?;
        std::mem::replace(&mut done.result, Ok(0))?;
        Ok(done)
    }
}
