//! Openraft's own suite for log storages, and a restart after each way of changing the log.
#![forbid(unsafe_code)]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test panics when it fails")]

use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine, Snapshot};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{
    BasicNode, CommittedLeaderId, Entry, EntryPayload, LogId, OptionalSend, RaftLogReader, RaftSnapshotBuilder,
    SnapshotMeta, StorageError, StoredMembership, Vote,
};
use oxifaster::device::FileSystemDiskOptions;
use oxifaster::log::{FasterLog, FasterLogConfig};
use oxifaster_raft_log::RaftLog;
use std::io::Cursor;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

openraft::declare_raft_types!(
    pub Config:
        D = String,
        R = (),
        NodeId = u64,
        Node = BasicNode,
        Entry = Entry<Config>,
        SnapshotData = Cursor<Vec<u8>>,
);

type Result<T> = std::result::Result<T, StorageError<u64>>;

/// A state machine that keeps what openraft asks back, and nothing else.
#[derive(Clone, Default)]
struct Machine(Arc<Mutex<Applied>>);

#[derive(Clone, Default)]
struct Applied {
    last: Option<LogId<u64>>,
    membership: StoredMembership<u64, BasicNode>,
    snapshot: Option<(SnapshotMeta<u64, BasicNode>, Vec<u8>)>,
}

impl RaftSnapshotBuilder<Config> for Machine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Config>> {
        let mut applied = self.0.lock().unwrap();
        let meta = SnapshotMeta {
            last_log_id: applied.last,
            last_membership: applied.membership.clone(),
            snapshot_id: format!("{:?}", applied.last),
        };
        applied.snapshot = Some((meta.clone(), Vec::new()));
        Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(Vec::new())) })
    }
}

impl RaftStateMachine<Config> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId<u64>>, StoredMembership<u64, BasicNode>)> {
        let applied = self.0.lock().unwrap();
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>>
    where
        I: IntoIterator<Item = Entry<Config>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut applied = self.0.lock().unwrap();
        let mut replies = Vec::new();
        for entry in entries {
            applied.last = Some(entry.log_id);
            if let EntryPayload::Membership(membership) = entry.payload {
                applied.membership = StoredMembership::new(Some(entry.log_id), membership);
            }
            replies.push(());
        }
        Ok(replies)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>> {
        Ok(Box::new(Cursor::new(Vec::new())))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, BasicNode>,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<()> {
        let mut applied = self.0.lock().unwrap();
        (applied.last, applied.membership) = (meta.last_log_id, meta.last_membership.clone());
        applied.snapshot = Some((meta.clone(), snapshot.into_inner()));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Config>>> {
        let applied = self.0.lock().unwrap();
        let snapshot = applied.snapshot.clone();
        Ok(snapshot.map(|(meta, bytes)| Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) }))
    }
}

fn open(directory: &Path) -> RaftLog<Config> {
    let options = FileSystemDiskOptions::new().with_segment_size(1 << 20).with_threads(2);
    let since = std::time::Instant::now();
    // Whoever has waited for a task on another thread may be faster than that thread lets go of the log.
    let device = loop {
        match options.open(directory) {
            Err(error) if error.kind() == oxifaster::ErrorKind::Busy && since.elapsed().as_secs() < 20 => {
                std::thread::yield_now();
            }
            outcome => break outcome.unwrap(),
        }
    };
    let config = FasterLogConfig::default().with_page_size_bits(14).with_memory(256 << 10);
    RaftLog::new(FasterLog::open(config, device).unwrap()).unwrap()
}

struct Builder;

impl StoreBuilder<Config, RaftLog<Config>, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, RaftLog<Config>, Machine)> {
        let directory = tempfile::tempdir().unwrap();
        let log = open(directory.path());
        Ok((directory, log, Machine::default()))
    }
}

#[test]
fn the_suite_of_openraft_passes() {
    Suite::test_all(Builder).unwrap();
}

fn id(term: u64, index: u64) -> LogId<u64> {
    LogId::new(CommittedLeaderId::new(term, 0), index)
}

fn entry(term: u64, index: u64) -> Entry<Config> {
    Entry { log_id: id(term, index), payload: EntryPayload::Normal(format!("{term} {index}")) }
}

async fn all(log: &mut RaftLog<Config>) -> Vec<LogId<u64>> {
    log.try_get_log_entries(..).await.unwrap().into_iter().map(|entry| entry.log_id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raft_log_is_the_same_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected: Vec<LogId<u64>> = Vec::new();
    let mut next = 1;
    for term in 1..12u64 {
        let mut log = open(directory.path());
        assert_eq!(all(&mut log).await, expected);
        if term > 1 {
            assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new(term - 1, 7)));
        }
        log.save_vote(&Vote::new(term, 7)).await.unwrap();
        // A new leader: what the old one had not replicated is replaced.
        if expected.len() > 5 {
            let from = expected[expected.len() - 3];
            log.truncate(from).await.unwrap();
            expected.truncate(expected.len() - 3);
            next = from.index;
        }
        let entries: Vec<_> = (next..next + 10).map(|index| entry(term, index)).collect();
        next += 10;
        expected.extend(entries.iter().map(|entry| entry.log_id));
        log.blocking_append(entries).await.unwrap();
        if term % 4 == 0 {
            let purged = expected[expected.len() / 2];
            log.purge(purged).await.unwrap();
            expected.retain(|id| *id > purged);
            assert_eq!(log.get_log_state().await.unwrap().last_purged_log_id, Some(purged));
        }
        assert_eq!(all(&mut log).await, expected);
        assert_eq!(log.get_log_state().await.unwrap().last_log_id, expected.last().copied());
    }
}
