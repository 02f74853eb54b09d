//! `dashmap`: a sharded map under read-write locks.

use super::each;
use super::engine::{MemoryEngine, MemoryWorker};
use crate::failure::Result;
use crate::hash::KeyHash;
use dashmap::DashMap;

/// A map that is as large as it has to be from the beginning, with the hash that all maps share.
pub(crate) struct Dash(DashMap<u64, u64, KeyHash>);

impl Dash {
    pub(crate) fn new(keys: u64) -> Self {
        Self(DashMap::with_capacity_and_hasher(keys as usize, KeyHash))
    }
}

impl MemoryEngine for Dash {
    fn modes(&self) -> &'static [&'static str] {
        &["dashmap"]
    }

    fn worker(&self, _: usize) -> Result<Box<dyn MemoryWorker + '_>> {
        Ok(Box::new(Worker(&self.0)))
    }

    fn describe(&self) -> String {
        "its own number of shards, capacity for all keys from the start, the hash of all maps".to_string()
    }
}

struct Worker<'a>(&'a DashMap<u64, u64, KeyHash>);

impl MemoryWorker for Worker<'_> {
    fn read(&mut self, keys: &[u64]) -> Result<u64> {
        Ok(each::read(keys, |key| self.0.get(&key).map(|value| *value)))
    }

    fn rmw(&mut self, keys: &[u64]) -> Result<()> {
        for key in keys {
            if let Some(mut value) = self.0.get_mut(key) {
                *value += 1;
            }
        }
        Ok(())
    }

    fn upsert(&mut self, keys: &[u64], counter: u64) -> Result<()> {
        each::upsert(keys, counter, |key, value| {
            self.0.insert(key, value);
        });
        Ok(())
    }

    fn mixed(&mut self, keys: &[u64], counter: u64) -> Result<u64> {
        let upsert = |key, value| {
            self.0.insert(key, value);
        };
        Ok(each::mixed(keys, counter, |key| self.0.get(&key).map(|value| *value), upsert))
    }

    fn counters(&mut self, keys: &[u64]) -> Result<Vec<Option<u64>>> {
        Ok(each::counters(keys, |key| self.0.get(&key).map(|value| *value)))
    }
}
