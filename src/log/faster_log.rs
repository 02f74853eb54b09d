//! The log.

use super::append::{Appender, LANES};
use super::commit::{COOKIE_MAX, CURSORS_MAX, CommitRecord, NAME_MAX};
pub use super::config::FasterLogConfig;
use super::config::log_config;
use super::entry::Kind;
use super::durable::{Durable, Report};
use super::read::Reader;
use super::recover::{Explorer, Found};
use super::scan::{Entries, LogScan};
use crate::address::Address;
use crate::allocator::{FIRST, History, HybridLog, LogState};
use crate::device::StorageDevice;
use crate::epoch::{LightEpoch, Participant};
use crate::error::{Error, ErrorKind, Result};
use crate::group::{GroupCommit, spawn};
use crate::sync::{Arc, AtomicU64, Backoff, Mutex};
use crate::utility::{random_bits, unix_milliseconds};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A durable log of entries of any size. See [`crate::log`].
pub struct FasterLog {
    pub(super) core: Arc<Core>,
    committer: Option<JoinHandle<()>>,
}

/// What the log's threads share.
pub(super) struct Core {
    pub(super) log: HybridLog,
    pub(super) epoch: Arc<LightEpoch>,
    pub(super) config: FasterLogConfig,
    /// What the blocks carry, and the checksums of entries cover.
    pub(super) generation: u32,
    pub(super) group: GroupCommit<Report>,
    /// Participants for those who append through `&self`.
    pub(super) lanes: Vec<Mutex<Participant>>,
    pub(super) next_lane: AtomicU64,
    /// What the next commit record says. Held by who commits only to look.
    pub(super) next: Mutex<CommitRecord>,
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
    /// Opens the log on `device`, or makes one if it holds nothing: goes on behind the longest prefix that verifies.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if a size makes no sense or the device holds something else; [`ErrorKind::Corrupt`] if a part that
    /// was durable is damaged; those of the device.
    pub fn open(config: FasterLogConfig, device: impl StorageDevice) -> Result<Self> {
        Self::on(config, Arc::new(device))
    }

    /// [`open`](Self::open) for those who know that it succeeds.
    ///
    /// # Panics
    /// Where `open` would fail. With the default configuration and an empty device it does not.
    #[expect(clippy::panic, reason = "documented: `open` is the fallible form")]
    pub fn new(config: FasterLogConfig, device: impl StorageDevice) -> Self {
        match Self::open(config, device) {
            Ok(log) => log,
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens the log on `device` to be read, as far as it is now; also while another process appends to it, if the device
    /// allows that (`FileSystemDiskOptions::with_read_only`). Nothing is written. To see what came later, open it again, and
    /// scan from the [`position`](LogScan::position) where the last scan ended.
    ///
    /// # Errors
    /// As for [`open`](Self::open); [`ErrorKind::NotFound`] if there is no log yet.
    pub fn open_read_only(config: FasterLogConfig, device: impl StorageDevice) -> Result<Self> {
        let (geometry, device) = (config.geometry()?, Arc::new(device) as Arc<dyn StorageDevice>);
        let explorer = Explorer { device: &device, geometry, wait: config.wait_limit };
        let mut found = explorer.find(config.damage_accepted)?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "there is no log on the device yet").help("append to it first")
        })?;
        found.commit.add_hole(found.whole..found.end);
        let core = Core::new(config, found, device)?;
        core.group.fail(Error::new(ErrorKind::Unsupported, "the log was opened to be read"));
        Ok(Self { core: Arc::new(core), committer: None })
    }

    fn on(config: FasterLogConfig, device: Arc<dyn StorageDevice>) -> Result<Self> {
        let geometry = config.geometry()?;
        let explorer = Explorer { device: &device, geometry, wait: config.wait_limit };
        let mut found = if device.info().readable { explorer.find(config.damage_accepted)? } else { None };
        if let Some(found) = &mut found {
            explorer.settle(found)?;
        }
        let is_new = found.is_none();
        let mut found = found.unwrap_or_else(|| Found {
            commit: CommitRecord { page_bits: config.page_size_bits, begin: FIRST, ..CommitRecord::default() },
            generation: random_bits() as u32,
            whole: Address::new(FIRST),
            end: Address::new(FIRST),
        });
        found.commit.number += u64::from(!is_new);
        let core = Arc::new(Core::new(config, found, device)?);
        if is_new {
            core.commit_with(Vec::new())?; // so that it is known for a log
        }
        if core.next.lock().complete {
            core.group.close(completed());
        }
        let serving = Arc::clone(&core);
        let committer = spawn(move || serving.group.serve(&*serving))?;
        Ok(Self { core, committer: Some(committer) })
    }

    /// Appends an entry, in memory: a commit makes it durable. Waits while memory is full.
    ///
    /// # Errors
    /// The cause if the log has failed; [`ErrorKind::Busy`] if the device does not take what is to be written in time;
    /// [`ErrorKind::Unsupported`] if the log is complete.
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
        self.core.with_lane(|core, participant| {
            let append = |data| core.append(participant, &[data], true).and_then(Core::placed);
            entries.into_iter().map(append).collect()
        })
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
    /// [`ErrorKind::DeviceFailed`] if something cannot be written or synced: then nothing can be committed any more, and the
    /// log has to be opened again. What was durable stays so.
    pub fn commit(&self) -> Result<Commit> {
        self.core.commit_shared()
    }

    /// A commit with a cookie: bytes of the caller's, at most 4 KiB, that the log keeps until a commit brings others.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit); [`ErrorKind::Limit`] if the cookie is too large.
    pub fn commit_with(&self, cookie: &[u8]) -> Result<Commit> {
        if cookie.len() > COOKIE_MAX {
            return Err(limit("the cookie is too large", cookie.len(), COOKIE_MAX));
        }
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
    /// [`ErrorKind::NotFound`] if no entry begins there, or it was truncated; [`ErrorKind::Corrupt`] if it is damaged; those of
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

    /// Gives up all entries before the one at `begin`, durably, and gives their space back to the device.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit); [`ErrorKind::NotFound`] if `begin` is neither an entry nor the end.
    pub fn truncate_before(&self, begin: Address) -> Result<()> {
        self.check_cut(begin)?;
        self.core.next.lock().begin_at(begin);
        self.commit_and_free()
    }

    /// Gives up the entry at `from` and all behind it, durably: they never come back. Entries appended by others while this
    /// call runs stay, or go with the rest.
    ///
    /// # Errors
    /// As for [`truncate_before`](Self::truncate_before).
    pub fn truncate_suffix(&self, from: Address) -> Result<()> {
        let commit = self.commit()?;
        if from < commit.until {
            self.check_cut(from)?;
            self.core.next.lock().add_hole(from..commit.until);
            self.core.commit_with(commit.cookie).map(drop)?;
        }
        Ok(())
    }

    /// Ends the log: nothing is appended any more, also after it was opened again.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    pub fn complete(&self) -> Result<Commit> {
        let cookie = {
            let mut next = self.core.next.lock();
            next.complete = true;
            next.cookie.clone()
        };
        self.core.group.close(completed());
        self.core.commit_with(cookie)
    }

    /// True if the log was ended.
    pub fn is_complete(&self) -> bool {
        self.core.is_complete()
    }

    /// Notes a place under a name; the next commit makes it durable.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if there are 256 names, or it is longer than 128 bytes.
    pub fn set_cursor(&self, name: &str, address: Address) -> Result<()> {
        let mut next = self.core.next.lock();
        if name.len() > NAME_MAX {
            return Err(limit("the name of a cursor is too long", name.len(), NAME_MAX));
        }
        if !next.cursors.contains_key(name) && next.cursors.len() == CURSORS_MAX {
            return Err(limit("there are too many cursors", CURSORS_MAX + 1, CURSORS_MAX));
        }
        next.cursors.insert(name.to_owned(), address.get());
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
    /// passed; returns how far it is durable. For readers that follow the log.
    pub fn wait_beyond(&self, address: Address, timeout: Duration) -> Address {
        self.core.group.wait_beyond(address, timeout)
    }

    /// Bytes of memory that the log takes.
    pub fn memory_bytes(&self) -> usize {
        HybridLog::memory_bytes(self.core.log.geometry())
    }

    /// That the log can begin or end at `address`: an entry does, or the log is not there yet.
    fn check_cut(&self, address: Address) -> Result<()> {
        if address == self.tail() || address == self.committed() || address == self.begin() {
            return Ok(());
        }
        self.entry_len(address).map(drop)
    }

    fn commit_and_free(&self) -> Result<()> {
        self.core.commit_with(self.cookie())?;
        let begin = Reader::new(Arc::clone(&self.core)).first_byte_of(self.begin())?;
        let begin = self.core.log.geometry().block_start(begin.min(self.committed()));
        if begin > self.core.group.last().before {
            // Whoever opens the log reads all from there on that the last record says was durable before it.
            self.core.commit_with(self.cookie())?;
        }
        let (started, mut backoff) = (Instant::now(), Backoff::new());
        while self.core.log.truncate_before(begin, self.core.config.wait_limit)? < begin {
            if started.elapsed() > self.core.config.wait_limit {
                break; // somebody reads what is being given up: the next truncation frees it
            }
            backoff.wait();
        }
        Ok(())
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

fn completed() -> Error {
    Error::new(ErrorKind::Unsupported, "the log is complete: nothing is appended any more")
}

fn limit(what: &'static str, value: usize, largest: usize) -> Error {
    Error::new(ErrorKind::Limit, what).with("value", value).with("largest", largest)
}

impl Core {
    /// The log that goes on where `found` ends; its `commit` is the next one.
    fn new(config: FasterLogConfig, found: Found, device: Arc<dyn StorageDevice>) -> Result<Self> {
        let (geometry, epoch) = (config.geometry()?, LightEpoch::new());
        let Found { commit: next, generation, end, .. } = found;
        let commit = Commit { number: next.number.saturating_sub(1), until: end, cookie: next.cookie.clone() };
        let last = Report { commit, before: Address::INVALID };
        let begin = geometry.block_start(next.begin()).max(Address::new(FIRST)).min(end);
        let state = LogState { begin, head: end, flushed: end, end, history: History::of_new(generation) };
        let log = HybridLog::at(log_config(geometry, generation), state, Arc::clone(&epoch), device)?;
        Ok(Self {
            log,
            lanes: (0..LANES).map(|_| Mutex::new(epoch.join())).collect(),
            next_lane: AtomicU64::new(0),
            group: GroupCommit::new(config.policy(), config.wait_limit, end, last),
            next: Mutex::new(next),
            epoch,
            config,
            generation,
        })
    }

    /// Commits, on behalf of this caller and all who wait.
    pub(super) fn commit_record(&self, cookie: Option<Vec<u8>>) -> Result<(Address, Report)> {
        let before = self.group.durable();
        let record = {
            let mut next = self.next.lock();
            next.durable = before.get();
            next.time = unix_milliseconds();
            if let Some(cookie) = cookie {
                next.cookie = cookie;
            }
            let record = next.clone();
            next.number += 1;
            record
        };
        let body = record.encode()?;
        if body.len() > self.body_max() {
            return Err(limit("the cursors and the cookie do not fit on a page", body.len(), self.body_max()));
        }
        self.with_lane(|core, participant| core.put(participant, Kind::Commit, &body, true)).and_then(Self::placed)?;
        let until = self.log.make_durable(self.config.wait_limit)?;
        let commit = Commit { number: record.number, until, cookie: record.cookie };
        Ok((until, Report { commit, before }))
    }

    pub(super) fn is_complete(&self) -> bool {
        self.next.lock().complete
    }

    /// Everything that `address` is compared with to tell what is there.
    pub(super) fn holes(&self) -> (Address, Vec<(u64, u64)>) {
        let next = self.next.lock();
        (next.begin(), next.holes.clone())
    }
}
