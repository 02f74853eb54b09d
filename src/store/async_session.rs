//! Sessions whose operations are futures.

use super::database::Database;
use super::op_future::{Durably, Home, OpFuture};
use super::upsert::check_lengths;
use crate::epoch::Participant;
use crate::kernel::{DeleteOp, Insert, Kernel, Modify, ReadOp, RmwOp, UpsertOp};
use crate::operation::{Account, Environment, Gate, Operation, Step};
use crate::record::{ByRef, Key, KeyBytes, Value, ValueBytes};
use crate::status::OperationStatus;
use crate::sync::Arc;
use std::borrow::Borrow;

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
    participant: Participant,
    pub(super) home: Arc<Home<K, V>>,
    /// Whether futures wait for their changes to be durable.
    pub(super) waits: bool,
}

impl<K: Key, V: Value> AsyncSession<K, V> {
    pub(super) fn new(database: Arc<Database<K, V>>, account: Account) -> Self {
        let (participant, account) = (database.epoch.join(), database.enter(account));
        // A session's thread looks at outcomes as they come; a future's executor may be busy elsewhere meanwhile, and the
        // device is to have something to do.
        let gate = Gate::new(2 * database.max_pending);
        let waits = database.committer.as_ref().is_some_and(|committer| committer.is_every_operation());
        Self { participant, home: Arc::new(Home { database, gate, account }), waits }
    }

    /// Names the session: after a recovery it is found by this.
    pub fn guid(&self) -> u128 {
        self.home.account.guid
    }

    /// How many operations have taken effect since the session was first started. Operations in flight take effect in any
    /// order; those that were awaited before others were begun have the lower numbers.
    pub fn serial(&self) -> u64 {
        self.home.account.serial()
    }

    /// The value of `key`, or `None` if it is not in the store.
    ///
    /// # Errors
    /// The future's: as for [`Session::read`](super::Session::read).
    pub fn read<Q>(&mut self, key: &Q) -> OpFuture<K, V, Option<V>>
    where
        K: Borrow<Q>,
        Q: KeyBytes + ToOwned<Owned = K> + ?Sized,
    {
        self.home.account.counters.reads.add(1);
        self.begin_by_ref(ReadOp::new(ByRef(key)), Use::READ, ReadOp::into_owned, |value| value)
    }

    /// Gives `key` the value `value`, whatever it had.
    ///
    /// # Errors
    /// The future's: as for [`Session::upsert`](super::Session::upsert).
    pub fn upsert(&mut self, key: K, value: V) -> OpFuture<K, V, ()> {
        self.home.account.counters.upserts.add(1);
        self.begin(UpsertOp::new(key, value), Use::WRITE, |_| ())
    }

    /// The same for a key and a value that stay with the caller: they are copied only if the future has to wait.
    ///
    /// # Errors
    /// The future's: as for [`Session::upsert_ref`](super::Session::upsert_ref).
    pub fn upsert_ref<Q, W>(&mut self, key: &Q, value: &W) -> OpFuture<K, V, ()>
    where
        K: Borrow<Q>,
        V: Borrow<W>,
        Q: KeyBytes + ToOwned<Owned = K> + ?Sized,
        W: ValueBytes + ToOwned<Owned = V> + ?Sized,
    {
        if let Err(error) = check_lengths::<K, V>(key.key_bytes().len(), value.value_bytes().len()) {
            return OpFuture::ready(Arc::clone(&self.home), Err(error));
        }
        self.home.account.counters.upserts.add(1);
        let own = |_| UpsertOp::new(key.to_owned(), value.to_owned());
        self.begin_by_ref(UpsertOp::by_ref(key, value), Use::WRITE, own, |_| ())
    }

    /// Replaces the value of `key` by what `modify` makes of it, as one step; whether the store was changed.
    ///
    /// # Errors
    /// The future's: as for [`Session::rmw`](super::Session::rmw).
    pub fn rmw(&mut self, key: K, modify: impl FnMut(&mut V) -> bool + Send + 'static) -> OpFuture<K, V, bool> {
        self.home.account.counters.rmws.add(1);
        self.begin(RmwOp::new(key, Modify(modify)), Use::BOTH, OperationStatus::changed)
    }

    /// Gives `key` the value `value` if it has none; whether it did.
    ///
    /// # Errors
    /// The future's: as for [`Session::insert`](super::Session::insert).
    pub fn insert(&mut self, key: K, value: V) -> OpFuture<K, V, bool> {
        self.home.account.counters.inserts.add(1);
        self.begin(RmwOp::new(key, Insert(value)), Use::BOTH, OperationStatus::changed)
    }

    /// Removes `key`.
    ///
    /// # Errors
    /// The future's: as for [`Session::delete`](super::Session::delete).
    pub fn delete<Q>(&mut self, key: &Q) -> OpFuture<K, V, ()>
    where
        K: Borrow<Q>,
        Q: KeyBytes + ToOwned<Owned = K> + ?Sized,
    {
        self.home.account.counters.deletes.add(1);
        self.begin_by_ref(DeleteOp::new(ByRef(key)), Use::WRITE, |_| DeleteOp::new(key.to_owned()), |_| ())
    }

    /// Does what can be done at once.
    #[inline]
    pub(super) fn begin<O, T>(&mut self, operation: O, usage: Use, map: fn(O::Output) -> T) -> OpFuture<K, V, T>
    where
        O: Operation<Kernel<K, V>> + Send + 'static,
        T: 'static,
    {
        self.begin_by_ref(operation, usage, |operation| operation, map)
    }

    /// The same for an operation that borrows what it works on, until `own` has it go on with a copy if it has to wait.
    #[inline]
    fn begin_by_ref<B, O, T>(
        &mut self,
        mut operation: B,
        usage: Use,
        own: impl FnOnce(B) -> O,
        map: fn(O::Output) -> T,
    ) -> OpFuture<K, V, T>
    where
        B: Operation<Kernel<K, V>, Output = O::Output>,
        O: Operation<Kernel<K, V>> + Send + 'static,
        T: 'static,
    {
        if self.home.database.epoch.has_pending() {
            self.home.database.epoch.drain();
        }
        if usage.writes
            && let Some(Err(failure)) = self.home.database.committer.as_ref().map(|committer| committer.check())
        {
            return OpFuture::ready(Arc::clone(&self.home), Err(failure));
        }
        let step = step_counted(&self.home.database.kernel, &mut operation, &mut self.participant, &self.home.account);
        if usage.is_lookup && matches!(step, Step::Wait(_)) {
            self.home.account.counters.read_misses.add(1);
        }
        let home = Arc::clone(&self.home);
        let durably = Durably { writes: usage.writes, waits: self.waits };
        match step {
            Step::Done(output) => match home.settles_at(durably, &self.participant) {
                Ok(address) => OpFuture::done(home, map(output), address),
                Err(error) => OpFuture::ready(home, Err(error)),
            },
            Step::Failed(error) => OpFuture::ready(home, Err(error)),
            // Boxed only if it has to wait.
            step => {
                OpFuture::stepped(home, Box::new(Mapped { operation: own(operation), map }), step.map(map), durably)
            }
        }
    }
}

/// Steps an operation under a pin of its own, and counts it, while pinned, if that is its end.
#[inline]
pub(super) fn step_counted<E: Environment, O: Operation<E> + ?Sized>(
    environment: &E,
    operation: &mut O,
    participant: &mut Participant,
    account: &Account,
) -> Step<O::Output> {
    if account.number() != 0 {
        return step_signed(environment, operation, participant, account);
    }
    let guard = participant.pin();
    let step = operation.step(environment, &guard);
    if matches!(step, Step::Done(_)) {
        account.finish(environment.version(&guard));
    }
    step
}

/// The same in a store whose log says whose changes are in it. Operations of one session take their turn, so that their numbers
/// are in the order of their records (W5); steps never wait.
#[inline(never)]
fn step_signed<E: Environment, O: Operation<E> + ?Sized>(
    environment: &E,
    operation: &mut O,
    participant: &mut Participant,
    account: &Account,
) -> Step<O::Output> {
    let _turn = account.turn.lock();
    let guard = participant.pin();
    let version = environment.version(&guard);
    account.sign(guard.slip(), version);
    let step = operation.step(environment, &guard);
    if matches!(step, Step::Done(_)) {
        account.finish(version);
    }
    if guard.slip().stranger().is_some() {
        // The slip is gone with the participant; the next one is to have the name.
        guard.slip().note_introduced();
        account.note_stranger();
    }
    step
}

/// What an operation does.
#[derive(Clone, Copy)]
pub(super) struct Use {
    is_lookup: bool,
    writes: bool,
}

impl Use {
    pub(super) const READ: Self = Self { is_lookup: true, writes: false };
    pub(super) const WRITE: Self = Self { is_lookup: false, writes: true };
    pub(super) const BOTH: Self = Self { is_lookup: true, writes: true };
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
        self.home.database.leave(&self.home.account);
    }
}
