//! One measurement, within the engine's process.

use super::engine::{DiskEngine, Mode, OpKind, Tally};
use super::mix::Mix;
use super::protocol::{Lap, Run};
use super::usage::{self, Usage};
use crate::distribution::{Distribution, KeyChooser};
use crate::failure::{Failure, Result, joined};
use crate::histogram::Histogram;
use crate::random::Random;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What all threads of a measurement share.
struct Race<'a> {
    engine: &'a dyn DiskEngine,
    chooser: KeyChooser,
    mix: Mix,
    mode: usize,
    turn: u64,
    /// Operations of one call.
    chunk: usize,
    /// Of how many calls one is timed: asking the time costs as much as a hit.
    timed_of: u64,
    barrier: Barrier,
    stop: AtomicBool,
}

/// Runs until the time is up.
pub(super) fn run(engine: &dyn DiskEngine, keys: u64, batch: usize, run: &Run) -> Result<Lap> {
    let distribution: Distribution = run.distribution.parse().map_err(|error: String| Failure::new(error))?;
    let Some(Mode { is_batch, .. }) = engine.modes().get(run.mode).copied() else {
        return Err(Failure::new(format!("there is no mode {}", run.mode)));
    };
    let race = &Race {
        engine,
        chooser: KeyChooser::new(distribution, keys),
        mix: run.mix,
        mode: run.mode,
        turn: run.turn,
        chunk: if is_batch { batch } else { 1 },
        timed_of: if is_batch { 1 } else { 8 },
        barrier: Barrier::new(run.threads + 1),
        stop: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..run.threads as u64).map(|thread| scope.spawn(move || race.work(thread))).collect();
        race.barrier.wait();
        let (before, own) = (Usage::now(), engine.figures());
        std::thread::sleep(Duration::from_secs_f64(run.seconds));
        race.stop.store(true, Ordering::Relaxed);
        let mut lap = Lap::default();
        for worker in workers {
            let part = joined(worker.join())??;
            lap.rate += part.rate;
            lap.operations += part.operations;
            lap.wrong += part.wrong;
            lap.latencies.merge(&part.latencies);
        }
        lap.figures = Usage::now().since(before, lap.operations);
        let operations = lap.operations.max(1) as f64;
        let grown = engine.figures().into_iter().zip(own);
        lap.figures
            .extend(grown.map(|((name, after), (_, before))| (format!("{name}/op"), (after - before) / operations)));
        lap.figures.push(("resident bytes".to_string(), usage::resident()));
        Ok(lap)
    })
}

impl Race<'_> {
    fn work(&self, thread: u64) -> Result<Lap> {
        let worker = self.engine.worker(self.mode);
        // Whoever could not begin comes to the barrier all the same, or the others would wait for ever.
        self.barrier.wait();
        let mut worker = worker?;
        let mut random = Random::new(self.turn * 1_000 + thread);
        let (mut ops, mut tally, mut latencies) =
            (Vec::with_capacity(self.chunk), Tally::default(), Histogram::default());
        let (mut operations, mut reads, mut calls, begun) = (0, 0_u64, 0_u64, Instant::now());
        while !self.stop.load(Ordering::Relaxed) {
            ops.clear();
            ops.extend((0..self.chunk).map(|_| self.mix.draw(&self.chooser, &mut random, self.turn)));
            if calls % self.timed_of == 0 {
                let call = Instant::now();
                worker.run(&ops, &mut tally)?;
                latencies.record(call.elapsed(), self.chunk as u64);
            } else {
                worker.run(&ops, &mut tally)?;
            }
            calls += 1;
            reads += ops.iter().filter(|op| matches!(op.kind, OpKind::Read)).count() as u64;
            operations += self.chunk as u64;
        }
        worker.finish(&mut tally)?;
        let rate = operations as f64 / begun.elapsed().as_secs_f64();
        let unseen = if self.engine.has_keys() { reads.saturating_sub(tally.judged) } else { 0 };
        Ok(Lap { rate, operations, wrong: tally.wrong + unseen, latencies, figures: Vec::new() })
    }
}
