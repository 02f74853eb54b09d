//! okaywal: every commit of an entry is synced, so all that is appended within an interval goes into one entry.

use super::engine::{Appender, INTERVAL, LogEngine};
use crate::failure::{Failure, Result};
use okaywal::{Configuration, EntryWriter, LogVoid, WriteAheadLog};
use std::path::Path;
use std::time::Instant;

/// More than is appended in a turn.
const KEPT: u64 = 64 << 30;

pub(super) struct Okay(WriteAheadLog);

impl Okay {
    pub(super) fn open(directory: &Path) -> Result<Self> {
        // Its checkpoints give files up whose entries are taken care of; here all are to be kept.
        let keeping = Configuration::default_for(directory).checkpoint_after_bytes(KEPT);
        let log = keeping.open(LogVoid).map_err(Failure::of("opening okaywal"))?;
        Ok(Self(log))
    }
}

impl LogEngine for Okay {
    fn appender(&self) -> Result<Box<dyn Appender + '_>> {
        Ok(Box::new(Worker { log: &self.0, open: None }))
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

struct Worker<'l> {
    log: &'l WriteAheadLog,
    /// The entry of this interval.
    open: Option<(EntryWriter<'l>, Instant)>,
}

impl Appender for Worker<'_> {
    fn append(&mut self, entries: &[&[u8]]) -> Result<()> {
        if self.open.is_none() {
            self.open = Some((self.log.begin_entry()?, Instant::now()));
        }
        let Some((writer, since)) = &mut self.open else { return Ok(()) };
        for entry in entries {
            writer.write_chunk(entry)?;
        }
        if since.elapsed() >= INTERVAL { self.finish() } else { Ok(()) }
    }

    fn append_durable(&mut self, entry: &[u8]) -> Result<()> {
        let mut writer = self.log.begin_entry()?;
        writer.write_chunk(entry)?;
        Ok(writer.commit().map(drop)?)
    }

    fn finish(&mut self) -> Result<()> {
        match self.open.take() {
            Some((writer, _)) => Ok(writer.commit().map(drop)?),
            None => Ok(()),
        }
    }
}
