//! Cutting a log off at either end.

use super::faster_log::FasterLog;
use super::read::Reader;
use crate::address::Address;
use crate::error::Result;
use crate::sync::{Arc, Backoff};
use std::time::Instant;

impl FasterLog {
    /// Gives up all entries before the one at `begin`, durably, and gives their space back to the device. Those that remain keep
    /// their numbers.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit); [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if `begin` is neither an entry nor
    /// the end.
    pub fn truncate_before(&self, begin: Address) -> Result<()> {
        let _cutting = self.core.cutting.lock();
        self.check_cut(begin)?;
        if begin > self.committed() {
            self.commit()?; // only then it is certain what lies before
        }
        let number = self.core.number_below(begin)?;
        self.core.next.lock().begin_at(begin, number);
        self.commit_and_free()
    }

    /// Gives up the entry at `from` and all behind it, durably: they never come back, and their numbers are given anew. Entries
    /// appended by others while this call runs stay, or go with the rest.
    ///
    /// # Errors
    /// As for [`truncate_before`](Self::truncate_before); [`ErrorKind::Limit`](crate::ErrorKind::Limit) if so much was cut off
    /// since the beginning that a commit cannot say it.
    pub fn truncate_suffix(&self, from: Address) -> Result<()> {
        let _cutting = self.core.cutting.lock();
        let commit = self.commit()?;
        if from >= commit.until {
            return Ok(());
        }
        self.check_cut(from)?;
        let core = &self.core;
        core.check_room(&core.next.lock(), &commit.cookie)?;
        let number = core.number_below(from)?;
        let links = match core.last_commit(|at, _| at < from)? {
            Some((at, record)) => record.links_behind(at),
            None => Vec::new(),
        };
        let cut = || {
            let mut count = core.count.lock();
            let end = core.group.durable().max(count.at);
            (count.at, count.entries) = (end, number);
            let mut next = core.next.lock();
            next.add_hole(from..end);
            next.links = links;
            drop((count, next));
            core.commit_record(None)
        };
        core.group.commit_by(&**core, cut).map(drop)
    }

    /// That the log can begin or end at `address`: an entry does, or the log is not there yet.
    fn check_cut(&self, address: Address) -> Result<()> {
        if address == self.tail() || address == self.committed() || address == self.begin() {
            return Ok(());
        }
        self.entry_len(address).map(drop)
    }

    fn commit_and_free(&self) -> Result<()> {
        let core = &self.core;
        core.commit_change()?;
        let begin = Reader::new(Arc::clone(core)).first_byte_of(self.begin())?;
        let begin = core.log.geometry().block_start(begin.min(self.committed()));
        if begin > core.group.last().before {
            // Whoever opens the log reads all from there on that the last record says was durable before it.
            core.commit_change()?;
        }
        let (started, mut backoff) = (Instant::now(), Backoff::new());
        while core.log.truncate_before(begin, core.config.wait_limit)? < begin {
            if started.elapsed() > core.config.wait_limit {
                break; // somebody reads what is being given up: the next truncation frees it
            }
            backoff.wait();
        }
        Ok(())
    }
}
