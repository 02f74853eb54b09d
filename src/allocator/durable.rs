//! The durable prefix: how far the log would be there after the power fails. Invariant L10 of [`crate::allocator`].
//!
//! ```text
//!   wanted: a cut somebody asked for  --->  written up to it  --->  device synced  --->  durable moves, waiters are told
//! ```
//!
//! Nobody has to stay for it: the end of a write or of a sync starts what is next. Who waits helps, in its own loop.

use super::hybrid_log::{HybridLog, LogCore};
use crate::address::Address;
use crate::device::{CompletionSink, IoRequest, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Arc, Backoff, Condvar, MonotonicU64, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// The token of a sync: none of a write, whose numbers begin with zero.
pub(super) const SYNC_TOKEN: Token = Token::MAX;
/// How long a waiter sleeps at most before it looks whether it can help.
const NAP: Duration = Duration::from_millis(1);

/// How far everything is durable, what is wanted, and who waits.
pub(super) struct DurablePrefix {
    durable: MonotonicU64,
    /// The highest cut that somebody asked for.
    wanted: MonotonicU64,
    state: Mutex<SyncState>,
    changed: Condvar,
}

struct SyncState {
    /// The cut that is to be durable next. It stays while what is wanted grows, or a busy log would never be synced.
    target: Address,
    /// What the sync under way will have made durable.
    under_way: Option<Address>,
    /// A thread is submitting; nobody else needs to.
    pumping: bool,
    /// Why the first sync failed that did. No later one can be believed.
    failure: Option<Error>,
    /// Who waits, and for which address.
    waiting: Vec<(Address, Waker)>,
}

impl DurablePrefix {
    /// Of a log of which everything below `durable` is.
    pub(super) fn new(durable: Address) -> Self {
        Self {
            durable: MonotonicU64::new(durable.get()),
            wanted: MonotonicU64::new(durable.get()),
            state: Mutex::new(SyncState {
                target: durable,
                under_way: None,
                pumping: false,
                failure: None,
                waiting: Vec::new(),
            }),
            changed: Condvar::new(),
        }
    }

    fn durable(&self) -> Address {
        Address::of_pointer(self.durable.get())
    }

    /// Whether a sync is to be submitted now, for the one thread that does; `taken` says whether this one is it.
    fn begin_sync(&self, taken: &mut bool, flushed: impl Fn() -> Address) -> bool {
        let mut state = self.state.lock();
        if state.pumping && !*taken {
            return false;
        }
        // Who wants more, or has written more, does so before it takes the lock: of two that do both at the same time, the
        // later one sees both here.
        let (wanted, flushed) = (Address::of_pointer(self.wanted.get()), flushed());
        if state.target <= self.durable() {
            state.target = wanted;
        }
        let reached = if flushed >= wanted { wanted } else { state.target };
        let begins =
            state.failure.is_none() && state.under_way.is_none() && reached > self.durable() && reached <= flushed;
        if begins {
            state.under_way = Some(reached);
        }
        state.pumping = begins;
        *taken = begins;
        begins
    }

    /// Notes the end of a sync, and tells everybody for whom that is the end of waiting.
    fn end_sync(&self, result: Result<usize>) {
        let mut state = self.state.lock();
        let reached = state.under_way.take();
        match result {
            Ok(_) => {
                if let Some(reached) = reached {
                    self.durable.advance_to(reached.get());
                }
            }
            Err(error) => {
                state.failure.get_or_insert_with(|| {
                    Error::new(ErrorKind::DeviceFailed, "what the log has written could not be made durable")
                        .with("durable up to", self.durable())
                        .because(error)
                        .help("close the log, repair the device, and open it again; what was durable is there")
                });
            }
        }
        let (durable, failed) = (self.durable(), state.failure.is_some());
        let over = state.waiting.extract_if(.., |(beyond, _)| failed || *beyond < durable).collect();
        drop(state);
        self.tell(over);
    }

    fn register(&self, beyond: Address, waker: &Waker) {
        let mut state = self.state.lock();
        if !state.waiting.iter().any(|(known, other)| *known == beyond && other.will_wake(waker)) {
            state.waiting.push((beyond, waker.clone()));
        }
    }

    /// Has everybody who waits look again.
    pub(super) fn tell_all(&self) {
        let all = std::mem::take(&mut self.state.lock().waiting);
        self.tell(all);
    }

    fn tell(&self, over: Vec<(Address, Waker)>) {
        self.changed.notify_all();
        over.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn failure(&self) -> Option<Error> {
        self.state.lock().failure.clone()
    }
}

impl LogCore {
    /// Starts a sync if one is wanted, everything it is to cover is written, and none is under way. Called wherever one of
    /// these may have come true.
    pub(super) fn pump_sync(self: &Arc<Self>) {
        let mut taken = false;
        while self.durability.begin_sync(&mut taken, || self.pointers.flushed()) {
            // A device may complete within this call: that calls `pump_sync` again, which sees `pumping` and leaves.
            self.device.submit(IoRequest::sync(), Arc::clone(self) as Arc<dyn CompletionSink>, SYNC_TOKEN);
        }
    }

    pub(super) fn end_sync(&self, result: Result<usize>) {
        self.durability.end_sync(result);
        if let Some(core) = self.this.upgrade() {
            core.pump_sync();
        }
    }
}

impl HybridLog {
    /// Everything below is durable: a cut, whatever else has been written.
    pub(crate) fn durable(&self) -> Address {
        self.core.durability.durable()
    }

    /// Moves the tail to a block boundary, and returns it: what is there now lies below, what comes later shares no block with
    /// it. Called while not pinned.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if a page is being turned for as long as `limit`.
    pub(crate) fn cut(&self, limit: Duration) -> Result<Address> {
        let (since, mut backoff) = (Instant::now(), Backoff::new());
        loop {
            if let Some(cut) = self.close_block() {
                return Ok(cut);
            }
            if backoff.is_slow() && since.elapsed() >= limit {
                return Err(too_long("the page at the tail to be turned", since));
            }
            self.help();
            backoff.wait();
        }
    }

    /// Has everything below `cut`, which [`cut`](Self::cut) or another closing call gave, made durable, and returns at once.
    /// Called while not pinned.
    pub(crate) fn want_durable(&self, cut: Address) {
        self.close_below(cut);
        self.core.durability.wanted.advance_to(cut.get());
        self.help();
    }

    /// Why nothing more becomes durable, if that is so: a failed sync, which is final, or a write that failed and was not
    /// [tried again](Self::retry_flush).
    pub(crate) fn durable_failure(&self) -> Option<Error> {
        self.core.durability.failure().or_else(|| self.flush_failure())
    }

    /// Whether everything up to and including what begins at `beyond` is durable. If not, `waker` is woken when that has
    /// changed, or cannot change any more. Somebody has to [want](Self::want_durable) it.
    pub(crate) fn poll_durable(&self, beyond: Address, waker: &Waker) -> Poll<Result<()>> {
        let over = || match self.durable() > beyond {
            true => Some(Ok(())),
            false => self.durable_failure().map(Err),
        };
        if let Some(result) = over() {
            return Poll::Ready(result);
        }
        self.core.durability.register(beyond, waker);
        // What ended before that told nobody.
        over().map_or(Poll::Pending, Poll::Ready)
    }

    /// Has `waker` woken when anything has become durable, or cannot any more, once. To be called before the look that follows.
    pub(super) fn wake_on_durable(&self, waker: &Waker) {
        self.core.durability.register(Address::INVALID, waker);
    }

    /// Has everybody who waits for something to be durable look again.
    pub(super) fn tell_waiters(&self) {
        self.core.durability.tell_all();
    }

    /// Waits until everything below `cut` is durable, which somebody [wants](Self::want_durable). `check` is called now and then,
    /// to end the wait. Called while not pinned: it helps.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceFailed`] or the device's if something cannot be written or synced; [`ErrorKind::Busy`] if there is no
    /// progress for `limit`; that of `check`.
    pub(crate) fn wait_durable(
        &self,
        cut: Address,
        limit: Duration,
        mut check: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let (mut since, mut seen) = (Instant::now(), Address::INVALID);
        while self.durable() < cut {
            if let Some(failure) = self.durable_failure() {
                return Err(failure);
            }
            check()?;
            self.help();
            let flushed = self.addresses().flushed;
            if flushed > seen {
                // As long as it goes on, it may take as long as there is to write.
                (seen, since) = (flushed, Instant::now());
            }
            if since.elapsed() >= limit {
                return Err(too_long("the log to be written and synced", since));
            }
            self.nap(|| self.durable() >= cut, NAP);
        }
        Ok(())
    }

    /// Sleeps until something has become durable or failed, or for `at_most`, unless `is_over`.
    pub(super) fn nap(&self, is_over: impl Fn() -> bool, at_most: Duration) {
        let durability = &self.core.durability;
        let state = durability.state.lock();
        if !is_over() && state.failure.is_none() {
            drop(durability.changed.wait_timeout(state, at_most));
        }
    }
}

#[cold]
pub(super) fn too_long(what: &'static str, since: Instant) -> Error {
    Error::new(ErrorKind::Busy, "waiting for others took too long")
        .with("waiting for", what)
        .with("milliseconds waited", since.elapsed().as_millis())
        .help("look for a hung device, or for a call that never returns")
}

impl HybridLog {
    /// Makes durable all that is in the log at this moment. Returns the address up to which the log is durable, a block
    /// boundary: none of these blocks is written again. Called while not pinned.
    ///
    /// # Errors
    /// As for [`cut`](Self::cut) and [`wait_durable`](Self::wait_durable).
    pub(crate) fn make_durable(&self, limit: Duration) -> Result<Address> {
        let cut = self.cut(limit)?;
        self.want_durable(cut);
        self.wait_durable(cut, limit, || Ok(()))?;
        Ok(cut)
    }

    /// Gives up everything below the block of `begin`, and has the device give it back. Returns the address that the log begins
    /// with now.
    ///
    /// # Errors
    /// That of the device.
    pub(crate) fn truncate_before(&self, begin: Address, _: Duration) -> Result<Address> {
        let begin = self.geometry().block_start(begin);
        if self.shift_begin(begin.min(self.addresses().flushed))? {
            self.give_back(begin);
        }
        Ok(self.begin())
    }
}
