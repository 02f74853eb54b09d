//! How fast is a log on this disk?

use super::options::{BenchOptions, open};
use crate::failure::Failure;
use crate::output::print_text;
use oxifaster::device::{CompletionQueue, FileSystemDisk, IoRequest, StorageDevice};
use oxifaster::log::FasterLog;
use oxifaster::memory::AlignedBuf;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of a raw sequential write: as large as the log's own.
const RAW_WRITE: usize = 256 << 10;
/// Bytes of a raw sequential read: as large as a scan's.
const RAW_READ: usize = 1 << 20;
const RAW_UNDER_WAY: usize = 4;
const COMMITS: usize = 300;
const WAIT: Duration = Duration::from_secs(60);

/// Measures, and removes what it wrote.
pub(super) fn execute(options: &BenchOptions) -> Result<u8, Failure> {
    let directory = &options.directory;
    let is_new = !directory.exists();
    if !is_new && std::fs::read_dir(directory).map_err(|error| Failure::path("reading", directory, error))?.count() > 0
    {
        return Err(Failure::usage(
            format!("the directory {} is not empty", directory.display()),
            "name an empty one, or one that does not exist",
        ));
    }
    let outcome = measure(options);
    for part in ["log", "raw"] {
        let _ = std::fs::remove_dir_all(directory.join(part));
    }
    if is_new {
        let _ = std::fs::remove_dir(directory);
    }
    print_text(&outcome?)?;
    Ok(0)
}

fn measure(options: &BenchOptions) -> Result<String, Failure> {
    let raw_bytes = raw_write(&options.directory.join("raw"), options.seconds.min(3))?;
    let raw_commit = raw_commits(&options.directory.join("raw"))?;
    let log = open(&options.directory.join("log"))?;
    let (entries, seconds) = append(&log, options)?;
    let rate = entries as f64 / seconds;
    let bytes = rate * f64::from(options.size);
    let commit = commits(&log)?;
    drop(log);
    let raw_scan = raw_read(&options.directory.join("raw"))?;
    let log = super::options::open_to_read(&options.directory.join("log"))?;
    let (started, mut scan) = (Instant::now(), log.scan(..));
    let mut scanned = 0u64;
    while scan.next_entry()?.is_some() {
        scanned += 1;
    }
    let (scan_seconds, begin) = (started.elapsed().as_secs_f64(), log.begin().get());
    let scan = (log.committed().get() - begin) as f64 / scan_seconds;
    let mega = |bytes: f64| bytes / 1e6;
    Ok(format!(
        "append        {:.2} M entries/s, {:.0} MB/s ({} appenders, {} bytes each, a commit every 10 ms)\n\
         raw writes    {:.0} MB/s; the log has {:.2} of it\n\
         commit        p50 {:.0} us, p99 {:.0} us (an entry and a wait for it, one thread)\n\
         raw commit    p50 {:.0} us (a 4 KiB write and a sync); the log takes {:.2} of it\n\
         scan          {:.2} M entries/s, {:.0} MB/s of the log\n\
         raw reads     {:.0} MB/s; the scan has {:.2} of it\n",
        rate / 1e6,
        mega(bytes),
        options.appenders,
        options.size,
        mega(raw_bytes),
        bytes / raw_bytes,
        commit.0,
        commit.1,
        raw_commit,
        commit.0 / raw_commit,
        scanned as f64 / scan_seconds / 1e6,
        mega(scan),
        mega(raw_scan),
        scan / raw_scan,
    ))
}

/// Entries and seconds until all of them were durable.
fn append(log: &FasterLog, options: &BenchOptions) -> Result<(u64, f64), Failure> {
    let (started, limit) = (Instant::now(), Duration::from_secs(options.seconds.into()));
    let counts: Vec<oxifaster::Result<u64>> = std::thread::scope(|scope| {
        let appenders: Vec<_> = (0..options.appenders)
            .map(|_| {
                scope.spawn(move || {
                    let (data, mut appender) = (vec![0x5a; options.size as usize], log.appender());
                    let batch: Vec<&[u8]> = vec![&data; 64];
                    let mut count = 0;
                    while started.elapsed() < limit {
                        if options.single {
                            for _ in 0..64 {
                                log.append(&data)?;
                            }
                        } else {
                            appender.append_batch(batch.iter().copied())?;
                        }
                        count += 64;
                    }
                    Ok(count)
                })
            })
            .collect();
        appenders.into_iter().filter_map(|appender| appender.join().ok()).collect()
    });
    log.commit()?;
    let seconds = started.elapsed().as_secs_f64();
    Ok((counts.into_iter().sum::<oxifaster::Result<u64>>()?, seconds))
}

/// Median and 99th percentile of the microseconds that an entry takes to be durable.
fn commits(log: &FasterLog) -> Result<(f64, f64), Failure> {
    let mut times = Vec::new();
    for _ in 0..COMMITS {
        let started = Instant::now();
        log.append_and_wait(&[1; 64])?;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok((times[COMMITS / 2], times[COMMITS * 99 / 100]))
}

/// Bytes per second of sequential writes to a device like the log's, as many under way as the log has.
fn raw_write(directory: &Path, seconds: u32) -> Result<f64, Failure> {
    let device = FileSystemDisk::open(directory)?;
    let queue = CompletionQueue::new();
    let (started, mut under_way, mut written) = (Instant::now(), 0, 0u64);
    while started.elapsed() < Duration::from_secs(seconds.into()) {
        while under_way < RAW_UNDER_WAY {
            let request = IoRequest::write(written, RAW_WRITE, AlignedBuf::zeroed(RAW_WRITE));
            device.submit(request, Arc::clone(&queue) as Arc<_>, 0);
            (under_way, written) = (under_way + 1, written + RAW_WRITE as u64);
        }
        land(&queue)?;
        under_way -= 1;
    }
    for _ in 0..under_way {
        land(&queue)?;
    }
    device.submit(IoRequest::sync(), Arc::clone(&queue) as Arc<_>, 0);
    land(&queue)?;
    Ok(written as f64 / started.elapsed().as_secs_f64())
}

/// Bytes per second of sequential reads of what was written, as large and as many under way as those of a scan.
fn raw_read(directory: &Path) -> Result<f64, Failure> {
    let device = FileSystemDisk::open(directory)?;
    let (queue, extent) = (CompletionQueue::new(), device.info().extent);
    let (started, mut under_way, mut next) = (Instant::now(), 0, 0);
    while next < extent || under_way > 0 {
        while next < extent && under_way < RAW_UNDER_WAY {
            let len = RAW_READ.min((extent - next) as usize);
            let request = IoRequest::read(next, len, AlignedBuf::zeroed(len));
            device.submit(request, Arc::clone(&queue) as Arc<_>, 0);
            (under_way, next) = (under_way + 1, next + len as u64);
        }
        land(&queue)?;
        under_way -= 1;
    }
    Ok(extent as f64 / started.elapsed().as_secs_f64())
}

/// Median microseconds of a write of 4 KiB and a sync.
fn raw_commits(directory: &Path) -> Result<f64, Failure> {
    let device = FileSystemDisk::open(directory)?;
    let (queue, extent) = (CompletionQueue::new(), device.info().extent);
    let mut times = Vec::new();
    for number in 0..COMMITS as u64 {
        let started = Instant::now();
        let request = IoRequest::write(extent + number * 4096, 4096, AlignedBuf::zeroed(4096));
        device.submit(request, Arc::clone(&queue) as Arc<_>, 0);
        land(&queue)?;
        device.submit(IoRequest::sync(), Arc::clone(&queue) as Arc<_>, 0);
        land(&queue)?;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[COMMITS / 2])
}

fn land(queue: &CompletionQueue) -> Result<(), Failure> {
    match queue.take_within(WAIT) {
        Some((_, done)) => Ok(done.result.map(drop)?),
        None => Err(Failure::usage("the device does not answer", "look for a hung disk")),
    }
}
