//! What is counted, and what counting costs: a plain load and store per operation on a line that only its session writes.

mod counter;
mod snapshot;

pub(crate) use counter::{LogCounters, SessionCounters, Tally};
pub use snapshot::{DeviceStats, OperationStats, StatsSnapshot};
