//! LMDB, by `heed`: a B-tree in a memory-mapped file.
#![allow(unsafe_code)]

use super::engine::{DiskEngine, DiskWorker, Mode, Op, OpKind, Tally};
use crate::failure::{Failure, Result};
use crate::value::{self, LONG};
use heed::byteorder::BigEndian;
use heed::types::{Bytes, U64};
use heed::{Database, Env, EnvFlags, EnvOpenOptions};
use std::path::Path;

/// An environment with one database. It has no cache of its own: the page cache is one, and the cgroup bounds it.
pub(crate) struct Heed {
    env: Env,
    records: Database<U64<BigEndian>, Bytes>,
}

impl Heed {
    pub(crate) fn open(directory: &Path, data: u64) -> Result<Self> {
        let mut options = EnvOpenOptions::new();
        options.map_size((data as usize * 4).next_multiple_of(1 << 20).max(1 << 30)).max_readers(1_024);
        // Writing into the map and never syncing is its fastest way; reading ahead would fill memory with pages that
        // nobody asked for.
        let flags = EnvFlags::WRITE_MAP
            | EnvFlags::MAP_ASYNC
            | EnvFlags::NO_SYNC
            | EnvFlags::NO_META_SYNC
            | EnvFlags::NO_READ_AHEAD;
        // SAFETY: the flags give up durability, not consistency, as long as the system does not crash; the file is
        // thrown away afterwards.
        unsafe { options.flags(flags) };
        // SAFETY: the directory is this process's own, so nobody else changes the mapped file.
        let env = unsafe { options.open(directory) }.map_err(Failure::of("opening LMDB"))?;
        let mut begin = env.write_txn().map_err(Failure::of("LMDB"))?;
        let records = env.create_database(&mut begin, None).map_err(Failure::of("LMDB"))?;
        begin.commit().map_err(Failure::of("LMDB"))?;
        Ok(Self { env, records })
    }
}

const MODES: &[Mode] = &[Mode { name: "lmdb single", is_batch: false }, Mode { name: "lmdb batch", is_batch: true }];

impl DiskEngine for Heed {
    fn modes(&self) -> &'static [Mode] {
        MODES
    }

    fn worker(&self, mode: usize) -> Result<Box<dyn DiskWorker + '_>> {
        Ok(Box::new(Worker { store: self, is_batch: MODES[mode].is_batch }))
    }

    fn settle(&self) -> Result<()> {
        self.env.force_sync().map_err(Failure::of("LMDB"))
    }

    fn describe(&self) -> String {
        "the page cache is its cache; map written in place, never synced, no read-ahead; a transaction per call: of one \
         operation by single calls, of all by batches"
            .to_string()
    }
}

struct Worker<'a> {
    store: &'a Heed,
    is_batch: bool,
}

impl Worker<'_> {
    /// All reads in one transaction, all writes in another.
    fn many(&self, ops: &[Op], tally: &mut Tally) -> heed::Result<()> {
        let Heed { env, records } = self.store;
        let is_read = |op: &&Op| matches!(op.kind, OpKind::Read);
        if ops.iter().any(|op| !is_read(&op)) {
            let mut begin = env.write_txn()?;
            for op in ops {
                match op.kind {
                    OpKind::Read => {}
                    OpKind::Update(counter) => records.put(&mut begin, &op.key, &value::long(op.key, counter))?,
                    OpKind::Rmw => {
                        let old = records.get(&begin, &op.key)?;
                        tally.judge(op.key, old);
                        let old = old.and_then(|old| <[u8; LONG]>::try_from(old).ok());
                        let mut new = old.unwrap_or_else(|| value::long(op.key, 0));
                        value::count_up(&mut new);
                        records.put(&mut begin, &op.key, &new)?;
                    }
                }
            }
            begin.commit()?;
        }
        if ops.iter().any(|op| is_read(&op)) {
            let begin = env.read_txn()?;
            for op in ops.iter().filter(is_read) {
                tally.judge(op.key, records.get(&begin, &op.key)?);
            }
        }
        Ok(())
    }
}

impl DiskWorker for Worker<'_> {
    fn run(&mut self, ops: &[Op], tally: &mut Tally) -> Result<()> {
        let done = if self.is_batch {
            self.many(ops, tally)
        } else {
            ops.iter().try_for_each(|op| self.many(std::slice::from_ref(op), tally))
        };
        done.map_err(Failure::of("LMDB"))
    }
}
