//! The log.

use super::commit::{COOKIE_MAX, CURSORS_MAX, CommitRecord, NAME_MAX};
pub use super::config::FasterLogConfig;
use super::config::log_config;
use super::entry::{HEADER, Header, Kind, LAST_HEAD, PART_HEAD};
use super::group::{Durable, Group};
use super::recover::{Explorer, Found};
use super::scan::{Entries, LogScan, Reader};
use crate::address::Address;
use crate::allocator::{Allocation, FIRST, History, HybridLog, LogState};
use crate::device::StorageDevice;
use crate::epoch::{LightEpoch, Participant};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::store_bytes;
use crate::sync::{Arc, AtomicU64, Backoff, Mutex, Ordering};
use crate::utility::unix_milliseconds;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Threads that append through `&self` at the same time without waiting for each other.
const LANES: usize = 16;

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
    pub(super) group: Group,
    /// Participants for those who append through `&self`.
    lanes: Vec<Mutex<Participant>>,
    next_lane: AtomicU64,
    /// What the next commit record says. Held by who commits only to look.
    pub(super) next: Mutex<CommitRecord>,
    /// When the log has grown beyond this, its thread is told.
    commit_at: AtomicU64,
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
        let found = explorer.find(config.damage_accepted)?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "there is no log on the device yet").help("append to it first")
        })?;
        let core = Core::new(config, found, device)?;
        core.group.close();
        core.group.fail(Error::new(ErrorKind::Unsupported, "the log was opened to be read"));
        Ok(Self { core: Arc::new(core), committer: None })
    }

    fn on(config: FasterLogConfig, device: Arc<dyn StorageDevice>) -> Result<Self> {
        let geometry = config.geometry()?;
        let explorer = Explorer { device: &device, geometry, wait: config.wait_limit };
        let found = if device.info().readable { explorer.find(config.damage_accepted)? } else { None };
        if let Some(found) = &found {
            explorer.clear_from(found.end)?;
        }
        let is_new = found.is_none();
        let mut found = found.unwrap_or_else(|| Found {
            commit: CommitRecord { page_bits: config.page_size_bits, begin: FIRST, ..CommitRecord::default() },
            generation: RandomState::new().hash_one("log") as u32,
            end: Address::new(FIRST),
        });
        found.commit.number += u64::from(!is_new);
        let core = Arc::new(Core::new(config, found, device)?);
        if is_new {
            core.commit_shared(Some(Vec::new()))?; // so that it is known for a log
        }
        if core.next.lock().complete {
            core.group.close();
        }
        let committer = super::group::start(&core)?;
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
        self.core.commit_shared(None)
    }

    /// A commit with a cookie: bytes of the caller's, at most 4 KiB, that the log keeps until a commit brings others.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit); [`ErrorKind::Limit`] if the cookie is too large.
    pub fn commit_with(&self, cookie: &[u8]) -> Result<Commit> {
        if cookie.len() > COOKIE_MAX {
            return Err(limit("the cookie is too large", cookie.len(), COOKIE_MAX));
        }
        self.core.commit_shared(Some(cookie.to_vec()))
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
        if begin > self.tail() {
            return Err(Error::new(ErrorKind::NotFound, "truncating a log before an address that it has not reached")
                .with("address", begin)
                .with("end of the log", self.tail()));
        }
        {
            let mut next = self.core.next.lock();
            next.begin = next.begin.max(begin.get());
            next.add_hole(Address::INVALID..Address::INVALID);
        }
        self.commit_and_free()
    }

    /// Gives up the entry at `from` and all behind it, durably: they never come back. Entries appended by others while this
    /// call runs stay, or go with the rest.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    pub fn truncate_suffix(&self, from: Address) -> Result<()> {
        let commit = self.commit()?;
        if from < commit.until {
            self.core.next.lock().add_hole(from.max(Address::new(FIRST))..commit.until);
            self.core.commit_shared(Some(commit.cookie)).map(drop)?;
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
        self.core.group.close();
        self.core.commit_shared(Some(cookie))
    }

    /// True if the log was ended.
    pub fn is_complete(&self) -> bool {
        self.core.next.lock().complete
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

    fn commit_and_free(&self) -> Result<()> {
        let cookie = self.cookie();
        self.core.commit_shared(Some(cookie))?;
        let begin = Reader::new(Arc::clone(&self.core)).first_byte_of(self.begin())?;
        let begin = self.core.log.geometry().block_start(begin.min(self.committed()));
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
        if self.core.config.commit_interval.is_some() && self.core.group.check_open().is_ok() {
            let _ = self.core.commit_shared(None);
        }
    }
}

/// Appends to a log from one thread. See [`FasterLog::appender`].
pub struct Appender {
    participant: Participant,
    core: Arc<Core>,
}

impl Appender {
    /// See [`FasterLog::append`].
    ///
    /// # Errors
    /// As for `append`.
    pub fn append(&mut self, data: &[u8]) -> Result<Address> {
        self.core.append(&mut self.participant, &[data], true).and_then(Core::placed)
    }

    /// See [`FasterLog::try_append`].
    ///
    /// # Errors
    /// As for `append`.
    pub fn try_append(&mut self, data: &[u8]) -> Result<Option<Address>> {
        self.core.append(&mut self.participant, &[data], false)
    }

    /// Appends entries in order; others may append in between. Returns the address of the last.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub fn append_batch<'a>(&mut self, entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<Address>> {
        let mut last = None;
        for data in entries {
            last = Some(self.append(data)?);
        }
        Ok(last)
    }
}

fn limit(what: &'static str, value: usize, largest: usize) -> Error {
    Error::new(ErrorKind::Limit, what).with("value", value).with("largest", largest)
}

impl Core {
    /// The log that goes on where `found` ends; its `commit` is the next one.
    fn new(config: FasterLogConfig, found: Found, device: Arc<dyn StorageDevice>) -> Result<Self> {
        let (geometry, epoch) = (config.geometry()?, LightEpoch::new());
        let Found { commit: next, generation, end } = found;
        let begin = geometry.block_start(next.begin()).max(Address::new(FIRST)).min(end);
        let state = LogState { begin, head: end, flushed: end, end, history: History::of_new(generation) };
        let log = HybridLog::at(log_config(geometry, generation), state, Arc::clone(&epoch), device)?;
        Ok(Self {
            log,
            lanes: (0..LANES).map(|_| Mutex::new(epoch.join())).collect(),
            next_lane: AtomicU64::new(0),
            group: Group::new(end, next.number, next.cookie.clone()),
            commit_at: AtomicU64::new(0),
            next: Mutex::new(next),
            epoch,
            config,
        })
    }

    /// Runs `work` with a participant that nobody else uses meanwhile.
    fn with_lane<T>(&self, work: impl FnOnce(&Self, &mut Participant) -> T) -> T {
        thread_local! {
            static LANE: std::cell::Cell<Option<usize>> = const { std::cell::Cell::new(None) };
        }
        let lane = LANE.get().unwrap_or_else(|| {
            let lane = self.next_lane.fetch_add(1, Ordering::Relaxed) as usize;
            LANE.set(Some(lane));
            lane
        });
        for at in lane..lane + LANES {
            if let Some(mut participant) = self.lanes[at % LANES].try_lock() {
                return work(self, &mut participant);
            }
        }
        work(self, &mut self.lanes[lane % LANES].lock())
    }

    /// What an append that waits comes to.
    fn placed(address: Option<Address>) -> Result<Address> {
        address.ok_or_else(|| Error::new(ErrorKind::Busy, "there is no room in the log's memory"))
    }

    /// Appends an entry; `None` if there is no room and the caller does not want to `wait`.
    fn append(&self, participant: &mut Participant, parts: &[&[u8]], wait: bool) -> Result<Option<Address>> {
        self.group.check_open()?;
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let address = match parts {
            [data] if len <= self.body_max() => self.put(participant, Kind::Entry, data, wait)?,
            _ if len <= self.body_max() => self.put(participant, Kind::Entry, &parts.concat(), wait)?,
            _ => self.put_large(participant, parts, len, wait)?,
        };
        if let Some(address) = address
            && address.get() >= self.commit_at.load(Ordering::Relaxed)
        {
            self.grown_beyond();
        }
        Ok(address)
    }

    /// The log has grown since the last commit, or grown by so much that there is to be another.
    #[cold]
    fn grown_beyond(&self) {
        self.commit_at.store(u64::MAX, Ordering::Relaxed);
        if self.group.ask_within(self.config.commit_interval) {
            let enough = self.group.durable().get().saturating_add(self.config.commit_bytes);
            self.commit_at.store(enough, Ordering::Relaxed);
        }
    }

    /// A commit has ended. What was appended while it was under way has told nobody.
    pub(super) fn rearm(&self) {
        self.commit_at.store(self.group.durable().get(), Ordering::SeqCst);
        if self.log.addresses().tail > self.group.durable() {
            self.grown_beyond();
        }
    }

    /// The largest body that fits on every page.
    fn body_max(&self) -> usize {
        (self.log.geometry().page().page_size() - FIRST) as usize - HEADER
    }

    /// Appends an entry that does not fit on a page: parts, each of which knows the one before. The last one is the entry's
    /// place.
    fn put_large(
        &self,
        participant: &mut Participant,
        parts: &[&[u8]],
        len: usize,
        wait: bool,
    ) -> Result<Option<Address>> {
        let room = (self.body_max() - LAST_HEAD) / 2; // so that a page that has begun is of use
        let whole;
        let data = match parts {
            [data] => *data,
            _ => {
                whole = parts.concat();
                &whole
            }
        };
        let (mut previous, mut body) = (Address::INVALID, Vec::with_capacity(room + LAST_HEAD));
        let mut rest = data;
        loop {
            let is_last = rest.len() <= room;
            let (now, later) = rest.split_at(rest.len().min(room));
            body.clear();
            body.extend_from_slice(&previous.get().to_le_bytes());
            if is_last {
                body.extend_from_slice(&(len as u64).to_le_bytes());
            }
            body.extend_from_slice(now);
            let kind = if is_last { Kind::Last } else { Kind::Part };
            // A part that was placed is of no use without the others, so from there on room is waited for.
            let Some(address) = self.put(participant, kind, &body, wait || previous.is_valid())? else {
                return Ok(None);
            };
            if is_last {
                return Ok(Some(address));
            }
            (previous, rest) = (address, later);
        }
    }

    /// Places a header and a body.
    fn put(&self, participant: &mut Participant, kind: Kind, body: &[u8], wait: bool) -> Result<Option<Address>> {
        let header = Header::new(kind, body);
        let mut stall: Option<(Instant, Backoff)> = None;
        loop {
            let guard = participant.pin();
            if let Allocation::At(address) = self.log.allocate(header.size(), &guard)? {
                let words = self.log.words(address, header.size(), &guard);
                store_bytes(&words[1..], body);
                // Release: who finds the header finds the body.
                words[0].store(header.word(), Ordering::Release);
                drop(guard);
                if self.epoch.has_pending() {
                    self.epoch.drain();
                }
                return Ok(Some(address));
            }
            drop(guard);
            self.log.help();
            if !wait {
                return Ok(None);
            }
            if let Some(failure) = self.log.flush_failure() {
                return Err(self.group.fail(
                    Error::new(ErrorKind::DeviceFailed, "the log is full and cannot be written to its device")
                        .because(failure),
                ));
            }
            let (since, backoff) = stall.get_or_insert_with(|| (Instant::now(), Backoff::new()));
            if since.elapsed() > self.config.wait_limit {
                return Err(Error::new(ErrorKind::Busy, "waiting for room in the log took too long")
                    .with("milliseconds waited", since.elapsed().as_millis()));
            }
            backoff.wait();
        }
    }

    /// Commits, on behalf of this caller and all who wait.
    pub(super) fn commit(&self, cookie: Option<Vec<u8>>) -> Result<Commit> {
        let record = {
            let mut next = self.next.lock();
            next.durable = self.group.durable().get();
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
        Ok(Commit { number: record.number, until, cookie: record.cookie })
    }

    /// Everything that `address` is compared with to tell what is there.
    pub(super) fn holes(&self) -> (Address, Vec<(u64, u64)>) {
        let next = self.next.lock();
        (next.begin(), next.holes.clone())
    }

    /// The range of a part's data within its body.
    pub(super) const fn data_of(kind: Kind, len: usize) -> Range<usize> {
        match kind {
            Kind::Entry | Kind::Commit => 0..len,
            Kind::Part => PART_HEAD..len,
            Kind::Last => LAST_HEAD..len,
        }
    }
}
