//! Who waits for what to be durable, and who sees to it.

use super::Policy;
use crate::address::Address;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, MutexGuard, Ordering, fence};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the thread sleeps when there is nothing to do.
const IDLE: Duration = Duration::from_secs(3600);

/// A log that is committed.
pub(crate) trait Tenant {
    /// What a commit says of itself.
    type Report: Clone;

    /// Makes everything durable that is in the log; up to where that is. Called by one at a time, who is not pinned.
    ///
    /// # Errors
    /// Why nothing can be committed any more (G3).
    fn commit(&self) -> Result<(Address, Self::Report)>;

    /// What was appended before this call lies below.
    ///
    /// # Errors
    /// That it took too long to find out.
    fn tail(&self) -> Result<Address>;
}

/// How far a log is durable, and who waits.
pub(crate) struct GroupCommit<R> {
    /// `None`: there are commits only when somebody asks or waits.
    policy: Option<Policy>,
    /// How long a commit waits for the device.
    limit: Duration,
    /// Everything below is durable.
    durable: AtomicU64,
    /// Who appends at or beyond this tells the thread.
    tell_at: AtomicU64,
    /// Nothing is appended any more; the state says why.
    is_closed: AtomicBool,
    state: Mutex<State<R>>,
    /// For calls that wait.
    changed: Condvar,
    /// For the thread.
    called: Condvar,
}

struct State<R> {
    /// Somebody is committing.
    leading: bool,
    last: R,
    /// Why nothing is committed any more.
    failure: Option<Error>,
    /// Why nothing is appended any more, though what was can be committed.
    refusal: Option<Error>,
    /// Somebody else appends and commits: that nothing is committed here ends nobody's wait for more.
    follows: bool,
    /// Something beside what was appended has changed.
    is_dirty: bool,
    /// The thread is to commit at once.
    asked: bool,
    /// Somebody is to commit at this moment.
    due: Option<Instant>,
    stop: bool,
    /// When the thread looks by itself; `None` while it is awake, and before it begins.
    looks_at: Option<Instant>,
    /// Somebody has committed since the thread looked.
    is_lively: bool,
    /// Calls that wait for something to be durable.
    waiting: usize,
    /// Calls that sleep, whatever they wait for.
    sleeping: usize,
    /// Who waits for what lies at an address, and is to be woken.
    wakers: Vec<(Address, Waker)>,
}

impl<R: Clone> GroupCommit<R> {
    /// For a log of which everything below `durable` is; `last` is what the commit said that made it so.
    pub(crate) fn new(policy: Option<Policy>, limit: Duration, durable: Address, last: R) -> Self {
        Self {
            policy,
            limit,
            durable: AtomicU64::new(durable.get()),
            tell_at: AtomicU64::new(durable.get()),
            is_closed: AtomicBool::new(false),
            state: Mutex::new(State {
                leading: false,
                last,
                failure: None,
                refusal: None,
                follows: false,
                is_dirty: false,
                asked: false,
                due: None,
                stop: false,
                looks_at: None,
                is_lively: false,
                waiting: 0,
                sleeping: 0,
                wakers: Vec::new(),
            }),
            changed: Condvar::new(),
            called: Condvar::new(),
        }
    }

    /// Everything below is durable.
    #[inline]
    pub(crate) fn durable(&self) -> Address {
        Address::from_word(self.durable.load(Ordering::Acquire))
    }

    /// What the last commit said.
    pub(crate) fn last(&self) -> R {
        self.state.lock().last.clone()
    }

    /// That something may be appended.
    ///
    /// # Errors
    /// Why not.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_closed.load(Ordering::Relaxed) { self.why_closed() } else { Ok(()) }
    }

    #[cold]
    fn why_closed(&self) -> Result<()> {
        let state = self.state.lock();
        state.failure.as_ref().or(state.refusal.as_ref()).map_or(Ok(()), |reason| Err(reason.clone()))
    }

    /// Ends appending; what was appended can still be committed.
    pub(crate) fn close(&self, refusal: Error) {
        self.state.lock().refusal = Some(refusal);
        self.is_closed.store(true, Ordering::Release);
    }

    /// Notes that nothing can be committed any more (G3). Returns why, which may be an earlier reason.
    pub(crate) fn fail(&self, failure: Error) -> Error {
        let mut state = self.state.lock();
        let failure = state.failure.get_or_insert(failure).clone();
        self.is_closed.store(true, Ordering::Release);
        drop(self.tell(state));
        failure
    }

    /// Notes that it is somebody else who commits; whoever wants to do that here is told `why` not.
    pub(crate) fn follow_only(&self, why: Error) {
        self.state.lock().follows = true;
        self.fail(why);
    }

    /// Notes that somebody else has made everything below `durable` so.
    pub(crate) fn follow(&self, durable: Address, last: R) {
        let mut state = self.state.lock();
        self.durable.fetch_max(durable.get(), Ordering::AcqRel);
        state.last = last;
        drop(self.tell(state));
    }

    /// Notes that something is to be committed beside what was appended.
    pub(crate) fn note_change(&self) {
        self.state.lock().is_dirty = true;
    }

    /// Notes that something was appended at `address`.
    #[inline]
    pub(crate) fn note_growth(&self, address: Address) {
        if self.policy.is_none() {
            return; // there is no time at which it would be due
        }
        // G2. Who appends and then looks at `tell_at`, and who sets it after a commit and then looks at the tail: one of the two
        // sees what the other did.
        fence(Ordering::SeqCst);
        if address.get() >= self.tell_at.load(Ordering::Relaxed) {
            self.tell_thread(address);
        }
    }

    /// The first growth since a commit sets the time of the next; when the bytes are together, it is now.
    #[cold]
    fn tell_thread(&self, address: Address) {
        let Some(policy) = self.policy else { return };
        let mut state = self.state.lock();
        if address.get() < self.tell_at.load(Ordering::Relaxed) {
            return;
        }
        if state.due.is_none() {
            self.set_due(&mut state, policy);
        } else {
            state.asked = true;
            self.tell_at.store(u64::MAX, Ordering::Relaxed);
        }
        self.call_thread(&state);
    }

    fn set_due(&self, state: &mut State<R>, policy: Policy) {
        state.due = Some(Instant::now() + policy.interval);
        self.tell_at.store(self.durable().get().saturating_add(policy.bytes), Ordering::Relaxed);
    }

    /// Wakes the thread, if there is something to do before it looks by itself.
    fn call_thread(&self, state: &State<R>) {
        let is_early = |due: Instant| state.looks_at.is_some_and(|looks_at| due < looks_at);
        if state.asked || state.stop || state.due.is_some_and(is_early) {
            self.called.notify_all();
        }
    }

    /// Has a call sleep until something has changed, or until `nap` is over.
    fn sleep<'s>(&'s self, mut state: MutexGuard<'s, State<R>>, nap: Duration) -> MutexGuard<'s, State<R>> {
        state.sleeping += 1;
        let mut state = self.changed.wait_timeout(state, nap);
        state.sleeping -= 1;
        state
    }

    /// Returns when what lies at `address`, which was appended, is durable. Leads a commit if nobody does. Called while not
    /// pinned.
    ///
    /// # Errors
    /// Why that cannot be (G3); [`ErrorKind::Busy`] if it takes too long.
    pub(crate) fn wait(&self, tenant: &impl Tenant<Report = R>, address: Address) -> Result<()> {
        if self.durable() > address {
            return Ok(());
        }
        let (started, mut state) = (Instant::now(), self.state.lock());
        state.waiting += 1;
        let outcome = loop {
            if self.durable() > address {
                break Ok(());
            }
            if let Some(failure) = &state.failure {
                break Err(failure.clone());
            }
            let left = match self.left_for_company(&mut state) {
                None if !state.leading => {
                    state = self.lead(tenant, state, || tenant.commit());
                    continue;
                }
                left => left.unwrap_or(IDLE),
            };
            match self.left(started) {
                Ok(limit) => state = self.sleep(state, limit.min(left)),
                Err(error) => break Err(error),
            }
        };
        state.waiting -= 1;
        outcome
    }

    /// How long it is worth to wait for others to share a commit; `None` if not at all.
    fn left_for_company(&self, state: &mut State<R>) -> Option<Duration> {
        let policy = self.policy.filter(|policy| state.waiting + state.wakers.len() < policy.waiters)?;
        if state.due.is_none() {
            self.set_due(state, policy);
            self.call_thread(state);
        }
        let left = state.due?.saturating_duration_since(Instant::now());
        Some(left).filter(|left| !left.is_zero())
    }

    /// What is left of the time that a call may wait.
    fn left(&self, started: Instant) -> Result<Duration> {
        // One commit may be under way that does not cover it, and another before its own.
        let left = self.limit.saturating_mul(3).checked_sub(started.elapsed()).filter(|left| !left.is_zero());
        left.ok_or_else(|| {
            Error::new(ErrorKind::Busy, "waiting for a commit took too long")
                .with("milliseconds waited", started.elapsed().as_millis())
                .help("look for a hung device, or raise the wait limit (with_wait_limit)")
        })
    }

    /// Makes everything durable that was done before this call; what the commit said that did.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub(crate) fn commit(&self, tenant: &impl Tenant<Report = R>) -> Result<R> {
        let target = tenant.tail()?;
        let state = self.next_to_lead()?;
        if self.durable() >= target && !state.is_dirty {
            return Ok(state.last.clone());
        }
        self.outcome(self.lead(tenant, state, || tenant.commit()))
    }

    /// The same, always with a commit of its own, which is made by `how`.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub(crate) fn commit_by(
        &self,
        tenant: &impl Tenant<Report = R>,
        how: impl FnOnce() -> Result<(Address, R)>,
    ) -> Result<R> {
        self.outcome(self.lead(tenant, self.next_to_lead()?, how))
    }

    /// The state, when nobody leads: who does so may have begun before what the caller wants to be covered.
    fn next_to_lead(&self) -> Result<MutexGuard<'_, State<R>>> {
        let (started, mut state) = (Instant::now(), self.state.lock());
        while state.leading && state.failure.is_none() {
            state = self.sleep(state, self.left(started)?);
        }
        match &state.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(state),
        }
    }

    fn outcome(&self, state: MutexGuard<'_, State<R>>) -> Result<R> {
        match &state.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(state.last.clone()),
        }
    }

    /// Commits, for who found that nobody does.
    fn lead<'s>(
        &'s self,
        tenant: &impl Tenant<Report = R>,
        mut state: MutexGuard<'s, State<R>>,
        how: impl FnOnce() -> Result<(Address, R)>,
    ) -> MutexGuard<'s, State<R>> {
        state.leading = true;
        state.asked = false;
        state.is_dirty = false;
        state.due = None;
        drop(state);
        // What is appended from now on sets the next due time, also if this commit happens to cover it.
        let result = how();
        let mut state = self.state.lock();
        (state.leading, state.is_lively) = (false, true);
        match result {
            Ok((end, report)) => {
                self.durable.fetch_max(end.get(), Ordering::AcqRel);
                state.last = report;
                self.tell_at.store(end.get(), Ordering::Relaxed);
                fence(Ordering::SeqCst);
                // G2: somebody who appended while this was under way saw the old `tell_at`, and told nobody.
                if let Some(policy) = self.policy.filter(|_| tenant.tail().is_ok_and(|tail| tail > end)) {
                    self.set_due(&mut state, policy);
                }
            }
            Err(error) => {
                state.failure.get_or_insert(error);
                self.is_closed.store(true, Ordering::Release);
            }
        }
        self.tell(state)
    }

    /// Wakes everybody whose wait may be over.
    fn tell<'s>(&'s self, mut state: MutexGuard<'s, State<R>>) -> MutexGuard<'s, State<R>> {
        let (durable, has_failed) = (self.durable(), state.failure.is_some() && !state.follows);
        let over: Vec<_> = state.wakers.extract_if(.., |(address, _)| has_failed || *address < durable).collect();
        if state.sleeping > 0 {
            self.changed.notify_all();
        }
        self.call_thread(&state); // it may have found that somebody leads
        if over.is_empty() {
            return state;
        }
        drop(state); // whoever is woken may ask at once
        over.into_iter().for_each(|(_, waker)| waker.wake());
        self.state.lock()
    }

    /// Whether what lies at `address`, which was appended, is durable. If not, sees to it that it will be, and that `waker` is
    /// then woken.
    pub(crate) fn poll(&self, address: Address, waker: &Waker) -> Poll<Result<()>> {
        self.poll_with(address, waker, true)
    }

    /// Whether anything at or behind `address` is durable. If not, `waker` is woken when something is, or nothing will be.
    pub(crate) fn poll_growth(&self, address: Address, waker: &Waker) -> Poll<Result<()>> {
        self.poll_with(address, waker, false)
    }

    fn poll_with(&self, address: Address, waker: &Waker, asks: bool) -> Poll<Result<()>> {
        if self.durable() > address {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.state.lock();
        if self.durable() > address {
            return Poll::Ready(Ok(()));
        }
        if let Some(failure) = state.failure.as_ref().filter(|_| asks || !state.follows) {
            return Poll::Ready(Err(failure.clone()));
        }
        if !state.wakers.iter().any(|(known, other)| *known == address && other.will_wake(waker)) {
            state.wakers.push((address, waker.clone()));
        }
        if asks && self.left_for_company(&mut state).is_none() {
            state.asked = true;
            self.call_thread(&state);
        }
        Poll::Pending
    }

    /// Waits until more than `address` is durable, nothing more will be, or `timeout` has passed; how far it is durable.
    pub(crate) fn wait_beyond(&self, address: Address, timeout: Duration) -> Address {
        let (started, mut state) = (Instant::now(), self.state.lock());
        while self.durable() <= address && (state.failure.is_none() || state.follows) {
            let Some(left) = timeout.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) else { break };
            state = self.sleep(state, left);
        }
        self.durable()
    }

    /// Has the thread commit at once.
    pub(crate) fn ask(&self) {
        let mut state = self.state.lock();
        state.asked = true;
        self.call_thread(&state);
    }

    /// What the thread does: commits for those who do not wait in a call, until it is stopped.
    pub(crate) fn serve(&self, tenant: &impl Tenant<Report = R>) {
        let mut state = self.state.lock();
        while !state.stop {
            let now = Instant::now();
            let is_due = state.asked || state.due.is_some_and(|due| due <= now);
            let may_lead = !state.leading && state.failure.is_none();
            if is_due && may_lead {
                // Everybody who asks is told what went wrong.
                state = self.lead(tenant, state, || tenant.commit());
                continue;
            }
            // Who leads, and whoever asks, calls. While others commit, it is not called for each time that is set, and looks
            // when the earliest of them is near.
            let is_lively = std::mem::take(&mut state.is_lively);
            let lively = self.policy.map(|policy| policy.interval).filter(|interval| is_lively && !interval.is_zero());
            let until_due = state.due.filter(|_| may_lead).map(|due| due.saturating_duration_since(now));
            let nap = until_due.or(lively).unwrap_or(IDLE);
            state.looks_at = now.checked_add(nap);
            state = self.called.wait_timeout(state, nap);
            state.looks_at = None;
        }
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock();
        state.stop = true;
        self.call_thread(&state);
    }
}

/// Starts the thread that serves a group.
///
/// # Errors
/// [`ErrorKind::Limit`] if the system gives none.
pub(crate) fn spawn(serve: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("oxifaster-commit".to_owned())
        .spawn(serve)
        .map_err(|error| Error::new(ErrorKind::Limit, "the system gives no thread for commits").because(error))
}
