//! The devices on which programs run.

use oxifaster::device::{FileSystemDiskOptions, MemoryDisk, StorageDevice};
use std::sync::Arc;
use tempfile::TempDir;

/// Where the store's bytes go, and who reads them.
#[derive(Debug)]
pub(super) enum Disk {
    Memory,
    /// Files, read through rings where the kernel has them.
    Rings(TempDir),
    /// Files, read by threads.
    Threads(TempDir),
}

impl Disk {
    pub(super) fn rings() -> Self {
        Self::Rings(tempfile::tempdir().unwrap())
    }

    pub(super) fn threads() -> Self {
        Self::Threads(tempfile::tempdir().unwrap())
    }

    /// A new device.
    pub(super) fn device(&self) -> Arc<dyn StorageDevice> {
        let (directory, rings) = match self {
            Self::Memory => return Arc::new(MemoryDisk::new()),
            Self::Rings(directory) => (directory, true),
            Self::Threads(directory) => (directory, false),
        };
        // Each in a directory of its own: an earlier one may still be read by what a session gave up.
        let own = tempfile::tempdir_in(directory).unwrap().keep();
        // Segments end in the midst of pages.
        let options = FileSystemDiskOptions::new().with_segment_size(20 << 12).with_io_uring(rings);
        Arc::new(options.open(own).unwrap())
    }
}
