//! Where the large areas of memory are.

/// The memory of a store's index and log, as the system sees it.
///
/// The buffers of device accesses are not part of it; [`StatsSnapshot::memory`](super::StatsSnapshot::memory) has what was
/// drawn from the memory budget for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// The buckets of the hash index, overflow buckets included.
    pub index: Area,
    /// The pages of the log that can be in memory at the same time.
    pub log: Area,
    /// The copies of the read cache, if there is one.
    pub read_cache: Area,
}

/// A large area of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Area {
    /// Its size in bytes.
    pub bytes: u64,
    /// Bytes of it that are in memory; the rest was not used yet, or was swapped out. `None` if the system does not say,
    /// as on other systems than Linux.
    pub resident: Option<u64>,
    /// Bytes of it that lie on huge pages, which keep address translation cheap. `None` as for
    /// [`resident`](Self::resident).
    pub huge: Option<u64>,
}
