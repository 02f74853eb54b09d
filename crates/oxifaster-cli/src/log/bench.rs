//! How fast is a log on this disk?

use super::options::{BenchOptions, open, open_to_read};
use super::raw::{RAW_WRITE, Raw};
use crate::failure::Failure;
use crate::output::print_text;
use oxifaster::address::Address;
use oxifaster::log::FasterLog;
use std::time::{Duration, Instant};

/// The log and what it is compared with take turns so often: what disks of shared machines give changes within seconds.
const ROUNDS: usize = 5;
/// Commits of a round.
const COMMITS: usize = 60;

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
    let (raw_directory, log_directory) = (options.directory.join("raw"), options.directory.join("log"));
    let seconds = f64::from(options.seconds) / ROUNDS as f64;
    let (mut appends, mut commits, mut scans) = (Pairs::default(), Pairs::default(), Pairs::default());
    let (mut raw, log) = (Raw::open(&raw_directory)?, open(&log_directory)?);
    for _ in 0..ROUNDS {
        let raw_bytes = raw.write(seconds)?;
        appends.add(append(&log, options, seconds)? * f64::from(options.size), raw_bytes);
    }
    for _ in 0..ROUNDS {
        let raw_micros = median((0..COMMITS).map(|_| raw.commit()).collect::<Result<_, _>>()?);
        commits.add(median((0..COMMITS).map(|_| commit(&log)).collect::<Result<_, _>>()?), raw_micros);
    }
    drop((raw, log));
    let (mut raw, log, mut scanned) = (Raw::open(&raw_directory)?, open_to_read(&log_directory)?, Vec::new());
    let (begin, end, extent) = (log.begin().get(), log.committed().get(), raw.extent() / ROUNDS as u64);
    for round in 0..ROUNDS as u64 {
        let raw_bytes = raw.read(round * extent / RAW_WRITE * RAW_WRITE, extent)?;
        let part = |number: u64| begin + (end - begin) / ROUNDS as u64 * number;
        let (entries, seconds) = scan(&log, part(round), part(round + 1))?;
        scans.add((part(round + 1) - part(round)) as f64 / seconds, raw_bytes);
        scanned.push(entries as f64 / seconds);
    }
    let ([append, raw_append, append_share], [commit, raw_commit, commit_share]) = (appends.spans(), commits.spans());
    let [scan, raw_scan, scan_share] = scans.spans();
    Ok(format!(
        "{} appending, {} bytes each, a commit every 10 ms; smallest / middle / largest of {ROUNDS} rounds in turn\n\n\
         append      M entries/s {}\n            MB/s        {}\n            raw MB/s    {}\n            of raw      {}\n\
         commit      p50 us      {}\n            raw us      {}   (a write of 4 KiB and a sync)\n            of raw      {}\n\
         scan        M entries/s {}\n            MB/s        {}\n            raw MB/s    {}\n            of raw      {}\n",
        options.appenders,
        options.size,
        append.text(1e6 * f64::from(options.size), 2),
        append.text(1e6, 0),
        raw_append.text(1e6, 0),
        append_share.text(1.0, 2),
        commit.text(1.0, 0),
        raw_commit.text(1.0, 0),
        commit_share.text(1.0, 2),
        Span::of(scanned).text(1e6, 2),
        scan.text(1e6, 0),
        raw_scan.text(1e6, 0),
        scan_share.text(1.0, 2),
    ))
}

/// What was measured in turn: of the log, and without it.
#[derive(Default)]
struct Pairs(Vec<(f64, f64)>);

impl Pairs {
    fn add(&mut self, log: f64, raw: f64) {
        self.0.push((log, raw));
    }

    /// Of the log, without it, and what the one is of the other.
    fn spans(&self) -> [Span; 3] {
        let of = |value: fn(&(f64, f64)) -> f64| Span::of(self.0.iter().map(value).collect());
        [of(|pair| pair.0), of(|pair| pair.1), of(|pair| pair.0 / pair.1)]
    }
}

/// The smallest, the middle and the largest.
struct Span([f64; 3]);

impl Span {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
        Self([at(0), at(values.len() / 2), at(values.len().saturating_sub(1))])
    }

    fn text(&self, unit: f64, digits: usize) -> String {
        self.0.map(|value| format!("{:>9.digits$}", value / unit)).join(" /")
    }
}

fn median(values: Vec<f64>) -> f64 {
    Span::of(values).0[1]
}

/// Entries a second, until all of them were durable.
fn append(log: &FasterLog, options: &BenchOptions, seconds: f64) -> Result<f64, Failure> {
    let (started, limit) = (Instant::now(), Duration::from_secs_f64(seconds));
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
    Ok(counts.into_iter().sum::<oxifaster::Result<u64>>()? as f64 / seconds)
}

/// The microseconds that an entry takes to be durable.
fn commit(log: &FasterLog) -> Result<f64, Failure> {
    let started = Instant::now();
    log.append_and_wait(&[1; 64])?;
    Ok(started.elapsed().as_secs_f64() * 1e6)
}

/// Entries from `begin` to `end`, and the seconds that takes.
fn scan(log: &FasterLog, begin: u64, end: u64) -> Result<(u64, f64), Failure> {
    let (started, mut entries) = (Instant::now(), 0);
    let mut scan = log.scan(Address::new(begin)..Address::new(end));
    while scan.next_entry()?.is_some() {
        entries += 1;
    }
    Ok((entries, started.elapsed().as_secs_f64()))
}
