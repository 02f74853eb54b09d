//! Sessions whose operations are futures.

use super::database::Database;
use super::op_future::OpFuture;
use crate::epoch::Participant;
use crate::kernel::{DeleteOp, Insert, Kernel, Modify, ReadOp, RmwOp, UpsertOp};
use crate::operation::{Gate, Operation, Step};
use crate::record::{Key, Value};
use crate::stats::SessionCounters;
use crate::status::OperationStatus;
use crate::sync::Arc;

/// A session whose operations are futures.
///
/// A call does what memory allows at once, without an allocation, a lock or a task switch: its future is then ready at the
/// first poll. What needs the device goes on when the future is polled. Futures do not borrow the session, so any number can
/// be in flight. Of their accesses, twice as many as [`with_max_pending`](super::FasterKvConfig::with_max_pending) says have
/// a buffer, under way or waiting to be looked at, and the others wait their turn. Operations in flight take effect in any
/// order.
///
/// ```
/// # use oxifaster::device::MemoryDisk;
/// # use oxifaster::store::{FasterKv, FasterKvConfig};
/// # async fn example() -> oxifaster::Result<()> {
/// let store = FasterKv::open(FasterKvConfig::default().with_memory_budget(1 << 20), MemoryDisk::new())?;
/// let mut session = store.start_async_session();
/// session.upsert(1u64, 10u64).await?;
/// let (one, two) = (session.read(&1), session.read(&2)); // both in flight, if they have to wait
/// assert_eq!((one.await?, two.await?), (Some(10), None));
/// # Ok(())
/// # }
/// ```
pub struct AsyncSession<K: Key, V: Value> {
    database: Arc<Database<K, V>>,
    participant: Participant,
    gate: Arc<Gate<Kernel<K, V>>>,
    counters: Arc<SessionCounters>,
}

impl<K: Key, V: Value> AsyncSession<K, V> {
    pub(super) fn new(database: Arc<Database<K, V>>) -> Self {
        let (participant, counters) = (database.epoch.join(), database.enter());
        // A session's thread looks at outcomes as they come; a future's executor may be busy elsewhere meanwhile, and the
        // device is to have something to do.
        let gate = Gate::new(2 * database.max_pending);
        Self { database, participant, gate, counters }
    }

    /// The value of `key`, or `None` if it is not in the store.
    ///
    /// # Errors
    /// The future's: as for [`Session::read`](super::Session::read).
    pub fn read(&mut self, key: &K) -> OpFuture<K, V, Option<V>> {
        self.counters.reads.add(1);
        self.begin(ReadOp::new(key), true, |value| value)
    }

    /// Gives `key` the value `value`, whatever it had.
    ///
    /// # Errors
    /// The future's: as for [`Session::upsert`](super::Session::upsert).
    pub fn upsert(&mut self, key: K, value: V) -> OpFuture<K, V, ()> {
        self.counters.upserts.add(1);
        self.begin(UpsertOp::new(key, value), false, |_| ())
    }

    /// Replaces the value of `key` by what `modify` makes of it, as one step; whether the store was changed.
    ///
    /// # Errors
    /// The future's: as for [`Session::rmw`](super::Session::rmw).
    pub fn rmw(&mut self, key: K, modify: impl FnMut(&mut V) -> bool + Send + 'static) -> OpFuture<K, V, bool> {
        self.counters.rmws.add(1);
        self.begin(RmwOp::new(key, Modify(modify)), true, OperationStatus::changed)
    }

    /// Gives `key` the value `value` if it has none; whether it did.
    ///
    /// # Errors
    /// The future's: as for [`Session::insert`](super::Session::insert).
    pub fn insert(&mut self, key: K, value: V) -> OpFuture<K, V, bool> {
        self.counters.inserts.add(1);
        self.begin(RmwOp::new(key, Insert(value)), true, OperationStatus::changed)
    }

    /// Removes `key`.
    ///
    /// # Errors
    /// The future's: as for [`Session::delete`](super::Session::delete).
    pub fn delete(&mut self, key: &K) -> OpFuture<K, V, ()> {
        self.counters.deletes.add(1);
        self.begin(DeleteOp::new(key), false, |_| ())
    }

    /// Does what can be done at once.
    #[inline]
    fn begin<O, T>(&mut self, mut operation: O, is_lookup: bool, map: fn(O::Output) -> T) -> OpFuture<K, V, T>
    where
        O: Operation<Kernel<K, V>> + Send + 'static,
        T: 'static,
    {
        if self.database.epoch.has_pending() {
            self.database.epoch.drain();
        }
        let step = operation.step(&self.database.kernel, &self.participant.pin());
        if is_lookup {
            let waits = matches!(step, Step::Wait(_));
            if waits { self.counters.read_misses.add(1) } else { self.counters.read_hits.add(1) }
        }
        let (database, gate) = (Arc::clone(&self.database), Arc::clone(&self.gate));
        match step {
            Step::Done(output) => OpFuture::ready(database, gate, Ok(map(output))),
            Step::Failed(error) => OpFuture::ready(database, gate, Err(error)),
            // Boxed only if it has to wait.
            step => OpFuture::stepped(database, gate, Box::new(Mapped { operation, map }), step.map(map)),
        }
    }
}

/// An operation whose output is turned into something else.
struct Mapped<O: Operation<E>, E: ?Sized, T> {
    operation: O,
    map: fn(<O as Operation<E>>::Output) -> T,
}

impl<O: Operation<E>, E: ?Sized, T> Operation<E> for Mapped<O, E, T> {
    type Output = T;

    fn step(&mut self, environment: &E, guard: &crate::epoch::Guard<'_>) -> Step<T> {
        self.operation.step(environment, guard).map(self.map)
    }

    fn resume(&mut self, environment: &E, done: crate::device::IoDone) -> crate::error::Result<()> {
        self.operation.resume(environment, done)
    }
}

impl<K: Key, V: Value> Drop for AsyncSession<K, V> {
    fn drop(&mut self) {
        self.database.leave(&self.counters);
    }
}
