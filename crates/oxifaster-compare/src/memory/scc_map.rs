//! `scc::HashMap`: buckets under their own locks.

use super::each;
use super::engine::{MemoryEngine, MemoryWorker};
use crate::failure::Result;
use crate::hash::KeyHash;
use scc::HashMap;

/// A map with room for all keys from the beginning.
pub(crate) struct SccMap(HashMap<u64, u64, KeyHash>);

impl SccMap {
    pub(crate) fn new(keys: u64) -> Self {
        Self(HashMap::with_capacity_and_hasher(keys as usize, KeyHash))
    }
}

impl MemoryEngine for SccMap {
    fn modes(&self) -> &'static [&'static str] {
        &["scc map"]
    }

    fn worker(&self, _: usize) -> Result<Box<dyn MemoryWorker + '_>> {
        Ok(Box::new(Worker(&self.0)))
    }

    fn describe(&self) -> String {
        "HashMap, its synchronous calls, capacity for all keys from the start".to_string()
    }
}

struct Worker<'a>(&'a HashMap<u64, u64, KeyHash>);

impl MemoryWorker for Worker<'_> {
    fn read(&mut self, keys: &[u64]) -> Result<u64> {
        Ok(each::read(keys, |key| self.0.read_sync(&key, |_, value| *value)))
    }

    fn rmw(&mut self, keys: &[u64]) -> Result<()> {
        for key in keys {
            self.0.update_sync(key, |_, value| *value += 1);
        }
        Ok(())
    }

    fn upsert(&mut self, keys: &[u64], counter: u64) -> Result<()> {
        each::upsert(keys, counter, |key, value| {
            self.0.upsert_sync(key, value);
        });
        Ok(())
    }

    fn mixed(&mut self, keys: &[u64], counter: u64) -> Result<u64> {
        let upsert = |key, value| {
            self.0.upsert_sync(key, value);
        };
        Ok(each::mixed(keys, counter, |key| self.0.read_sync(&key, |_, value| *value), upsert))
    }

    fn counters(&mut self, keys: &[u64]) -> Result<Vec<Option<u64>>> {
        Ok(each::counters(keys, |key| self.0.read_sync(&key, |_, value| *value)))
    }
}
