//! How long a store of these records takes to come back, with an image of its index and without.

use super::campaign::Store;
use super::report::per_second;
use super::value::Content;
use crate::failure::Failure;
use oxifaster::checkpoint::CheckpointToken;
use oxifaster::device::StorageDevice;
use oxifaster::directory::FileDirectory;
use oxifaster::store::{CheckpointOptions, FasterKvConfig, RecoveryTarget};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// One recovery in a report.
#[derive(Debug, Serialize)]
pub(crate) struct RecoveryReport {
    pub(crate) with_image: bool,
    pub(crate) seconds: f64,
    /// Of the recovery's own four parts, in order: image, replay, copy, load.
    pub(crate) parts_seconds: [f64; 4],
    /// Records that were replayed from the log.
    pub(crate) records: u64,
    pub(crate) records_per_second: f64,
    pub(crate) bytes_verified: u64,
    pub(crate) bytes_per_second: f64,
    /// What the disk gives of all files, read before and after by nobody who looks at them.
    pub(crate) disk_bytes_per_second: f64,
    /// The rate of the recovery as a part of the disk's.
    pub(crate) disk_ratio: f64,
}

/// The checkpoints to come back to: without an image, and with one.
pub(crate) fn prepare<V: Content>(store: &Store<V>, path: &Path) -> Result<[CheckpointToken; 2], Failure> {
    let directory = FileDirectory::open(path)?;
    let take = |index| store.checkpoint_to(&directory, &CheckpointOptions::default().with_index(index));
    Ok([take(false)?.token, take(true)?.token])
}

/// Comes back to one of them. The device is opened anew for it.
pub(crate) fn recover<V: Content>(
    path: &Path,
    token: CheckpointToken,
    config: FasterKvConfig,
    device: Arc<dyn StorageDevice>,
) -> Result<RecoveryReport, Failure> {
    let directory = FileDirectory::open(path)?;
    let began = Instant::now();
    let (store, report) = Store::<V>::recover_from(&directory, RecoveryTarget::Token(token), config, device, &|_| ())?;
    let seconds = began.elapsed().as_secs_f64();
    drop(store);
    let times = report.times;
    let bytes_per_second = per_second(report.bytes_verified, seconds);
    Ok(RecoveryReport {
        with_image: report.replay_from.get() > 64,
        seconds,
        parts_seconds: [times.image, times.replay, times.copy, times.load].map(|time| time.as_secs_f64()),
        records: report.records,
        records_per_second: per_second(report.records, seconds),
        bytes_verified: report.bytes_verified,
        bytes_per_second,
        disk_bytes_per_second: 0.0,
        disk_ratio: 0.0,
    })
}

impl RecoveryReport {
    /// Compares it with a disk that gives so many bytes a second.
    pub(crate) fn compare_with(&mut self, disk_bytes_per_second: f64) {
        self.disk_bytes_per_second = disk_bytes_per_second;
        self.disk_ratio = if disk_bytes_per_second > 0.0 { self.bytes_per_second / disk_bytes_per_second } else { 0.0 };
    }
}
