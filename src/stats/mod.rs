//! What is counted, and what counting costs: a plain load and store per operation on a line that only its session writes.

mod counter;
mod memory;
mod snapshot;

pub(crate) use counter::{LogCounters, OwnedCounter, SessionCounters, SharedCounter, Tally};
pub use memory::{Area, MemoryStats};
pub use snapshot::{DeviceStats, OperationStats, ReadCacheStats, RevivificationStats, StatsSnapshot};
