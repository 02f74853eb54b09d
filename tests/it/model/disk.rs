//! The devices on which programs run.

use oxifaster::device::{FileSystemDiskOptions, MemoryDisk, StorageDevice};
use std::cell::Cell;
use std::sync::Arc;
use tempfile::TempDir;

/// Where the store's bytes go, and who reads them.
#[derive(Debug)]
pub(super) enum Disk {
    Memory,
    Files(Files),
}

#[derive(Debug)]
pub(super) struct Files {
    directory: TempDir,
    opened: Cell<usize>,
    by_rings: bool,
}

impl Disk {
    /// Files, read through rings where the kernel has them.
    pub(super) fn rings() -> Self {
        Self::files(true)
    }

    /// Files, read by threads.
    pub(super) fn threads() -> Self {
        Self::files(false)
    }

    fn files(by_rings: bool) -> Self {
        Self::Files(Files { directory: tempfile::tempdir().unwrap(), opened: Cell::new(0), by_rings })
    }

    /// A new device.
    pub(super) fn device(&self) -> Arc<dyn StorageDevice> {
        let Self::Files(files) = self else { return Arc::new(MemoryDisk::new()) };
        // Each in a directory of its own: an earlier one may still be read for what a session gave up.
        files.opened.set(files.opened.get() + 1);
        let own = files.directory.path().join(files.opened.get().to_string());
        // Segments end in the midst of pages.
        let options = FileSystemDiskOptions::new().with_segment_size(20 << 12).with_io_uring(files.by_rings);
        Arc::new(options.open(own).unwrap())
    }
}
