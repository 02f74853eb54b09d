//! Keys that a caller locks by hand.

use super::database::Database;
use super::session::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::locks::{HeldStripes, LockMode, LockTable, Stripe};
use crate::operation::{Environment, Retry, Stall};
use crate::record::{Key, Value};
use crate::sync::{Arc, AtomicBool, Ordering};
use crate::utility::KeyHash;
use std::time::{Duration, Instant};

/// Stripes of a store, if its index has as many buckets.
const STRIPES: usize = 4096;

impl<K: Key, V: Value> Database<K, V> {
    /// The locks of keys. When this returns for the first time, every operation heeds them.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if an operation of another session does not end in time.
    pub(super) fn locks(&self) -> Result<&LockTable> {
        let kernel = &self.kernel;
        let locks = kernel.locks_or_new(kernel.stripes(STRIPES));
        if !self.heeds_locks.load(Ordering::Acquire) {
            self.epoch.heed_locks();
            let (left, waiting) = (Arc::new(AtomicBool::new(false)), &mut Stall::new());
            let have_left = Arc::clone(&left);
            self.epoch.bump(move || have_left.store(true, Ordering::Release));
            self.epoch.drain();
            while !left.load(Ordering::Acquire) {
                waiting.wait(kernel, Retry::Fuzzy)?;
                self.epoch.drain();
            }
            self.heeds_locks.store(true, Ordering::Release);
        }
        Ok(locks)
    }
}

/// Stripes of a store that are locked; the locks end when it is dropped. As long as it is there the index does not shrink.
pub(super) struct Held<K: Key, V: Value> {
    database: Arc<Database<K, V>>,
    stripes: HeldStripes,
}

impl<K: Key, V: Value> Held<K, V> {
    /// None yet.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if the index shrinks and that does not come to an end; those of the device and of appending.
    pub(super) fn none(database: &Arc<Database<K, V>>) -> Result<Self> {
        #[cfg(not(oxifaster_loom))]
        super::shrink::begin_to_lock(database)?;
        #[cfg(oxifaster_loom)]
        assert!(database.kernel.index.begin_to_lock(), "no index of a model of a store shrinks");
        Ok(Self { database: Arc::clone(database), stripes: HeldStripes::default() })
    }

    fn table(&self) -> Option<&LockTable> {
        self.database.kernel.locks()
    }

    pub(super) const fn stripes(&self) -> &HeldStripes {
        &self.stripes
    }

    /// As [`HeldStripes::lock`].
    ///
    /// # Errors
    /// As there.
    pub(super) fn lock(
        &mut self,
        stripe: Stripe,
        mode: LockMode,
        patience: &mut impl FnMut() -> Result<()>,
    ) -> Result<()> {
        match self.database.kernel.locks() {
            Some(locks) => self.stripes.lock(locks, stripe, mode, patience),
            None => Ok(()),
        }
    }
}

impl<K: Key, V: Value> Drop for Held<K, V> {
    fn drop(&mut self) {
        if let Some(locks) = self.database.kernel.locks() {
            self.stripes.release(locks);
        }
        self.database.kernel.index.end_locking();
    }
}

/// Patience that ends after a time.
pub(super) fn patience(limit: Duration) -> impl FnMut() -> Result<()> {
    let mut since = None;
    move || {
        let waited = since.get_or_insert_with(Instant::now).elapsed();
        if waited < limit {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Busy, "locking keys took too long: somebody else has them locked")
            .with("milliseconds waited", waited.as_millis())
            .help("nothing is locked; call again, or look for who holds them: locks end when LockedKeys is dropped"))
    }
}

/// Keys that are locked for one caller, and the operations that he may call meanwhile.
///
/// While a key is locked exclusively, every other operation on it waits, of whatever session and kind, and fails with
/// [`ErrorKind::Busy`] after the store's `wait_limit`; while it is locked in shared mode, every other that changes it does.
/// Operations on other keys go on, except on those few that fall together with a locked one under the same of some thousand
/// locks. The locks end when this is dropped.
///
/// Made by [`Session::lock`].
#[must_use = "the locks end when this is dropped"]
pub struct LockedKeys<'s, K: Key, V: Value> {
    session: &'s mut Session<K, V>,
    held: Held<K, V>,
}

impl<K: Key, V: Value> Session<K, V> {
    /// Locks keys, and waits for those who have them locked, at most for the store's `wait_limit`. Whatever the order of the
    /// keys, callers who lock several do not wait for each other in a circle. A key that is named twice is locked once, in the
    /// stronger mode.
    ///
    /// From the first call of this kind, or of [`transaction`](Self::transaction), every operation on the store heeds locks,
    /// and takes its longer way: that costs some tens of nanoseconds for each. The locks take at most 32 KiB, beside the memory
    /// budget.
    ///
    /// ```
    /// use oxifaster::device::NullDisk;
    /// use oxifaster::locks::LockMode;
    /// use oxifaster::store::{FasterKv, FasterKvConfig};
    ///
    /// # fn main() -> oxifaster::Result<()> {
    /// let store = FasterKv::open(FasterKvConfig::default().with_memory_budget(64 << 20), NullDisk::new())?;
    /// let mut session = store.start_session();
    /// session.upsert(1u64, 10u64)?;
    ///
    /// let mut locked = session.lock(&[(1, LockMode::Exclusive), (2, LockMode::Exclusive)])?;
    /// let all = locked.read(&1)?.unwrap_or(0);
    /// locked.upsert(1, 0)?;
    /// locked.upsert(2, all)?;
    /// drop(locked);
    /// assert_eq!(session.read(&2)?, Some(10));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if the time was not enough; nothing is locked then.
    pub fn lock(&mut self, keys: &[(K, LockMode)]) -> Result<LockedKeys<'_, K, V>> {
        self.lock_within(keys, self.database.kernel.wait_limit())
    }

    /// The same, for at most `limit`.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock).
    pub fn lock_within(&mut self, keys: &[(K, LockMode)], limit: Duration) -> Result<LockedKeys<'_, K, V>> {
        let locks = self.database.locks()?;
        let mut wanted: Vec<_> =
            keys.iter().map(|(key, mode)| (locks.stripe(KeyHash::of_bytes(key.as_bytes())), *mode)).collect();
        wanted.sort_unstable();
        // Of equal stripes, the last one has the strongest mode.
        wanted.reverse();
        wanted.dedup_by_key(|(stripe, _)| *stripe);
        let (mut held, mut patience) = (Held::none(&self.database)?, patience(limit));
        for (stripe, mode) in wanted.into_iter().rev() {
            held.lock(stripe, mode, &mut patience)?; // S3: in one order by all
        }
        Ok(LockedKeys { session: self, held })
    }

    /// Runs `call` on this session, as one who holds the lock of `key` if he does.
    fn with_own_lock<T>(
        &mut self,
        held: &Held<K, V>,
        key: &K,
        changes: bool,
        call: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let Some(locks) = held.table() else { return call(self) };
        let stripe = locks.stripe(KeyHash::of_bytes(key.as_bytes()));
        let mode = held.stripes.mode_of(stripe);
        if changes && mode == Some(LockMode::Shared) {
            return Err(Error::new(
                ErrorKind::Busy,
                "a key is to be changed that this caller has locked in shared mode",
            )
            .help("lock it exclusively, or call LockedKeys::upgrade first"));
        }
        self.driver.set_own_lock(mode.map(|mode| (stripe.0, mode == LockMode::Shared)));
        let outcome = call(self);
        self.driver.set_own_lock(None);
        outcome
    }
}

impl<K: Key, V: Value> LockedKeys<'_, K, V> {
    /// As [`Session::read`].
    ///
    /// # Errors
    /// As for [`Session::read`].
    pub fn read(&mut self, key: &K) -> Result<Option<V>> {
        self.session.with_own_lock(&self.held, key, false, |session| session.read(key))
    }

    /// As [`Session::upsert`].
    ///
    /// # Errors
    /// As for [`Session::upsert`]; [`ErrorKind::Busy`] if the key is locked in shared mode.
    pub fn upsert(&mut self, key: K, value: V) -> Result<()> {
        let of = key.clone();
        self.session.with_own_lock(&self.held, &of, true, |session| session.upsert(key, value))
    }

    /// As [`Session::rmw`].
    ///
    /// # Errors
    /// As for [`Session::rmw`]; [`ErrorKind::Busy`] if the key is locked in shared mode.
    pub fn rmw(&mut self, key: K, modify: impl FnMut(&mut V) -> bool) -> Result<bool> {
        let of = key.clone();
        self.session.with_own_lock(&self.held, &of, true, |session| session.rmw(key, modify))
    }

    /// As [`Session::insert`].
    ///
    /// # Errors
    /// As for [`Session::insert`]; [`ErrorKind::Busy`] if the key is locked in shared mode.
    pub fn insert(&mut self, key: K, value: V) -> Result<bool> {
        let of = key.clone();
        self.session.with_own_lock(&self.held, &of, true, |session| session.insert(key, value))
    }

    /// As [`Session::delete`].
    ///
    /// # Errors
    /// As for [`Session::delete`]; [`ErrorKind::Busy`] if the key is locked in shared mode.
    pub fn delete(&mut self, key: &K) -> Result<()> {
        self.session.with_own_lock(&self.held, key, true, |session| session.delete(key))
    }

    /// Turns the shared lock of a key into an exclusive one, when the others who share it have ended theirs; waits for that
    /// for at most `limit`. Does nothing if the key is locked exclusively.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if the time was not enough, or if another holder is waiting for the same: then one of the two has
    /// to end his lock. The lock is what it was. [`ErrorKind::NotFound`] if the key is not locked.
    pub fn upgrade(&mut self, key: &K, limit: Duration) -> Result<()> {
        let Held { database, stripes } = &mut self.held;
        let stripe_of = |locks: &LockTable| locks.stripe(KeyHash::of_bytes(key.as_bytes()));
        match database.kernel.locks().map(|locks| (locks, stripe_of(locks))) {
            Some((locks, stripe)) if stripes.mode_of(stripe).is_some() => {
                stripes.upgrade(locks, stripe, &mut patience(limit))
            }
            _ => Err(Error::new(ErrorKind::NotFound, "a lock is to be upgraded of a key that is not locked")
                .help("name the key in Session::lock")),
        }
    }
}

impl<K: Key, V: Value> std::fmt::Debug for LockedKeys<'_, K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LockedKeys({} locks)", self.held.stripes.len())
    }
}
