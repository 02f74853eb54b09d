//! RocksDB.

use super::engine::{DiskEngine, DiskWorker, Mode, Op, OpKind, Tally};
use super::locks::Locks;
use crate::failure::{Failure, Result};
use crate::value::{self, LONG};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DataBlockIndexType, Options, ReadOptions, WaitForCompactOptions,
    WriteBatch, WriteOptions,
};
use std::path::Path;

/// A database set up for point look-ups within the given memory.
pub(crate) struct Rocks {
    db: DB,
    locks: Locks,
}

impl Rocks {
    pub(crate) fn open(directory: &Path, memory: u64) -> Result<Self> {
        let mut table = BlockBasedOptions::default();
        // Three quarters of the memory for blocks, filters and index blocks, which then count as memory like anybody's.
        table.set_block_cache(&Cache::new_lru_cache(memory as usize / 4 * 3));
        table.set_cache_index_and_filter_blocks(true);
        table.set_cache_index_and_filter_blocks_with_high_priority(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_bloom_filter(10.0, false);
        // What its documentation recommends for point look-ups.
        table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&table);
        // A quarter for memtables: one that is filled and one that is written.
        options.set_write_buffer_size(memory as usize / 8);
        options.set_max_write_buffer_number(2);
        options.set_db_write_buffer_size(memory as usize / 4);
        // The page cache is bounded for all; reading past it spares the blocks a second copy.
        options.set_use_direct_reads(true);
        options.set_use_direct_io_for_flush_and_compaction(true);
        // The values do not compress.
        options.set_compression_type(DBCompressionType::None);
        options.set_max_background_jobs(2);
        options.set_max_open_files(-1);
        let db = DB::open_cf(&options, directory, [FAMILY]).map_err(Failure::of("opening RocksDB"))?;
        Ok(Self { db, locks: Locks::new() })
    }
}

/// The column family that every database has.
const FAMILY: &str = "default";

const MODES: &[Mode] =
    &[Mode { name: "rocksdb single", is_batch: false }, Mode { name: "rocksdb batch", is_batch: true }];

impl DiskEngine for Rocks {
    fn modes(&self) -> &'static [Mode] {
        MODES
    }

    fn worker(&self, mode: usize) -> Result<Box<dyn DiskWorker + '_>> {
        let mut write = WriteOptions::default();
        // Without it, as nothing of the other stores' is kept either when a process ends before anything was synced.
        write.disable_wal(true);
        let mut read = ReadOptions::default();
        read.set_async_io(true);
        Ok(Box::new(Worker { store: self, write, read, is_batch: MODES[mode].is_batch }))
    }

    fn settle(&self) -> Result<()> {
        self.db.flush().map_err(Failure::of("flushing"))?;
        self.db.wait_for_compact(&WaitForCompactOptions::default()).map_err(Failure::of("waiting for compactions"))
    }

    fn describe(&self) -> String {
        "3/4 of the memory block cache (filters and index blocks in it), 1/4 memtables; Bloom filters of 10 bits, direct \
         I/O, no compression, no write-ahead log; read-modify-writes under locks by key; batches by multi-get and write \
         batch"
            .to_string()
    }
}

struct Worker<'a> {
    store: &'a Rocks,
    write: WriteOptions,
    read: ReadOptions,
    is_batch: bool,
}

fn bytes(key: u64) -> [u8; 8] {
    key.to_be_bytes()
}

impl Worker<'_> {
    fn one(&self, op: Op, tally: &mut Tally) -> std::result::Result<(), rocksdb::Error> {
        let (db, key) = (&self.store.db, op.key);
        match op.kind {
            OpKind::Read => tally.judge(key, db.get_pinned_opt(bytes(key), &self.read)?.as_deref()),
            OpKind::Update(counter) => db.put_opt(bytes(key), value::long(key, counter), &self.write)?,
            OpKind::Rmw => {
                let _held = self.store.locks.lock(key);
                let old = db.get_pinned_opt(bytes(key), &self.read)?;
                tally.judge(key, old.as_deref());
                db.put_opt(bytes(key), counted_up(key, old.as_deref()), &self.write)?;
            }
        }
        Ok(())
    }

    /// Reads in one multi-get, updates in one write batch. Read-modify-writes go one by one, or their locks would be held
    /// all at once.
    fn many(&self, ops: &[Op], tally: &mut Tally) -> std::result::Result<(), rocksdb::Error> {
        let mut writes = WriteBatch::default();
        let mut reads = Vec::with_capacity(ops.len());
        for op in ops {
            match op.kind {
                OpKind::Read => reads.push(op.key),
                OpKind::Update(counter) => writes.put(bytes(op.key), value::long(op.key, counter)),
                OpKind::Rmw => self.one(*op, tally)?,
            }
        }
        if !writes.is_empty() {
            self.store.db.write_opt(writes, &self.write)?;
        }
        if reads.is_empty() {
            return Ok(());
        }
        // Multi-get asks for the family by its handle, and finds none unless the database was opened with its name.
        let Some(family) = self.store.db.cf_handle(FAMILY) else { return Ok(()) };
        let keys: Vec<[u8; 8]> = reads.iter().map(|key| bytes(*key)).collect();
        let found = self.store.db.batched_multi_get_cf_opt(&family, keys.iter(), false, &self.read);
        for (key, value) in reads.iter().zip(found) {
            tally.judge(*key, value?.as_deref());
        }
        Ok(())
    }
}

/// The value with its counter one higher; a missing one begins at 1.
fn counted_up(key: u64, old: Option<&[u8]>) -> [u8; LONG] {
    let mut new = old.and_then(|old| <[u8; LONG]>::try_from(old).ok()).unwrap_or_else(|| value::long(key, 0));
    value::count_up(&mut new);
    new
}

impl DiskWorker for Worker<'_> {
    fn run(&mut self, ops: &[Op], tally: &mut Tally) -> Result<()> {
        let done =
            if self.is_batch { self.many(ops, tally) } else { ops.iter().try_for_each(|op| self.one(*op, tally)) };
        done.map_err(Failure::of("RocksDB"))
    }
}
