//! Going through a store: its log as it was written, its keys as they are, the changes that are made to it.
//!
//! ```text
//!   scan_log    every record of a range, dead or alive          LogScanIterator
//!   iter        every key once, with its newest value            LiveIterator   look-up above each record
//!   snapshot    the same as of one moment of all sessions        LiveIterator   the cut of a checkpoint without one
//!   changes     what becomes of keys, in the order of the log    ChangeFeed     from a cursor that can be kept
//! ```
//!
//! * **S1** Only what nobody changes any more is looked at. A scan that is to see what is in memory has it closed to updates in
//!   place once, when it begins.
//! * **S2** A scan keeps what it has not looked at yet on the device: compaction goes on meanwhile, and its space is given back
//!   behind the scan.
//! * **S3** Whether a record is the newest of its key is asked of its chain, for records within the scan's extent: what is
//!   written or moved behind its end counts for nothing. So a key that nobody touches is met exactly once.
//!   For that records have to stay in their chains, so the index does not shrink meanwhile.
//! * **S4** What has ended is judged by one time, from before the scan closed what is in memory: a value that has ended by then is
//!   no key's. The log itself is shown as it lies, with the expiry of each value.

mod chains;
mod changes;
mod live;
mod log_scan;
#[cfg(test)]
mod tests;
mod versions;

use self::chains::ChainHold;
use super::compact::Hold;
use super::database::Database;
use super::faster_kv::FasterKv;
use crate::address::Address;
use crate::device::StorageDevice;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::Extent;
use crate::operation::{Retry, Stall};
use crate::record::{Held, Key, Value};
use std::ops::{Bound, RangeBounds};

pub use changes::{Change, ChangeCursor, ChangeFeed, ChangeOptions, ChangeReach};
pub use live::{LiveIterator, ScanCursor};
pub use log_scan::{LogScanIterator, ScannedRecord};
pub use versions::KeyVersion;

impl<K: Key, V: Value, D: StorageDevice> FasterKv<K, V, D> {
    /// Every record whose header lies in `range`, in the order of the log: those that were superseded and those of deleted keys
    /// too. From where the log begins if the range does not say, to its end at this moment. What is in memory of it is closed to
    /// updates in place. A range may begin anywhere, also within a record.
    ///
    /// ```
    /// use oxifaster::device::MemoryDisk;
    /// use oxifaster::store::{FasterKv, FasterKvConfig};
    /// # fn main() -> oxifaster::Result<()> {
    /// let store = FasterKv::open(FasterKvConfig::default().with_memory_budget(1 << 20), MemoryDisk::new())?;
    /// let mut session = store.start_session();
    /// for key in 0..10u64 {
    ///     session.upsert(key, key * key)?;
    /// }
    /// let values = store.scan_log(..)?.map(|record| record.map(|record| record.value));
    /// assert_eq!(values.collect::<oxifaster::Result<Vec<u64>>>()?, [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the range begins below what was given back to the device, [`ErrorKind::Busy`] if a session
    /// keeps a page from being closed for too long. Failures of the device are items of the iterator.
    pub fn scan_log(&self, range: impl RangeBounds<Address>) -> Result<LogScanIterator<K, V>> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => Address::from_word(start.get() + 1),
            Bound::Unbounded => self.database.kernel.log.begin(),
        };
        let end = match range.end_bound() {
            Bound::Included(end) => Address::from_word(end.get().saturating_add(1).min(Address::MAX.get())),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => Address::MAX,
        };
        let hold = hold_page_of(&self.database, start)?;
        let end = end.min(immutable_up_to(&self.database, end)?);
        LogScanIterator::new(&self.database, hold, start..end)
    }

    /// Every key once, with its newest value at about this moment, in the order of the log. (Where there may be large values, see
    /// [`LiveIterator::keys`].) What is in memory is closed to updates
    /// in place. Keys that are changed while the iterator is made may have the old value or the new one; later changes are not
    /// seen. Memory that it needs does not depend on the number of keys.
    ///
    /// # Errors
    /// As for [`scan_log`](Self::scan_log).
    pub fn iter(&self) -> Result<LiveIterator<K, V>> {
        let chains = ChainHold::new(&self.database)?;
        let now = self.database.kernel.now();
        let hold = self.database.reclaim.hold(|| self.database.kernel.log.begin());
        let end = immutable_up_to(&self.database, Address::MAX)?;
        LiveIterator::new(chains, hold, Extent { end, left_out: None }, now)
    }

    /// Every key once, with its value at one moment of all sessions: all operations of the version that
    /// [`LiveIterator::version`] gives are in it, and none of a later one. Sessions go on meanwhile. The store's version moves on by
    /// one, as by a checkpoint.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if a checkpoint is under way or a session's call holds the cut up for too long.
    pub fn snapshot(&self) -> Result<LiveIterator<K, V>> {
        let chains = ChainHold::new(&self.database)?;
        let now = self.database.kernel.now();
        let hold = self.database.reclaim.hold(|| self.database.kernel.log.begin());
        let (version, extent) = super::checkpoint::cut_for_scan(&self.database)?;
        Ok(LiveIterator::new(chains, hold, extent, now)?.of_version(version))
    }

    /// Goes on with an iterator that was dropped, where it was when it gave the cursor.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if what it had not looked at yet was given back to the device meanwhile, so that keys would be
    /// missing, or the index has [shrunk](Self::shrink_index); [`ErrorKind::Config`] if this is no cursor of this store.
    pub fn iter_from(&self, cursor: ScanCursor) -> Result<LiveIterator<K, V>> {
        if cursor.extent.end > self.database.kernel.log.safe_read_only() || cursor.at > cursor.extent.end {
            return Err(Error::new(
                ErrorKind::Config,
                "a scan cannot go on: the log does not reach as far as its cursor",
            )
            .with("cursor", cursor.at)
            .with("end of the scan", cursor.extent.end)
            .with("immutable below", self.database.kernel.log.safe_read_only())
            .help("a cursor serves the store that it was taken from, for as long as that is open"));
        }
        let chains = ChainHold::new(&self.database)?;
        if cursor.extent.end.get() <= self.database.joined_below.get() {
            return Err(Error::new(ErrorKind::NotFound, "a scan cannot go on: the index has shrunk since")
                .with("end of the scan", cursor.extent.end)
                .help("begin a new one"));
        }
        let hold = self.database.reclaim.hold_from(cursor.at).map_err(|kept| given_back(cursor.at, kept))?;
        LiveIterator::new(chains, hold, cursor.extent, cursor.now)
    }

    /// Calls `visit` with every key once and its newest value at about this moment, from `threads` threads, in any order. Returns
    /// how many there were.
    ///
    /// # Errors
    /// As for [`iter`](Self::iter), and those of the device; [`ErrorKind::LargeValue`] if a key has a [large](super::ValueReader) value.
    pub fn for_each(&self, threads: usize, visit: impl Fn(&K, &V) + Sync) -> Result<u64> {
        self.for_each_held(threads, |key, held| held.value().map(|value| visit(key, value)))
    }

    /// The same with the bytes of each value, whether that is a [large](super::ValueReader) one or not.
    ///
    /// # Errors
    /// As for [`iter`](Self::iter), and those of the device.
    pub fn for_each_key(&self, threads: usize, visit: impl Fn(&K, u64) + Sync) -> Result<u64> {
        self.for_each_held(threads, |key, held| {
            visit(key, held.len());
            Ok(())
        })
    }

    fn for_each_held(&self, threads: usize, visit: impl Fn(&K, &Held<V>) -> Result<()> + Sync) -> Result<u64> {
        let _chains = ChainHold::new(&self.database)?;
        let now = self.database.kernel.now();
        let hold = self.database.reclaim.hold(|| self.database.kernel.log.begin());
        let end = immutable_up_to(&self.database, Address::MAX)?;
        live::for_each(&self.database, &hold, (Extent { end, left_out: None }, now), threads, visit)
    }

    /// How many keys there are, by looking at every record.
    ///
    /// # Errors
    /// As for [`for_each_key`](Self::for_each_key).
    pub fn count(&self) -> Result<u64> {
        self.for_each_key(1, |_, _| ())
    }

    /// How many keys there are, roughly: entries of the index. Too few by those that share an entry with others, too many by those
    /// that were deleted and are not forgotten yet. Walks the index: takes milliseconds for every hundred megabytes.
    pub fn approximate_count(&self) -> u64 {
        self.index_stats().entries
    }

    /// All versions of a key that the log still holds, the newest first. If the index has [shrunk](Self::shrink_index), those from before
    /// may be missing.
    ///
    /// # Errors
    /// Those of the device.
    pub fn versions_of(&self, key: &K) -> Result<Vec<KeyVersion<V>>> {
        versions::versions_of(&self.database, key)
    }

    /// What becomes of keys from `from` on, in the order of the log.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if what comes after the cursor was given back to the device, or belongs to a history of the log that
    /// was given up by a recovery: then only a new start helps, from [`ChangeCursor::START`].
    pub fn changes(&self, from: ChangeCursor) -> Result<ChangeFeed<K, V>> {
        self.changes_with(from, &ChangeOptions::default())
    }

    /// The same, with options.
    ///
    /// # Errors
    /// As for [`changes`](Self::changes).
    pub fn changes_with(&self, from: ChangeCursor, options: &ChangeOptions) -> Result<ChangeFeed<K, V>> {
        ChangeFeed::new(&self.database, from, options)
    }
}

/// Makes what is below `wanted` immutable, as far as there is a log, and returns up to where everything is.
fn immutable_up_to<K: Key, V: Value>(database: &Database<K, V>, wanted: Address) -> Result<Address> {
    let log = &database.kernel.log;
    if wanted > log.safe_read_only() {
        let (mut closed, mut stall) = (None, Stall::new());
        while closed.is_none_or(|closed| log.safe_read_only() < closed) {
            closed = closed.or_else(|| log.close_tail());
            if closed.is_none_or(|closed| log.safe_read_only() < closed) {
                stall.wait(&database.kernel, Retry::Fuzzy)?;
            }
        }
    }
    Ok(log.safe_read_only())
}

/// Keeps the log from a place at or below `start`, on the same page, where a record begins.
fn hold_page_of<K: Key, V: Value>(database: &Database<K, V>, start: Address) -> Result<Hold> {
    let page = database.kernel.log.geometry().page();
    let page_start = page.start_of(page.page(start)).max(Address::new(crate::allocator::FIRST));
    match database.reclaim.hold_from(page_start) {
        Ok(hold) => Ok(hold),
        // A record begins there, too.
        Err(kept) if kept <= start => database.reclaim.hold_from(kept).map_err(|kept| given_back(start, kept)),
        Err(kept) => Err(given_back(start, kept)),
    }
}

#[cold]
fn given_back(at: Address, kept: Address) -> Error {
    Error::new(ErrorKind::NotFound, "this part of the log was given back to the device")
        .with("address", at)
        .with("kept from", kept)
        .help("begin where the log does, at FasterKv::addresses().begin")
}
