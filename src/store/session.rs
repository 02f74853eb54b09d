//! Sessions: where operations are called.

use super::database::Database;
use super::pending::{Begun, Completed, Outcome, Parked, Ticket, box_modify};
use crate::address::Address;
use crate::device::{IoDone, IoRequest, Token};
use crate::error::{Error, Result};
use crate::kernel::{DeleteOp, Insert, Kernel, Modify, ReadOp, RmwOp};
use crate::operation::{Account, CountAs, Driver, Operation, PendingTable, Progress};
use crate::record::{ByRef, Key, KeyBytes, Value};
use crate::sync::Arc;
use crate::utility::KeyHash;
use std::borrow::Borrow;
use std::collections::VecDeque;

/// The right to operate on a store from one thread at a time.
///
/// A session may be moved between threads, and holds nothing up while it is idle. It has two faces: the plain calls wait
/// for the device if they must; those that begin with `begin_` never do, and give a [`Ticket`] instead, whose outcome
/// [`complete_pending`](Self::complete_pending) brings. Operations that were begun and are pending may finish in any
/// order; a plain call does not wait for them.
pub struct Session<K: Key, V: Value> {
    pub(super) database: Arc<Database<K, V>>,
    pub(super) driver: Driver,
    /// Boxed, so that a session that once had many pending does not keep their memory.
    pub(super) parked: PendingTable<Box<Parked<K, V>>>,
    finished: Vec<Completed<V>>,
    /// The bytes of a value that is looked at.
    pub(super) copied: Vec<u8>,
    /// Outcomes that are to be told when what lies at the address is durable.
    settling: VecDeque<(Address, Completed<V>)>,
    /// Whether calls wait for their changes to be durable.
    pub(super) waits: bool,
    /// What lies here is the last that this session has changed, or has found without changing anything.
    pub(super) last_change: Option<Address>,
}

impl<K: Key, V: Value> Session<K, V> {
    /// Outcomes that a session keeps until they are fetched; with more, it begins no further operation.
    pub const OUTCOMES_MAX: usize = 1 << 16;

    pub(super) fn new(database: Arc<Database<K, V>>, account: Account) -> Self {
        let driver = Driver::new(database.epoch.join(), database.enter(account));
        let waits = database.committer.as_ref().is_some_and(|committer| committer.is_every_operation());
        let (parked, finished, settling) = (PendingTable::new(), Vec::new(), VecDeque::new());
        Self { database, driver, parked, finished, copied: Vec::new(), settling, waits, last_change: None }
    }

    /// A session that is in no book: what it does is no work of a user's, and no checkpoint speaks of it.
    pub(super) fn unlisted(database: Arc<Database<K, V>>) -> Self {
        let driver = Driver::new(database.epoch.join(), Arc::new(Account::new(0, 0)));
        let (parked, finished, settling) = (PendingTable::new(), Vec::new(), VecDeque::new());
        Self { database, driver, parked, finished, copied: Vec::new(), settling, waits: false, last_change: None }
    }

    /// Names the session: after a recovery it is found by this.
    pub fn guid(&self) -> u128 {
        self.driver.account().guid
    }

    /// The serial number of the last operation that took effect: how many there were since the session was first started.
    /// All operations count, reads too; one that was begun and is pending counts when it has completed, one that failed does
    /// not. A recovery says up to which number a session's operations are there.
    pub fn serial(&self) -> u64 {
        self.driver.account().serial()
    }

    /// The value of `key`, or `None` if it is not in the store. Waits for the device if it must.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceFailed`](crate::ErrorKind::DeviceFailed) or [`ErrorKind::Io`](crate::ErrorKind::Io) if the
    /// device fails, [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if it returns other bytes than were written.
    ///
    /// `key` is the key, or what it can be borrowed as: `"name"` in a store with keys of type `String`.
    #[inline(always)]
    pub fn read<Q: KeyBytes + ?Sized>(&mut self, key: &Q) -> Result<Option<V>>
    where
        K: Borrow<Q>,
    {
        if let Some((guard, account)) = self.driver.pin_plain() {
            let (now, view) = (self.database.kernel.now(), self.database.kernel.view(&guard));
            if let Some(record) = view.newest::<K, V>(key, view.find(KeyHash::of_bytes(key.key_bytes())))
                && let Ok(value) = record.value::<K, V>()
                && !value.expiry().is_over(now)
            {
                account.counters.reads.add(1);
                return Ok(Some(value));
            }
        }
        self.read_by_steps(key)
    }

    #[inline(never)]
    pub(super) fn read_by_steps<Q: KeyBytes + ?Sized>(&mut self, key: &Q) -> Result<Option<V>> {
        let (value, waited) = self.run(&mut ReadOp::new(ByRef(key)), |counters| &counters.reads)?;
        self.count_waits(usize::from(waited));
        Ok(value)
    }

    /// Replaces the value of `key` by what `modify` makes of it, as one step: of any number of concurrent calls none is
    /// lost. A key that is not there starts from [`Value::initial`] (zero for all integers). `modify` returning false
    /// leaves the store as it is. Returns whether the store was changed.
    ///
    /// `modify` must not block, and may run more than once: when another thread changed the value first it runs again, on
    /// the newer value, and only its last run counts.
    ///
    /// # Errors
    /// As for [`read`](Self::read) and [`upsert`](Self::upsert). The store is unchanged then.
    #[inline(always)]
    pub fn rmw(&mut self, key: K, mut modify: impl FnMut(&mut V) -> bool) -> Result<bool> {
        if let Some((guard, account)) = self.driver.pin_plain() {
            let (now, view) = (self.database.kernel.now(), self.database.kernel.view(&guard));
            if let Some(status) = view.modify(&key, view.find(KeyHash::of_bytes(key.as_bytes())), now, &mut modify) {
                account.counters.rmws.add(1);
                return Ok(status.changed());
            }
        }
        self.rmw_by_steps(key, modify)
    }

    #[inline(never)]
    fn rmw_by_steps(&mut self, key: K, modify: impl FnMut(&mut V) -> bool) -> Result<bool> {
        let (status, waited) = self.run_change(&mut RmwOp::new(key, Modify(modify)), |counters| &counters.rmws)?;
        self.count_waits(usize::from(waited));
        Ok(status.changed())
    }

    /// Gives `key` the value `value` if it has none. Returns whether it did.
    ///
    /// # Errors
    /// As for [`rmw`](Self::rmw).
    pub fn insert(&mut self, key: K, value: V) -> Result<bool> {
        let (status, waited) = self.run_change(&mut RmwOp::new(key, Insert(value)), |counters| &counters.inserts)?;
        self.count_waits(usize::from(waited));
        Ok(status.changed())
    }

    /// Removes `key`, which is the key or what it can be borrowed as. Never reads the device.
    ///
    /// # Errors
    /// As for [`upsert`](Self::upsert).
    #[inline]
    pub fn delete<Q: KeyBytes + ?Sized>(&mut self, key: &Q) -> Result<()>
    where
        K: Borrow<Q>,
    {
        self.run_change(&mut DeleteOp::new(ByRef(key)), |counters| &counters.deletes).map(drop)
    }

    /// Begins a [`read`](Self::read); does not wait for the device.
    ///
    /// # Errors
    /// As for `read`. While as many operations are pending as may be, it finishes one of them first.
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if [`OUTCOMES_MAX`](Self::OUTCOMES_MAX) outcomes have not been
    /// fetched.
    #[inline]
    pub fn begin_read(&mut self, key: &K) -> Result<Begun<Option<V>>> {
        self.begin(ReadOp::new(key.clone()), |counters| &counters.reads, Parked::Read)
    }

    /// Begins a [`rmw`](Self::rmw); does not wait for the device.
    ///
    /// # Errors
    /// As for `rmw` and [`begin_read`](Self::begin_read).
    pub fn begin_rmw(&mut self, key: K, modify: impl FnMut(&mut V) -> bool + Send + 'static) -> Result<Begun<bool>> {
        // Boxed only if it has to wait: a hit allocates nothing.
        let park = |operation: RmwOp<K, V, _>| Parked::Rmw(operation.map_logic(box_modify));
        self.check_durability()?;
        Ok(match self.begin(RmwOp::new(key, Modify(modify)), |counters| &counters.rmws, park)? {
            Begun::Done(status) => self.begun_change(status.changed(), Outcome::Rmw)?,
            Begun::Pending(ticket) => Begun::Pending(ticket),
        })
    }

    /// Begins an [`insert`](Self::insert); does not wait for the device.
    ///
    /// # Errors
    /// As for `insert` and [`begin_read`](Self::begin_read).
    pub fn begin_insert(&mut self, key: K, value: V) -> Result<Begun<bool>> {
        self.check_durability()?;
        Ok(match self.begin(RmwOp::new(key, Insert(value)), |counters| &counters.inserts, Parked::Insert)? {
            Begun::Done(status) => self.begun_change(status.changed(), Outcome::Insert)?,
            Begun::Pending(ticket) => Begun::Pending(ticket),
        })
    }

    /// Operations that were begun and whose outcome has not been fetched.
    pub fn pending(&self) -> usize {
        self.parked.len() + self.finished.len() + self.settling.len()
    }

    /// The outcomes of pending operations that are finished. With `wait`, waits until there is at least one, unless
    /// nothing is pending.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceFailed`](crate::ErrorKind::DeviceFailed) if it waits and the device does not answer in time.
    /// Failures of single operations are in their outcomes.
    pub fn complete_pending(&mut self, wait: bool) -> Result<Vec<Completed<V>>> {
        while let Some((token, done)) = self.driver.try_take() {
            self.arrive(token, done);
        }
        self.settle();
        while wait && self.finished.is_empty() && self.pending() > 0 {
            if self.parked.len() > 0 {
                self.await_one()?;
            } else {
                self.settle_one()?;
            }
            self.settle();
        }
        Ok(std::mem::take(&mut self.finished))
    }

    /// Runs an operation that may change the store, and waits for that to be durable if this session's calls do.
    #[inline]
    pub(super) fn run_change<O: Operation<Kernel<K, V>>>(
        &mut self,
        operation: &mut O,
        count_as: CountAs,
    ) -> Result<(O::Output, bool)> {
        self.check_durability()?;
        let output = self.run(operation, count_as)?;
        self.end_change()?;
        Ok(output)
    }

    /// That the store takes changes.
    #[inline]
    pub(super) fn check_durability(&self) -> Result<()> {
        match &self.database.committer {
            Some(committer) => committer.check(),
            None => Ok(()),
        }
    }

    /// Ends a call that may have changed the store.
    #[inline]
    pub(super) fn end_change(&mut self) -> Result<()> {
        if self.database.committer.is_none() {
            return Ok(());
        }
        self.note_change()?;
        if self.waits { self.wait_durable() } else { Ok(()) }
    }

    /// Notes what has to be durable for the outcome of the call that ends to be so. Returns it.
    fn note_change(&mut self) -> Result<Option<Address>> {
        let Some(committer) = &self.database.committer else { return Ok(None) };
        let address = match self.driver.take_change() {
            Some(address) => {
                committer.note_change(address);
                address
            }
            // What it found instead was in the log by now.
            None => self.database.last_in_log()?,
        };
        self.last_change = Some(address.max(self.last_change.unwrap_or(Address::INVALID)));
        Ok(self.last_change)
    }

    /// The outcome of a change that was begun and is done; if this session waits, it comes when the change is durable.
    fn begun_change(&mut self, changed: bool, outcome: fn(bool) -> Outcome<V>) -> Result<Begun<bool>> {
        Ok(match self.note_change()?.filter(|_| self.waits) {
            None => Begun::Done(changed),
            Some(address) => {
                let ticket = Ticket(self.parked.spend_token());
                self.settle_at(address, Completed { ticket, outcome: Ok(outcome(changed)) });
                Begun::Pending(ticket)
            }
        })
    }

    /// Keeps an outcome until what lies at `address` is durable.
    fn settle_at(&mut self, address: Address, completed: Completed<V>) {
        if let Some(committer) = &self.database.committer {
            committer.ask();
        }
        self.settling.push_back((address, completed));
    }

    /// Hands on the outcomes that are durable, or cannot be any more.
    fn settle(&mut self) {
        let Some(committer) = &self.database.committer else { return };
        let durable = committer.durable();
        while self.settling.front().is_some_and(|(address, _)| *address < durable) {
            self.finished.extend(self.settling.pop_front().map(|(_, completed)| completed));
        }
        if let Err(failure) = committer.check() {
            let failed =
                |(_, completed): (Address, Completed<V>)| Completed { outcome: Err(failure.clone()), ..completed };
            self.finished.extend(self.settling.drain(..).map(failed));
        }
    }

    /// Waits until the oldest outcome that is not durable is, or cannot be any more.
    fn settle_one(&mut self) -> Result<()> {
        let (Some(committer), Some((address, _))) = (&self.database.committer, self.settling.front()) else {
            return Ok(());
        };
        let (waited, before) = (committer.wait(&self.database.kernel.log, *address), self.settling.len());
        self.settle();
        // Why changes are not durable is said by their outcomes; that it takes too long, by the call.
        if self.settling.len() < before { Ok(()) } else { waited }
    }

    /// Runs an operation to its end. Also says whether it had to wait for the device.
    #[inline]
    pub(super) fn run<O: Operation<Kernel<K, V>>>(
        &mut self,
        operation: &mut O,
        count_as: CountAs,
    ) -> Result<(O::Output, bool)> {
        match self.driver.advance(&self.database.kernel, operation, Some(count_as))? {
            Progress::Done(output) => Ok((output, false)),
            Progress::Wait(request) => self.finish(operation, Some(count_as), request).map(|output| (output, true)),
        }
    }

    /// The same for what a transaction does on its way, which is not counted by itself.
    pub(super) fn run_uncounted<O: Operation<Kernel<K, V>>>(&mut self, operation: &mut O) -> Result<O::Output> {
        match self.driver.advance(&self.database.kernel, operation, None)? {
            Progress::Done(output) => Ok(output),
            Progress::Wait(request) => self.finish(operation, None, request),
        }
    }

    /// Runs what a transaction comes to.
    pub(super) fn run_transaction<O: Operation<Kernel<K, V>>>(&mut self, operation: &mut O) -> Result<O::Output> {
        self.run(operation, |counters| &counters.transactions).map(|(output, _)| output)
    }

    /// Takes an operation that needs the device to its end.
    #[cold]
    fn finish<O: Operation<Kernel<K, V>>>(
        &mut self,
        operation: &mut O,
        count_as: Option<CountAs>,
        request: IoRequest,
    ) -> Result<O::Output> {
        // Nobody else gets this token, so that what comes late for a call that gave up is told apart.
        let token = self.parked.spend_token();
        self.driver.submit(&self.database.kernel, request, token);
        loop {
            let (arrived, done) = self.driver.take(&self.database.kernel)?;
            if arrived != token {
                self.arrive(arrived, done);
                continue;
            }
            operation.resume(&self.database.kernel, done)?;
            match self.driver.advance(&self.database.kernel, operation, count_as)? {
                Progress::Done(output) => return Ok(output),
                Progress::Wait(request) => self.driver.submit(&self.database.kernel, request, token),
            }
        }
    }

    /// Begins an operation and parks it if it has to wait.
    #[inline]
    fn begin<O: Operation<Kernel<K, V>>>(
        &mut self,
        mut operation: O,
        count_as: CountAs,
        park: impl FnOnce(O) -> Parked<K, V>,
    ) -> Result<Begun<O::Output>> {
        self.make_place()?;
        match self.driver.advance(&self.database.kernel, &mut operation, Some(count_as))? {
            Progress::Done(output) => Ok(Begun::Done(output)),
            Progress::Wait(request) => {
                self.count_waits(1);
                let token = self.parked.park(Box::new(park(operation)));
                self.driver.submit(&self.database.kernel, request, token);
                self.driver.flush();
                Ok(Begun::Pending(Ticket(token)))
            }
        }
    }

    /// Finishes pending operations until one more may be begun: within the session's bound, and, while buffers are short
    /// all over the store, one at a time.
    #[inline]
    fn make_place(&mut self) -> Result<()> {
        if self.finished.len() >= Self::OUTCOMES_MAX {
            return Err(unfetched(self.finished.len()));
        }
        while self.settling.len() >= self.database.max_pending {
            self.settle_one()?;
        }
        while self.parked.len() >= self.database.max_pending
            || (self.parked.len() > 0 && self.database.kernel.log.read_pool().is_strained())
        {
            self.await_one()?;
        }
        Ok(())
    }

    /// Waits for one access and takes its operation on.
    fn await_one(&mut self) -> Result<()> {
        let (token, done) = self.driver.take(&self.database.kernel)?;
        self.arrive(token, done);
        Ok(())
    }

    /// Takes the operation that waited for this access on, and keeps its outcome if that is its end.
    pub(super) fn arrive(&mut self, token: Token, done: IoDone) {
        let mut turn = self.parked.turn(token);
        let Some(parked) = turn.operation() else { return }; // its call gave up
        let outcome = match parked.go_on(&self.database, &mut self.driver, done) {
            Ok(Progress::Wait(request)) => {
                turn.park_again();
                self.driver.submit(&self.database.kernel, request, token);
                return self.driver.flush();
            }
            Ok(Progress::Done(outcome)) => Ok(outcome),
            Err(error) => Err(error),
        };
        drop(turn);
        let completed = Completed { ticket: Ticket(token), outcome };
        let is_change = matches!(completed.outcome, Ok(Outcome::Rmw(_) | Outcome::Insert(_)));
        match if is_change { self.note_change() } else { Ok(None) } {
            Ok(Some(address)) if self.waits => self.settle_at(address, completed),
            Ok(_) => self.finished.push(completed),
            Err(error) => self.finished.push(Completed { outcome: Err(error), ..completed }),
        }
    }

    /// Counts look-ups that waited for the device.
    pub(super) fn count_waits(&self, waited: usize) {
        self.driver.account().counters.read_misses.add(waited as u64);
    }
}

#[cold]
fn unfetched(outcomes: usize) -> Error {
    Error::new(crate::ErrorKind::Limit, "beginning an operation while too many outcomes have not been fetched")
        .with("outcomes", outcomes)
        .help("fetch them with complete_pending")
}

/// What is still pending is given up: it may or may not take effect.
impl<K: Key, V: Value> Drop for Session<K, V> {
    fn drop(&mut self) {
        self.database.leave(self.driver.account());
    }
}
