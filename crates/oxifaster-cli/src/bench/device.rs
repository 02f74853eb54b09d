//! Where the store keeps what does not fit into its memory.

use super::directory::Directory;
use super::issue::Api;
use super::report::DeviceReport;
use clap::ValueEnum;
use oxifaster::Result;
use oxifaster::device::{FileSystemDisk, FileSystemDiskOptions, IoBackend, MemoryDisk, NullDisk, StorageDevice};
use oxifaster::record::{RecordLayout, Value};
use std::sync::Arc;

/// What the user may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    /// Files, read through io_uring if the system has it, by threads if not
    File,
    /// The same; the report says so if there is no io_uring
    Uring,
    /// Files, read by threads
    Threads,
    /// Memory that plays a disk
    Memory,
    /// Nothing: all records have to fit into --memory
    None,
}

impl Device {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Uring => "uring",
            Self::Threads => "threads",
            Self::Memory => "memory",
            Self::None => "none",
        }
    }

    /// Opens the device: in `directory` if it is made of files. Also tells what does the reads of a run by `api`.
    pub(crate) fn open(
        self,
        directory: Option<&Directory>,
        api: Api,
    ) -> Result<(Arc<dyn StorageDevice>, DeviceReport)> {
        let Some(directory) = directory.filter(|_| self.has_files()) else {
            let used = DeviceReport { used: self.name(), why: None };
            return Ok(match self {
                Self::None => (Arc::new(NullDisk::new()), used),
                _ => (Arc::new(MemoryDisk::new()), used),
            });
        };
        let options = FileSystemDiskOptions::new().with_io_uring(self != Self::Threads);
        let disk = options.open(directory.path())?;
        let used = self.used(&disk, api);
        Ok((Arc::new(disk), used))
    }

    fn used(self, disk: &FileSystemDisk, api: Api) -> DeviceReport {
        let threads = |why| DeviceReport { used: Self::Threads.name(), why };
        match disk.backend() {
            IoBackend::IoUring if api == Api::Async => threads(Some("futures do not read through io_uring".to_owned())),
            IoBackend::IoUring => DeviceReport { used: Self::Uring.name(), why: None },
            _ if self == Self::Threads => threads(None),
            IoBackend::ThreadPool(reason) => threads(Some(reason.to_string())),
            other => threads(Some(other.to_string())),
        }
    }

    /// True if the store has a directory.
    pub(crate) const fn has_files(self) -> bool {
        matches!(self, Self::File | Self::Uring | Self::Threads)
    }
}

/// What a store takes that holds all of its records in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AllInMemory {
    /// Buckets of the index.
    pub(crate) buckets: u64,
    /// The memory budget.
    pub(crate) bytes: u64,
}

/// Bytes of a bucket, its share of the overflow buckets included.
const BUCKET: u64 = 72;

impl AllInMemory {
    /// For `records` with values that all have one length.
    pub(crate) fn new<V: Value>(records: u64) -> Self {
        let record = RecordLayout::of::<u64, V>().record_size().unwrap_or_default() as u64;
        let buckets = (records / 5 + 1).next_power_of_two();
        // A page may end in a place that no record fits into; there are up to 64 pages. Up to a thirty-second of the log's
        // memory is less than a page; read buffers take as much of all, and so do the look-ups of compactions. Write buffers take up to
        // a mebibyte.
        let log = (records + 64).saturating_mul(record);
        let parts = log.saturating_add(buckets.saturating_mul(BUCKET));
        Self { buckets, bytes: parts.saturating_add(parts / 9).saturating_add(1 << 20) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oxifaster::store::{FasterKv, FasterKvConfig};

    fn store<const N: usize>(records: u64) -> FasterKv<u64, [u8; N], NullDisk> {
        let need = AllInMemory::new::<[u8; N]>(records);
        assert!(
            need.bytes < records * (N as u64 + 24) * 2 + (4 << 20),
            "{N} bytes, {records} records: {need:?} is a waste"
        );
        let config = FasterKvConfig::default().with_memory_budget(need.bytes).with_table_size(need.buckets);
        FasterKv::open(config, NullDisk::new()).unwrap()
    }

    fn hold<const N: usize>(records: u64) {
        let store = store::<N>(records);
        let mut session = store.start_session();
        for key in 0..records {
            session.upsert(key, [1; N]).unwrap_or_else(|error| panic!("{N} bytes, {records} records: {error}"));
        }
    }

    #[test]
    fn what_is_said_to_hold_all_records_does() {
        for records in [1, 1_000, 40_000, 200_000] {
            hold::<8>(records);
            hold::<100>(records);
        }
        for records in [1, 100, 5_000] {
            hold::<4096>(records);
        }
    }

    #[test]
    fn large_stores_get_a_log_for_all_records_and_their_write_buffers() {
        for records in [1_000_000, 2_000_000, 3_000_000, 4_000_000] {
            let memory = store::<8>(records).stats().memory;
            let log = memory.iter().find(|(name, _)| *name == "log").map(|(_, bytes)| *bytes as u64);
            assert!(log >= Some(records * 24 + (1 << 20)), "{records} records: {memory:?}");
        }
    }
}
