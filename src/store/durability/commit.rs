//! Group commit: many who wait for their changes to be durable share the cost of one write and one sync.
//!
//! ```text
//!   wait  wait  wait      the first one leads: what it commits covers all who wait by then
//!     \    |    /
//!      one commit  -->  all are told; who came meanwhile is in the next one, led by the first of them
//! ```
//!
//! The store's thread leads for those who do not wait in a call: futures, and whoever has written and gone on.

use super::Durability;
use crate::address::Address;
use crate::allocator::HybridLog;
use crate::epoch::{LightEpoch, Participant};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Arc, AtomicBool, AtomicU64, Backoff, Condvar, Mutex, MutexGuard, Ordering, fence};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// How long the store's thread sleeps when there is nothing to do.
const IDLE: Duration = Duration::from_secs(3600);

/// How far a store is durable, and who waits.
pub(crate) struct Committer {
    durability: Durability,
    /// How long a call waits for the device.
    limit: Duration,
    /// Everything below is durable (W1).
    durable: AtomicU64,
    /// Who appends at or beyond this tells the thread.
    tell_at: AtomicU64,
    /// W2; the state says why.
    has_failed: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
    /// Of the one who leads.
    participant: Mutex<Participant>,
}

struct State {
    /// Somebody is committing.
    leading: bool,
    failure: Option<Error>,
    /// The thread is to commit at once.
    asked: bool,
    /// The thread is to commit at this moment.
    due: Option<Instant>,
    stop: bool,
    /// Who waits for what lies at an address, and is to be woken.
    wakers: Vec<(Address, Waker)>,
}

/// What the store's thread is to do.
pub(super) enum Task {
    Commit,
    Stop,
}

impl Committer {
    /// For a log of which everything below `durable` is.
    pub(crate) fn new(durability: Durability, limit: Duration, durable: Address, epoch: &Arc<LightEpoch>) -> Self {
        Self {
            durability,
            limit,
            durable: AtomicU64::new(durable.get()),
            tell_at: AtomicU64::new(durable.get()),
            has_failed: AtomicBool::new(false),
            state: Mutex::new(State {
                leading: false,
                failure: None,
                asked: false,
                due: None,
                stop: false,
                wakers: Vec::new(),
            }),
            changed: Condvar::new(),
            participant: Mutex::new(epoch.join()),
        }
    }

    /// Whether a call returns only when what it did is durable.
    pub(crate) fn is_every_operation(&self) -> bool {
        self.durability == Durability::EveryOperation
    }

    /// Everything below is durable.
    #[inline]
    pub(crate) fn durable(&self) -> Address {
        Address::from_word(self.durable.load(Ordering::Acquire))
    }

    /// That changes are taken (W2).
    ///
    /// # Errors
    /// Why not.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        if self.has_failed.load(Ordering::Relaxed) { self.failure() } else { Ok(()) }
    }

    #[cold]
    fn failure(&self) -> Result<()> {
        self.state.lock().failure.clone().map_or(Ok(()), Err)
    }

    /// Notes that there is a new record at `address`.
    #[inline]
    pub(crate) fn note_change(&self, address: Address) {
        if self.durability == Durability::EveryOperation {
            return; // there is no time at which it would be due
        }
        // Who appends and then looks at `tell_at`, and who sets it after a commit and then looks at the tail: one of the two sees
        // what the other did.
        fence(Ordering::SeqCst);
        if address.get() >= self.tell_at.load(Ordering::Relaxed) {
            self.tell_thread(address);
        }
    }

    /// The first change since a commit sets the time of the next; when the bytes are together, it is now.
    #[cold]
    fn tell_thread(&self, address: Address) {
        let Durability::Group { interval, bytes } = self.durability else { return };
        let mut state = self.state.lock();
        if address.get() < self.tell_at.load(Ordering::Relaxed) {
            return;
        }
        if state.due.is_none() {
            state.due = Some(Instant::now() + interval);
            self.tell_at.store(self.durable().get().saturating_add(bytes), Ordering::Relaxed);
        } else {
            state.asked = true;
            self.tell_at.store(u64::MAX, Ordering::Relaxed);
        }
        self.changed.notify_all();
    }

    /// Returns when what lies at `address` is durable. Leads a commit if nobody does. Called while not pinned.
    ///
    /// # Errors
    /// Why that cannot be (W2); [`ErrorKind::Busy`] if it takes too long.
    pub(crate) fn wait(&self, log: &HybridLog, address: Address) -> Result<()> {
        if self.durable() > address {
            return Ok(());
        }
        let (started, mut state) = (Instant::now(), self.state.lock());
        loop {
            if self.durable() > address {
                return Ok(());
            }
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if !state.leading {
                state = self.lead(log, state)?;
                continue;
            }
            // One commit may be under way that does not cover it, and another before its own.
            let limit = self.limit.saturating_mul(3);
            let Some(left) = limit.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) else {
                return Err(Error::new(ErrorKind::Busy, "waiting for a commit took too long")
                    .with("milliseconds waited", started.elapsed().as_millis())
                    .help("look for a hung device, or raise FasterKvConfig::with_wait_limit"));
            };
            state = self.changed.wait_timeout(state, left);
        }
    }

    /// Makes everything durable that is in the log at this moment.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub(crate) fn commit(&self, log: &HybridLog) -> Result<Address> {
        // What was appended before this call lies below.
        let tail = log.tail_at_rest(self.limit)?;
        if tail > self.durable() {
            self.wait(log, Address::from_word(tail.get() - 1))?;
        }
        self.check()?;
        Ok(self.durable())
    }

    /// Whether what lies at `address` is durable. If not, sees to it that it will be, and that `waker` is then woken.
    pub(crate) fn poll(&self, address: Address, waker: &Waker) -> Poll<Result<()>> {
        if self.durable() > address {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.state.lock();
        if self.durable() > address {
            return Poll::Ready(Ok(()));
        }
        if let Some(failure) = &state.failure {
            return Poll::Ready(Err(failure.clone()));
        }
        if !state.wakers.iter().any(|(known, other)| *known == address && other.will_wake(waker)) {
            state.wakers.push((address, waker.clone()));
        }
        state.asked = true;
        self.changed.notify_all();
        Poll::Pending
    }

    /// Has the thread commit at once.
    pub(crate) fn ask(&self) {
        self.state.lock().asked = true;
        self.changed.notify_all();
    }

    /// Commits, for who found that nobody does.
    fn lead<'s>(&'s self, log: &HybridLog, mut state: MutexGuard<'s, State>) -> Result<MutexGuard<'s, State>> {
        state.leading = true;
        state.asked = false;
        state.due = None;
        drop(state);
        // What is appended from now on sets the next due time, also if this commit happens to cover it.
        let result = self.commit_once(log);
        let mut state = self.state.lock();
        state.leading = false;
        let outcome = match result {
            Ok(end) => {
                self.durable.fetch_max(end.get(), Ordering::AcqRel);
                self.tell_at.store(end.get(), Ordering::Relaxed);
                fence(Ordering::SeqCst);
                Ok(())
            }
            Err(error) => {
                let error = state.failure.get_or_insert(error).clone();
                self.has_failed.store(true, Ordering::Release);
                Err(error)
            }
        };
        let (durable, has_failed) = (self.durable(), state.failure.is_some());
        let over: Vec<_> = state.wakers.extract_if(.., |(address, _)| has_failed || *address < durable).collect();
        // Somebody who appended while this was under way saw the old `tell_at`, and told nobody.
        let is_behind = outcome.is_ok() && log.addresses().tail > durable;
        if is_behind && let Durability::Group { interval, bytes } = self.durability {
            state.due = Some(Instant::now() + interval);
            self.tell_at.store(durable.get().saturating_add(bytes), Ordering::Relaxed);
        }
        state.asked |= !state.wakers.is_empty();
        self.changed.notify_all();
        drop(state);
        over.into_iter().for_each(|(_, waker)| waker.wake());
        outcome.map(|()| self.state.lock())
    }

    /// Closes the tail's block, and makes everything below durable.
    fn commit_once(&self, log: &HybridLog) -> Result<Address> {
        let (started, mut backoff) = (Instant::now(), Backoff::new());
        let end = loop {
            if let Some(end) = log.close_block_with_note(self.durable(), &mut self.participant.lock()) {
                break end;
            }
            // A page is being turned.
            log.help();
            if backoff.is_slow() && started.elapsed() >= self.limit {
                return Err(Error::new(ErrorKind::Busy, "waiting for room in the log took too long")
                    .with("milliseconds waited", started.elapsed().as_millis())
                    .help("look for a hung device, or raise FasterKvConfig::with_wait_limit"));
            }
            backoff.wait();
        };
        if end > self.durable() {
            log.make_durable_below(end, self.limit, || Ok(()))?;
        }
        Ok(end)
    }

    /// For the store's thread: returns when there is something to do.
    pub(super) fn next_task(&self) -> Task {
        let mut state = self.state.lock();
        loop {
            if state.stop {
                return Task::Stop;
            }
            let now = Instant::now();
            let is_due = state.asked || state.due.is_some_and(|due| due <= now);
            let may_lead = !state.leading && state.failure.is_none();
            if is_due && may_lead {
                return Task::Commit;
            }
            // Who leads, and whoever asks, tells.
            let nap = state.due.filter(|_| may_lead).map_or(IDLE, |due| due.saturating_duration_since(now));
            state = self.changed.wait_timeout(state, nap);
        }
    }

    /// For the store's thread: commits, unless somebody does.
    pub(super) fn lead_for_others(&self, log: &HybridLog) {
        let state = self.state.lock();
        if !state.leading && state.failure.is_none() {
            // Everybody who asks is told what went wrong.
            drop(self.lead(log, state));
        }
    }

    /// Ends the store's thread.
    pub(super) fn stop(&self) {
        self.state.lock().stop = true;
        self.changed.notify_all();
    }
}
