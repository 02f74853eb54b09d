//! Keys are inserted and read while the index doubles.

use super::options::GrowthOptions;
use super::overwrite::each_thread;
use super::place::Shuffle;
use super::standstill::Waits;
use super::times::Times;
use crate::failure::Failure;
use oxifaster::device::NullDisk;
use oxifaster::store::{FasterKv, FasterKvConfig};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often the readers' counts are looked at.
const LOOK: Duration = Duration::from_millis(2);
/// Doublings shorter than this say nothing about the speed of reads.
const LONG_ENOUGH: Duration = Duration::from_millis(50);

type Store = FasterKv<u64, u64, NullDisk>;

/// What readers did in a stretch of time in which the index did or did not grow.
struct Stretch {
    grows: bool,
    buckets: u64,
    reads: u64,
    time: Duration,
}

pub(super) fn execute(options: &GrowthOptions) -> Result<String, Failure> {
    let buckets = 1u64 << options.to_bits;
    let log = options.keys * 24 * 5 / 4 + (64 << 20);
    let config = FasterKvConfig::default()
        .with_table_size(1 << options.from_bits)
        .with_table_size_max(buckets)
        .with_log_memory_size(log);
    let store: Store = FasterKv::open(config, NullDisk::new())?;
    let (inserted, reads, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let (insert_times, read_times) = (Mutex::new(Latencies::new()), Mutex::new(Latencies::new()));
    let began = Instant::now();
    let (stretches, standstills) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| watch(&store, &reads, &over));
        let worker = |thread: u64| {
            if thread < options.writers {
                let times = insert(&store, options, thread, &inserted)?;
                if let Ok(mut all) = insert_times.lock() {
                    all.add(&times);
                }
            } else {
                let times = read(&store, options, (thread, &inserted), &reads)?;
                if let Ok(mut all) = read_times.lock() {
                    all.add(&times);
                }
            }
            Ok(())
        };
        let outcome = each_thread(options.writers + options.readers, worker);
        over.store(true, Ordering::Relaxed);
        let seen = watch.join().unwrap_or_default();
        outcome.map(|()| seen)
    })?;
    let took = began.elapsed();
    let wrong = verify(&store, options.keys)?;
    let stats = store.index_stats();
    let text = |all: Mutex<Latencies>| all.into_inner().map(|all| all.text(&standstills)).unwrap_or_default();
    Ok(format!(
        "growth        {} keys, 2^{} buckets to 2^{}, {} doublings, {:.1} s; {} saturated buckets\n\
         threads       {} insert, {} read ({} keys a call)\n\
         inserts       {}\n\
         reads         {}\n\
         machine       stood still for up to {}\n\
         {}\
         wrong values  {wrong}\n",
        options.keys,
        options.from_bits,
        stats.buckets.ilog2(),
        stats.growth.doublings,
        took.as_secs_f64(),
        stats.saturated_buckets,
        options.writers,
        options.readers,
        options.batch,
        text(insert_times),
        text(read_times),
        Waits::text(standstills.longest()),
        doublings(&stretches),
    ))
}

/// How long operations took, and the longest of them apart.
#[derive(Default)]
struct Latencies {
    times: Times,
    waits: Waits,
}

impl Latencies {
    fn new() -> Self {
        Self { times: Times::new(), waits: Waits::default() }
    }

    fn note(&mut self, began: Instant, ended: Instant) {
        self.times.note(ended - began);
        self.waits.note(began, ended);
    }

    fn add(&mut self, other: &Self) {
        self.times.add(&other.times);
        self.waits.add(&other.waits);
    }

    fn text(&self, standstills: &Waits) -> String {
        let own = self.waits.longest_beside(standstills);
        format!("{}, longest beside standstills {}", self.times.text(), Waits::text(own))
    }
}

/// Inserts this thread's keys, each once, and counts them.
fn insert(store: &Store, options: &GrowthOptions, thread: u64, inserted: &AtomicU64) -> oxifaster::Result<Latencies> {
    let (mut session, mut times) = (store.start_session(), Latencies::new());
    let mut before = Instant::now();
    for key in (thread..options.keys).step_by(options.writers as usize) {
        session.upsert(key, !key)?;
        let now = Instant::now();
        times.note(before, now);
        before = now;
        // Its own count at the same pace as those of others, near enough.
        if thread == 0 {
            inserted.store(key, Ordering::Release);
        }
    }
    inserted.store(u64::MAX, Ordering::Release);
    Ok(times)
}

/// Reads keys that were inserted, at random, until all have been.
fn read(
    store: &Store,
    options: &GrowthOptions,
    (thread, inserted): (u64, &AtomicU64),
    reads: &AtomicU64,
) -> oxifaster::Result<Latencies> {
    let (mut session, mut times) = (store.start_session(), Latencies::new());
    let (shuffle, mut index) = (Shuffle::new(1 << 32, thread), 0u64);
    let mut keys = vec![0; options.batch];
    loop {
        let there = inserted.load(Ordering::Acquire);
        if there == u64::MAX {
            return Ok(times);
        }
        // The newest ones may be those of a thread that is behind.
        let there = (there - there / 16).max(1);
        let mut before = Instant::now();
        for _ in 0..64 {
            for key in &mut keys {
                *key = ((u128::from(shuffle.at(index & 0xffff_ffff)) * u128::from(there)) >> 32) as u64;
                index += 1;
            }
            if let [key] = keys[..] {
                std::hint::black_box(session.read(&key)?);
            } else {
                std::hint::black_box(session.read_batch(&keys)?);
            }
            let now = Instant::now();
            times.note(before, now);
            before = now;
        }
        reads.fetch_add(64 * keys.len() as u64, Ordering::Relaxed);
    }
}

/// Looks at the count of reads every now and then, whether the index grows, and whether it is itself woken in time.
fn watch(store: &Store, reads: &AtomicU64, over: &AtomicBool) -> (Vec<Stretch>, Waits) {
    let (mut stretches, mut standstills): (Vec<Stretch>, Waits) = Default::default();
    let (mut before, mut count) = (Instant::now(), 0);
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
        let (now, seen, growth) = (Instant::now(), reads.load(Ordering::Relaxed), store.index_growth());
        standstills.note(before + LOOK, now);
        let (grows, buckets) = (growth.under_way, growth.doublings);
        if stretches.last().is_none_or(|last| (last.grows, last.buckets) != (grows, buckets)) {
            stretches.push(Stretch { grows, buckets, reads: 0, time: Duration::ZERO });
        }
        if let Some(last) = stretches.last_mut() {
            last.reads += seen - count;
            last.time += now - before;
        }
        (before, count) = (now, seen);
    }
    (stretches, standstills)
}

/// A line for each doubling that took long enough: the rate of reads during it, against that before and after.
fn doublings(stretches: &[Stretch]) -> String {
    let rate = |stretch: &Stretch| stretch.reads as f64 / stretch.time.as_secs_f64() / 1e6;
    let mut lines = String::new();
    for (at, during) in stretches.iter().enumerate().filter(|(_, stretch)| stretch.grows && stretch.time >= LONG_ENOUGH)
    {
        let neighbours: Vec<f64> = [at.checked_sub(1), Some(at + 1)]
            .into_iter()
            .flatten()
            .filter_map(|at| stretches.get(at).map(rate))
            .collect();
        let shares: Vec<String> = neighbours.iter().map(|normal| format!("{:.2}", rate(during) / normal)).collect();
        lines += &format!(
            "doubling {:>2}   {:>6.0} ms; {:.2} M reads/s, {} of those before and after it\n",
            during.buckets + 1,
            during.time.as_secs_f64() * 1e3,
            rate(during),
            shares.join(" and "),
        );
    }
    lines
}

fn verify(store: &Store, keys: u64) -> Result<u64, Failure> {
    let (mut session, mut wrong) = (store.start_session(), 0);
    let mut part = Vec::new();
    for first in (0..keys).step_by(4096) {
        part.clear();
        part.extend(first..keys.min(first + 4096));
        wrong +=
            part.iter().zip(session.read_batch(&part)?).filter(|(key, value)| *value != Some(!**key)).count() as u64;
    }
    Ok(wrong)
}
