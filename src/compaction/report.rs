//! What a compaction did.

use crate::address::Address;

/// What a compaction did, in bytes of the log unless it says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct CompactionReport {
    /// Bytes that were looked at.
    pub scanned: u64,
    /// Records that were looked at.
    pub records: u64,
    /// Bytes of the records among them that were in use. Each was copied.
    pub live: u64,
    /// Bytes of the copies, at the end of the log.
    pub copied: u64,
    /// Bytes of the device that were given back.
    pub reclaimed: u64,
    /// Bytes of the device that are of no use to the store any more and were not given back: a checkpoint, a scan or a feed
    /// of changes needs them, or the copies are not durable yet.
    pub held: u64,
    /// Where the log begins now.
    pub begin: Address,
    /// How long it took.
    pub seconds: f64,
}

impl CompactionReport {
    /// Takes in what came after.
    pub(crate) fn add(&mut self, later: &Self) {
        self.scanned += later.scanned;
        self.records += later.records;
        self.live += later.live;
        self.copied += later.copied;
        self.reclaimed += later.reclaimed;
        self.held = later.held;
        self.begin = later.begin;
        self.seconds += later.seconds;
    }

    /// The share of what was looked at that was of no use, 0.0 to 1.0; 0.0 if nothing was looked at.
    pub fn yielded(&self) -> f64 {
        if self.scanned == 0 { 0.0 } else { 1.0 - (self.live as f64 / self.scanned as f64).min(1.0) }
    }
}
