//! Transactions: several keys are read and changed as if nobody else were there.
//!
//! Optimistic. What a transaction reads it remembers with the version of the key's stripe; what it writes it keeps to
//! itself. To commit, it locks the stripes of what it writes, makes sure that the versions of what it read are what they
//! were, and makes all its writes [together](crate::kernel::GroupOp). If somebody was faster, nothing has happened, and it is
//! run again; after some attempts in vain with the stripes locked that those needed, so that it comes to its end.

use super::locking::{Held, patience};
use super::session::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{GroupOp, ReadOp, Write};
use crate::locks::{LockMode, Seen, Stripe, Way};
use crate::operation::Environment;
use crate::record::{ByRef, Expiry, Key, KeyBytes, Value};
use crate::sync::{Backoff, Ordering, fence};
use crate::utility::KeyHash;
use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// Attempts without locks.
const OPTIMISTIC: u32 = 4;
/// How long an attempt waits for a lock while it holds others: longer than a commit takes.
const SHORTLY: Duration = Duration::from_millis(2);

/// A transaction that is being run. See [`Session::transaction`].
pub struct Transaction<'t, K: Key, V: Value> {
    session: &'t mut Session<K, V>,
    held: Held<K, V>,
    reads: Vec<(Stripe, Seen)>,
    writes: Vec<Write<K, V>>,
    /// Where the write to a key is.
    places: HashMap<Box<[u8]>, usize>,
    /// The first end of a value that was read.
    ends: Expiry,
    /// Somebody changed what was read: this attempt comes to nothing.
    is_outrun: bool,
    /// A stripe that was not to be had soon.
    refused: Option<Stripe>,
    limit: Duration,
}

impl<K: Key, V: Value> Session<K, V> {
    /// Runs `work`, and makes what it has written take effect at once, as if nobody else had done anything from its first
    /// read on. If it returns an error, nothing is changed, and the error is returned.
    ///
    /// `work` is run again if other sessions have changed what it read, so it should do nothing but work on the transaction.
    /// All its writes are in a checkpoint, or none; where a durability was chosen, all are there after a crash, or none. A
    /// transaction counts as one operation of its session.
    ///
    /// From the first call of this kind, or of [`lock`](Self::lock), every operation on the store heeds locks, and takes its
    /// longer way: that costs some tens of nanoseconds for each.
    ///
    /// ```
    /// use oxifaster::device::NullDisk;
    /// use oxifaster::store::{FasterKv, FasterKvConfig};
    ///
    /// # fn main() -> oxifaster::Result<()> {
    /// let store = FasterKv::open(FasterKvConfig::default().with_memory_budget(64 << 20), NullDisk::new())?;
    /// let mut session = store.start_session();
    /// session.upsert(1u64, 100u64)?;
    ///
    /// let moved = session.transaction(|transaction| {
    ///     let balance = transaction.read(&1)?.unwrap_or(0);
    ///     if balance < 30 {
    ///         return Ok(false); // nothing was written
    ///     }
    ///     transaction.upsert(1, balance - 30);
    ///     transaction.rmw(2, |other| *other += 30)?;
    ///     Ok(true)
    /// })?;
    /// assert!(moved);
    /// assert_eq!((session.read(&1)?, session.read(&2)?), (Some(70), Some(30)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `work` returns; [`ErrorKind::Limit`] if the records that it writes do not fit on one page of the log together;
    /// [`ErrorKind::Busy`] if others were faster, or had keys locked, for as long as `wait_limit`; those of
    /// [`read`](Self::read) and [`upsert`](Self::upsert). Nothing is changed then.
    pub fn transaction<T>(&mut self, mut work: impl FnMut(&mut Transaction<'_, K, V>) -> Result<T>) -> Result<T> {
        self.database.locks()?;
        let limit = self.database.kernel.wait_limit();
        let (mut patience, mut footprint, mut backoff) = (patience(limit), BTreeSet::new(), Backoff::new());
        let mut attempts = 0_u32;
        loop {
            let mut held = Held::none(&self.database)?;
            if attempts >= OPTIMISTIC {
                for stripe in &footprint {
                    held.lock(*stripe, LockMode::Exclusive, &mut patience)?; // S3: in one order by all
                }
            }
            let mut transaction = Transaction::new(self, held, limit);
            let outcome = work(&mut transaction);
            // Whatever it made of what it had read: that was not one state, or is one no more.
            if !transaction.is_outrun && transaction.is_valid() {
                let output = outcome?;
                if transaction.commit()? {
                    drop(transaction);
                    self.end_change()?;
                    return Ok(output);
                }
            }
            footprint.extend(transaction.footprint());
            drop(transaction);
            attempts = attempts.saturating_add(1);
            patience()?;
            backoff.wait();
        }
    }
}

impl<'t, K: Key, V: Value> Transaction<'t, K, V> {
    fn new(session: &'t mut Session<K, V>, held: Held<K, V>, limit: Duration) -> Self {
        let (reads, writes, places) = (Vec::new(), Vec::new(), HashMap::new());
        let (ends, is_outrun, refused) = (Expiry::NEVER, false, None);
        Self { session, held, reads, writes, places, ends, is_outrun, refused, limit }
    }

    /// The value of `key`, or `None` if it is not in the store: what this transaction has written, or else what is there. All
    /// that a transaction reads was there at one moment.
    ///
    /// # Errors
    /// As for [`Session::read`]; [`ErrorKind::Busy`] if somebody has changed what was read before. Return it: the transaction
    /// is then run again.
    pub fn read<Q: KeyBytes + ?Sized>(&mut self, key: &Q) -> Result<Option<V>>
    where
        K: Borrow<Q>,
    {
        if self.is_outrun {
            return Err(outrun());
        }
        if let Some(place) = self.places.get(key.key_bytes()) {
            return Ok(self.writes[*place].value.clone());
        }
        let stripe = self.stripe(key.key_bytes());
        let value = match self.held.stripes().way_to(stripe) {
            Way::Own(mode) => self.read_locked(key, stripe, mode)?,
            Way::Lock => {
                self.lock_soon(stripe)?;
                self.read_locked(key, stripe, LockMode::Exclusive)?
            }
            Way::Look => self.read_unlocked(key, stripe)?,
        };
        if let Some(value) = &value {
            self.ends = self.ends.min(value.expiry());
        }
        if self.is_valid() {
            return Ok(value);
        }
        self.is_outrun = true;
        Err(outrun())
    }

    /// Locks one more stripe, out of order. Who has it may wait for one of those that are held, so this gives up soon (S3), and comes
    /// back with that one among those that are locked in order.
    fn lock_soon(&mut self, stripe: Stripe) -> Result<()> {
        self.held.lock(stripe, LockMode::Exclusive, &mut patience(SHORTLY)).map_err(|_| {
            (self.is_outrun, self.refused) = (true, Some(stripe));
            outrun()
        })
    }

    /// Reads a key whose stripe is held.
    fn read_locked(&mut self, key: &(impl KeyBytes + ?Sized), stripe: Stripe, mode: LockMode) -> Result<Option<V>> {
        self.session.driver.set_own_lock(Some((stripe.0, mode == LockMode::Shared)));
        let value = self.session.run_uncounted(&mut ReadOp::new(ByRef(key)));
        self.session.driver.set_own_lock(None);
        value
    }

    /// Reads a key while nobody has its stripe to himself, by one who holds no locks, and remembers which version that was of.
    fn read_unlocked(&mut self, key: &(impl KeyBytes + ?Sized), stripe: Stripe) -> Result<Option<V>> {
        let (mut patience, mut backoff) = (patience(self.limit), Backoff::new());
        loop {
            let seen = self.session.database.kernel.locks().and_then(|locks| locks.seen(stripe));
            if let Some(seen) = seen {
                let value = self.session.run_uncounted(&mut ReadOp::new(ByRef(key)))?;
                if self.is_still(stripe, seen) {
                    if self.reads.last() != Some(&(stripe, seen)) {
                        self.reads.push((stripe, seen));
                    }
                    return Ok(value);
                }
            }
            patience()?;
            backoff.wait();
        }
    }

    /// Gives `key` the value `value` when the transaction takes effect.
    pub fn upsert(&mut self, key: K, value: V) {
        self.write(key, Some(value));
    }

    /// Removes `key` when the transaction takes effect.
    pub fn delete(&mut self, key: K) {
        self.write(key, None);
    }

    /// Replaces the value of `key` by what `modify` makes of it; a key that is not there starts from [`Value::initial`].
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn rmw(&mut self, key: K, modify: impl FnOnce(&mut V)) -> Result<()> {
        let mut value = self.read(&key)?.unwrap_or_else(V::initial);
        modify(&mut value);
        self.upsert(key, value);
        Ok(())
    }

    /// Forgets what was written so far: it takes no effect.
    pub fn roll_back(&mut self) {
        self.writes.clear();
        self.places.clear();
    }

    fn write(&mut self, key: K, value: Option<V>) {
        match self.places.get(key.as_bytes()) {
            Some(place) => self.writes[*place].value = value,
            None => {
                self.places.insert(key.as_bytes().into(), self.writes.len());
                self.writes.push(Write { key, value });
            }
        }
    }

    fn stripe(&self, key: &[u8]) -> Stripe {
        let hash = KeyHash::of_bytes(key);
        self.session.database.kernel.locks().map_or(Stripe(0), |locks| locks.stripe(hash))
    }

    fn is_still(&self, stripe: Stripe, seen: Seen) -> bool {
        self.session.database.kernel.locks().is_some_and(|locks| locks.is_still(stripe, seen))
    }

    /// Whether all that was read is there at this moment.
    fn is_valid(&self) -> bool {
        self.is_in_time() && self.reads.iter().all(|(stripe, seen)| self.is_still(*stripe, *seen))
    }

    /// Whether no value that was read has ended since.
    fn is_in_time(&self) -> bool {
        !self.ends.is_over(self.session.database.kernel.now())
    }

    /// Stripes that this attempt has come across.
    fn footprint(&self) -> impl Iterator<Item = Stripe> {
        let written = self.writes.iter().map(|write| self.stripe(write.key.as_bytes()));
        self.reads
            .iter()
            .map(|(stripe, _)| *stripe)
            .chain(written)
            .chain(self.held.stripes().stripes())
            .chain(self.refused)
    }

    /// Makes all writes, if what was read is still there. False if it is not, or the locks were not to be had soon.
    fn commit(&mut self) -> Result<bool> {
        self.check_size()?;
        self.session.check_durability()?;
        let wanted: BTreeSet<Stripe> = self.writes.iter().map(|write| self.stripe(write.key.as_bytes())).collect();
        let mut patience = patience(SHORTLY);
        for stripe in wanted {
            if self.held.stripes().mode_of(stripe).is_none()
                && self.held.lock(stripe, LockMode::Exclusive, &mut patience).is_err()
            {
                return Ok(false); // S3
            }
        }
        // Of two who read what the other writes, at least one sees the other's lock.
        fence(Ordering::SeqCst);
        let locks = self.session.database.kernel.locks();
        let is_valid = |(stripe, seen): &(Stripe, Seen)| match self.held.stripes().mode_of(*stripe) {
            Some(_) => locks.is_some_and(|locks| locks.was_still(*stripe, *seen)),
            None => self.is_still(*stripe, *seen),
        };
        // Who finds one of the values over from now on comes after, and waits for those that are locked.
        if !self.is_in_time() || !self.reads.iter().all(is_valid) {
            return Ok(false);
        }
        self.session.run_transaction(&mut GroupOp::new(&self.writes))?;
        Ok(true)
    }

    /// That the records fit on one page of the log.
    fn check_size(&self) -> Result<()> {
        let kernel = &self.session.database.kernel;
        for Write { key, value } in &self.writes {
            kernel.check_size(key.as_bytes().len(), value.as_ref().map_or(0, |value| value.as_bytes().len()))?;
        }
        let (bytes, page) = (GroupOp::bytes(&self.writes), kernel.log.record_size_max());
        if bytes <= page {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Limit, "a transaction writes more than fits on a page of the log")
            .with("bytes", bytes)
            .with("room on a page", page)
            .help("split it, or make pages larger with FasterKvConfig::with_page_size_bits"))
    }
}

#[cold]
fn outrun() -> Error {
    Error::new(ErrorKind::Busy, "somebody has changed what this transaction read")
        .help("return this error: the transaction is then run again")
}

impl<K: Key, V: Value> std::fmt::Debug for Transaction<'_, K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transaction({} stripes read, {} writes)", self.reads.len(), self.writes.len())
    }
}
