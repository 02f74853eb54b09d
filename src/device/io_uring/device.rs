//! The device by the name of its backend.

use super::IoBackend;
use crate::device::{
    CompletionSink, DeviceInfo, FileSystemDisk, FileSystemDiskOptions, IoChannel, IoDone, IoRequest, StorageDevice,
    Token,
};
use crate::error::Result;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A [`FileSystemDisk`] for those who want to say that they mean io_uring.
///
/// It is the same device with the same files: `FileSystemDisk` uses io_uring by itself where it can. Neither fails where it
/// cannot; [`backend`](Self::backend) says what is used, and why.
#[derive(Debug)]
pub struct IoUringDevice {
    disk: FileSystemDisk,
}

impl IoUringDevice {
    /// Opens the device in the one file at `path`, which is created if it does not exist.
    ///
    /// # Errors
    /// As [`FileSystemDiskOptions::single_file`].
    pub fn new(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().single_file(path).map(Self::from)
    }

    /// Opens the device in `directory`, which is created if it does not exist.
    ///
    /// # Errors
    /// As [`FileSystemDiskOptions::open`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(directory).map(Self::from)
    }

    fn options() -> FileSystemDiskOptions {
        FileSystemDiskOptions::new().with_io_uring(true)
    }

    /// Who carries out the reads of sessions, and why.
    pub fn backend(&self) -> &IoBackend {
        self.disk.backend()
    }

    /// True if accesses bypass the page cache. Becomes false if the file system turns out to refuse it.
    pub fn is_direct(&self) -> bool {
        self.disk.is_direct()
    }

    /// The directory or file that holds the device.
    pub fn path(&self) -> &Path {
        self.disk.path()
    }
}

/// For a disk that was opened with other options than the defaults.
impl From<FileSystemDisk> for IoUringDevice {
    fn from(disk: FileSystemDisk) -> Self {
        Self { disk }
    }
}

impl StorageDevice for IoUringDevice {
    fn info(&self) -> DeviceInfo {
        self.disk.info()
    }

    fn submit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        self.disk.submit(request, sink, token);
    }

    fn poll(&self) -> usize {
        self.disk.poll()
    }

    fn channel(&self) -> Option<Box<dyn IoChannel>> {
        self.disk.channel()
    }

    fn write_through(&self, request: IoRequest, limit: Duration) -> std::result::Result<IoDone, IoRequest> {
        self.disk.write_through(request, limit)
    }
}
