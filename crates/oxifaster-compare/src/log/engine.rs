//! What a log has to do.

use crate::failure::Result;
use std::path::Path;
use std::time::Duration;

/// Between two moments at which everything is made durable.
pub(super) const INTERVAL: Duration = Duration::from_millis(10);

/// A log in a directory.
pub(super) trait LogEngine: Sync {
    /// Appends for one thread.
    fn appender(&self) -> Result<Box<dyn Appender + '_>>;

    /// Makes durable what was appended. Called every [`INTERVAL`] while others append, and at the end.
    fn sync(&self) -> Result<()>;
}

/// Appends entries.
pub(super) trait Appender {
    /// Appends entries, in one call where there is one.
    fn append(&mut self, entries: &[&[u8]]) -> Result<()>;

    /// Appends an entry, and returns when it is durable.
    fn append_durable(&mut self, entry: &[u8]) -> Result<()>;

    /// Leaves nothing behind that [`LogEngine::sync`] could not see.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

type Open = fn(&Path) -> Result<Box<dyn LogEngine>>;

/// All contestants that were compiled in.
pub(super) const ROSTER: &[(&str, Open)] = &[
    ("oxifaster", |directory| Ok(Box::new(super::oxifaster::Oxifaster::open(directory)?))),
    #[cfg(feature = "rocksdb")]
    ("rocksdb WAL", |directory| Ok(Box::new(super::rocksdb::Rocks::open(directory)?))),
    #[cfg(feature = "fjall")]
    ("fjall journal", |directory| Ok(Box::new(super::fjall::Fjall::open(directory)?))),
    #[cfg(feature = "okaywal")]
    ("okaywal", |directory| Ok(Box::new(super::okaywal::Okay::open(directory)?))),
];
