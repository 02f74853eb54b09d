//! redb: a copy-on-write B-tree in Rust.

use super::engine::{DiskEngine, DiskWorker, Mode, Op, OpKind, Tally};
use crate::failure::{Failure, Result};
use crate::value::{self, LONG};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, Table, TableDefinition};
use std::path::Path;

const RECORDS: TableDefinition<u64, &[u8; LONG]> = TableDefinition::new("records");

/// A database that stays within the given memory.
pub(crate) struct Redb(Database);

impl Redb {
    pub(crate) fn open(directory: &Path, memory: u64) -> Result<Self> {
        let mut builder = Database::builder();
        // It was seen to take twice the size of its cache and a little more. The page cache has the rest of the memory.
        builder.set_cache_size(memory as usize / 5 * 2);
        let database = builder.create(directory.join("records.redb")).map_err(Failure::of("opening redb"))?;
        // The table has to be there before anybody reads.
        let begin = database.begin_write().map_err(Failure::of("redb"))?;
        begin.open_table(RECORDS).map_err(Failure::of("redb"))?;
        begin.commit().map_err(Failure::of("redb"))?;
        Ok(Self(database))
    }

    /// Commits without durability are kept in memory until a durable one comes: loading has to make some.
    fn commit_durably(&self) -> Result<()> {
        let mut begin = self.0.begin_write().map_err(Failure::of("redb"))?;
        begin.set_durability(Durability::Immediate).map_err(Failure::of("redb"))?;
        begin.commit().map_err(Failure::of("redb"))
    }
}

const MODES: &[Mode] = &[Mode { name: "redb single", is_batch: false }, Mode { name: "redb batch", is_batch: true }];

impl DiskEngine for Redb {
    fn modes(&self) -> &'static [Mode] {
        MODES
    }

    fn worker(&self, mode: usize) -> Result<Box<dyn DiskWorker + '_>> {
        Ok(Box::new(Worker { store: self, is_batch: MODES[mode].is_batch }))
    }

    fn settle(&self) -> Result<()> {
        self.commit_durably()
    }

    fn describe(&self) -> String {
        "2/5 of the memory as its cache, of which it takes twice as much, the rest page cache; commits without durability, buffered I/O; a transaction per call: of one \
         operation by single calls, of all by batches"
            .to_string()
    }
}

struct Worker<'a> {
    store: &'a Redb,
    is_batch: bool,
}

fn write(table: &mut Table<'_, u64, &[u8; LONG]>, op: Op, tally: &mut Tally) -> std::result::Result<(), redb::Error> {
    match op.kind {
        OpKind::Read => {}
        OpKind::Update(counter) => drop(table.insert(op.key, &value::long(op.key, counter))?),
        OpKind::Rmw => {
            let old = table.get(op.key)?.map(|old| *old.value());
            tally.judge(op.key, old.as_ref().map(<[u8; LONG]>::as_slice));
            let mut new = old.unwrap_or_else(|| value::long(op.key, 0));
            value::count_up(&mut new);
            table.insert(op.key, &new)?;
        }
    }
    Ok(())
}

impl Worker<'_> {
    /// All reads in one transaction, all writes in another.
    fn many(&self, ops: &[Op], tally: &mut Tally) -> std::result::Result<(), redb::Error> {
        let is_read = |op: &&Op| matches!(op.kind, OpKind::Read);
        if ops.iter().any(|op| !is_read(&op)) {
            let mut begin = self.store.0.begin_write()?;
            begin.set_durability(Durability::None)?;
            let mut table = begin.open_table(RECORDS)?;
            for op in ops.iter().filter(|op| !is_read(op)) {
                write(&mut table, *op, tally)?;
            }
            drop(table);
            begin.commit()?;
        }
        if ops.iter().any(|op| is_read(&op)) {
            let table = self.store.0.begin_read()?.open_table(RECORDS)?;
            for op in ops.iter().filter(is_read) {
                tally.judge(op.key, table.get(op.key)?.as_ref().map(|value| value.value().as_slice()));
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
        done.map_err(Failure::of("redb"))
    }
}
