//! Whether an engine keeps what it is given: every key is there after loading, and no increment is lost.

use super::engine::MemoryEngine;
use crate::distribution::{Distribution, KeyChooser};
use crate::failure::{Result, joined};
use crate::random::Random;
use serde::{Deserialize, Serialize};

/// What a check found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Losses {
    /// Keys that were put in and are missing, or have a value of another key.
    pub(crate) keys: u64,
    /// Increments that were acknowledged and are in no counter.
    pub(crate) updates: u64,
}

impl Losses {
    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }
}

const INCREMENTS: u64 = 1 << 20;
const CHUNK: u64 = 512;

/// Counts up a skewed choice of keys from several threads, in every mode, then reads all keys back.
pub(crate) fn losses(engine: &dyn MemoryEngine, keys: u64, threads: usize) -> Result<Losses> {
    let modes = engine.modes().len();
    for mode in 0..modes {
        count_up(engine, mode, keys, threads)?;
    }
    let (lost, counted) = sum(engine, keys, threads)?;
    let made = INCREMENTS * threads as u64 * modes as u64;
    Ok(Losses { keys: lost, updates: made.abs_diff(counted) })
}

fn count_up(engine: &dyn MemoryEngine, mode: usize, keys: u64, threads: usize) -> Result<()> {
    let chooser = &KeyChooser::new(Distribution::Zipf(0.99), keys);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads as u64)
            .map(|thread| {
                scope.spawn(move || {
                    let (mut worker, mut random) = (engine.worker(mode)?, Random::new(thread));
                    for _ in 0..INCREMENTS / CHUNK {
                        let chunk: Vec<u64> = (0..CHUNK).map(|_| chooser.key(&mut random)).collect();
                        worker.rmw(&chunk)?;
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| joined(worker.join())?)
    })
}

/// Keys that are missing, and the sum of the counters of the others.
fn sum(engine: &dyn MemoryEngine, keys: u64, threads: usize) -> Result<(u64, u64)> {
    let share = keys.div_ceil(threads as u64);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads as u64)
            .map(|part| {
                scope.spawn(move || {
                    let mut worker = engine.worker(engine.modes().len() - 1)?;
                    let (mut lost, mut counted) = (0, 0);
                    let all: Vec<u64> = (part * share..keys.min((part + 1) * share)).collect();
                    for chunk in all.chunks(CHUNK as usize) {
                        for counter in worker.counters(chunk)? {
                            lost += u64::from(counter.is_none());
                            counted += counter.unwrap_or(0);
                        }
                    }
                    Result::Ok((lost, counted))
                })
            })
            .collect();
        workers.into_iter().try_fold((0, 0), |all, worker| {
            let (lost, counted) = joined(worker.join())??;
            Ok((all.0 + lost, all.1 + counted))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::roster::{self, NAMES};
    use super::*;

    /// The published crate is left out: whether it loses anything is what a run is to tell.
    #[test]
    fn no_engine_loses_a_key_or_an_increment() {
        for name in NAMES.iter().filter(|name| **name != "published") {
            let mut engine = roster::engine(name, 10_000).unwrap();
            engine.load(10_000, 2).unwrap();
            assert_eq!(losses(&*engine, 10_000, 2).unwrap(), Losses::default(), "{name}");
        }
    }

    #[test]
    fn a_lost_key_is_counted() {
        let mut engine = roster::engine("probe", 10_000).unwrap();
        engine.load(9_990, 2).unwrap();
        assert!(losses(&*engine, 10_000, 1).unwrap().keys == 10);
    }
}
