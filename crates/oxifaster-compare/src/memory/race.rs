//! One measurement: one engine, one workload, some threads, some time.

use super::engine::{MemoryEngine, MemoryWorker, Workload};
use super::stream::{CHUNK, KeyStream};
use crate::failure::{Result, joined};
use crate::histogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What is run.
#[derive(Clone, Copy)]
pub(crate) struct Race<'a> {
    pub(crate) engine: &'a dyn MemoryEngine,
    pub(crate) mode: usize,
    pub(crate) workload: Workload,
    pub(crate) streams: &'a [KeyStream],
    pub(crate) time: Duration,
    /// Counts the processor time of the threads in place of the time that passes, for machines that are busy with other
    /// things. It leaves out what others do to caches and memory, and does not notice waiting.
    pub(crate) by_cpu_time: bool,
    /// Where in the streams to begin, and what upserts write; a number that differs from run to run.
    pub(crate) turn: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lap {
    /// Operations per second of all threads together.
    pub(crate) rate: f64,
    pub(crate) operations: u64,
    /// Reads whose key was missing or whose value belonged to another key.
    pub(crate) wrong: u64,
}

impl Race<'_> {
    /// Runs until the time is up.
    pub(crate) fn run(self) -> Result<Lap> {
        let (barrier, stop) = (Barrier::new(self.streams.len() + 1), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let workers: Vec<_> = self
                .streams
                .iter()
                .map(|stream| {
                    let (barrier, stop) = (&barrier, &stop);
                    scope.spawn(move || self.work(stream, barrier, stop))
                })
                .collect();
            barrier.wait();
            std::thread::sleep(self.time);
            stop.store(true, Ordering::Relaxed);
            let mut lap = Lap::default();
            for worker in workers {
                let part = joined(worker.join())??;
                lap.rate += part.rate;
                lap.operations += part.operations;
                lap.wrong += part.wrong;
            }
            Ok(lap)
        })
    }

    fn work(self, stream: &KeyStream, barrier: &Barrier, stop: &AtomicBool) -> Result<Lap> {
        let worker = self.engine.worker(self.mode);
        // Whoever could not begin comes to the barrier all the same, or the others would wait for ever.
        barrier.wait();
        let mut worker = worker?;
        let clock = if self.by_cpu_time { ClockId::ThreadCPUTime } else { ClockId::Monotonic };
        let (mut at, mut lap, begun) = (self.turn as usize * 7_919, Lap::default(), seconds(clock));
        while !stop.load(Ordering::Relaxed) {
            lap.wrong += step(&mut *worker, self.workload, stream.chunk(at), self.turn)?;
            lap.operations += CHUNK as u64;
            at += 1;
        }
        lap.rate = lap.operations as f64 / (seconds(clock) - begun);
        Ok(lap)
    }

    /// How long single operations take: one key per call, or one chunk per call, as whose part every operation of it
    /// takes as long as the whole. Each call is timed, so this is no measure of throughput.
    pub(crate) fn latency(self, keys_per_call: usize) -> Result<Histogram> {
        let stop = &AtomicBool::new(false);
        std::thread::scope(|scope| {
            let workers: Vec<_> = self
                .streams
                .iter()
                .map(|stream| scope.spawn(move || self.time_calls(stream, keys_per_call, stop)))
                .collect();
            std::thread::sleep(self.time);
            stop.store(true, Ordering::Relaxed);
            let mut all = Histogram::default();
            for worker in workers {
                all.merge(&joined(worker.join())??);
            }
            Ok(all)
        })
    }

    fn time_calls(self, stream: &KeyStream, keys_per_call: usize, stop: &AtomicBool) -> Result<Histogram> {
        let (mut worker, mut histogram) = (self.engine.worker(self.mode)?, Histogram::default());
        let mut at = self.turn as usize * 7_919;
        while !stop.load(Ordering::Relaxed) {
            for keys in stream.chunk(at).chunks(keys_per_call) {
                let begun = Instant::now();
                step(&mut *worker, self.workload, keys, self.turn)?;
                histogram.record(begun.elapsed(), keys.len() as u64);
            }
            at += 1;
        }
        Ok(histogram)
    }
}

/// What a clock shows.
fn seconds(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// One call of the workload; returns how many reads were wrong.
fn step(worker: &mut dyn MemoryWorker, workload: Workload, keys: &[u64], turn: u64) -> Result<u64> {
    match workload {
        Workload::Read => worker.read(keys),
        Workload::Rmw => worker.rmw(keys).map(|()| 0),
        Workload::Upsert => worker.upsert(keys, turn).map(|()| 0),
        Workload::Mixed => worker.mixed(keys, turn),
    }
}
