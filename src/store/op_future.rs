//! An operation as a future: the same machine, stepped when it is polled.

use super::async_session::step_counted;
use super::database::Database;
use crate::device::{CompletionSink, IoDone, IoRequest};
use crate::error::Result;
use crate::kernel::Kernel;
use crate::operation::{Account, Arrival, Gate, Operation, Place, Retry, Stall, Step};
use crate::record::{Key, Value};
use crate::sync::Arc;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// The outcome of an operation of an [`AsyncSession`](super::AsyncSession).
///
/// If memory could answer, it is there at the first poll. The future needs no particular executor, is `Send`, does not
/// borrow its session, and may be dropped at any time: the operation has then either taken effect as a whole or not at all.
#[must_use = "an operation that has to wait does nothing until it is polled"]
pub struct OpFuture<K: Key, V: Value, T> {
    home: Arc<Home<K, V>>,
    state: State<K, V, T>,
}

/// What a session and its futures share.
pub(super) struct Home<K, V> {
    pub(super) database: Arc<Database<K, V>>,
    pub(super) gate: Arc<Gate>,
    pub(super) account: Arc<Account>,
}

/// The machine of an operation, whichever it is.
type Machine<K, V, T> = Box<dyn Operation<Kernel<K, V>, Output = T> + Send>;

enum State<K, V, T> {
    /// The outcome is known.
    Ready(Result<T>),
    /// The operation has to be stepped again, when others have moved on.
    Stalled(Machine<K, V, T>, Retry, Stall),
    /// The operation needs an access, for which there is no permit yet.
    Queued(Machine<K, V, T>, IoRequest, Place),
    /// The access is under way.
    Waiting(Machine<K, V, T>, Arc<Arrival>),
    /// The outcome was handed over.
    Over,
}

impl<K: Key, V: Value, T> OpFuture<K, V, T> {
    pub(super) fn ready(home: Arc<Home<K, V>>, outcome: Result<T>) -> Self {
        Self { home, state: State::Ready(outcome) }
    }

    pub(super) fn stepped(home: Arc<Home<K, V>>, machine: Machine<K, V, T>, step: Step<T>) -> Self {
        let state = State::after(machine, step, None, &home.gate);
        Self { home, state }
    }

    /// Steps the machine under a pin of its own: futures may be polled on any thread, many at a time.
    fn step(&self, mut machine: Machine<K, V, T>, stall: Option<Stall>) -> State<K, V, T> {
        let Home { database, account, .. } = &*self.home;
        let step = step_counted(&database.kernel, &mut *machine, &mut database.epoch.join(), account);
        State::after(machine, step, stall, &self.home.gate)
    }

    /// The completion of an access, if it is there.
    fn take(&self, arrival: &Arrival, waker: &Waker) -> Option<IoDone> {
        let done = arrival.take(waker);
        // What else has come is told here: who is called while he runs need not be woken.
        self.home.database.kernel.log.device().poll();
        done
    }

    /// Goes from one state to the next, or says that there is something to wait for, of which `waker` will be told.
    fn advance(&self, state: State<K, V, T>, waker: &Waker) -> (State<K, V, T>, bool) {
        match state {
            State::Stalled(machine, before, mut stall) => {
                if let Err(error) = stall.prepare(&self.home.database.kernel, before, waker) {
                    return (State::Ready(Err(error)), true);
                }
                let next = self.step(machine, Some(stall));
                if let State::Stalled(_, retry, _) = &next {
                    Stall::see_to_waking(&self.home.database.kernel, before, *retry, waker);
                    return (next, false);
                }
                (next, true)
            }
            State::Queued(machine, request, mut place) => match place.enter(waker) {
                None => (State::Queued(machine, request, place), false),
                Some(permit) => {
                    let arrival = Arrival::new(permit);
                    let sink = Arc::clone(&arrival) as Arc<dyn CompletionSink>;
                    self.home.database.kernel.log.count_read(request.len);
                    self.home.database.kernel.log.device().submit(request, sink, 0);
                    (State::Waiting(machine, arrival), true)
                }
            },
            State::Waiting(mut machine, arrival) => match self.take(&arrival, waker) {
                None => (State::Waiting(machine, arrival), false),
                Some(done) => {
                    drop(arrival); // and with it the permit
                    match machine.resume(&self.home.database.kernel, done) {
                        Ok(()) => (self.step(machine, None), true),
                        Err(error) => (State::Ready(Err(error)), true),
                    }
                }
            },
            settled @ (State::Ready(_) | State::Over) => (settled, false),
        }
    }
}

impl<K, V, T> State<K, V, T> {
    fn after(machine: Machine<K, V, T>, step: Step<T>, stall: Option<Stall>, gate: &Arc<Gate>) -> Self {
        match step {
            Step::Done(output) => Self::Ready(Ok(output)),
            Step::Failed(error) => Self::Ready(Err(error)),
            Step::Retry(retry) => Self::Stalled(machine, retry, stall.unwrap_or_else(Stall::new)),
            Step::Wait(request) => Self::Queued(machine, request, gate.place()),
        }
    }
}

// Nothing in it is pinned: the machine is behind a box of its own.
impl<K: Key, V: Value, T> Unpin for OpFuture<K, V, T> {}

impl<K: Key, V: Value, T> Future for OpFuture<K, V, T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        loop {
            let state = std::mem::replace(&mut self.state, State::Over);
            if let State::Ready(outcome) = state {
                return Poll::Ready(outcome);
            }
            let (next, moved) = self.advance(state, context.waker());
            self.state = next;
            if !moved {
                return Poll::Pending;
            }
        }
    }
}
