//! Whether an engine keeps what it is given.

use super::engine::{DiskEngine, Op, OpKind, Tally};
use crate::distribution::Permutation;
use crate::failure::{Result, joined};
use crate::memory::check::Losses;
use crate::random::Random;

/// Keys that are looked up, all over the key space.
const LOOKED_UP: u64 = 50_000;
/// Keys that are counted up, and how often each thread does it.
const COUNTED: u64 = 200;
const INCREMENTS: u64 = 5_000;

/// Looks up a sample of keys, and counts a few up from several threads.
pub(super) fn losses(engine: &dyn DiskEngine, keys: u64, threads: usize) -> Result<Losses> {
    let mut random = Random::new(5);
    let sample: Vec<u64> = (0..LOOKED_UP).map(|_| random.below(keys)).collect();
    let lost = look_up(engine, &sample)?.wrong;
    let counted = counted_keys(keys);
    let before = look_up(engine, &counted)?.counters;
    std::thread::scope(|scope| {
        let counted = &counted;
        let workers: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || count_up(engine, thread as u64, counted))).collect();
        workers.into_iter().try_for_each(|worker| joined(worker.join())?)
    })?;
    let grown = look_up(engine, &counted)?.counters.wrapping_sub(before);
    Ok(Losses { keys: lost, updates: (INCREMENTS * threads as u64).abs_diff(grown) })
}

/// Reads these keys.
fn look_up(engine: &dyn DiskEngine, keys: &[u64]) -> Result<Tally> {
    let mut worker = engine.worker(engine.modes().len() - 1)?;
    let mut tally = Tally::default();
    for chunk in keys.chunks(250) {
        let ops: Vec<Op> = chunk.iter().map(|key| Op { key: *key, kind: OpKind::Read }).collect();
        worker.run(&ops, &mut tally)?;
    }
    worker.finish(&mut tally)?;
    Ok(tally)
}

/// Keys that lie far apart, most of them not in memory.
fn counted_keys(keys: u64) -> Vec<u64> {
    let spread = Permutation::new(keys, 3);
    (0..COUNTED.min(keys)).map(|item| spread.apply(item)).collect()
}

fn count_up(engine: &dyn DiskEngine, thread: u64, counted: &[u64]) -> Result<()> {
    // Threads of several modes at once, beginning with the last.
    let modes = engine.modes().len();
    let mut worker = engine.worker(modes - 1 - thread as usize % modes)?;
    let (mut random, mut tally) = (Random::new(thread), Tally::default());
    for _ in 0..INCREMENTS {
        let key = counted[random.below(counted.len() as u64) as usize];
        worker.run(&[Op { key, kind: OpKind::Rmw }], &mut tally)?;
    }
    worker.finish(&mut tally)
}

#[cfg(test)]
mod tests {
    use super::super::roster::{self, NAMES};
    use super::super::serve;
    use super::*;

    /// The published crate is left out: whether it loses anything is what a run is to tell.
    #[test]
    fn no_engine_loses_a_key_or_an_increment() {
        for name in NAMES.iter().filter(|name| !["published", "probe"].contains(name)) {
            let directory = tempfile::tempdir().unwrap();
            let engine = roster::open(name, directory.path(), 50_000, 8 << 20).unwrap();
            serve::load(&*engine, 50_000).unwrap();
            assert_eq!(losses(&*engine, 50_000, 2).unwrap(), Losses::default(), "{name}");
            assert!(losses(&*engine, 51_000, 1).unwrap().keys > 0, "{name}: keys that were never put in are found");
        }
    }
}
