//! The index becomes smaller. The steps are those of [`crate::index`]; what its chains need of the log is done here.

mod joining;
#[cfg(test)]
mod tests;

use super::compact::{close_below, wait_for_pins};
use super::database::Database;
use crate::address::Address;
use crate::compaction::pace::Pace;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{GrowthRefusal, Haste, Hindrance, Means, Records, ShrinkStage};
use crate::kernel::{Kernel, LogCopier, LogRecords};
use crate::operation::{Account, Driver, Environment, Retry, Stall};
use crate::record::{Key, Value};
use crate::sync::{Arc, Backoff};
use std::time::{Duration, Instant};

/// Buckets that are merged under one pin.
const UNDER_ONE_PIN: usize = 32;
/// How long it works before it leaves its core to others, if there is no hurry.
const SPELL: Duration = Duration::from_millis(1);
/// How often records of a bucket are closed to updates before it is frozen for that: keys would have to be written in both chains of a pair
/// meanwhile.
const OPEN_MAX: usize = 4;
/// How long those are waited for who have keys locked, while nobody else can lock any.
const LOCKED_MAX: Duration = Duration::from_millis(250);

/// One who has the index shrink. Compaction has its turn before or after, since both move records.
///
/// Space that was compacted before may be given back meanwhile: by the thread that does so beside a compaction, or by whoever looks at checkpoints.
/// That takes nothing away that is looked at here:
///
/// * What is given back lies below where the log begins, and that stays where it is while somebody else than a compaction has the turn. Chains
///   are looked at from there up: in memory (`Means::begin`), and on the device under a hold that was taken at that place.
/// * The copies of a joined chain lie in the log before whatever a later compaction copies. What they are copies of is given up by such a
///   compaction only, and so given back when they are durable (C4).
/// * The index is swept of what leads below: entries that are marked are left alone, and a sweep of which the table goes away begins anew
///   ([`free_below`](crate::index::MemIndex::free_below)).
/// * Both wait for those who are pinned, and are not pinned then.
pub(super) struct Shrinking<'d, K: Key, V: Value> {
    database: &'d Database<K, V>,
    records: LogRecords<K, V>,
    driver: Driver,
    haste: Haste,
    spell: Instant,
}

/// Takes a shrinking that is under way to its end, or waits until somebody has.
///
/// # Errors
/// [`ErrorKind::Busy`] if that gets no further, those of the device and of appending.
pub(super) fn finish_shrinking<K: Key, V: Value>(database: &Database<K, V>) -> Result<()> {
    let (index, mut stall, mut seen) = (&database.kernel.index, Stall::new(), 0);
    while index.shrink_stage() != ShrinkStage::Over {
        if let Some(_turn) = database.reclaim.turn() {
            return Shrinking::new(database, Haste::Urgent).finish();
        }
        stall.wait(&database.kernel, Retry::Fuzzy)?;
        let now = index.shrink_progress();
        if now != seen {
            (seen, stall) = (now, Stall::new());
        }
    }
    Ok(())
}

/// Has the index shrink by halves as long as it is nearly empty, if the store is configured so and entries were freed since the last time: one
/// that was made large for what is to come stays so. The caller has the turn of compaction. What comes of it is told by `index_growth`; what was
/// refused is tried again when entries are freed again.
pub(super) fn shrink_if_nearly_empty<K: Key, V: Value>(database: &Database<K, V>, pace: &Pace) {
    let Kernel { index, log, .. } = &database.kernel;
    if !database.index_shrinking || !database.reclaim.take_sweep() {
        return;
    }
    while !pace.is_stopped() && !pace.is_paused() && index.is_nearly_empty() {
        // No compaction makes room meanwhile.
        log.keep_room(Address::MAX);
        if Shrinking::new(database, Haste::Gentle).halve().is_err() {
            return;
        }
    }
}

/// Keeps the index from shrinking for one who is going to lock keys (W11): takes one that is under way to its end first, or waits for that.
///
/// # Errors
/// As for [`finish_shrinking`].
pub(super) fn begin_to_lock<K: Key, V: Value>(database: &Database<K, V>) -> Result<()> {
    let (index, mut stall) = (&database.kernel.index, Stall::new());
    while !index.begin_to_lock() {
        finish_shrinking(database)?;
        match database.reclaim.turn() {
            // Whoever left him out could not end it, and somebody else has.
            Some(_turn) if index.shrink_stage() == ShrinkStage::Over => index.let_lockers_in(),
            Some(_turn) => {}
            None => stall.wait(&database.kernel, Retry::Fuzzy)?,
        }
    }
    Ok(())
}

impl<'d, K: Key, V: Value> Shrinking<'d, K, V> {
    /// The caller has the turn of compaction.
    pub(super) fn new(database: &'d Database<K, V>, haste: Haste) -> Self {
        let driver = Driver::new(database.epoch.join(), Arc::new(Account::new(0, 0)));
        Self { database, records: LogRecords::new(&database.kernel), driver, haste, spell: Instant::now() }
    }

    /// Halves the index until it has at most `buckets` buckets.
    ///
    /// # Errors
    /// As for [`FasterKv::shrink_index`](super::FasterKv::shrink_index).
    pub(super) fn run(&mut self, buckets: u64) -> Result<()> {
        let index = &self.database.kernel.index;
        loop {
            self.finish()?;
            if index.config().buckets <= buckets {
                return Ok(());
            }
            self.halve()?;
        }
    }

    /// Halves the index once.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub(super) fn halve(&mut self) -> Result<()> {
        let Database { kernel, epoch, .. } = self.database;
        if kernel.log.has_spares() {
            return Err(self.refused(GrowthRefusal::Revivification));
        }
        if !kernel.log.device().info().readable {
            return Err(self.refused(GrowthRefusal::NoDevice));
        }
        // A growth is taken to its end first.
        let way = (self.haste, kernel.wait_limit());
        kernel.index.grow_to(1, &self.records, None, &mut epoch.join(), way)?;
        let begun = match self.lock_out() {
            Ok(()) => kernel.index.begin_to_shrink(Some(self.database.budget())),
            refused => refused,
        };
        match begun {
            Ok(()) => self.finish(),
            Err(refusal) => {
                kernel.index.let_lockers_in();
                Err(self.refused(refusal))
            }
        }
    }

    /// W11: keeps those out who lock keys, and waits for those who have some.
    fn lock_out(&self) -> Result<(), GrowthRefusal> {
        let (index, since, mut backoff) = (&self.database.kernel.index, Instant::now(), Backoff::new());
        index.shut_lockers_out();
        while index.has_lockers() {
            if since.elapsed() >= LOCKED_MAX {
                return Err(GrowthRefusal::Locks);
            }
            backoff.wait();
        }
        Ok(())
    }

    fn refused(&self, refusal: GrowthRefusal) -> Error {
        self.database.kernel.index.note_refusal(refusal);
        let is_passing = matches!(refusal, GrowthRefusal::Image | GrowthRefusal::Scan | GrowthRefusal::Locks);
        let kind = if is_passing { ErrorKind::Busy } else { ErrorKind::Limit };
        Error::new(kind, "the index does not shrink")
            .with("reason", refusal.reason())
            .with("buckets", self.database.kernel.index.config().buckets)
            .help("compact the store first, so that entries of deleted keys are freed; or call again later")
    }

    /// Takes a shrinking that is under way to its end.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub(super) fn finish(&mut self) -> Result<()> {
        let (database, index) = (self.database, &self.database.kernel.index);
        let mut stall = Stall::new();
        loop {
            match index.shrink_stage() {
                ShrinkStage::Over => {
                    index.let_lockers_in();
                    return Ok(());
                }
                ShrinkStage::Announced => {
                    self.announce().inspect_err(|_| index.call_shrinking_off(GrowthRefusal::System))?;
                    index.shrink_in_force().map_err(|refusal| self.refused(refusal))?;
                }
                ShrinkStage::Merging => {
                    self.merge()?;
                    if index.shrink_stage() == ShrinkStage::Merging {
                        stall.wait(&database.kernel, Retry::Conflict)?; // somebody else is at the rest
                    }
                }
                ShrinkStage::Settling if index.give_larger_back() => {}
                ShrinkStage::Settling => stall.wait(&database.kernel, Retry::Fuzzy)?,
            }
        }
    }

    /// Sees to it that everybody knows of the smaller table, and the log does, before it is in force.
    fn announce(&mut self) -> Result<()> {
        let (kernel, mut stall) = (&self.database.kernel, Stall::new());
        // Scans from before do not go on; none from later asks for what was given up by now, and a growth is not to lead there (W10).
        self.database.joined_below.advance_to(kernel.log.addresses().tail.get());
        kernel.kept_from.advance_to(kernel.log.begin().get());
        wait_for_pins(self.database)?;
        loop {
            let is_marked = {
                let _pinned = self.driver.pin(kernel);
                self.records.mark_table(kernel.index.config().buckets / 2) // P2 of replay
            };
            if is_marked {
                return Ok(());
            }
            stall.wait(kernel, Retry::Room)?;
        }
    }

    /// Merges what is left to be merged.
    fn merge(&mut self) -> Result<()> {
        let (mut next, mut left_at) = (0, None);
        loop {
            if let Some(wanted) = self.database.kernel.index.take_wanted() {
                left_at.get_or_insert(next);
                next = wanted;
            }
            let merged = self.merge_some(&mut next);
            self.driver.tidy_up();
            match merged {
                Ok(false) => match left_at.take() {
                    Some(number) => next = number,
                    None => return Ok(()),
                },
                Ok(true) => self.rest(),
                Err(hindrance) => self.merge_hindered(next, hindrance)?,
            }
        }
    }

    fn merge_some(&mut self, next: &mut u64) -> Result<bool, Hindrance> {
        let Database { kernel, epoch, .. } = self.database;
        let means = means_of(&self.records, kernel.log.begin());
        let (_guard, _) = self.driver.pin(kernel);
        for _ in 0..UNDER_ONE_PIN {
            if !kernel.index.merge_next(next, means, epoch)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Merges a bucket that is not merged just so: unless somebody else has begun to.
    fn merge_hindered(&mut self, bucket: u64, mut hindrance: Hindrance) -> Result<()> {
        for _ in 0..OPEN_MAX {
            if let Hindrance::Open(at) = hindrance {
                close_below(self.database, behind(at))?;
            }
            match self.merge_with_copies(bucket) {
                Ok(()) => return Ok(()),
                Err(Hindrance::Open(at)) => hindrance = Hindrance::Open(at),
                Err(_) => break,
            }
        }
        self.merge_slowly(bucket)
    }

    /// Merges one bucket whose records have to be copied, all under one pin.
    ///
    /// # Errors
    /// What is in the way.
    fn merge_with_copies(&mut self, bucket: u64) -> Result<(), Hindrance> {
        let Database { kernel, epoch, .. } = self.database;
        let (guard, _) = self.driver.pin(kernel);
        let copier = LogCopier::new(kernel, &guard);
        let means = Means { copier: Some(&copier), ..means_of(&self.records, kernel.log.begin()) };
        kernel.index.merge(bucket, means, epoch)
    }

    fn rest(&mut self) {
        let worked = self.spell.elapsed();
        if worked >= SPELL {
            if self.haste == Haste::Gentle {
                std::thread::sleep(2 * worked);
            }
            self.spell = Instant::now();
        }
    }
}

/// What takes no copies.
fn means_of(records: &dyn Records, begin: Address) -> Means<'_> {
    Means { records, copier: None, begin }
}

fn behind(at: Address) -> Address {
    Address::from_word(at.get() + 1)
}
