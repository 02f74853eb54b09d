//! What is in the index, for reports.

/// A count of the index, taken while others may be changing it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexStats {
    /// Buckets of the table, overflow buckets not included.
    pub buckets: u64,
    /// Entries in use, catch-all chains not included.
    pub entries: u64,
    /// Overflow buckets that are part of a chain.
    pub overflow_buckets_used: u64,
    /// Overflow buckets there are.
    pub overflow_buckets: u64,
    /// Buckets whose chain cannot grow: new tags share one catch-all chain. More than a few mean that the index is too
    /// small.
    pub saturated_buckets: u64,
}
