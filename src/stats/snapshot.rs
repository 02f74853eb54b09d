//! What the counters said at one moment.

/// Operations begun since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationStats {
    /// Reads.
    pub reads: u64,
    /// Blind writes.
    pub upserts: u64,
    /// Read-modify-writes.
    pub rmws: u64,
    /// Deletions.
    pub deletes: u64,
    /// Conditional inserts.
    pub inserts: u64,
    /// Transactions that were committed; what they read and wrote is not counted by itself.
    pub transactions: u64,
}

/// What the store asked of its device since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceStats {
    /// Reads.
    pub reads: u64,
    /// Bytes of these reads.
    pub read_bytes: u64,
    /// Writes.
    pub writes: u64,
    /// Bytes of these writes.
    pub written_bytes: u64,
    /// Writes that failed (each is repeated until it succeeds).
    pub write_failures: u64,
}

/// What happened in the read cache since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadCacheStats {
    /// Records of which a copy was put in after they were read from the device.
    pub added: u64,
    /// Old copies that were made anew because they were read.
    pub renewed: u64,
    /// Pages of copies that left to make room.
    pub pages_left: u64,
}

/// What became of records that left their chains since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevivificationStats {
    /// Tombstones that became a record of their key again where they lay.
    pub in_place: u64,
    /// Records that left the chain of their key, so that their space can be used again.
    pub freed: u64,
    /// Records that were written into such space.
    pub reused: u64,
    /// Spaces that were given up: they had become immutable, a checkpoint or the growth of the index came, or there were too many.
    pub dropped: u64,
    /// Spaces that are free at this moment; some of them may be given up when they are looked at.
    pub free: u64,
}

/// What the counters of a store said at one moment.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StatsSnapshot {
    /// Operations begun.
    pub operations: OperationStats,
    /// Reads, read-modify-writes and conditional inserts that memory alone could answer.
    pub read_hits: u64,
    /// Those that had to ask the device.
    pub read_misses: u64,
    /// What the device was asked.
    pub device: DeviceStats,
    /// The read cache, if there is one.
    pub read_cache: Option<ReadCacheStats>,
    /// Space that is used again, if it is.
    pub revivification: Option<RevivificationStats>,
    /// Who holds how many bytes of the memory budget.
    pub memory: Vec<(&'static str, usize)>,
    /// The memory budget in bytes.
    pub memory_budget: usize,
    /// How the entries of an index bucket are compared: `avx512`, `sse4.1` or `portable`. The best that the processor has,
    /// unless the environment variable `OXIFASTER_TAG_MATCH` names a lesser one when the first store is used.
    pub tag_match: &'static str,
}

impl StatsSnapshot {
    /// The share of look-ups that memory alone could answer, 0.0 to 1.0; 0.0 before the first.
    pub fn cache_hit_rate(&self) -> f64 {
        let all = self.read_hits + self.read_misses;
        if all == 0 { 0.0 } else { self.read_hits as f64 / all as f64 }
    }
}
