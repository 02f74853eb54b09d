//! Growing on request, and keeping the index from growing.

use super::Records;
use super::run::{SHARE_MAX, TableHold};
use super::state::GrowthRefusal;
use crate::epoch::Participant;
use crate::error::{Error, ErrorKind, Result};
use crate::index::MemIndex;
use crate::memory::MemoryBudget;
use crate::sync::Backoff;
use std::time::{Duration, Instant};

/// How long the caller works before it looks at the clock and, if there is no hurry, at how others are.
const SPELL: Duration = Duration::from_millis(1);

/// Whether sessions come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Haste {
    /// The caller works for a third of the time, and leaves its core to others for two.
    Gentle,
    /// Somebody waits for it.
    Urgent,
}

/// Waiting for a growth, as long as it gets on.
struct Patience {
    limit: Duration,
    /// When it last got on.
    since: Instant,
    backoff: Backoff,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self { limit, since: Instant::now(), backoff: Backoff::new() }
    }

    fn wait(&mut self) -> Result<()> {
        self.backoff.wait();
        if self.since.elapsed() < self.limit {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Busy, "the index grows or shrinks, and somebody holds it up for too long")
            .with("milliseconds waited", self.since.elapsed().as_millis())
            .help("look for a call that never returns, such as a read-modify-write closure that blocks; it goes on meanwhile"))
    }
}

impl MemIndex {
    /// Has the index grow to at least `buckets` buckets, and returns when it has: by doubling, as often as needed. Others go on
    /// meanwhile. `budget` has to have room for the next table beside the one that is there.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if there is no memory for it, or it would be too large; [`ErrorKind::Busy`] if an image is being
    /// taken, or somebody does not unpin for longer than `limit`. What has doubled so far stays.
    pub(crate) fn grow_to(
        &self,
        buckets: u64,
        records: &dyn Records,
        budget: Option<&MemoryBudget>,
        participant: &mut Participant,
        (haste, limit): (Haste, Duration),
    ) -> Result<()> {
        loop {
            self.finish_growth(records, participant, (haste, limit))?;
            if self.config().buckets >= buckets {
                return Ok(());
            }
            if let Err(refusal) = self.begin(budget) {
                self.growth.state.lock().refused = Some(refusal);
                return Err(self.refused(refusal, buckets));
            }
        }
    }

    fn refused(&self, refusal: GrowthRefusal, buckets: u64) -> Error {
        let size = self.config();
        let kind = if refusal == GrowthRefusal::Image { ErrorKind::Busy } else { ErrorKind::Limit };
        Error::new(kind, "the index does not grow")
            .with("reason", refusal.reason())
            .with("buckets", size.buckets)
            .with("buckets asked", buckets)
            .with("bytes of the next table", Self::bytes(size.buckets * 2, size.overflow_buckets * 2))
            .help("raise memory_budget, or lower log_memory_size so that the budget has room; or call again later")
    }

    /// Takes a growth that is under way, if any, to its end; waits for the end of a shrinking, which somebody else takes there.
    fn finish_growth(
        &self,
        records: &dyn Records,
        participant: &mut Participant,
        (haste, limit): (Haste, Duration),
    ) -> Result<()> {
        let (mut patience, mut spell, mut seen) = (Patience::new(limit), Instant::now(), 0);
        while self.target().is_some() {
            let epoch = std::sync::Arc::clone(participant.epoch());
            let guard = participant.pin();
            let moved = self.step(records, &epoch, SHARE_MAX);
            drop(guard);
            epoch.drain();
            if !moved {
                patience.wait()?;
                let now = self.shrink_progress();
                if now != seen {
                    (seen, patience) = (now, Patience::new(limit));
                }
                continue;
            }
            patience = Patience::new(limit);
            let worked = spell.elapsed();
            if worked >= SPELL {
                if haste == Haste::Gentle {
                    std::thread::sleep(2 * worked);
                }
                spell = Instant::now();
            }
        }
        Ok(())
    }

    /// Keeps the table as it is, once a growth that is under way has ended.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if somebody does not unpin for longer than `limit`.
    pub(crate) fn hold(&self, participant: &mut Participant, limit: Duration) -> Result<TableHold<'_>> {
        loop {
            if let Some(grower) = self.growth.grower.get() {
                self.finish_growth(&*grower.records, participant, (Haste::Urgent, limit))?;
            }
            let mut state = self.growth.state.lock();
            if self.target().is_none() {
                state.holds += 1;
                return Ok(TableHold(self));
            }
        }
    }
}
