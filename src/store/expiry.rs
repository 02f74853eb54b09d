//! When values end: a time to live for a value that is written, and changes of it.

use super::async_session::{AsyncSession, Use};
use super::database::Database;
use super::faster_kv::FasterKv;
use super::merge::MergeOperator;
use super::op_future::OpFuture;
#[cfg(not(oxifaster_loom))]
use super::plain::Store;
use super::session::Session;
use crate::clock::in_ms;
use crate::device::StorageDevice;
use crate::error::Result;
use crate::kernel::{IfThere, LearnOp};
use crate::record::{Expiring, Expiry, Key, KeyBytes, Value};
use std::borrow::Borrow;
use std::time::Duration;

/// How long a value is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeToLive {
    /// For so long, in whole milliseconds, and at least one.
    For(Duration),
    /// It stays.
    Forever,
}

impl<K: Key, V: Value> Database<K, Expiring<V>> {
    /// The expiry of a value that ends in `ttl` from now; never if that is further than milliseconds can be counted.
    fn expiry_in(&self, ttl: Duration) -> Expiry {
        Expiry::at_ms(self.kernel.now().saturating_add(in_ms(ttl)))
    }

    fn time_to_live(&self, expiry: Expiry) -> TimeToLive {
        match expiry.ms() {
            Some(end) => TimeToLive::For(Duration::from_millis(end.saturating_sub(self.kernel.now()).max(1))),
            None => TimeToLive::Forever,
        }
    }
}

/// In a store of values that may end.
impl<K: Key, V: Value> Session<K, Expiring<V>> {
    /// The expiry of a value that ends in `ttl` from now, by the clock of the store; never if that is further away than
    /// milliseconds can be counted in 64 bits.
    pub fn expiry_in(&self, ttl: Duration) -> Expiry {
        self.database.expiry_in(ttl)
    }

    /// Gives `key` the value `value`, which ends in `ttl` from now. ([`upsert`](Self::upsert) of [`Expiring::until`] takes a time,
    /// and of `value.into()` has it stay.)
    ///
    /// ```
    /// # use oxifaster::clock::VirtualClock;
    /// # use oxifaster::device::MemoryDisk;
    /// # use oxifaster::record::Expiring;
    /// # use oxifaster::store::{FasterKv, FasterKvConfig};
    /// # use std::{sync::Arc, time::Duration};
    /// # fn main() -> oxifaster::Result<()> {
    /// # let clock = Arc::new(VirtualClock::new(0));
    /// # let config = FasterKvConfig::default().with_memory_budget(1 << 20).with_clock(clock.clone());
    /// let store: FasterKv<u64, Expiring<u64>, _> = FasterKv::open(config, MemoryDisk::new())?;
    /// let mut session = store.start_session();
    /// session.upsert_for(1, 10, Duration::from_secs(5))?;
    /// clock.advance(Duration::from_secs(4));
    /// assert!(session.read(&1)?.is_some_and(|value| *value == 10));
    /// clock.advance(Duration::from_secs(1));
    /// assert_eq!(session.read(&1)?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`upsert`](Self::upsert).
    pub fn upsert_for(&mut self, key: K, value: V, ttl: Duration) -> Result<()> {
        let expiry = self.expiry_in(ttl);
        self.upsert(key, Expiring::until(value, expiry))
    }

    /// Has the value of `key` end in `ttl` from now, sooner or later than it would have; says whether there is one.
    ///
    /// # Errors
    /// As for [`rmw`](Self::rmw).
    pub fn expire(&mut self, key: K, ttl: Duration) -> Result<bool> {
        let expiry = self.expiry_in(ttl);
        self.expire_at(key, expiry)
    }

    /// Has the value of `key` end at this time, sooner or later than it would have; says whether there is one. If the time has come,
    /// there is none from now on.
    ///
    /// # Errors
    /// As for [`rmw`](Self::rmw).
    pub fn expire_at(&mut self, key: K, expiry: Expiry) -> Result<bool> {
        let ending = IfThere { change: ends_at(expiry), was_there: false };
        let ((_, was_there), waited) = self.run_change(&mut LearnOp::new(key, ending), |counters| &counters.rmws)?;
        self.count_waits(usize::from(waited));
        Ok(was_there)
    }

    /// Has the value of `key` stay; says whether there is one.
    ///
    /// # Errors
    /// As for [`rmw`](Self::rmw).
    pub fn persist(&mut self, key: K) -> Result<bool> {
        self.expire_at(key, Expiry::NEVER)
    }

    /// How long the value of `key` is still there; `None` if it is not.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn time_to_live<Q: KeyBytes + ?Sized>(&mut self, key: &Q) -> Result<Option<TimeToLive>>
    where
        K: Borrow<Q>,
    {
        Ok(self.read(key)?.map(|value| self.database.time_to_live(value.expiry())))
    }
}

/// Has a value end at this time; whether it would not have.
fn ends_at<V: Value>(expiry: Expiry) -> impl FnMut(&mut Expiring<V>) -> bool + Send + 'static {
    move |value| {
        let is_news = value.expiry() != expiry;
        value.set_expiry(expiry);
        is_news
    }
}

/// In a store of values that may end.
impl<K: Key, V: Value> AsyncSession<K, Expiring<V>> {
    /// As [`Session::expiry_in`].
    pub fn expiry_in(&self, ttl: Duration) -> Expiry {
        self.home.database.expiry_in(ttl)
    }

    /// As [`Session::upsert_for`].
    ///
    /// # Errors
    /// The future's: as for [`Session::upsert`].
    pub fn upsert_for(&mut self, key: K, value: V, ttl: Duration) -> OpFuture<K, Expiring<V>, ()> {
        let expiry = self.expiry_in(ttl);
        self.upsert(key, Expiring::until(value, expiry))
    }

    /// As [`Session::expire`].
    ///
    /// # Errors
    /// The future's: as for [`Session::rmw`].
    pub fn expire(&mut self, key: K, ttl: Duration) -> OpFuture<K, Expiring<V>, bool> {
        let expiry = self.expiry_in(ttl);
        self.expire_at(key, expiry)
    }

    /// As [`Session::expire_at`].
    ///
    /// # Errors
    /// The future's: as for [`Session::rmw`].
    pub fn expire_at(&mut self, key: K, expiry: Expiry) -> OpFuture<K, Expiring<V>, bool> {
        self.home.account.counters.rmws.add(1);
        let ending = IfThere { change: ends_at(expiry), was_there: false };
        self.begin(LearnOp::new(key, ending), Use::BOTH, |(_, was_there)| was_there)
    }

    /// As [`Session::persist`].
    ///
    /// # Errors
    /// The future's: as for [`Session::rmw`].
    pub fn persist(&mut self, key: K) -> OpFuture<K, Expiring<V>, bool> {
        self.expire_at(key, Expiry::NEVER)
    }
}

/// In a store of values that may end.
impl<K: Key, V: Value, D: StorageDevice> FasterKv<K, Expiring<V>, D> {
    /// As [`Session::expiry_in`].
    pub fn expiry_in(&self, ttl: Duration) -> Expiry {
        self.database.expiry_in(ttl)
    }
}

/// In a store of values that may end.
#[cfg(not(oxifaster_loom))]
impl<K: Key, V: Value> Store<K, Expiring<V>> {
    /// Gives `key` the value `value`, which ends in `ttl` from now.
    ///
    /// # Errors
    /// As for [`Session::upsert`].
    pub fn put_for(&self, key: K, value: V, ttl: Duration) -> Result<()> {
        self.with_session(|session| session.upsert_for(key, value, ttl))
    }

    /// As [`Session::expire`].
    ///
    /// # Errors
    /// As for [`Session::rmw`].
    pub fn expire(&self, key: K, ttl: Duration) -> Result<bool> {
        self.with_session(|session| session.expire(key, ttl))
    }

    /// As [`Session::persist`].
    ///
    /// # Errors
    /// As for [`Session::rmw`].
    pub fn persist(&self, key: K) -> Result<bool> {
        self.with_session(|session| session.persist(key))
    }

    /// As [`Session::time_to_live`].
    ///
    /// # Errors
    /// As for [`Session::read`].
    pub fn time_to_live<Q: KeyBytes + ?Sized>(&self, key: &Q) -> Result<Option<TimeToLive>>
    where
        K: Borrow<Q>,
    {
        self.with_session(|session| session.time_to_live(key))
    }
}

/// An operator on values, for values that end: the expiry stays that of the value that is there, and the operand's is that of a key that
/// has none.
///
/// ```
/// # use oxifaster::device::MemoryDisk;
/// # use oxifaster::record::Expiring;
/// # use oxifaster::store::{Add, FasterKv, FasterKvConfig, OfValue};
/// # fn main() -> oxifaster::Result<()> {
/// # let config = FasterKvConfig::default().with_memory_budget(1 << 20);
/// # let store: FasterKv<u64, Expiring<u64>, _> = FasterKv::open(config, MemoryDisk::new())?;
/// # let mut session = store.start_session();
/// session.upsert_for(1, 10, std::time::Duration::from_secs(60))?;
/// session.merge(1, 5.into(), &OfValue(&Add))?;
/// assert!(session.read(&1)?.is_some_and(|value| *value == 15 && value.expiry().ms().is_some()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct OfValue<'o, O: ?Sized>(pub &'o O);

impl<V: Value, O: MergeOperator<V> + ?Sized> MergeOperator<Expiring<V>> for OfValue<'_, O> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn merge(&self, value: &mut Expiring<V>, operand: &Expiring<V>) -> Result<()> {
        self.0.merge(value, operand)
    }
}
