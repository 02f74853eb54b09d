//! The index becomes smaller. The steps are those of [`crate::index`]; what its chains need of the log is done here.

#[cfg(test)]
mod tests;

use super::compact::{close_below, wait_for_pins};
use super::database::Database;
use crate::address::Address;
use crate::device::access;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{GrowthRefusal, Haste, Hindrance, Means, ShrinkStage};
use crate::kernel::{ConditionalInsertOp, Fetch, Fetched, LogCopier, LogRecords};
use crate::memory::load_bytes;
use crate::operation::{Account, Driver, Environment, Operation, Progress, Retry, Stall};
use crate::record::{Key, Record, RecordLayout, Value};
use crate::sync::{Arc, Backoff};
use crate::utility::KeyHash;
use std::time::{Duration, Instant};

/// Buckets that are merged under one pin.
const UNDER_ONE_PIN: usize = 32;
/// How long it works before it leaves its core to others, if there is no hurry.
const SPELL: Duration = Duration::from_millis(1);
/// How often records are closed to updates before their bucket is frozen for that: keys would have to be written in both chains meanwhile.
const OPEN_MAX: usize = 4;
/// How long a bucket stays frozen to wait for its records to be closed to updates. Who writes to it waits as long.
const FROZEN_MAX: Duration = Duration::from_millis(2);
/// How often the way is cleared for one bucket. What is moved to memory may leave it again before it is looked at.
const ATTEMPTS_MAX: usize = 256;

/// What was done so far for a bucket that cannot be merged yet.
struct Way {
    bucket: u64,
    /// See [`Means`].
    dry: Vec<Address>,
    attempts: usize,
    /// How often a record was open that has to be copied.
    open: usize,
    /// The waiting for room.
    stall: Stall,
}

impl Way {
    fn of(bucket: u64) -> Self {
        Self { bucket, dry: Vec::new(), attempts: 0, open: 0, stall: Stall::new() }
    }
}

/// One who has the index shrink. Compaction has its turn before or after, since both move records.
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
        // A growth is taken to its end first.
        let way = (self.haste, kernel.wait_limit());
        kernel.index.grow_to(1, &self.records, None, &mut epoch.join(), way)?;
        kernel.index.begin_to_shrink(Some(self.database.budget())).map_err(|refusal| self.refused(refusal))?;
        self.finish()
    }

    fn refused(&self, refusal: GrowthRefusal) -> Error {
        let is_passing = matches!(refusal, GrowthRefusal::Image | GrowthRefusal::Scan);
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
                ShrinkStage::Over => return Ok(()),
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
        let (mut next, mut way, mut left_at) = (0, Way::of(0), None);
        loop {
            if let Some(wanted) = self.database.kernel.index.take_wanted() {
                left_at.get_or_insert(next);
                next = wanted;
            }
            let merged = self.merge_some(&mut next, &way);
            self.driver.tidy_up();
            match merged {
                Ok(false) => match left_at.take() {
                    Some(number) => next = number,
                    None => return Ok(()),
                },
                Ok(true) => self.rest(),
                Err(hindrance) => {
                    // Others may have been merged in between.
                    if way.bucket != next {
                        way = Way::of(next);
                    }
                    self.clear_the_way(hindrance, &mut way)?;
                }
            }
        }
    }

    /// What takes no copies.
    fn means<'m>(&'m self, way: &'m Way) -> Means<'m> {
        let begin = self.database.kernel.log.begin();
        Means { records: &self.records, copier: None, dry: (way.bucket, &way.dry), begin }
    }

    fn merge_some(&mut self, next: &mut u64, way: &Way) -> Result<bool, Hindrance> {
        let Database { kernel, epoch, .. } = self.database;
        let (dry, begin) = ((way.bucket, &*way.dry), kernel.log.begin());
        let means = Means { records: &self.records, copier: None, dry, begin };
        let (_guard, _) = self.driver.pin(kernel);
        for _ in 0..UNDER_ONE_PIN {
            if !kernel.index.merge_next(next, means, epoch)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Merges one bucket whose records have to be copied: by the only one who appends to its chains. If they were open
    /// time and again, the bucket stays frozen while they are closed to updates.
    fn merge_with_copies(&mut self, bucket: u64, way: &Way) -> Result<Result<(), Hindrance>, Retry> {
        let Database { kernel, epoch, .. } = self.database;
        let (heeds_locks, _lock) = {
            let (guard, _) = self.driver.pin(kernel);
            (guard.heeds_locks(), kernel.lock_stripe_of(KeyHash::from_raw(bucket), &guard)?)
        };
        let mut frozen_until = None;
        loop {
            let merged = {
                let begin = kernel.log.begin();
                let (guard, _) = self.driver.pin(kernel);
                let without = Means { records: &self.records, copier: None, dry: (way.bucket, &way.dry), begin };
                if guard.heeds_locks() != heeds_locks {
                    // Somebody has locked a key, the first ever.
                    frozen_until.iter().for_each(|_: &Instant| kernel.index.give_back(bucket, without));
                    return Err(Retry::Conflict);
                }
                let copier = LogCopier::new(kernel, &guard);
                let means = Means { copier: Some(&copier), ..without };
                // What is copied now lies above.
                self.database.joined_below.advance_to(kernel.log.addresses().tail.get());
                kernel.index.merge(bucket, means, frozen_until.is_some(), epoch)
            };
            let Err(Hindrance::Open(at)) = merged else { return Ok(merged) };
            let until = *frozen_until.get_or_insert_with(|| Instant::now() + FROZEN_MAX);
            if way.open < OPEN_MAX || !self.is_closed_by(behind(at), until) {
                kernel.index.give_back(bucket, self.means(way));
                return Ok(merged);
            }
        }
    }

    /// Has what is in memory closed to updates. Whether that is so below `address` by this time.
    fn is_closed_by(&self, address: Address, until: Instant) -> bool {
        let (log, mut closed, mut backoff) = (&self.database.kernel.log, None, Backoff::new());
        while log.safe_read_only() < address {
            closed = closed.or_else(|| log.close_tail());
            log.help();
            if Instant::now() >= until {
                return false;
            }
            backoff.wait();
        }
        true
    }

    /// Does what has to be done before this bucket can be merged, or merges it.
    fn clear_the_way(&mut self, mut hindrance: Hindrance, way: &mut Way) -> Result<()> {
        let (kernel, bucket) = (&self.database.kernel, way.bucket);
        if hindrance == Hindrance::Copies {
            let mut stall = Stall::new();
            let merged = loop {
                match self.merge_with_copies(bucket, way) {
                    Ok(merged) => break merged,
                    Err(retry) => stall.wait(kernel, retry)?,
                }
            };
            let Err(other) = merged else { return Ok(()) };
            hindrance = other;
        }
        way.attempts += usize::from(hindrance != Hindrance::Room); // that waits as long as everybody does
        if way.attempts > ATTEMPTS_MAX {
            return Err(Error::new(ErrorKind::Busy, "the index shrinks, and records do not stay in memory for that")
                .with("bucket", bucket)
                .help("call again when less is written, or give the log more memory"));
        }
        match hindrance {
            Hindrance::Copies => Ok(()),
            Hindrance::Away(at) => {
                self.move_up(bucket, at, &way.dry)?;
                way.dry.push(at);
                Ok(())
            }
            Hindrance::Open(at) => {
                way.open += 1;
                close_below(self.database, behind(at))
            }
            Hindrance::Room => way.stall.wait(kernel, Retry::Room),
            Hindrance::Full => {
                Err(Error::new(ErrorKind::Limit, "the index shrinks, and became too full for that meanwhile")
                    .with("buckets", kernel.index.config().buckets)
                    .help("delete keys and compact the store: the index stays in two tables until it can go on"))
            }
        }
    }

    /// Moves the records in the chain from `at` on that are the newest of keys of bucket `bucket` to the end of the log: all of it, so that what
    /// is in front of it then is what was written a moment ago.
    fn move_up(&mut self, bucket: u64, mut at: Address, dry: &[Address]) -> Result<()> {
        let kernel = &self.database.kernel;
        let hold = self.database.hold_log();
        while at >= hold.at() && at.is_valid() && !dry.contains(&at) {
            // From here on its value stays what it is.
            close_below(self.database, behind(at))?;
            let record = self.record_at(at)?;
            let Record { info, key, value, large } = record;
            if !info.is_invalid() && kernel.index.is_of_bucket(KeyHash::of_bytes(key.as_bytes()), bucket) {
                match large.map(|root| root.to_bytes()) {
                    Some(root) => self.complete(&mut ConditionalInsertOp::of_root(key, &root, at))?,
                    None => self.complete(&mut ConditionalInsertOp::new(key, value.as_ref(), at))?,
                };
            }
            at = info.previous();
        }
        Ok(())
    }

    fn complete(&mut self, operation: &mut ConditionalInsertOp<'_, K, V>) -> Result<bool> {
        let kernel = &self.database.kernel;
        loop {
            match self.driver.advance(kernel, operation, None)? {
                Progress::Done(is_moved) => return Ok(is_moved),
                Progress::Wait(request) => {
                    let done = access(&**kernel.log.device(), request, kernel.wait_limit())?;
                    operation.resume(kernel, done)?;
                }
            }
        }
    }

    /// The record at `at`, which nobody changes, from memory or from the device.
    fn record_at(&mut self, at: Address) -> Result<Record<K, V>> {
        let kernel = &self.database.kernel;
        {
            let (guard, _) = self.driver.pin(kernel);
            let log = kernel.log.view(&guard);
            if at >= log.head() {
                let record = log.record(at, const { RecordLayout::of::<K, V>() });
                let mut bytes = vec![0; record.sizes::<K, V>().record_size()];
                load_bytes(kernel.log.words(at, bytes.len(), &guard), &mut bytes);
                return RecordLayout::parse::<K, V>(&bytes);
            }
        }
        let mut fetch = Fetch::of(kernel, at);
        loop {
            let done = access(&**kernel.log.device(), fetch.request(kernel), kernel.wait_limit())?;
            match fetch.take(kernel, done)? {
                Fetched::Record(record) => return Ok(record),
                Fetched::Longer(longer) => fetch = longer,
            }
        }
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

fn behind(at: Address) -> Address {
    Address::from_word(at.get() + 1)
}
