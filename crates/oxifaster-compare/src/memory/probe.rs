//! The limit probe as a contestant: one after the other, and in groups.

use super::engine::{MemoryEngine, MemoryWorker, counter_of, is_read};
use crate::failure::{Failure, Result};
use crate::probe::matching;
use crate::probe::store::ProbeStore;
use crate::probe::walk;
use crate::value;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bare index-and-log loop.
pub(crate) struct Probe(ProbeStore);

impl Probe {
    pub(crate) fn new(keys: u64, buckets: u64) -> Result<Self> {
        Ok(Self(ProbeStore::new(keys, buckets).map_err(Failure::of("making the probe"))?))
    }
}

impl MemoryEngine for Probe {
    fn modes(&self) -> &'static [&'static str] {
        &["probe serial", "probe group"]
    }

    fn worker(&self, mode: usize) -> Result<Box<dyn MemoryWorker + '_>> {
        Ok(if mode == 0 { Box::new(Serial(&self.0)) } else { Box::new(Grouped(&self.0)) })
    }

    fn load(&mut self, keys: u64, _: usize) -> Result<()> {
        (0..keys).try_for_each(|key| self.0.insert(key, value::short(key, 0))).map_err(Failure::of("loading the probe"))
    }

    fn describe(&self) -> String {
        let match_by = if matching::has_wide() { "eight lanes" } else { "portable code" };
        format!("tags compared by {match_by}, groups of 32, memory advised to huge pages")
    }
}

struct Serial<'a>(&'a ProbeStore);
struct Grouped<'a>(&'a ProbeStore);

macro_rules! worker {
    ($worker:ident, $walk:path) => {
        impl MemoryWorker for $worker<'_> {
            fn read(&mut self, keys: &[u64]) -> Result<u64> {
                let mut wrong = 0;
                $walk(self.0, keys, |_, key, word| wrong += value::judge_short(key, word.map(load)));
                Ok(wrong)
            }

            fn rmw(&mut self, keys: &[u64]) -> Result<()> {
                $walk(self.0, keys, |_, _, word| {
                    if let Some(word) = word {
                        word.fetch_add(1, Ordering::AcqRel);
                    }
                });
                Ok(())
            }

            fn upsert(&mut self, keys: &[u64], counter: u64) -> Result<()> {
                $walk(self.0, keys, |_, key, word| {
                    if let Some(word) = word {
                        word.store(value::short(key, counter), Ordering::Release);
                    }
                });
                Ok(())
            }

            fn mixed(&mut self, keys: &[u64], counter: u64) -> Result<u64> {
                let mut wrong = 0;
                $walk(self.0, keys, |at, key, word| {
                    if is_read(key, at, counter) {
                        wrong += value::judge_short(key, word.map(load));
                    } else if let Some(word) = word {
                        word.store(value::short(key, counter), Ordering::Release);
                    }
                });
                Ok(wrong)
            }

            fn counters(&mut self, keys: &[u64]) -> Result<Vec<Option<u64>>> {
                let mut found = Vec::with_capacity(keys.len());
                $walk(self.0, keys, |_, key, word| found.push(counter_of(key, word.map(load))));
                Ok(found)
            }
        }
    };
}

worker!(Serial, walk::serial);
worker!(Grouped, walk::grouped);

#[inline(always)]
fn load(word: &AtomicU64) -> u64 {
    word.load(Ordering::Acquire)
}
