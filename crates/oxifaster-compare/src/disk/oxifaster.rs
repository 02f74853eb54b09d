//! This store, by blocking calls, by futures and by batches.

use super::crowd::Crowd;
use super::engine::{DiskEngine, DiskWorker, Mode, Op, OpKind, Tally};
use crate::failure::Result;
use crate::value::{self, LONG};
use oxifaster::cache::ReadCacheConfig;
use oxifaster::device::FileSystemDisk;
use oxifaster::store::{AsyncSession, FasterKv, FasterKvConfig, OpFuture, Session};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

type Value = [u8; LONG];

/// A store that is told its memory, an eighth of which is for copies of what is read, and to give the index most of the rest:
/// what a user does who knows that the data is ten times that, and that some of it is read more often.
///
/// Its device bypasses the page cache and is not synced: nothing here is, for any store.
pub(crate) struct Oxifaster(FasterKv<u64, Value, FileSystemDisk>);

impl Oxifaster {
    pub(crate) fn open(directory: &Path, memory: u64) -> Result<Self> {
        let device = FileSystemDisk::open(directory)?;
        let config = FasterKvConfig::default()
            .with_memory_budget(memory)
            .with_table_size(table_size(memory))
            .with_read_cache(ReadCacheConfig::default().with_mem_size(memory / 8));
        Ok(Self(FasterKv::open(config, device)?))
    }
}

/// As many buckets of 64 bytes, and an eighth for the overflow, as seven tenths of the memory hold.
fn table_size(memory: u64) -> u64 {
    1 << (memory / 10 * 7 / 72).max(1).ilog2()
}

const MODES: &[Mode] = &[
    Mode { name: "oxifaster single", is_batch: false },
    Mode { name: "oxifaster futures", is_batch: true },
    Mode { name: "oxifaster batch", is_batch: true },
];

impl DiskEngine for Oxifaster {
    fn modes(&self) -> &'static [Mode] {
        MODES
    }

    fn worker(&self, mode: usize) -> Result<Box<dyn DiskWorker + '_>> {
        Ok(match mode {
            0 => Box::new(Single(self.0.start_session())),
            1 => Box::new(Futures { session: self.0.start_async_session(), crowd: Crowd::new(IN_FLIGHT) }),
            _ => Box::new(Batch::new(self.0.start_session())),
        })
    }

    fn settle(&self) -> Result<()> {
        Ok(self.0.flush()?)
    }

    fn describe(&self) -> String {
        let index = self.0.index_stats();
        format!(
            "memory budget, an eighth of it for the read cache, at most seven tenths for the index; direct I/O: {}; {} buckets, {} entries",
            self.0.device().is_direct(),
            index.buckets,
            index.entries
        )
    }

    fn figures(&self) -> Vec<(String, f64)> {
        let stats = self.0.stats();
        let device = stats.device;
        vec![
            ("own misses".to_string(), stats.read_misses as f64),
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

/// Futures of one thread that are in flight at the same time: twice as many as have accesses under way.
const IN_FLIGHT: usize = 128;

/// One future per operation. Those of the end are left in flight, as a program would that always has more to ask for.
struct Futures {
    session: AsyncSession<u64, Value>,
    crowd: Crowd<Operation>,
}

/// An operation in flight, whichever it is.
enum Operation {
    Read(u64, OpFuture<u64, Value, Option<Value>>),
    Update(OpFuture<u64, Value, ()>),
    Rmw(OpFuture<u64, Value, bool>),
}

impl Future for Operation {
    /// What a read found, and the key that it was asked for.
    type Output = oxifaster::Result<Option<(u64, Option<Value>)>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Read(key, read) => {
                let key = *key;
                Pin::new(read).poll(context).map_ok(|value| Some((key, value)))
            }
            Self::Update(update) => Pin::new(update).poll(context).map_ok(|()| None),
            Self::Rmw(rmw) => Pin::new(rmw).poll(context).map_ok(|_| None),
        }
    }
}

/// Judges what a future came to; keeps the first error.
fn settle<'a>(
    tally: &'a mut Tally,
    failure: &'a mut oxifaster::Result<()>,
) -> impl FnMut(<Operation as Future>::Output) + 'a {
    |output| match output {
        Ok(Some((key, value))) => tally.judge(key, value.as_ref().map(<[u8; LONG]>::as_slice)),
        Ok(None) => {}
        Err(error) => *failure = failure.clone().and(Err(error)),
    }
}

impl DiskWorker for Futures {
    fn run(&mut self, ops: &[Op], tally: &mut Tally) -> Result<()> {
        let mut failure = Ok(());
        let mut done = settle(tally, &mut failure);
        for Op { key, kind } in ops {
            let operation = match kind {
                OpKind::Read => Operation::Read(*key, self.session.read(key)),
                OpKind::Update(counter) => Operation::Update(self.session.upsert(*key, value::long(*key, *counter))),
                OpKind::Rmw => Operation::Rmw(self.session.rmw(*key, count_up)),
            };
            self.crowd.admit(operation, &mut done);
        }
        drop(done);
        Ok(failure?)
    }

    fn finish(&mut self, tally: &mut Tally) -> Result<()> {
        let mut failure = Ok(());
        self.crowd.finish(&mut settle(tally, &mut failure));
        Ok(failure?)
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
