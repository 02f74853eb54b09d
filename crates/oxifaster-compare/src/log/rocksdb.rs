//! RocksDB's write-ahead log alone: `PutLogData` writes to it and to nothing else.

use super::engine::{Appender, LogEngine};
use crate::failure::{Failure, Result};
use rocksdb::{DB, Options, WriteBatch, WriteOptions};
use std::path::Path;

pub(super) struct Rocks(DB);

impl Rocks {
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let mut options = Options::default();
        options.create_if_missing(true);
        // Its buffer is written when it is full and when it is synced, not with every call.
        options.set_manual_wal_flush(true);
        Ok(Self(DB::open(&options, directory).map_err(Failure::of("opening RocksDB"))?))
    }
}

impl LogEngine for Rocks {
    fn appender(&self) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(Worker(&self.0)))
    }

    fn sync(&self) -> Result<()> {
        self.0.flush_wal(true).map_err(Failure::of("syncing the WAL"))
    }
}

struct Worker<'l>(&'l DB);

impl Worker<'_> {
    fn write(&self, entries: &[&[u8]], sync: bool) -> Result<()> {
        let (mut batch, mut options) = (WriteBatch::default(), WriteOptions::default());
        for entry in entries {
            batch.put_log_data(entry);
        }
        options.set_sync(sync);
        self.0.write_opt(batch, &options).map_err(Failure::of("writing to the WAL"))
    }
}

impl Appender for Worker<'_> {
    fn append(&mut self, entries: &[&[u8]]) -> Result<()> {
        self.write(entries, false)
    }

    fn append_durable(&mut self, entry: &[u8]) -> Result<()> {
        self.write(&[entry], true)
    }
}
