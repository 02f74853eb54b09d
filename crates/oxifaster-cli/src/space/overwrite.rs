//! Every key is overwritten again and again; then most are deleted.

use super::for_value_size;
use super::options::{Order, OverwriteOptions};
use super::place::{Shuffle, directory};
use super::times::{Times, median, spread};
use crate::failure::Failure;
use crate::units::size;
use oxifaster::compaction::{AutoCompactionConfig, AutoCompactionWorker, CompactionConfig};
use oxifaster::device::FileSystemDisk;
use oxifaster::record::RecordLayout;
use oxifaster::store::{FasterKv, FasterKvConfig};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Of so many keys one is kept when the rest is deleted.
const KEPT_ONE_OF: u64 = 10;

type Store<const N: usize> = FasterKv<u64, [u64; N], FileSystemDisk>;

pub(super) fn execute(options: &OverwriteOptions) -> Result<String, Failure> {
    for_value_size!(options.value_size, measure(options))
}

/// What some rounds came to.
struct Rounds {
    /// Millions of operations per second.
    rates: Vec<f64>,
    times: Times,
    /// Bytes on the disk at most.
    most: u64,
}

fn measure<const N: usize>(options: &OverwriteOptions) -> Result<String, Failure> {
    let record = RecordLayout::fixed(8, 8 * N).record_size().unwrap_or(0) as u64;
    let keys = (options.data / record).max(1);
    let place = directory(options.dir.as_deref())?;
    let live = keys * record;
    place.require_space(live * (options.rounds_without + 2))?;
    let without_path = place.path().join("without");
    let without = {
        let store = open::<N>(options, &without_path)?;
        load(&store, options, keys)?;
        rounds(&store, options, keys, 1..options.rounds_without + 1, &without_path)?
    };
    std::fs::remove_dir_all(&without_path).map_err(|error| Failure::path("removing", &without_path, error))?;

    let path = place.path().join("with");
    let store = Arc::new(open::<N>(options, &path)?);
    let how = CompactionConfig::default()
        .with_target_utilization(options.target)
        .with_num_threads(options.compaction_threads)
        .with_max_part(options.max_part);
    let worker = AutoCompactionWorker::new(AutoCompactionConfig::default().with_compaction(how));
    worker.start(Arc::downgrade(&store))?;
    load(&store, options, keys)?;
    let with = rounds(&store, options, keys, 1..options.rounds + 1, &path)?;
    let state = worker.state();
    let (kept, took, left) = delete(&store, options, keys, &path)?;
    let wrong = verify(&store, keys, options.rounds)?;
    worker.stop();
    drop(store);
    let ratio = median(&with.rates) / median(&without.rates);
    Ok(format!(
        "data                {keys} records of {record} bytes, {}; {} of memory; {:?} order, {} writers\n\
         without compaction  {} M/s in {} rounds; {}; disk {}\n\
         with compaction     {} M/s in {} rounds; {}\n\
         throughput          {ratio:.2} of that without\n\
         disk at most        {} = {:.2} times the data\n\
         compaction          looked at {}, moved {}, {} steps, {} failures\n\
         after deleting 90 % {} for {} of data = {:.2} times, after {:.1} s\n\
         wrong values        {wrong}\n",
        size(live),
        size(options.memory),
        options.order,
        options.threads,
        spread(&without.rates),
        without.rates.len(),
        without.times.text(),
        size(without.most),
        spread(&with.rates),
        with.rates.len(),
        with.times.text(),
        size(with.most),
        with.most as f64 / live as f64,
        size(state.total.scanned),
        size(state.total.copied),
        state.steps,
        state.failures,
        size(left),
        size(kept * record),
        left as f64 / (kept * record) as f64,
        took.as_secs_f64(),
    ))
}

fn open<const N: usize>(options: &OverwriteOptions, path: &Path) -> Result<Store<N>, Failure> {
    let mut config = FasterKvConfig::default().with_memory_budget(options.memory);
    config.compaction_memory = options.compaction_memory;
    Ok(FasterKv::open(config, FileSystemDisk::open(path)?)?)
}

fn load<const N: usize>(store: &Store<N>, options: &OverwriteOptions, keys: u64) -> Result<(), Failure> {
    each_thread(options.threads, |thread| {
        let mut session = store.start_session();
        for key in (thread..keys).step_by(options.threads as usize) {
            session.upsert(key, [key; N])?;
        }
        Ok(())
    })
}

/// Overwrites every key once for each of `rounds`, and watches the disk meanwhile.
fn rounds<const N: usize>(
    store: &Store<N>,
    options: &OverwriteOptions,
    keys: u64,
    rounds: std::ops::Range<u64>,
    path: &Path,
) -> Result<Rounds, Failure> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(crate::bench::occupied(path).unwrap_or(0));
                std::thread::sleep(Duration::from_millis(20));
            }
            most
        });
        let mut outcome = Rounds { rates: Vec::new(), times: Times::new(), most: 0 };
        let result = rounds.into_iter().try_for_each(|round| {
            let (began, times) = (Instant::now(), std::sync::Mutex::new(&mut outcome.times));
            each_thread(options.threads, |thread| {
                let own = overwrite(store, options, (keys, thread, round))?;
                if let Ok(mut times) = times.lock() {
                    times.add(&own);
                }
                Ok(())
            })?;
            outcome.rates.push(keys as f64 / began.elapsed().as_secs_f64() / 1e6);
            eprintln!("round {round}: {:.2} M/s", outcome.rates.last().copied().unwrap_or_default());
            Ok(())
        });
        over.store(true, Ordering::Relaxed);
        outcome.most = watch.join().unwrap_or(0);
        result.map(|()| outcome)
    })
}

/// One thread's part of a round.
fn overwrite<const N: usize>(
    store: &Store<N>,
    options: &OverwriteOptions,
    (keys, thread, round): (u64, u64, u64),
) -> oxifaster::Result<Times> {
    let (mut session, mut times, shuffle) = (store.start_session(), Times::new(), Shuffle::new(keys, round));
    let mut before = Instant::now();
    for index in (thread..keys).step_by(options.threads as usize) {
        let key = if options.order == Order::Random { shuffle.at(index) } else { index };
        session.upsert(key, [key ^ round << 40; N])?;
        let now = Instant::now();
        times.note(now - before);
        before = now;
    }
    Ok(times)
}

/// Deletes most keys. Returns how many are left, how long it took until the disk was given back, and what is still taken.
fn delete<const N: usize>(
    store: &Store<N>,
    options: &OverwriteOptions,
    keys: u64,
    path: &Path,
) -> Result<(u64, Duration, u64), Failure> {
    each_thread(options.threads, |thread| {
        let mut session = store.start_session();
        for key in (thread..keys).step_by(options.threads as usize).filter(|key| key % KEPT_ONE_OF != 0) {
            session.delete(&key)?;
        }
        Ok(())
    })?;
    let (since, kept) = (Instant::now(), keys.div_ceil(KEPT_ONE_OF));
    let bound = kept * RecordLayout::fixed(8, 8 * N).record_size().unwrap_or(0) as u64 * 3 / 2;
    loop {
        let left = crate::bench::occupied(path).unwrap_or(0);
        if left <= bound || since.elapsed() > Duration::from_secs(options.give_back_within) {
            return Ok((kept, since.elapsed(), left));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How many keys do not have what was written last.
fn verify<const N: usize>(store: &Store<N>, keys: u64, rounds: u64) -> Result<u64, Failure> {
    let (mut session, mut wrong) = (store.start_session(), 0);
    let all: Vec<u64> = (0..keys).collect();
    for part in all.chunks(4096) {
        for (key, value) in part.iter().zip(session.read_batch(part)?) {
            let expected = key.is_multiple_of(KEPT_ONE_OF).then_some([key ^ rounds << 40; N]);
            wrong += u64::from(value != expected);
        }
    }
    Ok(wrong)
}

/// Runs `work` on so many threads at the same time.
pub(super) fn each_thread(threads: u64, work: impl Fn(u64) -> oxifaster::Result<()> + Sync) -> Result<(), Failure> {
    let work = &work;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        for worker in workers {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(())
    })
}
