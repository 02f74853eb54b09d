//! This store, by single calls and by batches.

use super::each;
use super::engine::{MemoryEngine, MemoryWorker, counter_of, is_read};
use crate::failure::Result;
use crate::value;
use oxifaster::device::NullDisk;
use oxifaster::store::{FasterKv, FasterKvConfig, Session};

/// A store whose log is in memory and mutable as a whole.
pub(crate) struct Oxifaster {
    store: FasterKv<u64, u64, NullDisk>,
    buckets: u64,
}

const RECORD: u64 = 24;

impl Oxifaster {
    pub(crate) fn new(keys: u64, buckets: u64) -> Result<Self> {
        // Room for all records, a fifth more for what pages leave at their ends and have to keep free ahead of the tail.
        let log = (keys * RECORD * 6 / 5).max(64 << 20);
        let config = FasterKvConfig::default()
            .with_table_size(buckets)
            .with_log_memory_size(log)
            .with_page_size_bits(if log > 1 << 30 { 25 } else { 20 })
            .with_mutable_fraction(1.0);
        Ok(Self { store: FasterKv::open(config, NullDisk::new())?, buckets })
    }
}

impl MemoryEngine for Oxifaster {
    fn modes(&self) -> &'static [&'static str] {
        &["oxifaster single", "oxifaster batch"]
    }

    fn worker(&self, mode: usize) -> Result<Box<dyn MemoryWorker + '_>> {
        let session = self.store.start_session();
        Ok(if mode == 0 {
            Box::new(Single(session))
        } else {
            Box::new(Batch { session, keys: Vec::new(), values: Vec::new(), pairs: Vec::new() })
        })
    }

    fn describe(&self) -> String {
        let stats = self.store.index_stats();
        format!(
            "{} buckets of 64 bytes ({} entries, {} overflow buckets used), log in memory and mutable, no device",
            self.buckets, stats.entries, stats.overflow_buckets_used
        )
    }
}

/// One call per key.
struct Single(Session<u64, u64>);

impl MemoryWorker for Single {
    fn read(&mut self, keys: &[u64]) -> Result<u64> {
        let mut wrong = 0;
        for key in keys {
            wrong += value::judge_short(*key, self.0.read(key)?);
        }
        Ok(wrong)
    }

    fn rmw(&mut self, keys: &[u64]) -> Result<()> {
        for key in keys {
            self.0.rmw(*key, add_one)?;
        }
        Ok(())
    }

    fn upsert(&mut self, keys: &[u64], counter: u64) -> Result<()> {
        for key in keys {
            self.0.upsert(*key, value::short(*key, counter))?;
        }
        Ok(())
    }

    fn mixed(&mut self, keys: &[u64], counter: u64) -> Result<u64> {
        let mut wrong = 0;
        for (at, key) in keys.iter().enumerate() {
            if is_read(*key, at, counter) {
                wrong += value::judge_short(*key, self.0.read(key)?);
            } else {
                self.0.upsert(*key, value::short(*key, counter))?;
            }
        }
        Ok(wrong)
    }

    fn counters(&mut self, keys: &[u64]) -> Result<Vec<Option<u64>>> {
        keys.iter().map(|key| Ok(counter_of(*key, self.0.read(key)?))).collect()
    }
}

#[inline(always)]
fn add_one(value: &mut u64) -> bool {
    *value += 1;
    true
}

/// One call for all keys of a chunk.
struct Batch {
    session: Session<u64, u64>,
    keys: Vec<u64>,
    values: Vec<Option<u64>>,
    pairs: Vec<(u64, u64)>,
}

impl MemoryWorker for Batch {
    fn read(&mut self, keys: &[u64]) -> Result<u64> {
        self.values.resize(keys.len(), None);
        self.session.read_batch_into(keys, &mut self.values)?;
        Ok(keys.iter().zip(&self.values).map(|(key, value)| value::judge_short(*key, *value)).sum())
    }

    fn rmw(&mut self, keys: &[u64]) -> Result<()> {
        self.session.rmw_batch(keys, |_, value| add_one(value))?;
        Ok(())
    }

    fn upsert(&mut self, keys: &[u64], counter: u64) -> Result<()> {
        self.pairs.clear();
        self.pairs.extend(keys.iter().map(|key| (*key, value::short(*key, counter))));
        Ok(self.session.upsert_batch(&self.pairs)?)
    }

    /// As a server would that received these requests together: the reads in one call, the upserts in another.
    fn mixed(&mut self, keys: &[u64], counter: u64) -> Result<u64> {
        self.keys.clear();
        self.pairs.clear();
        for (at, key) in keys.iter().enumerate() {
            if is_read(*key, at, counter) {
                self.keys.push(*key);
            } else {
                self.pairs.push((*key, value::short(*key, counter)));
            }
        }
        self.session.upsert_batch(&self.pairs)?;
        self.values.resize(self.keys.len(), None);
        self.session.read_batch_into(&self.keys, &mut self.values)?;
        Ok(self.keys.iter().zip(&self.values).map(|(key, value)| value::judge_short(*key, *value)).sum())
    }

    fn counters(&mut self, keys: &[u64]) -> Result<Vec<Option<u64>>> {
        let values = self.session.read_batch(keys)?;
        let mut values = values.into_iter();
        Ok(each::counters(keys, |_| values.next().flatten()))
    }
}
