//! The one loop that turns steps into progress.

use super::{Environment, Operation, Retry, Step};
use crate::device::{CompletionQueue, CompletionSink, IoDone, IoRequest, Token};
use crate::epoch::{Guard, Participant};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Arc, Backoff};
use std::time::Instant;

/// A session's epoch row and its inbox of completions.
pub(crate) struct Driver {
    participant: Participant,
    queue: Arc<CompletionQueue>,
}

/// How far an operation came.
pub(crate) enum Progress<T> {
    /// It is done.
    Done(T),
    /// It waits for this access, to be passed to [`Driver::submit`].
    Wait(IoRequest),
}

impl Driver {
    pub(crate) fn new(participant: Participant) -> Self {
        Self { participant, queue: CompletionQueue::new() }
    }

    /// Takes an operation to its end, or to an access that it needs.
    #[inline]
    pub(crate) fn advance<E, O>(&mut self, environment: &E, operation: &mut O) -> Result<Progress<O::Output>>
    where
        E: Environment + ?Sized,
        O: Operation<E>,
    {
        self.tidy_up();
        // The pin ends with this statement: it is held over no wait of any kind.
        let step = operation.step(environment, &self.participant.pin());
        match step {
            Step::Done(output) => Ok(Progress::Done(output)),
            Step::Failed(error) => Err(error),
            Step::Retry(retry) => self.try_again(environment, operation, retry),
            Step::Wait(request) => Ok(Progress::Wait(request)),
        }
    }

    /// Pins, for a caller that steps several operations under one pin.
    #[inline]
    pub(crate) fn pin(&mut self) -> Guard<'_> {
        self.participant.pin()
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
        retry: Retry,
    ) -> Result<Progress<O::Output>>
    where
        E: Environment + ?Sized,
        O: Operation<E>,
    {
        let (mut stall, mut retry) = (Stall::new(), retry);
        loop {
            stall.wait(environment, retry)?;
            let step = operation.step(environment, &self.participant.pin());
            match step {
                Step::Done(output) => return Ok(Progress::Done(output)),
                Step::Failed(error) => return Err(error),
                Step::Wait(request) => return Ok(Progress::Wait(request)),
                Step::Retry(again) => retry = again,
            }
        }
    }

    /// Starts an access. Its completion comes under `token`.
    pub(crate) fn submit<E: Environment + ?Sized>(&self, environment: &E, request: IoRequest, token: Token) {
        environment.log().device().submit(request, Arc::clone(&self.queue) as Arc<dyn CompletionSink>, token);
    }

    /// The oldest completion, if one is there.
    pub(crate) fn try_take<E: Environment + ?Sized>(&self, environment: &E) -> Option<(Token, IoDone)> {
        environment.log().device().poll();
        self.queue.try_take()
    }

    /// The oldest completion; waits for one within the environment's limit.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceFailed`] if none comes in time.
    pub(crate) fn take<E: Environment + ?Sized>(&self, environment: &E) -> Result<(Token, IoDone)> {
        if let Some(taken) = self.try_take(environment) {
            return Ok(taken);
        }
        let limit = environment.wait_limit();
        self.queue.take_within(limit).ok_or_else(|| {
            Error::new(ErrorKind::DeviceFailed, "the device did not answer in time")
                .with("milliseconds waited", limit.as_millis())
                .help("check the device; a longer limit is set by FasterKvConfig::with_wait_limit")
        })
    }
}

/// The waiting of one call: helps, backs off, and gives up in time.
pub(crate) struct Stall {
    backoff: Backoff,
    since: Option<Instant>,
    wrote_again: bool,
}

impl Stall {
    pub(crate) fn new() -> Self {
        Self { backoff: Backoff::new(), since: None, wrote_again: false }
    }

    /// Waits once for what `retry` needs. Called while not pinned.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceFailed`] if room is needed and writing fails, also when it is tried again; [`ErrorKind::Busy`]
    /// when the limit has passed.
    #[cold]
    pub(crate) fn wait<E: Environment + ?Sized>(&mut self, environment: &E, retry: Retry) -> Result<()> {
        if retry != Retry::Conflict {
            environment.log().help();
        }
        if retry == Retry::Room {
            self.face_failure(environment)?;
        }
        self.backoff.wait();
        if !self.backoff.is_slow() {
            return Ok(());
        }
        let waited = self.since.get_or_insert_with(Instant::now).elapsed();
        if waited < environment.wait_limit() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Busy, "waiting for others took too long")
            .with("waiting for", retry.reason())
            .with("milliseconds waited", waited.as_millis())
            .help(
                "look for a call that never returns, such as a read-modify-write closure that blocks, or a hung device",
            ))
    }

    /// If writing has stopped on a failure: has it tried once more on behalf of this call, then reports it.
    fn face_failure<E: Environment + ?Sized>(&mut self, environment: &E) -> Result<()> {
        let Some(failure) = environment.log().flush_failure() else { return Ok(()) };
        if self.wrote_again {
            return Err(Error::new(ErrorKind::DeviceFailed, "the log is full and cannot be written to its device")
                .because(failure)
                .help("nothing acknowledged is lost, it is still in memory: repair the device or free some space, and call again"));
        }
        self.wrote_again = true;
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
        }
    }
}
