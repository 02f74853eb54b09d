//! fjall's journal. It is not to be had without the memtable, whose keys count up here.

use super::engine::{Appender, LogEngine};
use crate::failure::{Failure, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) struct Fjall {
    database: Database,
    entries: Keyspace,
    next_key: AtomicU64,
}

impl Fjall {
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let database = Database::builder(directory)
            .max_journaling_size(16 << 30)
            .manual_journal_persist(true)
            .open()
            .map_err(Failure::of("opening fjall"))?;
        let entries = database.keyspace("entries", KeyspaceCreateOptions::default);
        let entries = entries.map_err(Failure::of("opening fjall"))?;
        Ok(Self { database, entries, next_key: AtomicU64::new(0) })
    }
}

impl LogEngine for Fjall {
    fn appender(&self) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(Worker(self)))
    }

    fn sync(&self) -> Result<()> {
        self.database.persist(PersistMode::SyncData).map_err(Failure::of("syncing the journal"))
    }
}

struct Worker<'l>(&'l Fjall);

impl Worker<'_> {
    fn write(&self, entries: &[&[u8]], mode: Option<PersistMode>) -> Result<()> {
        let store = self.0;
        let first = store.next_key.fetch_add(entries.len() as u64, Ordering::Relaxed);
        let mut batch = store.database.batch().durability(mode);
        for (key, entry) in (first..).zip(entries) {
            batch.insert(&store.entries, key.to_be_bytes(), *entry);
        }
        batch.commit().map_err(Failure::of("writing to the journal"))
    }
}

impl Appender for Worker<'_> {
    fn append(&mut self, entries: &[&[u8]]) -> Result<()> {
        self.write(entries, None)
    }

    fn append_durable(&mut self, entry: &[u8]) -> Result<()> {
        self.write(&[entry], Some(PersistMode::SyncData))
    }
}
