//! One turn of one contestant.

use super::engine::{INTERVAL, LogEngine};
use crate::failure::{Failure, Result, joined};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Entries of a batch.
const BATCH: usize = 64;
/// Entries that are waited for one by one.
const COMMITS: usize = 200;

/// How entries are appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Course {
    pub(super) size: usize,
    pub(super) threads: usize,
    pub(super) is_batch: bool,
}

/// Entries per second, all of them durable at the end.
pub(super) fn append(engine: &dyn LogEngine, course: Course, time: Duration, directory: &Path) -> Result<f64> {
    let (started, is_over) = (Instant::now(), AtomicBool::new(false));
    let entries = std::thread::scope(|scope| {
        let syncing = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(INTERVAL);
                engine.sync()?;
            }
            Ok::<_, Failure>(())
        });
        let appending: Vec<_> =
            (0..course.threads).map(|_| scope.spawn(|| append_until(engine, course, started + time))).collect();
        let counts: Vec<Result<u64>> = appending.into_iter().map(|thread| joined(thread.join())?).collect();
        is_over.store(true, Ordering::Relaxed);
        joined(syncing.join())??;
        counts.into_iter().sum::<Result<u64>>()
    })?;
    engine.sync()?;
    let seconds = started.elapsed().as_secs_f64();
    let (there, least) = (bytes_in(directory)?, entries * course.size as u64);
    if there < least {
        return Err(Failure::new(format!("{there} bytes on disk of {least} that were appended")));
    }
    Ok(entries as f64 / seconds)
}

fn append_until(engine: &dyn LogEngine, course: Course, end: Instant) -> Result<u64> {
    // No two bytes in a row are the same: nobody gains by compressing.
    let data: Vec<u8> = (0..course.size as u64).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 7) as u8).collect();
    let (batch, mut appender, mut count) = (vec![data.as_slice(); BATCH], engine.appender()?, 0);
    while Instant::now() < end {
        if course.is_batch {
            appender.append(&batch)?;
        } else {
            for entry in &batch {
                appender.append(&[entry])?;
            }
        }
        count += BATCH as u64;
    }
    appender.finish()?;
    Ok(count)
}

/// The median of the microseconds that an entry of 64 bytes takes to be durable.
pub(super) fn commit(engine: &dyn LogEngine) -> Result<f64> {
    let (mut appender, mut times) = (engine.appender()?, Vec::with_capacity(COMMITS));
    for _ in 0..COMMITS {
        let started = Instant::now();
        appender.append_durable(&[7; 64])?;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[COMMITS / 2])
}

fn bytes_in(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { bytes_in(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
