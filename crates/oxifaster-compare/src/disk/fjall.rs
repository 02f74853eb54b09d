//! fjall: a log-structured merge tree in Rust.

use super::engine::{DiskEngine, DiskWorker, Mode, Op, OpKind, Tally};
use super::locks::Locks;
use crate::failure::{Failure, Result};
use crate::value::{self, LONG};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, config::CompressionPolicy};
use std::path::Path;

/// A database set up for point look-ups within the given memory.
pub(crate) struct Fjall {
    database: Database,
    records: Keyspace,
    locks: Locks,
}

impl Fjall {
    pub(crate) fn open(directory: &Path, memory: u64) -> Result<Self> {
        // It was seen to take twice what it is told: filters and indices of its tables come on top of the blocks, and
        // nothing bounds all memtables together but a deprecated call. The page cache has the rest of the memory.
        let database = Database::builder(directory)
            .cache_size(memory / 4)
            .max_journaling_size((memory * 2).max(64 << 20))
            // The journal goes to the page cache when the operating system likes; nothing is synced.
            .manual_journal_persist(true)
            .worker_threads(2)
            .open()
            .map_err(Failure::of("opening fjall"))?;
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size((memory / 16).max(1 << 20))
                // Every key that is asked for is there, which lets it do without filters on the last level.
                .expect_point_read_hits(true)
                // The values do not compress.
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        };
        let records = database.keyspace("records", options).map_err(Failure::of("opening fjall"))?;
        Ok(Self { database, records, locks: Locks::new() })
    }
}

const MODES: &[Mode] = &[Mode { name: "fjall single", is_batch: false }, Mode { name: "fjall batch", is_batch: true }];

impl DiskEngine for Fjall {
    fn modes(&self) -> &'static [Mode] {
        MODES
    }

    fn worker(&self, mode: usize) -> Result<Box<dyn DiskWorker + '_>> {
        Ok(Box::new(Worker { store: self, is_batch: MODES[mode].is_batch }))
    }

    fn settle(&self) -> Result<()> {
        self.records.rotate_memtable_and_wait().map_err(Failure::of("flushing"))?;
        while self.database.outstanding_flushes() > 0 || self.database.active_compactions() > 0 {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Ok(())
    }

    fn describe(&self) -> String {
        "1/4 of the memory block cache, memtables of 1/16, the rest filters, indices and page cache; its default filters, point reads expected to hit, no compression, \
         journal not synced, buffered I/O; read-modify-writes under locks by key; batches of writes by write batch (it \
         has no multi-get)"
            .to_string()
    }
}

struct Worker<'a> {
    store: &'a Fjall,
    is_batch: bool,
}

impl Worker<'_> {
    fn one(&self, op: Op, tally: &mut Tally) -> fjall::Result<()> {
        let (records, key) = (&self.store.records, op.key);
        match op.kind {
            OpKind::Read => tally.judge(key, records.get(key.to_be_bytes())?.as_deref()),
            OpKind::Update(counter) => records.insert(key.to_be_bytes(), value::long(key, counter))?,
            OpKind::Rmw => {
                let _held = self.store.locks.lock(key);
                let old = records.get(key.to_be_bytes())?;
                tally.judge(key, old.as_deref());
                let old = old.and_then(|old| <[u8; LONG]>::try_from(&*old).ok());
                let mut new = old.unwrap_or_else(|| value::long(key, 0));
                value::count_up(&mut new);
                records.insert(key.to_be_bytes(), new)?;
            }
        }
        Ok(())
    }

    fn many(&self, ops: &[Op], tally: &mut Tally) -> fjall::Result<()> {
        let mut writes = self.store.database.batch();
        for op in ops {
            match op.kind {
                OpKind::Update(counter) => {
                    writes.insert(&self.store.records, op.key.to_be_bytes(), value::long(op.key, counter));
                }
                _ => self.one(*op, tally)?,
            }
        }
        if writes.is_empty() { Ok(()) } else { writes.commit() }
    }
}

impl DiskWorker for Worker<'_> {
    fn run(&mut self, ops: &[Op], tally: &mut Tally) -> Result<()> {
        let done =
            if self.is_batch { self.many(ops, tally) } else { ops.iter().try_for_each(|op| self.one(*op, tally)) };
        done.map_err(Failure::of("fjall"))
    }
}
