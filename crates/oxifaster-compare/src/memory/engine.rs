//! What is compared.

use crate::failure::Result;
use crate::value;
use std::ops::Range;
use std::str::FromStr;

/// What a worker does with its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Reads.
    Read,
    /// Adds 1 to a value, as one step.
    Rmw,
    /// Writes a value without looking at the old one.
    Upsert,
    /// A read or an upsert, by the toss of a coin for every key.
    Mixed,
}

impl Workload {
    pub(crate) const ALL: [Self; 4] = [Self::Read, Self::Rmw, Self::Upsert, Self::Mixed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Rmw => "rmw",
            Self::Upsert => "upsert",
            Self::Mixed => "50/50",
        }
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let found = Self::ALL
            .into_iter()
            .find(|workload| workload.name() == text || text == "mixed" && *workload == Self::Mixed);
        found.ok_or_else(|| format!("`{text}` is not a workload: read, rmw, upsert or mixed"))
    }
}

/// A store or map that holds all keys in memory.
pub(crate) trait MemoryEngine: Sync {
    /// The ways it can be asked, the first of which is compared if only one is wanted.
    fn modes(&self) -> &'static [&'static str];

    /// Something that one thread calls.
    fn worker(&self, mode: usize) -> Result<Box<dyn MemoryWorker + '_>>;

    /// Puts in all keys with a counter of 0.
    fn load(&mut self, keys: u64, threads: usize) -> Result<()> {
        let this = &*self;
        std::thread::scope(|scope| {
            let share = keys.div_ceil(threads as u64);
            let parts: Vec<_> = (0..threads as u64)
                .map(|part| scope.spawn(move || load_part(this, part * share..keys.min((part + 1) * share))))
                .collect();
            parts.into_iter().try_for_each(|part| crate::failure::joined(part.join())?)
        })
    }

    /// What should be said about its set-up, for the report.
    fn describe(&self) -> String;
}

fn load_part(engine: &(impl MemoryEngine + ?Sized), keys: Range<u64>) -> Result<()> {
    let mut worker = engine.worker(engine.modes().len() - 1)?;
    let mut chunk = Vec::with_capacity(1_024);
    for key in keys {
        chunk.push(key);
        if chunk.len() == 1_024 {
            worker.upsert(&chunk, 0)?;
            chunk.clear();
        }
    }
    worker.upsert(&chunk, 0)
}

/// One thread's access to an engine. Each call works through many keys, so that the call itself costs nothing.
pub(crate) trait MemoryWorker {
    /// Reads all keys; returns how many were missing or had a value of another key.
    fn read(&mut self, keys: &[u64]) -> Result<u64>;

    /// Adds 1 to the counters of all keys.
    fn rmw(&mut self, keys: &[u64]) -> Result<()>;

    /// Gives all keys values with this counter.
    fn upsert(&mut self, keys: &[u64], counter: u64) -> Result<()>;

    /// Reads the keys for which [`is_read`] says so and upserts the others; returns as `read` does.
    fn mixed(&mut self, keys: &[u64], counter: u64) -> Result<u64>;

    /// The counters of these keys, `None` for those that are missing or wrong. Not timed.
    fn counters(&mut self, keys: &[u64]) -> Result<Vec<Option<u64>>>;
}

/// The coin of the mixed workload: fair, unforeseeable, and the same for all engines.
#[inline(always)]
pub(crate) fn is_read(key: u64, at: usize, counter: u64) -> bool {
    (key ^ (at as u64).wrapping_add(counter) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 0
}

/// The counter in `value`, if it is one of `key`.
pub(crate) fn counter_of(key: u64, value: Option<u64>) -> Option<u64> {
    value.filter(|value| value::judge_short(key, Some(*value)) == 0).map(value::short_counter)
}
