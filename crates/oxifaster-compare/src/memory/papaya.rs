//! `papaya`: a lock-free map for reads above all.

use super::each;
use super::engine::{MemoryEngine, MemoryWorker};
use crate::failure::Result;
use crate::hash::KeyHash;
use papaya::{Guard, HashMap, HashMapRef};
use std::sync::atomic::{AtomicU64, Ordering};

type Map = HashMap<u64, AtomicU64, KeyHash>;

/// Its values are atomic words that are changed in place: replacing them through the map would allocate every time. That
/// is possible for values of a word only, and the best it can do for them.
pub(crate) struct Papaya(Map);

impl Papaya {
    pub(crate) fn new(keys: u64) -> Self {
        Self(HashMap::with_capacity_and_hasher(keys as usize, KeyHash))
    }
}

impl MemoryEngine for Papaya {
    fn modes(&self) -> &'static [&'static str] {
        &["papaya", "papaya per call"]
    }

    fn worker(&self, mode: usize) -> Result<Box<dyn MemoryWorker + '_>> {
        Ok(if mode == 0 { Box::new(Batches(&self.0)) } else { Box::new(Calls(&self.0)) })
    }

    fn describe(&self) -> String {
        "atomic words changed in place, one guard per 512 keys or (`per call`) one for each, capacity for all keys from the \
         start"
            .to_string()
    }
}

/// Pins once for all keys of a call, which spares the map most of its pins.
struct Batches<'a>(&'a Map);

/// Pins for every key, as a caller does who has one key at a time.
struct Calls<'a>(&'a Map);

fn read<G: Guard>(map: &HashMapRef<'_, u64, AtomicU64, KeyHash, G>, key: u64) -> Option<u64> {
    map.get(&key).map(|value| value.load(Ordering::Acquire))
}

fn upsert<G: Guard>(map: &HashMapRef<'_, u64, AtomicU64, KeyHash, G>, key: u64, value: u64) {
    match map.get(&key) {
        Some(word) => word.store(value, Ordering::Release),
        None => drop(map.insert(key, AtomicU64::new(value))),
    }
}

fn increment<G: Guard>(map: &HashMapRef<'_, u64, AtomicU64, KeyHash, G>, key: u64) {
    if let Some(value) = map.get(&key) {
        value.fetch_add(1, Ordering::AcqRel);
    }
}

impl MemoryWorker for Batches<'_> {
    fn read(&mut self, keys: &[u64]) -> Result<u64> {
        let map = self.0.pin();
        Ok(each::read(keys, |key| read(&map, key)))
    }

    fn rmw(&mut self, keys: &[u64]) -> Result<()> {
        let map = self.0.pin();
        keys.iter().for_each(|key| increment(&map, *key));
        Ok(())
    }

    fn upsert(&mut self, keys: &[u64], counter: u64) -> Result<()> {
        let map = self.0.pin();
        each::upsert(keys, counter, |key, value| upsert(&map, key, value));
        Ok(())
    }

    fn mixed(&mut self, keys: &[u64], counter: u64) -> Result<u64> {
        let map = self.0.pin();
        Ok(each::mixed(keys, counter, |key| read(&map, key), |key, value| upsert(&map, key, value)))
    }

    fn counters(&mut self, keys: &[u64]) -> Result<Vec<Option<u64>>> {
        let map = self.0.pin();
        Ok(each::counters(keys, |key| read(&map, key)))
    }
}

impl MemoryWorker for Calls<'_> {
    fn read(&mut self, keys: &[u64]) -> Result<u64> {
        Ok(each::read(keys, |key| read(&self.0.pin(), key)))
    }

    fn rmw(&mut self, keys: &[u64]) -> Result<()> {
        keys.iter().for_each(|key| increment(&self.0.pin(), *key));
        Ok(())
    }

    fn upsert(&mut self, keys: &[u64], counter: u64) -> Result<()> {
        each::upsert(keys, counter, |key, value| upsert(&self.0.pin(), key, value));
        Ok(())
    }

    fn mixed(&mut self, keys: &[u64], counter: u64) -> Result<u64> {
        let (get, set) = (|key| read(&self.0.pin(), key), |key, value| upsert(&self.0.pin(), key, value));
        Ok(each::mixed(keys, counter, get, set))
    }

    fn counters(&mut self, keys: &[u64]) -> Result<Vec<Option<u64>>> {
        Ok(each::counters(keys, |key| read(&self.0.pin(), key)))
    }
}
