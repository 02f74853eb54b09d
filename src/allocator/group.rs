//! Group commit: many who wait for something to be durable share the cost of one cut, one write and one sync.
//!
//! ```text
//!   wait  wait  wait      the first one leads: it makes the cut that covers all who wait by then
//!     \    |    /
//!      one cut  -->  write  -->  sync  -->  all are told; who came meanwhile is in the next group
//! ```
//!
//! At most one group is under way. When it has ended, everybody who waits looks again, and whoever comes first leads the next:
//! so it does not matter who goes away meanwhile.

use super::durable::too_long;
use super::hybrid_log::HybridLog;
use crate::address::Address;
use crate::error::{Error, Result};
use crate::sync::{Backoff, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// When a group that somebody waits for begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupPolicy {
    /// How long the first one of a group waits for company; zero: not at all.
    pub(crate) delay: Duration,
    /// Bytes since the last cut with which it begins at once.
    pub(crate) bytes: u64,
    /// Waiters with whom it begins at once.
    pub(crate) waiters: usize,
}

impl GroupPolicy {
    /// A group begins when somebody waits and none is under way. Who comes while one is under way shares the next.
    pub(crate) const AT_ONCE: Self = Self { delay: Duration::ZERO, bytes: u64::MAX, waiters: usize::MAX };
}

/// Who leads, and what is under way.
pub(crate) struct GroupCommit {
    policy: GroupPolicy,
    state: Mutex<Group>,
}

struct Group {
    /// The last cut that was made.
    cut: Address,
    /// Somebody is making one.
    cutting: bool,
    /// Calls that waited for company since then, and the moment of the first.
    waiters: usize,
    since: Option<Instant>,
}

/// What a waiter is to do.
enum Turn {
    Done,
    /// Wait: until what is under way ends, or, if it is given, this moment.
    Wait(Option<Instant>),
    Lead,
}

impl GroupCommit {
    /// For a log of which everything below `durable` is.
    pub(crate) fn new(policy: GroupPolicy, durable: Address) -> Self {
        Self { policy, state: Mutex::new(Group { cut: durable, cutting: false, waiters: 0, since: None }) }
    }

    /// The moment at which a group is to begin for which somebody waits and nobody is awake.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let state = self.state.lock();
        state.since.filter(|_| !state.cutting).map(|since| since + self.policy.delay)
    }

    /// Whether a group is under way.
    fn is_under_way(&self, log: &HybridLog) -> bool {
        let state = self.state.lock();
        state.cutting || state.cut > log.durable()
    }

    fn turn(&self, log: &HybridLog, beyond: Address, arrives: bool) -> Result<Turn> {
        if log.durable() > beyond {
            return Ok(Turn::Done);
        }
        if let Some(failure) = log.durable_failure() {
            return Err(failure);
        }
        let mut state = self.state.lock();
        if state.cut > beyond {
            return Ok(if log.durable() > beyond { Turn::Done } else { Turn::Wait(None) });
        }
        if arrives && !self.policy.delay.is_zero() {
            state.waiters += 1;
            state.since.get_or_insert_with(Instant::now);
        }
        if state.cutting || state.cut > log.durable() {
            return Ok(Turn::Wait(None));
        }
        if let Some(since) = state.since {
            let begins = since + self.policy.delay;
            let bytes = log.addresses().tail.get().saturating_sub(state.cut.get());
            if state.waiters < self.policy.waiters && bytes < self.policy.bytes && Instant::now() < begins {
                return Ok(Turn::Wait(Some(begins)));
            }
        }
        state.cutting = true;
        Ok(Turn::Lead)
    }

    /// Makes a cut for everybody, and has it made durable.
    fn lead(&self, log: &HybridLog, make_cut: impl FnOnce() -> Result<Option<Address>>) -> Result<bool> {
        let leading = Leading { group: self, log, cut: None };
        match make_cut() {
            Ok(Some(cut)) => {
                leading.made(cut);
                log.want_durable(cut);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether what begins at `beyond` is durable. If not, `waker` is woken when it is time to ask again. If it is this
    /// caller's turn to lead, `make_cut` makes a cut above everything there is, or says that there is no room for that.
    ///
    /// # Errors
    /// Why it cannot become durable; that of `make_cut`.
    pub(crate) fn poll(
        &self,
        log: &HybridLog,
        beyond: Address,
        arrives: bool,
        waker: &Waker,
        mut make_cut: impl FnMut() -> Result<Option<Address>>,
    ) -> Poll<Result<()>> {
        loop {
            // Before the look, so that no end of a group after it goes by unnoticed.
            log.wake_on_durable(waker);
            match self.turn(log, beyond, arrives) {
                Ok(Turn::Done) => return Poll::Ready(Ok(())),
                Ok(Turn::Wait(_)) => return Poll::Pending,
                Ok(Turn::Lead) => {
                    log.wake_on_progress(waker);
                    match self.lead(log, &mut make_cut) {
                        Ok(true) => {}
                        Ok(false) => return Poll::Pending,
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Waits until what begins at `beyond` is durable. Called while not pinned.
    ///
    /// # Errors
    /// Why it cannot become durable; that of `make_cut`; [`ErrorKind::Busy`](crate::ErrorKind::Busy) if nothing goes on for
    /// `limit`.
    pub(crate) fn wait(
        &self,
        log: &HybridLog,
        beyond: Address,
        limit: Duration,
        mut make_cut: impl FnMut() -> Result<Option<Address>>,
    ) -> Result<()> {
        let (mut arrives, mut since, mut backoff) = (true, Instant::now(), Backoff::new());
        let mut seen = (log.durable(), log.addresses().flushed);
        loop {
            match self.turn(log, beyond, std::mem::take(&mut arrives))? {
                Turn::Done => return Ok(()),
                Turn::Lead => {
                    if !self.lead(log, &mut make_cut)? {
                        log.help();
                        backoff.wait();
                    }
                }
                Turn::Wait(until) => {
                    log.help();
                    let nap = until.map_or(limit, |until| until.saturating_duration_since(Instant::now()));
                    let is_over = || log.durable() > beyond || (until.is_none() && !self.is_under_way(log));
                    log.nap(is_over, nap.min(NAP));
                }
            }
            let now = (log.durable(), log.addresses().flushed);
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            if since.elapsed() >= limit {
                return Err(self.too_late(since));
            }
        }
    }

    #[cold]
    fn too_late(&self, since: Instant) -> Error {
        too_long("a group commit", since)
    }
}

/// How long a waiter sleeps at most before it looks whether it can help.
const NAP: Duration = Duration::from_millis(1);

/// The role of the leader; given up when dropped, also if there was no cut.
struct Leading<'g> {
    group: &'g GroupCommit,
    log: &'g HybridLog,
    cut: Option<Address>,
}

impl Leading<'_> {
    fn made(mut self, cut: Address) {
        self.cut = Some(cut);
    }
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        let mut state = self.group.state.lock();
        state.cutting = false;
        if let Some(cut) = self.cut {
            state.cut = state.cut.max(cut);
            (state.waiters, state.since) = (0, None);
        } else {
            drop(state);
            // Somebody who found this one leading may have to lead in its place.
            self.log.tell_waiters();
        }
    }
}
