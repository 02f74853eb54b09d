//! The device that keeps its bytes in files.
//!
//! ```text
//!   FileSystemDisk -+-> ThreadPoolDevice -> Files -+-> SegmentFile   log.000003   1 GiB
//!                   |                              +-> SegmentFile   log.000004   1 GiB
//!                   +-> rings -> Reading, Through -+-> SegmentFile   log.000005   up to the end
//!   LOCK   held while the device is open; says how large a segment is
//! ```

mod directory;
mod files;
mod os;
#[cfg(all(target_os = "linux", feature = "io_uring"))]
mod reading;
mod segment_file;
mod segment_name;

use super::io_uring::{IoBackend, PoolReason, Reactor, Rings, Through};
use super::{CompletionSink, DeviceInfo, IoChannel, IoDone, IoOp, IoRequest, StorageDevice, ThreadPoolDevice, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::AlignedBuf;
use files::Files;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[cfg(all(target_os = "linux", feature = "io_uring"))]
pub(super) use reading::{Next, Part, Reading};
#[cfg(all(target_os = "linux", feature = "io_uring"))]
pub(super) use segment_file::SegmentFile;

/// The threads that work on the files.
pub(super) type FilePool = ThreadPoolDevice<Files>;

/// `0` turns io_uring off for every device that is opened.
const SWITCH: &str = "OXIFASTER_IO_URING";

/// A device in the file system: a directory of segment files, or one file.
///
/// Accesses bypass the page cache where the file system allows it and go through it elsewhere (see
/// [`is_direct`](Self::is_direct)); the files are the same in both cases. The device holds a lock: nobody can open it a
/// second time, in this process or another, until it and the sessions that use it are dropped.
///
/// Sessions read through io_uring where the kernel offers it ([`backend`](Self::backend)), and small commits are written that way;
/// everything else, and everything elsewhere, is done by threads.
#[derive(Debug)]
pub struct FileSystemDisk {
    /// Before the pool: at its end it leaves to it what it could not do, and keeps it until then.
    reactor: Option<Reactor>,
    pool: Arc<FilePool>,
    rings: Option<Arc<Rings>>,
    through: Option<Through>,
    backend: IoBackend,
}

impl FileSystemDisk {
    /// Opens the device in `directory`, which is created if it does not exist, with the default options.
    ///
    /// # Errors
    /// As [`FileSystemDiskOptions::open`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        FileSystemDiskOptions::new().open(directory)
    }

    /// Opens the device in the one file at `path`, which is created if it does not exist, with the default options.
    ///
    /// # Errors
    /// As [`FileSystemDiskOptions::single_file`].
    pub fn single_file(path: impl AsRef<Path>) -> Result<Self> {
        FileSystemDiskOptions::new().single_file(path)
    }

    /// True if accesses bypass the page cache. Becomes false if the file system turns out to refuse it.
    pub fn is_direct(&self) -> bool {
        self.pool.get_ref().is_direct()
    }

    /// True once the file system has refused to free a part of a file: then truncation gives back whole segment files only, and
    /// of a single file nothing. Linux frees parts on the usual file systems; elsewhere nothing does.
    pub fn keeps_truncated_space(&self) -> bool {
        self.pool.get_ref().keeps_space()
    }

    /// The directory or file that holds the device.
    pub fn path(&self) -> &Path {
        self.pool.get_ref().path()
    }

    /// Who carries out the reads of sessions, and why.
    pub fn backend(&self) -> &IoBackend {
        &self.backend
    }
}

#[cfg(all(test, target_os = "linux", feature = "io_uring"))]
impl FileSystemDisk {
    pub(super) fn pool(&self) -> &Arc<FilePool> {
        &self.pool
    }
}

impl StorageDevice for FileSystemDisk {
    fn info(&self) -> DeviceInfo {
        self.pool.info()
    }

    fn submit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        match &self.reactor {
            Some(reactor) if request.op == IoOp::Read => reactor.submit(request, sink, token),
            _ => self.pool.submit(request, sink, token),
        }
    }

    fn poll(&self) -> usize {
        self.reactor.as_ref().map_or(0, Reactor::poll)
    }

    fn channel(&self) -> Option<Box<dyn IoChannel>> {
        self.rings.as_ref().map(|rings| rings.channel(&self.pool))
    }

    fn write_through(&self, request: IoRequest, limit: Duration) -> std::result::Result<IoDone, IoRequest> {
        match &self.through {
            Some(through) => through.write(&self.pool, request, limit),
            None => Err(request),
        }
    }
}

/// How a [`FileSystemDisk`] is opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FileSystemDiskOptions {
    segment_size: Option<u64>,
    direct_io: bool,
    threads: Option<usize>,
    io_uring: bool,
    read_only: bool,
}

impl FileSystemDiskOptions {
    /// The size of a segment file unless said otherwise: 1 GiB.
    pub const SEGMENT_SIZE_DEFAULT: u64 = 1 << 30;

    /// The defaults.
    pub const fn new() -> Self {
        Self { segment_size: None, direct_io: true, threads: None, io_uring: true, read_only: false }
    }

    /// Bytes per segment file, a multiple of 4096: truncation deletes whole files, and frees the part of the first one that is
    /// left where the file system can ([`FileSystemDisk::keeps_truncated_space`]). A directory keeps the size it was created
    /// with. Has no meaning for a single file.
    ///
    /// Default: what the directory was created with, 1 GiB for a new one.
    #[must_use]
    pub const fn with_segment_size(mut self, bytes: u64) -> Self {
        self.segment_size = Some(bytes);
        self
    }

    /// Whether to bypass the page cache where the file system allows it.
    ///
    /// Default: true.
    #[must_use]
    pub const fn with_direct_io(mut self, direct_io: bool) -> Self {
        self.direct_io = direct_io;
        self
    }

    /// Whether sessions read, and small commits are written, through io_uring where the kernel offers it. The environment variable `OXIFASTER_IO_URING=0`
    /// turns it off for all devices.
    ///
    /// Default: true.
    #[must_use]
    pub const fn with_io_uring(mut self, io_uring: bool) -> Self {
        self.io_uring = io_uring;
        self
    }

    /// How many accesses may be under way at once in threads, at least one.
    ///
    /// Default: four per core, at most 16.
    #[must_use]
    pub const fn with_threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Whether the device is only read: also while another process writes it, and without making or locking anything. Its
    /// end is the one it has when it is opened. Writes are refused.
    ///
    /// Default: false.
    #[must_use]
    pub const fn with_read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Opens the device in `directory`, which is created if it does not exist.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if the device is open elsewhere. [`ErrorKind::Config`] if the options make no sense, do not fit
    /// what is there, or `directory` is something else. [`ErrorKind::Corrupt`] if the directory's own record of its
    /// segment size cannot be read. [`ErrorKind::Io`] if the operating system refuses.
    pub fn open(&self, directory: impl AsRef<Path>) -> Result<FileSystemDisk> {
        self.check()?;
        let directory = directory.as_ref();
        if self.read_only {
            let (lock, segment_size) = directory::open_to_read(directory)?;
            return Ok(self.start(Files::in_directory(directory, segment_size, self.direct_io, lock)?.only_read()));
        }
        let (lock, segment_size) = directory::open(directory, self.segment_size)?;
        Ok(self.start(Files::in_directory(directory, segment_size, self.direct_io, lock)?))
    }

    /// Opens the device in the one file at `path`, which is created if it does not exist.
    ///
    /// Truncation punches holes where the file system can; the file's length never shrinks. What lies below a truncation
    /// reads as zeros once the file is opened again.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if the device is open elsewhere. [`ErrorKind::Config`] if the options make no sense, or `path`
    /// is not a regular file. [`ErrorKind::Io`] if the operating system refuses.
    pub fn single_file(&self, path: impl AsRef<Path>) -> Result<FileSystemDisk> {
        self.check()?;
        let path = path.as_ref();
        if self.read_only {
            let (file, len) = directory::open_single_to_read(path)?;
            return Ok(self.start(Files::in_single_file(path, file, len, self.direct_io).only_read()));
        }
        let (file, len) = directory::open_single(path)?;
        Ok(self.start(Files::in_single_file(path, file, len, self.direct_io)))
    }

    fn start(&self, files: Files) -> FileSystemDisk {
        let pool = match self.threads {
            Some(threads) => ThreadPoolDevice::with_threads(files, threads),
            None => ThreadPoolDevice::new(files),
        };
        let (rings, backend) = match self.open_rings() {
            Ok(rings) => (Some(Arc::new(rings)), IoBackend::IoUring),
            Err(reason) => (None, IoBackend::ThreadPool(reason)),
        };
        let pool = Arc::new(pool);
        let reactor = rings.as_ref().map(|rings| rings.reactor(&pool));
        let through = rings.as_deref().map(Through::new);
        FileSystemDisk { reactor, pool, rings, through, backend }
    }

    fn open_rings(&self) -> std::result::Result<Rings, PoolReason> {
        if !self.io_uring || std::env::var_os(SWITCH).is_some_and(|value| value == "0") {
            return Err(PoolReason::TurnedOff);
        }
        Rings::open()
    }

    fn check(&self) -> Result<()> {
        if self.threads == Some(0) {
            return Err(Error::new(ErrorKind::Config, "a device needs threads")
                .with("threads", 0)
                .help("allow at least one"));
        }
        match self.segment_size {
            Some(size) => directory::check_segment_size(size),
            None => Ok(()),
        }
    }
}

impl Default for FileSystemDiskOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// A segment size that [`AlignedBuf::ALIGN`] does not divide would let aligned accesses have unaligned parts.
const SEGMENT_SIZE_MULTIPLE: u64 = AlignedBuf::ALIGN as u64;
