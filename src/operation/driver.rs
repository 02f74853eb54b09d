//! The one loop that turns steps into progress.

use super::merge::Merger;
use super::{Account, Environment, Operation, Retry, Step};
use crate::address::Address;
use crate::device::{IoChannel, IoDone, IoRequest, SharedChannel, Token};
use crate::epoch::{Guard, Participant};
use crate::error::{Error, ErrorKind, Result};
use crate::stats::{OwnedCounter, SessionCounters};
use crate::sync::{Arc, Backoff};
use std::task::Waker;
use std::time::{Duration, Instant};

/// What a finished operation is counted as.
pub(crate) type CountAs = fn(&SessionCounters) -> &OwnedCounter;

/// A session's epoch row, its book, and its way to the device.
pub(crate) struct Driver {
    participant: Participant,
    account: Arc<Account>,
    /// Made when the device is first needed: most of many sessions may never need it.
    channel: Option<Box<dyn IoChannel>>,
    merger: Merger,
}

/// How far an operation came.
pub(crate) enum Progress<T> {
    /// It is done.
    Done(T),
    /// It waits for this access, to be passed to [`Driver::submit`].
    Wait(IoRequest),
}

impl Driver {
    pub(crate) fn new(participant: Participant, account: Arc<Account>) -> Self {
        Self { participant, account, channel: None, merger: Merger::default() }
    }

    /// The session's book.
    #[inline(always)]
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Takes an operation to its end, or to an access that it needs. At its end it is counted, unless its caller does that.
    #[inline]
    pub(crate) fn advance<E, O>(
        &mut self,
        environment: &E,
        operation: &mut O,
        count_as: Option<CountAs>,
    ) -> Result<Progress<O::Output>>
    where
        E: Environment + ?Sized,
        O: Operation<E>,
    {
        self.tidy_up();
        match self.step(environment, operation, count_as) {
            Step::Done(output) => Ok(Progress::Done(output)),
            Step::Failed(error) => Err(error),
            Step::Retry(retry) => self.try_again(environment, operation, count_as, retry),
            Step::Wait(request) => Ok(Progress::Wait(request)),
        }
    }

    /// One step under one pin, which is held over no wait of any kind.
    #[inline]
    fn step<E, O>(&mut self, environment: &E, operation: &mut O, count_as: Option<CountAs>) -> Step<O::Output>
    where
        E: Environment + ?Sized,
        O: Operation<E>,
    {
        let (guard, account) = self.pin(environment);
        if account.number() != 0 && !account.is_in_batch() {
            account.sign(guard.slip(), environment.version(&guard));
        }
        let step = operation.step(environment, &guard);
        if let (Step::Done(_), Some(counter)) = (&step, count_as) {
            counter(&account.counters).add(1); // A1: while pinned
        }
        step
    }

    /// Pins, for a caller that steps several operations under one pin; and lends the book to count them in.
    #[inline]
    pub(crate) fn pin<E: Environment + ?Sized>(&mut self, environment: &E) -> (Guard<'_>, &Account) {
        let guard = self.participant.pin();
        if guard.notice().is_some() {
            self.account.observe(environment.version(&guard)); // A2
        }
        (guard, &self.account)
    }

    /// Begins to sign the changes of a batch, if its session has a number.
    pub(crate) fn sign_batch<E: Environment + ?Sized>(&mut self, environment: &E) {
        if self.account.number() != 0 {
            let (guard, account) = self.pin(environment);
            account.sign(guard.slip(), environment.version(&guard));
        }
    }

    /// Where the session's last change is in the log, if there was one since the last call and the log says whose it is.
    pub(crate) fn take_change(&self) -> Option<Address> {
        Some(self.participant.slip().take_change()).filter(|at| *at != 0).map(Address::from_word)
    }

    /// Says which lock the session holds itself on the key of its next operation, and whether it shares it.
    pub(crate) fn set_own_lock(&self, lock: Option<(u32, bool)>) {
        self.participant.slip().set_own_lock(lock);
    }

    /// Pins, unless operations have to take something into account; and lends the book.
    #[inline(always)]
    pub(crate) fn pin_plain(&mut self) -> Option<(Guard<'_>, &Account)> {
        match self.participant.pin_plain() {
            Some(guard) => Some((guard, &self.account)),
            None => None,
        }
    }

    /// Runs what waits for the epoch, if anything does. Called while not pinned.
    #[inline]
    pub(crate) fn tidy_up(&self) {
        if self.participant.epoch().has_pending() {
            self.participant.epoch().drain();
        }
    }

    /// Repeats the step until it does not ask for that any more.
    #[cold]
    pub(crate) fn try_again<E, O>(
        &mut self,
        environment: &E,
        operation: &mut O,
        count_as: Option<CountAs>,
        retry: Retry,
    ) -> Result<Progress<O::Output>>
    where
        E: Environment + ?Sized,
        O: Operation<E>,
    {
        let (mut stall, mut retry) = (Stall::new(), retry);
        loop {
            stall.wait(environment, retry)?;
            match self.step(environment, operation, count_as) {
                Step::Done(output) => return Ok(Progress::Done(output)),
                Step::Failed(error) => return Err(error),
                Step::Wait(request) => return Ok(Progress::Wait(request)),
                Step::Retry(again) => retry = again,
            }
        }
    }

    /// Queues a read, which starts with the next [`flush`](Self::flush) or [`take`](Self::take) that waits. Its
    /// completion comes under `token`.
    pub(crate) fn submit<E: Environment + ?Sized>(&mut self, environment: &E, request: IoRequest, token: Token) {
        let Some(request) = self.merger.lead(environment.log().with_buffer(request), token) else { return };
        environment.log().count_read(request.len);
        let device = || environment.log().device();
        let channel = self.channel.get_or_insert_with(|| {
            device().channel().unwrap_or_else(|| Box::new(SharedChannel::new(Arc::clone(device()))))
        });
        channel.submit(request, token);
    }

    /// Starts what is queued.
    pub(crate) fn flush(&mut self) {
        if let Some(channel) = &mut self.channel {
            channel.flush();
        }
    }

    /// Sees to it that the device has something to do while more is being queued.
    pub(crate) fn keep_busy(&mut self) {
        if let Some(channel) = &mut self.channel {
            channel.keep_busy();
        }
    }

    /// A completion, if one is there.
    pub(crate) fn try_take(&mut self) -> Option<(Token, IoDone)> {
        if let Some(merged) = self.merger.take() {
            return Some(merged);
        }
        let (token, done) = self.channel.as_mut()?.try_take()?;
        self.merger.finish(token, &done);
        Some((token, done))
    }

    /// A completion; waits for one within the environment's limit.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceFailed`] if none comes in time.
    pub(crate) fn take<E: Environment + ?Sized>(&mut self, environment: &E) -> Result<(Token, IoDone)> {
        if let Some(merged) = self.merger.take() {
            return Ok(merged);
        }
        let limit = environment.wait_limit();
        if let Some((token, done)) = self.channel.as_mut().and_then(|channel| channel.take_within(limit)) {
            self.merger.finish(token, &done);
            return Ok((token, done));
        }
        self.merger.note_late();
        Err(Error::new(ErrorKind::DeviceFailed, "the device did not answer in time")
            .with("milliseconds waited", limit.as_millis())
            .help("check the device; a longer limit is set by FasterKvConfig::with_wait_limit"))
    }
}

/// Nobody waits longer than this for a compaction to make room for a page.
pub(crate) const HELD_UP_MAX: Duration = Duration::from_millis(100);

/// The waiting of one call: helps, backs off, and gives up in time.
pub(crate) struct Stall {
    backoff: Backoff,
    since: Option<Instant>,
    /// Where writing had stopped when it was tried again on behalf of this call.
    wrote_again_at: Option<Address>,
    /// Since when a compaction has held this call up.
    held_up_since: Option<Instant>,
}

impl Stall {
    pub(crate) fn new() -> Self {
        Self { backoff: Backoff::new(), since: None, wrote_again_at: None, held_up_since: None }
    }

    /// Waits once for what `retry` needs. Called while not pinned.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceFailed`] if room is needed and writing fails, also when it is tried again; [`ErrorKind::Busy`]
    /// when the limit has passed.
    #[cold]
    pub(crate) fn wait<E: Environment + ?Sized>(&mut self, environment: &E, retry: Retry) -> Result<()> {
        self.help(environment, retry)?;
        self.backoff.wait();
        if self.backoff.is_slow() { self.check_limit(environment, retry) } else { Ok(()) }
    }

    /// For a future that is about to step again: asks for `waker` to be woken, and helps.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub(crate) fn prepare<E: Environment + ?Sized>(
        &mut self,
        environment: &E,
        retry: Retry,
        waker: &Waker,
    ) -> Result<()> {
        if retry == Retry::Room {
            // Before the look that follows, so that no change after it goes by unnoticed.
            environment.log().wake_on_progress(waker);
        }
        if let Retry::Locked(stripe) = retry {
            environment.wake_on_release(stripe, waker);
        }
        self.help(environment, retry)?;
        self.check_limit(environment, retry)
    }

    /// For a future that has stepped after [`prepare`](Self::prepare) for `before`, and has to step again for `retry`: sees
    /// to it that it is polled.
    pub(crate) fn see_to_waking<E: Environment + ?Sized>(environment: &E, before: Retry, retry: Retry, waker: &Waker) {
        // The ends of writes and of locks are told, and so is room that a compaction has made. The end of a pin and a change of
        // an entry are not: let others run, then look again.
        let is_told = match retry {
            Retry::Room => before == retry && (environment.log().is_writing() || environment.log().is_held_up()),
            Retry::Locked(_) => before == retry,
            Retry::Conflict | Retry::Fuzzy | Retry::Cut => false,
        };
        if !is_told {
            waker.wake_by_ref();
        }
    }

    fn help<E: Environment + ?Sized>(&mut self, environment: &E, retry: Retry) -> Result<()> {
        if !matches!(retry, Retry::Conflict | Retry::Locked(_)) {
            environment.log().help();
        }
        if retry != Retry::Room {
            return Ok(());
        }
        self.end_hold_up(environment);
        self.face_failure(environment)
    }

    /// Makes room for a page if the compaction that is to make it takes too long.
    fn end_hold_up<E: Environment + ?Sized>(&mut self, environment: &E) {
        let log = environment.log();
        if !log.is_held_up() {
            self.held_up_since = None;
        } else if self.held_up_since.get_or_insert_with(Instant::now).elapsed() >= HELD_UP_MAX {
            log.extend_room(log.geometry().page().page_size());
            self.held_up_since = None;
        }
    }

    fn check_limit<E: Environment + ?Sized>(&mut self, environment: &E, retry: Retry) -> Result<()> {
        let waited = self.since.get_or_insert_with(Instant::now).elapsed();
        if waited < environment.wait_limit() {
            return Ok(());
        }
        let known = if retry == Retry::Conflict { environment.help_with_entries() } else { None };
        Err(Error::new(ErrorKind::Busy, "waiting for others took too long")
            .with("waiting for", retry.reason())
            .with("milliseconds waited", waited.as_millis())
            .help(known.unwrap_or(
                "look for a call that never returns, such as a read-modify-write closure that blocks, or a hung device",
            )))
    }

    /// If writing has stopped on a failure: has it tried once more on behalf of this call, and reports it if that got no
    /// further.
    fn face_failure<E: Environment + ?Sized>(&mut self, environment: &E) -> Result<()> {
        let Some(failure) = environment.log().flush_failure() else { return Ok(()) };
        let stopped_at = environment.log().addresses().flushed;
        if self.wrote_again_at == Some(stopped_at) {
            return Err(Error::new(ErrorKind::DeviceFailed, "the log is full and cannot be written to its device")
                .because(failure)
                .help("nothing acknowledged is lost, it is still in memory: repair the device or free some space, and call again"));
        }
        self.wrote_again_at = Some(stopped_at);
        environment.log().retry_flush();
        Ok(())
    }
}

impl Retry {
    fn reason(self) -> &'static str {
        match self {
            Self::Conflict => "the index entry, which others keep changing",
            Self::Fuzzy => "a record whose page is being closed to updates",
            Self::Room => "room in the log",
            Self::Cut => "a checkpoint, which waits for the batches of other sessions",
            Self::Locked(_) => "a key that somebody has locked",
        }
    }
}
