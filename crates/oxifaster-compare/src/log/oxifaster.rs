//! oxifaster's durable log, as it comes.

use super::engine::{Appender, LogEngine};
use crate::failure::Result;
use oxifaster::device::FileSystemDisk;
use oxifaster::log::{self, FasterLog, FasterLogConfig};
use std::path::Path;

pub(super) struct Oxifaster(FasterLog);

impl Oxifaster {
    /// It commits by itself every ten milliseconds, unless it is told otherwise.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        Ok(Self(FasterLog::open(FasterLogConfig::default(), FileSystemDisk::open(directory)?)?))
    }
}

impl LogEngine for Oxifaster {
    fn appender(&self) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(Worker { log: &self.0, appender: self.0.appender() }))
    }

    fn sync(&self) -> Result<()> {
        Ok(self.0.commit().map(drop)?)
    }
}

struct Worker<'l> {
    log: &'l FasterLog,
    appender: log::Appender,
}

impl Appender for Worker<'_> {
    fn append(&mut self, entries: &[&[u8]]) -> Result<()> {
        Ok(self.appender.append_batch(entries.iter().copied()).map(drop)?)
    }

    fn append_durable(&mut self, entry: &[u8]) -> Result<()> {
        Ok(self.log.append_and_wait(entry).map(drop)?)
    }
}
