//! The crate of the same name on the registry.

use super::engine::{DiskEngine, DiskWorker, Mode, Op, OpKind, Tally};
use crate::failure::{Failure, Result};
use crate::value::{self, LONG};
use oxifaster_013::device::FileSystemDisk;
use oxifaster_013::status::Status;
use oxifaster_013::store::{FasterKv, FasterKvConfig, Session};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Value = [u8; LONG];

/// Its store with the same memory: an eighth for the index, which takes 64 bytes for seven keys as this crate's does and
/// shares chains beyond, the rest for the log.
pub(crate) struct Published(Arc<FasterKv<u64, Value, FileSystemDisk>>);

impl Published {
    pub(crate) fn open(directory: &Path, memory: u64) -> Result<Self> {
        let device = FileSystemDisk::single_file(directory.join("log"))?;
        let buckets = (memory / 8 / 64).next_power_of_two() / 2;
        let page_size_bits = 20;
        let log_memory_size = (memory / 8 * 7) >> page_size_bits << page_size_bits;
        let config =
            FasterKvConfig { table_size: buckets.max(1_024), log_memory_size, page_size_bits, mutable_fraction: 0.9 };
        Ok(Self(Arc::new(FasterKv::new(config, device))))
    }
}

impl DiskEngine for Published {
    fn modes(&self) -> &'static [Mode] {
        &[Mode { name: "oxifaster 0.1.3", is_batch: false }]
    }

    fn worker(&self, _: usize) -> Result<Box<dyn DiskWorker + '_>> {
        let session = self.0.start_session().map_err(|error| Failure::new(format!("starting a session: {error:?}")))?;
        Ok(Box::new(Worker(session)))
    }

    fn describe(&self) -> String {
        "an eighth of the memory for the index, the rest for the log; buffered I/O".to_string()
    }
}

struct Worker(Session<u64, Value, FileSystemDisk>);

/// How long an operation may stay pending.
const LIMIT: Duration = Duration::from_secs(2);

impl Worker {
    /// Its reads of the device are pending until completed, and then asked for again.
    fn get(&mut self, key: u64) -> Result<Option<Value>> {
        let begun = Instant::now();
        loop {
            match self.0.read(&key) {
                Ok(value) => return Ok(value),
                Err(Status::Pending) if begun.elapsed() < LIMIT => drop(self.0.complete_pending(true)),
                Err(status) => return Err(Failure::new(format!("read: {status:?}"))),
            }
        }
    }

    fn write(&mut self, what: &str, mut write: impl FnMut(&mut Self) -> Status) -> Result<()> {
        let begun = Instant::now();
        loop {
            match write(self) {
                Status::Ok => return Ok(()),
                Status::Pending if begun.elapsed() < LIMIT => drop(self.0.complete_pending(true)),
                status => return Err(Failure::new(format!("{what}: {status:?}"))),
            }
        }
    }
}

impl DiskWorker for Worker {
    fn run(&mut self, ops: &[Op], tally: &mut Tally) -> Result<()> {
        for Op { key, kind } in ops {
            match kind {
                OpKind::Read => tally.judge(*key, self.get(*key)?.as_ref().map(<[u8; LONG]>::as_slice)),
                OpKind::Update(counter) => {
                    let value = value::long(*key, *counter);
                    self.write("upsert", |worker| worker.0.upsert(*key, value))?;
                }
                OpKind::Rmw => self.write("rmw", |worker| {
                    worker.0.rmw(*key, |value| {
                        value::count_up(value);
                        true
                    })
                })?,
            }
        }
        Ok(())
    }
}
