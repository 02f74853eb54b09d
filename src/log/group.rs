//! Group commit: who waits for what to be durable, and who sees to it.
//!
//! One caller at a time *leads*: it commits for itself and for all whose entries are in the log by then. The others wait, and
//! find that it is done, or lead the next commit. The log's own thread leads for those who do not wait in a call: futures, and
//! whoever has appended and gone on.

use super::faster_log::{Commit, Core};
use crate::address::Address;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Arc, AtomicBool, AtomicU64, Condvar, Mutex, MutexGuard, Ordering};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the log's thread sleeps when there is nothing to do.
const IDLE: Duration = Duration::from_secs(3600);

/// How far a log is durable, and who waits.
pub(super) struct Group {
    durable: AtomicU64,
    /// True once nothing can be appended any more; the state says why.
    is_closed: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Somebody is committing.
    leading: bool,
    /// Why nothing is committed any more.
    failure: Option<Error>,
    /// The log's thread is to commit at once.
    asked: bool,
    /// It is to commit at this moment.
    due: Option<Instant>,
    /// Something beside the entries changed.
    is_dirty: bool,
    stop: bool,
    last: Commit,
    /// What was durable before the last commit.
    before: Address,
    wakers: Vec<(Address, Waker)>,
}

impl Group {
    pub(super) fn new(durable: Address, number: u64, cookie: Vec<u8>) -> Self {
        let last = Commit { number: number.saturating_sub(1), until: durable, cookie };
        Self {
            durable: AtomicU64::new(durable.get()),
            is_closed: AtomicBool::new(false),
            state: Mutex::new(State {
                leading: false,
                failure: None,
                asked: false,
                due: None,
                is_dirty: false,
                stop: false,
                last,
                before: Address::INVALID,
                wakers: Vec::new(),
            }),
            changed: Condvar::new(),
        }
    }

    /// Everything below is durable.
    #[inline]
    pub(super) fn durable(&self) -> Address {
        Address::from_word(self.durable.load(Ordering::Acquire))
    }

    /// Where an opening begins to verify, after the last commit.
    pub(super) fn verified_from(&self) -> Address {
        self.state.lock().before
    }

    /// That something may be appended.
    #[inline]
    pub(super) fn check_open(&self) -> Result<()> {
        if self.is_closed.load(Ordering::Relaxed) { self.why_closed() } else { Ok(()) }
    }

    #[cold]
    fn why_closed(&self) -> Result<()> {
        let state = self.state.lock();
        match &state.failure {
            Some(failure) => Err(failure.clone()),
            None => Err(Error::new(ErrorKind::Unsupported, "the log is complete: nothing is appended any more")),
        }
    }

    /// Ends appending for good.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Notes that nothing can be committed any more, and why; returns it.
    pub(super) fn fail(&self, failure: Error) -> Error {
        let mut state = self.state.lock();
        let failure = state.failure.get_or_insert(failure).clone();
        self.is_closed.store(true, Ordering::Relaxed);
        self.tell(&mut state);
        failure
    }

    /// Something that a commit record says has changed.
    pub(super) fn note_change(&self) {
        let mut state = self.state.lock();
        state.is_dirty = true;
        self.changed.notify_all();
    }

    /// Something was appended for the first time since a commit: it is to be committed within `interval`. Or, if that was
    /// said before, so much was appended that it is to be committed now.
    pub(super) fn ask_within(&self, interval: Option<Duration>) -> bool {
        let mut state = self.state.lock();
        let is_first = state.due.is_none();
        match interval {
            Some(interval) if is_first => state.due = Some(Instant::now() + interval),
            Some(_) => state.asked = true,
            None => {}
        }
        self.changed.notify_all();
        is_first
    }

    pub(super) fn stop(&self) {
        self.state.lock().stop = true;
        self.changed.notify_all();
    }

    pub(super) fn wait_beyond(&self, address: Address, timeout: Duration) -> Address {
        let (started, mut state) = (Instant::now(), self.state.lock());
        while self.durable() <= address && state.failure.is_none() {
            let Some(left) = timeout.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) else { break };
            state = self.changed.wait_timeout(state, left);
        }
        self.durable()
    }

    /// Wakes everybody whose wait may be over.
    fn tell(&self, state: &mut MutexGuard<'_, State>) {
        let (durable, failed) = (self.durable(), state.failure.is_some());
        state.wakers.retain(|(address, waker)| {
            let is_over = failed || *address < durable;
            if is_over {
                waker.wake_by_ref();
            }
            !is_over
        });
        self.changed.notify_all();
    }
}

impl Core {
    /// Sees to it that everything below `target` is durable.
    fn reach(&self, target: Address) -> Result<Commit> {
        let (started, mut state) = (Instant::now(), self.group.state.lock());
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if self.group.durable() >= target {
                return Ok(state.last.clone());
            }
            if !state.leading {
                state = self.lead(state, None)?;
                continue;
            }
            self.check_wait(started)?;
            state = self.group.changed.wait_timeout(state, self.config.wait_limit);
        }
    }

    pub(super) fn wait_durable(&self, address: Address) -> Result<()> {
        self.reach(Address::new(address.get() + 1)).map(drop)
    }

    /// Commits everything that was done before this call, and a cookie.
    pub(super) fn commit_shared(&self, cookie: Option<Vec<u8>>) -> Result<Commit> {
        let (started, target) = (Instant::now(), self.log.addresses().tail);
        let mut state = self.group.state.lock();
        // Whoever leads may have begun before what this caller did, and counts only when it is done.
        while state.leading && state.failure.is_none() {
            self.check_wait(started)?;
            state = self.group.changed.wait_timeout(state, self.config.wait_limit);
        }
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        if cookie.is_none() && self.group.durable() >= target && !state.is_dirty {
            return Ok(state.last.clone());
        }
        self.lead(state, cookie).map(|state| state.last.clone())
    }

    fn check_wait(&self, started: Instant) -> Result<()> {
        // As long as two commits may take.
        if started.elapsed() <= self.config.wait_limit * 2 {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Busy, "waiting for a commit took too long")
            .with("milliseconds waited", started.elapsed().as_millis()))
    }

    /// Commits, for who found that nobody does.
    fn lead<'g>(&'g self, mut state: MutexGuard<'g, State>, cookie: Option<Vec<u8>>) -> Result<MutexGuard<'g, State>> {
        state.leading = true;
        state.asked = false;
        state.is_dirty = false;
        state.due = None;
        let before = self.group.durable();
        drop(state);
        let result = self.commit(cookie);
        let mut state = self.group.state.lock();
        state.leading = false;
        match result {
            Ok(commit) => {
                self.group.durable.store(commit.until.get(), Ordering::Release);
                (state.last, state.before) = (commit, before);
                self.group.tell(&mut state);
                drop(state);
                self.rearm();
                Ok(self.group.state.lock())
            }
            Err(error) => {
                drop(state);
                Err(self.group.fail(error))
            }
        }
    }
}

/// Starts the thread that commits for those who do not wait in a call.
pub(super) fn start(core: &Arc<Core>) -> Result<JoinHandle<()>> {
    let core = Arc::clone(core);
    std::thread::Builder::new()
        .name("oxifaster-commit".to_owned())
        .spawn(move || commit_for_others(&core))
        .map_err(|error| Error::new(ErrorKind::Limit, "starting the log's thread").because(error))
}

fn commit_for_others(core: &Core) {
    let group = &core.group;
    let mut state = group.state.lock();
    while !state.stop {
        let now = Instant::now();
        let is_due = state.asked || state.due.is_some_and(|due| due <= now);
        if is_due && !state.leading && state.failure.is_none() {
            state = match core.lead(state, None) {
                Ok(state) => state,
                Err(_) => group.state.lock(), // everybody who asks is told
            };
            continue;
        }
        let nap = if is_due { IDLE } else { state.due.map_or(IDLE, |due| due.saturating_duration_since(now)) };
        state = group.changed.wait_timeout(state, nap);
    }
}

/// Ready when an entry is durable, with its address; or with the reason why it will not be.
#[must_use = "futures do nothing unless polled"]
pub struct Durable {
    core: Arc<Core>,
    address: Address,
}

impl Durable {
    pub(super) const fn new(core: Arc<Core>, address: Address) -> Self {
        Self { core, address }
    }
}

impl Future for Durable {
    type Output = Result<Address>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let group = &self.core.group;
        if group.durable() > self.address {
            return Poll::Ready(Ok(self.address));
        }
        let mut state = group.state.lock();
        if group.durable() > self.address {
            return Poll::Ready(Ok(self.address));
        }
        if let Some(failure) = &state.failure {
            return Poll::Ready(Err(failure.clone()));
        }
        let (address, waker) = (self.address, context.waker());
        if !state.wakers.iter().any(|(known, other)| *known == address && other.will_wake(waker)) {
            state.wakers.push((address, waker.clone()));
        }
        state.asked = true;
        group.changed.notify_all();
        Poll::Pending
    }
}
