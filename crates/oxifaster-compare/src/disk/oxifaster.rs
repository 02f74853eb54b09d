//! This store, by blocking calls and by batches.

use super::engine::{DiskEngine, DiskWorker, Mode, Op, OpKind, Tally};
use crate::failure::Result;
use crate::value::{self, LONG};
use oxifaster::device::FileSystemDisk;
use oxifaster::store::{FasterKv, FasterKvConfig, Session};
use std::path::Path;

type Value = [u8; LONG];

/// A store that is told its memory and nothing else: what a user does who reads one line of its documentation.
///
/// Its device bypasses the page cache and is not synced: nothing here is, for any store.
pub(crate) struct Oxifaster(FasterKv<u64, Value, FileSystemDisk>);

impl Oxifaster {
    pub(crate) fn open(directory: &Path, memory: u64) -> Result<Self> {
        let device = FileSystemDisk::open(directory)?;
        Ok(Self(FasterKv::open(FasterKvConfig::default().with_memory_budget(memory), device)?))
    }
}

const MODES: &[Mode] =
    &[Mode { name: "oxifaster single", is_batch: false }, Mode { name: "oxifaster batch", is_batch: true }];

impl DiskEngine for Oxifaster {
    fn modes(&self) -> &'static [Mode] {
        MODES
    }

    fn worker(&self, mode: usize) -> Result<Box<dyn DiskWorker + '_>> {
        let session = self.0.start_session();
        Ok(if MODES[mode].is_batch { Box::new(Batch::new(session)) } else { Box::new(Single(session)) })
    }

    fn settle(&self) -> Result<()> {
        Ok(self.0.flush()?)
    }

    fn describe(&self) -> String {
        let index = self.0.index_stats();
        format!(
            "memory budget, everything else by default; direct I/O: {}; {} buckets, {} entries",
            self.0.device().is_direct(),
            index.buckets,
            index.entries
        )
    }

    fn figures(&self) -> Vec<(String, f64)> {
        let device = self.0.stats().device;
        vec![
            ("own device reads".to_string(), device.reads as f64),
            ("own bytes read".to_string(), device.read_bytes as f64),
        ]
    }
}

fn count_up(value: &mut Value) -> bool {
    value::count_up(value);
    true
}

/// One call per operation; each waits for the device if it must.
struct Single(Session<u64, Value>);

impl DiskWorker for Single {
    fn run(&mut self, ops: &[Op], tally: &mut Tally) -> Result<()> {
        for Op { key, kind } in ops {
            match kind {
                OpKind::Read => tally.judge(*key, self.0.read(key)?.as_ref().map(<[u8; LONG]>::as_slice)),
                OpKind::Update(counter) => self.0.upsert(*key, value::long(*key, *counter))?,
                OpKind::Rmw => drop(self.0.rmw(*key, count_up)?),
            }
        }
        Ok(())
    }
}

/// One call per kind of operation for a whole batch.
struct Batch {
    session: Session<u64, Value>,
    reads: Vec<u64>,
    values: Vec<Option<Value>>,
    updates: Vec<(u64, Value)>,
    rmws: Vec<u64>,
}

impl Batch {
    fn new(session: Session<u64, Value>) -> Self {
        Self { session, reads: Vec::new(), values: Vec::new(), updates: Vec::new(), rmws: Vec::new() }
    }
}

impl DiskWorker for Batch {
    fn run(&mut self, ops: &[Op], tally: &mut Tally) -> Result<()> {
        self.reads.clear();
        self.updates.clear();
        self.rmws.clear();
        for Op { key, kind } in ops {
            match kind {
                OpKind::Read => self.reads.push(*key),
                OpKind::Update(counter) => self.updates.push((*key, value::long(*key, *counter))),
                OpKind::Rmw => self.rmws.push(*key),
            }
        }
        self.session.upsert_batch(&self.updates)?;
        self.session.rmw_batch(&self.rmws, |_, value| count_up(value))?;
        self.values.resize(self.reads.len(), None);
        self.session.read_batch_into(&self.reads, &mut self.values)?;
        for (key, value) in self.reads.iter().zip(&self.values) {
            tally.judge(*key, value.as_ref().map(<[u8; LONG]>::as_slice));
        }
        Ok(())
    }
}
