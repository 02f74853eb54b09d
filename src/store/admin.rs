//! Looking after a store: where its regions are, writing out, making room, looking at the index.

use super::database::Database;
use super::faster_kv::FasterKv;
use crate::address::Address;
use crate::allocator::LogAddresses;
use crate::device::StorageDevice;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Haste, IndexGrowth, IndexStats};
use crate::kernel::LogRecords;
use crate::memory::{HugePages, Words, resident_bytes};
use crate::operation::{Environment, Retry, Stall};
use crate::record::{Key, Value};
use crate::stats::{Area, MemoryStats};

impl<K: Key, V: Value, D: StorageDevice> FasterKv<K, V, D> {
    /// The log's region boundaries at this moment.
    pub fn addresses(&self) -> LogAddresses {
        self.database.kernel.log.addresses()
    }

    /// How full the index is. Walks it: takes milliseconds for every hundred megabytes.
    pub fn index_stats(&self) -> IndexStats {
        self.database.kernel.index.stats()
    }

    /// How the index has grown and shrunk, and whether it does at this moment. Takes no longer than a lock.
    pub fn index_growth(&self) -> IndexGrowth {
        self.database.kernel.index.growth()
    }

    /// Has the index grow to at least `buckets` buckets, rounded up to a power of two, and returns when it has. It doubles as
    /// often as needed. Sessions go on meanwhile and come first: this call works for a third of the time.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the memory budget has no room for the next table beside the one that is there, or the system does
    /// not give the memory; [`ErrorKind::Busy`] if a checkpoint is taking an image of the index, or a session's call never
    /// returns. The index keeps the size that it has come to, and the store goes on.
    pub fn grow_index(&self, buckets: u64) -> Result<()> {
        #[cfg(not(oxifaster_loom))]
        super::shrink::finish_shrinking(&self.database)?;
        let Database { kernel, epoch, .. } = &*self.database;
        let (records, budget) = (LogRecords::new(kernel), self.database.budget());
        let way = (Haste::Gentle, kernel.wait_limit());
        kernel.index.grow_to(buckets, &records, Some(budget), &mut epoch.join(), way)
    }

    /// Has the index shrink to at most `buckets` buckets, rounded up to a power of two, and returns when it has: by halves, as often as
    /// needed, after many keys were deleted and the store was compacted. It never has fewer buckets than the store was
    /// [configured](super::FasterKvConfig::with_table_size) with. Sessions go on meanwhile and come first: this call works for a third
    /// of the time. Checkpoints, scans and transactions that begin meanwhile take it to its end first.
    ///
    /// Where two keys come to share an entry, records are copied to the end of the log; those on the device are read for that.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if its entries would fill a smaller table too much, or it is as small as it may be, or there is no memory
    /// for the smaller one beside the one that is there, or the store [uses space
    /// again](super::FasterKvConfig::with_revivification) ([`GrowthRefusal`](crate::index::GrowthRefusal) has all reasons);
    /// [`ErrorKind::Busy`] if a compaction, a scan or an image of the index is
    /// under way, or keys stay locked, or a session's call never returns; those of the device and of appending. The index keeps the size
    /// that it has come to, and the store goes on; what was begun is finished by the next call, compaction, checkpoint or scan.
    #[cfg(not(oxifaster_loom))]
    pub fn shrink_index(&self, buckets: u64) -> Result<()> {
        let buckets = buckets.checked_next_power_of_two().unwrap_or(u64::MAX);
        let _turn = self.database.reclaim.turn().ok_or_else(|| {
            Error::new(
                ErrorKind::Busy,
                "a compaction of this store is under way, and the index does not shrink meanwhile",
            )
            .help("wait for it to end, or stop the worker that does it")
        })?;
        super::shrink::Shrinking::new(&self.database, Haste::Gentle).run(buckets)
    }

    /// How much of the memory of index and log is there, and how much of that on huge pages.
    ///
    /// Asks the system about every page of it, and for huge pages about all memory of the process: takes a millisecond for
    /// every gigabyte on huge pages, more for one on small pages, and holds up who asks the system for memory meanwhile.
    pub fn memory_stats(&self) -> MemoryStats {
        let (kernel, huge_pages) = (&self.database.kernel, HugePages::of_process());
        MemoryStats {
            index: area_of(&kernel.index.memory(), huge_pages.as_ref()),
            log: Area { bytes: self.log_memory(), ..area_of(&[kernel.log.memory()], huge_pages.as_ref()) },
            read_cache: kernel
                .cache
                .as_ref()
                .map_or_else(Area::default, |cache| area_of(&[cache.memory()], huge_pages.as_ref())),
        }
    }

    /// Writes everything that is in the store at this moment to the device, and returns when it has been written. It is
    /// not yet safe from a power failure then.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceFailed`] if writing fails, also when it is tried again;
    /// [`ErrorKind::Busy`] if a session keeps a page from being closed for too long.
    pub fn flush(&self) -> Result<()> {
        self.flush_to_tail().map(drop)
    }

    /// Writes everything that is in the store at this moment to the device, and frees the memory it took for newer
    /// records: until they are written again, all keys are read from the device.
    ///
    /// # Errors
    /// As for [`flush`](Self::flush), and [`ErrorKind::Limit`] if the device keeps nothing: then
    /// memory is the only place where the keys are.
    pub fn evict(&self) -> Result<()> {
        if !self.device().info().readable {
            return Err(Error::new(ErrorKind::Limit, "evicting to a device that keeps nothing would lose everything")
                .help("give the store a device that can be read back, such as FileSystemDisk"));
        }
        let tail = self.flush_to_tail()?;
        self.wait_until(Retry::Room, || {
            self.database.kernel.log.evict_until(tail);
            self.addresses().safe_head >= tail
        })
    }

    fn flush_to_tail(&self) -> Result<Address> {
        let log = &self.database.kernel.log;
        let mut closed = None;
        self.wait_until(Retry::Room, || {
            closed = closed.or_else(|| log.close_tail());
            closed.is_some_and(|closed| log.addresses().flushed >= closed)
        })?;
        Ok(closed.unwrap_or(Address::INVALID))
    }

    fn wait_until(&self, retry: Retry, mut done: impl FnMut() -> bool) -> Result<()> {
        let mut stall = Stall::new();
        while !done() {
            stall.wait(&self.database.kernel, retry)?;
        }
        Ok(())
    }
}

fn area_of(parts: &[&Words], huge_pages: Option<&HugePages>) -> Area {
    Area {
        bytes: parts.iter().map(|words| size_of_val(&***words) as u64).sum(),
        resident: parts.iter().map(|words| resident_bytes(words)).sum(),
        huge: huge_pages.map(|huge_pages| parts.iter().map(|words| huge_pages.bytes_of(words)).sum()),
    }
}
