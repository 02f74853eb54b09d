//! `scc::HashIndex`: reads without locks.

use super::each;
use super::engine::{MemoryEngine, MemoryWorker};
use crate::failure::Result;
use crate::hash::KeyHash;
use scc::HashIndex;
use std::sync::atomic::{AtomicU64, Ordering};

type Map = HashIndex<u64, Word, KeyHash>;

/// An atomic word that is cloned with its value, which the index asks of its values.
struct Word(AtomicU64);

impl Clone for Word {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Acquire)))
    }
}

/// Its values are atomic words that are changed in place, as for papaya: the index itself replaces entries, which would
/// allocate.
pub(crate) struct SccIndex(Map);

impl SccIndex {
    pub(crate) fn new(keys: u64) -> Self {
        Self(HashIndex::with_capacity_and_hasher(keys as usize, KeyHash))
    }
}

impl MemoryEngine for SccIndex {
    fn modes(&self) -> &'static [&'static str] {
        &["scc index"]
    }

    fn worker(&self, _: usize) -> Result<Box<dyn MemoryWorker + '_>> {
        Ok(Box::new(Worker(&self.0)))
    }

    fn describe(&self) -> String {
        "HashIndex, peek_with, atomic words changed in place, capacity for all keys from the start".to_string()
    }
}

struct Worker<'a>(&'a Map);

fn read(map: &Map, key: u64) -> Option<u64> {
    map.peek_with(&key, |_, value| value.0.load(Ordering::Acquire))
}

fn upsert(map: &Map, key: u64, value: u64) {
    if map.peek_with(&key, |_, word| word.0.store(value, Ordering::Release)).is_none() {
        // Keys are put in once and by one thread, so there is nobody to lose against.
        let _ = map.insert_sync(key, Word(AtomicU64::new(value)));
    }
}

impl MemoryWorker for Worker<'_> {
    fn read(&mut self, keys: &[u64]) -> Result<u64> {
        Ok(each::read(keys, |key| read(self.0, key)))
    }

    fn rmw(&mut self, keys: &[u64]) -> Result<()> {
        for key in keys {
            self.0.peek_with(key, |_, value| value.0.fetch_add(1, Ordering::AcqRel));
        }
        Ok(())
    }

    fn upsert(&mut self, keys: &[u64], counter: u64) -> Result<()> {
        each::upsert(keys, counter, |key, value| upsert(self.0, key, value));
        Ok(())
    }

    fn mixed(&mut self, keys: &[u64], counter: u64) -> Result<u64> {
        Ok(each::mixed(keys, counter, |key| read(self.0, key), |key, value| upsert(self.0, key, value)))
    }

    fn counters(&mut self, keys: &[u64]) -> Result<Vec<Option<u64>>> {
        Ok(each::counters(keys, |key| read(self.0, key)))
    }
}
