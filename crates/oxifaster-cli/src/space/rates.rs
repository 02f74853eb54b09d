//! How fast the log is compacted and scanned.

use super::for_value_size;
use super::options::{Order, RatesOptions};
use super::place::{Shuffle, directory};
use super::times::{median, spread};
use crate::failure::Failure;
use crate::units::size;
use oxifaster::device::{CompletionQueue, FileSystemDisk, IoRequest, StorageDevice};
use oxifaster::memory::AlignedBuf;
use oxifaster::record::RecordLayout;
use oxifaster::store::{FasterKv, FasterKvConfig};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A raw sequential read, and how many are under way.
const RAW_READ: usize = 1 << 20;
const RAW_UNDER_WAY: usize = 4;
const WAIT: Duration = Duration::from_secs(60);

type Store<const N: usize> = FasterKv<u64, [u64; N], FileSystemDisk>;

pub(super) fn execute(options: &RatesOptions) -> Result<String, Failure> {
    for_value_size!(options.value_size, measure(options))
}

/// Megabytes per second, of every repetition.
#[derive(Default)]
struct Rates {
    raw: Vec<f64>,
    scan: Vec<f64>,
    live_scan: Vec<f64>,
    compact_disk: Vec<f64>,
    compact_disk_over_memory: Vec<f64>,
    compact_memory: Vec<f64>,
}

fn measure<const N: usize>(options: &RatesOptions) -> Result<String, Failure> {
    let record = RecordLayout::fixed(8, 8 * N).record_size().unwrap_or(0) as u64;
    let keys = (options.data / record).max(1);
    let place = directory(options.dir.as_deref())?;
    place.require_space(options.data * 4)?;
    let mut rates = Rates::default();
    for repetition in 0..options.repetitions {
        let path = place.path().join(format!("{repetition}"));
        one_round::<N>(options, (keys, record), &path, &mut rates)?;
        std::fs::remove_dir_all(&path).map_err(|error| Failure::path("removing", &path, error))?;
    }
    let line = |name: &str, figures: &[f64]| {
        format!("{name:<36}{} MB/s, {:.2} of raw\n", spread(figures), median(figures) / median(&rates.raw))
    };
    Ok(format!(
        "data                                {keys} records of {record} bytes, {}; {:.0} % overwritten in {:?} order; one thread\n",
        size(keys * record),
        options.overwritten * 100.0,
        options.order
    ) + &line("raw reads of the disk", &rates.raw)
        + &line("scan of the log, from disk", &rates.scan)
        + &line("scan of live records, from disk", &rates.live_scan)
        + &line("compaction, all on disk", &rates.compact_disk)
        + &line("compaction, newer ones in memory", &rates.compact_disk_over_memory)
        + &line("compaction, all in memory", &rates.compact_memory))
}

fn one_round<const N: usize>(
    options: &RatesOptions,
    (keys, record): (u64, u64),
    path: &Path,
    rates: &mut Rates,
) -> Result<(), Failure> {
    // Everything fits: what is to be read from the disk is evicted.
    let log = options.data * 7 / 2 + (256 << 20);
    let config = || FasterKvConfig::default().with_table_size((keys / 4).next_power_of_two()).with_log_memory_size(log);
    let write = |store: &Store<N>, share: f64, round: u64| -> Result<(), Failure> {
        let (mut session, shuffle) = (store.start_session(), Shuffle::new(keys, round));
        for index in 0..(keys as f64 * share) as u64 {
            let key = if options.order == Order::Random { shuffle.at(index) } else { index };
            session.upsert(key, [key ^ round; N])?;
        }
        Ok(())
    };
    for place in ["memory", "disk", "both"] {
        let directory = path.join(place);
        let store: Store<N> = FasterKv::open(config(), FileSystemDisk::open(&directory)?)?;
        write(&store, 1.0, 0)?;
        store.flush()?;
        let first_half = store.addresses().tail;
        if place == "both" {
            store.evict()?;
        }
        write(&store, options.overwritten, 1)?;
        store.flush()?;
        if place == "disk" {
            store.evict()?;
            rates.raw.push(raw(&store)?);
            rates.scan.push(timed(keys * record * 2, || Ok(store.scan_log(..)?.count() as u64))?);
            rates.raw.push(raw(&store)?);
            rates.live_scan.push(timed(first_half.get(), || Ok(store.count()?))?);
            store.evict()?;
        }
        let report = store.log_compact_until(first_half)?;
        let rate = report.scanned as f64 / report.seconds / 1e6;
        match place {
            "memory" => rates.compact_memory.push(rate),
            "disk" => rates.compact_disk.push(rate),
            _ => rates.compact_disk_over_memory.push(rate),
        }
    }
    Ok(())
}

/// Bytes per second of `work`, which goes through `bytes`.
fn timed(bytes: u64, work: impl FnOnce() -> Result<u64, Failure>) -> Result<f64, Failure> {
    let began = Instant::now();
    std::hint::black_box(work()?);
    Ok(bytes as f64 / began.elapsed().as_secs_f64() / 1e6)
}

/// Megabytes per second of sequential reads of the store's device.
fn raw<const N: usize>(store: &Store<N>) -> Result<f64, Failure> {
    let device = store.device();
    let extent = store.addresses().flushed.get() / RAW_READ as u64 * RAW_READ as u64;
    let (queue, began, mut asked, mut done) = (CompletionQueue::new(), Instant::now(), 0, 0);
    let mut buffers: Vec<_> = (0..RAW_UNDER_WAY).map(|_| AlignedBuf::zeroed(RAW_READ)).collect();
    while done < extent {
        while asked < extent
            && let Some(buffer) = buffers.pop()
        {
            device.submit(IoRequest::read(asked, RAW_READ, buffer), Arc::clone(&queue) as Arc<_>, 0);
            asked += RAW_READ as u64;
        }
        let Some((_, outcome)) = queue.take_within(WAIT) else {
            return Err(Failure::usage("the device does not answer", "look for a hung disk"));
        };
        done += outcome.result? as u64;
        buffers.push(AlignedBuf::zeroed(RAW_READ));
    }
    Ok(extent as f64 / began.elapsed().as_secs_f64() / 1e6)
}
