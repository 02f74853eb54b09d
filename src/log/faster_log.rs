//! The log.

use super::append::Appender;
use super::commit::{COOKIE_MAX, CURSORS_MAX, NAME_MAX};
pub use super::config::FasterLogConfig;
use super::durable::Durable;
use super::log_core::{Core, completed, limit};
use super::read::Reader;
use super::scan::{Entries, LogScan};
use crate::address::Address;
use crate::allocator::HybridLog;
use crate::error::Result;
use crate::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// A durable log of entries of any size. See [`crate::log`].
pub struct FasterLog {
    pub(super) core: Arc<Core>,
    pub(super) committer: Option<JoinHandle<()>>,
}

/// A commit that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Commit {
    /// The number of the commit: one more than that of the one before.
    pub number: u64,
    /// Everything below is durable.
    pub until: Address,
    /// What the caller of the last commit with a cookie gave.
    pub cookie: Vec<u8>,
}

impl FasterLog {
    /// Appends an entry, in memory: a commit makes it durable. Waits while memory is full.
    ///
    /// # Errors
    /// The cause if the log has failed; [`ErrorKind::Busy`](crate::ErrorKind::Busy) if the device does not take what is to be written in time;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the log is complete.
    pub fn append(&self, data: &[u8]) -> Result<Address> {
        self.core.with_lane(|core, participant| core.append(participant, &[data], true)).and_then(Core::placed)
    }

    /// Appends an entry that is given in parts, as one.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub fn append_parts(&self, parts: &[&[u8]]) -> Result<Address> {
        self.core.with_lane(|core, participant| core.append(participant, parts, true)).and_then(Core::placed)
    }

    /// Appends entries in order; others may append in between. Returns their addresses.
    ///
    /// # Errors
    /// As for [`append`](Self::append); those before the one that failed are appended.
    pub fn append_batch<'a>(&self, entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Address>> {
        let mut addresses = Vec::new();
        self.core.with_lane(|core, participant| {
            core.append_batch(participant, entries, |address| addresses.push(address))
        })?;
        Ok(addresses)
    }

    /// Appends an entry if there is room in memory at this moment; `None` if there is none.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub fn try_append(&self, data: &[u8]) -> Result<Option<Address>> {
        self.core.with_lane(|core, participant| core.append(participant, &[data], false))
    }

    /// Appends an entry and returns when it is durable. Calls of several threads share a commit.
    ///
    /// # Errors
    /// As for [`append`](Self::append) and [`commit`](Self::commit).
    pub fn append_and_wait(&self, data: &[u8]) -> Result<Address> {
        let address = self.append(data)?;
        self.wait_durable(address)?;
        Ok(address)
    }

    /// Appends an entry; the future is ready when it is durable. Dropping the future takes nothing back.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub fn append_async(&self, data: &[u8]) -> Result<Durable> {
        let address = self.append(data)?;
        Ok(self.durable(address))
    }

    /// A future that is ready when the entry at `address` is durable.
    pub fn durable(&self, address: Address) -> Durable {
        Durable::new(Arc::clone(&self.core), address)
    }

    /// Something to append with from one thread, without any lock.
    pub fn appender(&self) -> Appender {
        Appender { participant: self.core.epoch.join(), core: Arc::clone(&self.core) }
    }

    /// Makes everything durable that was appended before this call.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceFailed`](crate::ErrorKind::DeviceFailed) if something cannot be written or synced: then nothing can be committed any more, and the
    /// log has to be opened again. What was durable stays so.
    pub fn commit(&self) -> Result<Commit> {
        self.core.commit_shared()
    }

    /// A commit with a cookie: bytes of the caller's, at most 4 KiB, that the log keeps until a commit brings others.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit); [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the cookie is too large.
    pub fn commit_with(&self, cookie: &[u8]) -> Result<Commit> {
        if cookie.len() > COOKIE_MAX {
            return Err(limit("the cookie is too large", cookie.len(), COOKIE_MAX));
        }
        self.core.check_room(&self.core.next.lock(), cookie)?;
        self.core.commit_with(cookie.to_vec())
    }

    /// Returns when the entry at `address` is durable.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    pub fn wait_durable(&self, address: Address) -> Result<()> {
        self.core.wait_durable(address)
    }

    /// The entry at `address`, durable or not yet.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if no entry begins there, or it was truncated; [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if it is damaged; those of
    /// the device.
    pub fn read_entry(&self, address: Address) -> Result<Vec<u8>> {
        Reader::new(Arc::clone(&self.core)).entry(address)
    }

    /// Bytes of the entry at `address`.
    ///
    /// # Errors
    /// As for [`read_entry`](Self::read_entry).
    pub fn entry_len(&self, address: Address) -> Result<u64> {
        Reader::new(Arc::clone(&self.core)).entry_len(address)
    }

    /// All entries there are now and that are durable, oldest first, with their addresses. It ends early where an entry
    /// cannot be read, and [`Entries::finish`] says why; [`scan`](Self::scan) has the errors in the row.
    pub fn scan_all(&self) -> Entries {
        Entries::new(self.scan(..))
    }

    /// The durable entries whose addresses lie in `range`, oldest first, as far as they are durable when they are come to.
    pub fn scan(&self, range: impl std::ops::RangeBounds<Address>) -> LogScan {
        LogScan::new(Arc::clone(&self.core), range, false)
    }

    /// The same with the entries that are not durable yet, as far as they are whole.
    pub fn scan_uncommitted(&self, range: impl std::ops::RangeBounds<Address>) -> LogScan {
        LogScan::new(Arc::clone(&self.core), range, true)
    }

    /// Ends the log: nothing is appended any more, also after it was opened again.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    pub fn complete(&self) -> Result<Commit> {
        self.core.next.lock().complete = true;
        self.core.group.close(completed());
        self.core.commit_change()
    }

    /// True if the log was ended.
    pub fn is_complete(&self) -> bool {
        self.core.is_complete()
    }

    /// Notes a place under a name; the next commit makes it durable.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if there are 256 names, it is longer than 128 bytes, or what a commit says would not fit on a page.
    pub fn set_cursor(&self, name: &str, address: Address) -> Result<()> {
        let mut next = self.core.next.lock();
        if name.len() > NAME_MAX {
            return Err(limit("the name of a cursor is too long", name.len(), NAME_MAX));
        }
        if !next.cursors.contains_key(name) && next.cursors.len() == CURSORS_MAX {
            return Err(limit("there are too many cursors", CURSORS_MAX + 1, CURSORS_MAX));
        }
        let before = next.cursors.insert(name.to_owned(), address.get());
        if before.is_none()
            && let Err(error) = self.core.check_room(&next, &next.cookie)
        {
            next.cursors.remove(name);
            return Err(error);
        }
        drop(next);
        self.core.group.note_change();
        Ok(())
    }

    /// The place noted under a name.
    pub fn cursor(&self, name: &str) -> Option<Address> {
        self.core.next.lock().cursors.get(name).copied().map(Address::from_word)
    }

    /// Forgets a name; the next commit makes that durable.
    pub fn remove_cursor(&self, name: &str) {
        self.core.next.lock().cursors.remove(name);
        self.core.group.note_change();
    }

    /// The cookie of the last commit that had one.
    pub fn cookie(&self) -> Vec<u8> {
        self.core.next.lock().cookie.clone()
    }

    /// Where the log begins: the oldest entry is at or behind it.
    pub fn begin(&self) -> Address {
        self.core.next.lock().begin()
    }

    /// Everything below is durable.
    pub fn committed(&self) -> Address {
        self.core.group.durable()
    }

    /// Where the next entry goes, at the earliest.
    pub fn tail(&self) -> Address {
        self.core.log.addresses().tail
    }

    /// Waits until the log is durable beyond `address`, which [`committed`](Self::committed) said, or until `timeout` has
    /// passed; returns how far it is durable. For readers that follow the log. That of another process becomes longer here when it
    /// is [refreshed](Self::refresh).
    pub fn wait_beyond(&self, address: Address, timeout: Duration) -> Address {
        self.core.group.wait_beyond(address, timeout)
    }

    /// Bytes of memory that the log takes.
    pub fn memory_bytes(&self) -> usize {
        HybridLog::memory_bytes(self.core.log.geometry())
    }
}

/// Commits what was appended, as far as that is possible, and ends the log's thread.
impl Drop for FasterLog {
    fn drop(&mut self) {
        self.core.group.stop();
        if let Some(committer) = self.committer.take() {
            let _ = committer.join();
        }
        if self.core.config.commit_interval.is_some() && self.core.group.check().is_ok() {
            let _ = self.core.commit_shared();
        }
    }
}
