//! The crate of the same name on the registry.

use super::each;
use super::engine::{MemoryEngine, MemoryWorker};
use crate::failure::{Failure, Result};
use oxifaster_013::device::NullDisk;
use oxifaster_013::status::Status;
use oxifaster_013::store::{FasterKv, FasterKvConfig, Session};
use std::sync::Arc;

/// Its store with a log in memory, of the same sizes as this crate's.
pub(crate) struct Published(Arc<FasterKv<u64, u64, NullDisk>>);

/// Bytes its records are given room for. They are larger than this crate's: a header, two lengths, key and value.
const RECORD: u64 = 48;

impl Published {
    pub(crate) fn new(keys: u64, buckets: u64) -> Self {
        let config = FasterKvConfig {
            table_size: buckets,
            log_memory_size: (keys * RECORD * 6 / 5).next_power_of_two().max(64 << 20),
            page_size_bits: 22,
            mutable_fraction: 0.9,
        };
        Self(Arc::new(FasterKv::new(config, NullDisk::new())))
    }
}

impl MemoryEngine for Published {
    fn modes(&self) -> &'static [&'static str] {
        &["oxifaster 0.1.3"]
    }

    fn worker(&self, _: usize) -> Result<Box<dyn MemoryWorker + '_>> {
        let session = self.0.start_session().map_err(|error| Failure::new(format!("starting a session: {error:?}")))?;
        Ok(Box::new(Worker(session)))
    }

    fn describe(&self) -> String {
        "the same buckets, log in memory, mutable fraction 0.9, single calls (it has no others)".to_string()
    }
}

struct Worker(Session<u64, u64, NullDisk>);

impl Worker {
    fn get(&mut self, key: u64) -> Option<u64> {
        self.0.read(&key).ok().flatten()
    }

    fn put(&mut self, key: u64, value: u64) -> Result<()> {
        acknowledged("upsert", self.0.upsert(key, value))
    }
}

fn acknowledged(what: &str, status: Status) -> Result<()> {
    if status == Status::Ok { Ok(()) } else { Err(Failure::new(format!("{what}: {status:?}"))) }
}

impl MemoryWorker for Worker {
    fn read(&mut self, keys: &[u64]) -> Result<u64> {
        Ok(each::read(keys, |key| self.get(key)))
    }

    fn rmw(&mut self, keys: &[u64]) -> Result<()> {
        for key in keys {
            let add_one = |value: &mut u64| {
                *value += 1;
                true
            };
            acknowledged("rmw", self.0.rmw(*key, add_one))?;
        }
        Ok(())
    }

    fn upsert(&mut self, keys: &[u64], counter: u64) -> Result<()> {
        keys.iter().try_for_each(|key| self.put(*key, crate::value::short(*key, counter)))
    }

    fn mixed(&mut self, keys: &[u64], counter: u64) -> Result<u64> {
        let mut wrong = 0;
        for (at, key) in keys.iter().enumerate() {
            if super::engine::is_read(*key, at, counter) {
                wrong += crate::value::judge_short(*key, self.get(*key));
            } else {
                self.put(*key, crate::value::short(*key, counter))?;
            }
        }
        Ok(wrong)
    }

    fn counters(&mut self, keys: &[u64]) -> Result<Vec<Option<u64>>> {
        Ok(each::counters(keys, |key| self.get(key)))
    }
}
