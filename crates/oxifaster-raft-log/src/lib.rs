//! A Raft log on [`FasterLog`]: openraft's log storage.
//!
//! ```text
//!   entry of index i     = an entry of the log       vote, committed, purged = the cookie of its commits
//!   truncate(i)          = truncate_suffix           purge(i)                = truncate_before
//! ```
//!
//! * An append returns when the entries are in memory, and openraft is told when they are durable: entries that come close
//!   together share a sync.
//! * A vote is durable when `save_vote` returns. So is the committed index when
//!   `save_committed` returns.
//! * Where each entry lies is kept in memory, 8 bytes for each; [`RaftLog::new`] reads the log once to find out.
//!
//! ```
//! use openraft::storage::{RaftLogReader, RaftLogStorage, RaftLogStorageExt};
//! use openraft::{BasicNode, CommittedLeaderId, Entry, EntryPayload, LogId, Vote};
//! use oxifaster::device::MemoryDisk;
//! use oxifaster::log::{FasterLog, FasterLogConfig};
//! use oxifaster_raft_log::RaftLog;
//! use std::io::Cursor;
//!
//! openraft::declare_raft_types!(
//!     Config: D = String, R = (), NodeId = u64, Node = BasicNode, Entry = Entry<Config>, SnapshotData = Cursor<Vec<u8>>
//! );
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?.block_on(async {
//! let disk = MemoryDisk::new();
//! let mut raft = RaftLog::<Config>::new(FasterLog::open(FasterLogConfig::default(), disk.clone())?)?;
//! raft.save_vote(&Vote::new(1, 7)).await?;
//! let log_id = LogId::new(CommittedLeaderId::new(1, 7), 1);
//! raft.blocking_append([Entry { log_id, payload: EntryPayload::Normal("x = 1".to_owned()) }]).await?;
//! drop(raft);
//! let mut raft = RaftLog::<Config>::new(FasterLog::open(FasterLogConfig::default(), disk)?)?;
//! assert_eq!(raft.read_vote().await?, Some(Vote::new(1, 7)));
//! assert_eq!(raft.try_get_log_entries(..).await?[0].log_id, log_id);
//! # Ok(())
//! # })
//! # }
//! ```
#![forbid(unsafe_code)]

use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{
    AnyError, ErrorSubject, ErrorVerb, LogId, OptionalSend, RaftLogId, RaftLogReader, RaftTypeConfig, StorageError,
    StorageIOError, Vote,
};
use oxifaster::address::Address;
use oxifaster::log::FasterLog;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What Raft keeps beside its entries.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(bound = "")]
struct Hard<C: RaftTypeConfig> {
    vote: Option<Vote<C::NodeId>>,
    committed: Option<LogId<C::NodeId>>,
    purged: Option<LogId<C::NodeId>>,
}

impl<C: RaftTypeConfig> Default for Hard<C> {
    fn default() -> Self {
        Self { vote: None, committed: None, purged: None }
    }
}

struct State<C: RaftTypeConfig> {
    /// The index of the first entry, and where each is.
    first: u64,
    places: VecDeque<Address>,
    last: Option<LogId<C::NodeId>>,
}

struct Inner<C: RaftTypeConfig> {
    log: FasterLog,
    hard: Mutex<Hard<C>>,
    state: Mutex<State<C>>,
}

/// Openraft's log storage. A clone is another handle to the same log.
pub struct RaftLog<C: RaftTypeConfig>(Arc<Inner<C>>);

impl<C: RaftTypeConfig> Clone for RaftLog<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: RaftTypeConfig> RaftLog<C>
where
    C::Entry: Serialize + DeserializeOwned,
{
    /// The Raft log that `log` holds; all of its entries are read once.
    ///
    /// # Errors
    /// Those of the log; `InvalidData` if it is not the log of such a Raft.
    pub fn new(log: FasterLog) -> io::Result<Self> {
        let cookie = log.cookie();
        let hard: Hard<C> = if cookie.is_empty() { Hard::default() } else { serde_json::from_slice(&cookie)? };
        let mut state = State { first: 0, places: VecDeque::new(), last: None };
        let purged = hard.purged.as_ref().map(|purged| purged.index);
        for entry in log.scan(..) {
            let (address, data) = entry.map_err(failure)?;
            let read: C::Entry = serde_json::from_slice(&data)?;
            let id = read.get_log_id().clone();
            // A crash in the middle of a purge leaves entries that are given up already.
            if purged.is_none_or(|purged| id.index > purged) {
                state.push(id, address);
            }
        }
        Ok(Self(Arc::new(Inner { log, hard: Mutex::new(hard), state: Mutex::new(state) })))
    }

    /// The log itself.
    pub fn log(&self) -> &FasterLog {
        &self.0.log
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is kept beside the entries, and makes it durable.
    fn change(&self, change: impl FnOnce(&mut Hard<C>)) -> io::Result<()> {
        // In the order of the changes: an older state never follows a younger one.
        let mut hard = self.0.hard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = hard.clone();
        change(&mut next);
        self.0.log.commit_with(&serde_json::to_vec(&next)?).map_err(failure)?;
        *hard = next;
        Ok(())
    }

    fn hard(&self) -> Hard<C> {
        self.0.hard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn read(&self, range: impl RangeBounds<u64>) -> io::Result<Vec<C::Entry>> {
        let places: Vec<Address> = {
            let state = self.state();
            let from = match range.start_bound() {
                Bound::Included(from) => *from,
                Bound::Excluded(from) => from.saturating_add(1),
                Bound::Unbounded => 0,
            };
            let to = match range.end_bound() {
                Bound::Included(to) => to.saturating_add(1),
                Bound::Excluded(to) => *to,
                Bound::Unbounded => u64::MAX,
            };
            let count = state.places.len() as u64;
            let at = |index: u64| index.saturating_sub(state.first).min(count) as usize;
            let (from, to) = (at(from), at(to));
            state.places.range(from..to.max(from)).copied().collect()
        };
        places
            .into_iter()
            .map(|address| Ok(serde_json::from_slice(&self.0.log.read_entry(address).map_err(failure)?)?))
            .collect()
    }
}

impl<C: RaftTypeConfig> State<C> {
    fn push(&mut self, id: LogId<C::NodeId>, address: Address) {
        if self.places.is_empty() {
            self.first = id.index;
        }
        self.places.push_back(address);
        self.last = Some(id);
    }
}

fn failure(error: oxifaster::Error) -> io::Error {
    io::Error::other(error)
}

fn failed<C: RaftTypeConfig>(
    subject: ErrorSubject<C::NodeId>,
    verb: ErrorVerb,
) -> impl FnOnce(io::Error) -> StorageError<C::NodeId> {
    move |error| StorageIOError::new(subject, verb, AnyError::new(&error)).into()
}

/// Runs what waits for the disk where it keeps nobody else waiting.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

impl<C: RaftTypeConfig> RaftLogReader<C> for RaftLog<C>
where
    C::Entry: Serialize + DeserializeOwned,
{
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<C::Entry>, StorageError<C::NodeId>> {
        self.read(range).map_err(failed::<C>(ErrorSubject::Logs, ErrorVerb::Read))
    }
}

impl<C: RaftTypeConfig> RaftLogStorage<C> for RaftLog<C>
where
    C::Entry: Serialize + DeserializeOwned,
{
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<C>, StorageError<C::NodeId>> {
        let (last_purged_log_id, state) = (self.hard().purged, self.state());
        Ok(LogState { last_log_id: state.last.clone().or_else(|| last_purged_log_id.clone()), last_purged_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<C::NodeId>) -> Result<(), StorageError<C::NodeId>> {
        let (this, vote) = (self.clone(), vote.clone());
        blocking(move || this.change(|hard| hard.vote = Some(vote)))
            .await
            .map_err(failed::<C>(ErrorSubject::Vote, ErrorVerb::Write))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<C::NodeId>>, StorageError<C::NodeId>> {
        Ok(self.hard().vote)
    }

    async fn save_committed(&mut self, committed: Option<LogId<C::NodeId>>) -> Result<(), StorageError<C::NodeId>> {
        let this = self.clone();
        blocking(move || this.change(|hard| hard.committed = committed))
            .await
            .map_err(failed::<C>(ErrorSubject::Store, ErrorVerb::Write))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId<C::NodeId>>, StorageError<C::NodeId>> {
        Ok(self.hard().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<C>) -> Result<(), StorageError<C::NodeId>>
    where
        I: IntoIterator<Item = C::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut last = None;
        for entry in entries {
            let append = || -> io::Result<Address> {
                let address = self.0.log.append(&serde_json::to_vec(&entry)?).map_err(failure)?;
                self.state().push(entry.get_log_id().clone(), address);
                Ok(address)
            };
            last = Some(append().map_err(failed::<C>(ErrorSubject::Logs, ErrorVerb::Write))?);
        }
        match last {
            None => callback.log_io_completed(Ok(())),
            Some(address) => {
                let this = self.clone();
                tokio::task::spawn_blocking(move || {
                    callback.log_io_completed(this.0.log.wait_durable(address).map_err(failure));
                });
            }
        }
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId<C::NodeId>) -> Result<(), StorageError<C::NodeId>> {
        let this = self.clone();
        let cut = {
            let state = self.state();
            let at = log_id.index.saturating_sub(state.first) as usize;
            state.places.get(at).map(|address| (at, *address))
        };
        let Some((at, address)) = cut else { return Ok(()) };
        blocking(move || {
            this.0.log.truncate_suffix(address).map_err(failure)?;
            let before = {
                let mut state = this.state();
                state.places.truncate(at);
                state.places.len() as u64 + state.first
            };
            let last = this.read(before.saturating_sub(1)..)?.pop().map(|entry| entry.get_log_id().clone());
            this.state().last = last;
            Ok(())
        })
        .await
        .map_err(failed::<C>(ErrorSubject::Log(log_id), ErrorVerb::Delete))
    }

    async fn purge(&mut self, log_id: LogId<C::NodeId>) -> Result<(), StorageError<C::NodeId>> {
        let (this, purged) = (self.clone(), log_id.clone());
        blocking(move || {
            this.change(|hard| hard.purged = Some(purged))?;
            let kept = {
                let mut state = this.state();
                let count = (log_id.index + 1).saturating_sub(state.first).min(state.places.len() as u64);
                state.places.drain(..count as usize);
                state.first += count;
                if state.places.is_empty() {
                    state.last = None;
                }
                state.places.front().copied()
            };
            this.0.log.truncate_before(kept.unwrap_or_else(|| this.0.log.tail())).map_err(failure)
        })
        .await
        .map_err(failed::<C>(ErrorSubject::Logs, ErrorVerb::Delete))
    }
}
