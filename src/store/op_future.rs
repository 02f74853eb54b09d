//! An operation as a future: the same machine, stepped when it is polled.

use super::async_session::step_counted;
use super::database::Database;
use crate::address::Address;
use crate::device::{CompletionSink, IoRequest};
use crate::epoch::Participant;
use crate::error::Result;
use crate::kernel::Kernel;
use crate::operation::{self, Account, Arrival, Gate, Operation, Place, Retry, Stall, Step};
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
    durably: Durably,
}

/// Whether an operation may change the store, and whether its future then waits for the change to be durable.
#[derive(Clone, Copy)]
pub(super) struct Durably {
    pub(super) writes: bool,
    pub(super) waits: bool,
}

impl Durably {
    /// Nothing is left to be done.
    const OVER: Self = Self { writes: false, waits: false };
}

/// What a session and its futures share.
pub(super) struct Home<K: Key, V: Value> {
    pub(super) database: Arc<Database<K, V>>,
    pub(super) gate: Arc<Gate<Kernel<K, V>>>,
    pub(super) account: Arc<Account>,
}

impl<K: Key, V: Value> Home<K, V> {
    /// What has to be durable before the outcome is told of an operation that is done and was stepped with this participant.
    pub(super) fn settles_at(&self, durably: Durably, participant: &Participant) -> Result<Option<Address>> {
        let Some(committer) = self.database.committer.as_ref().filter(|_| durably.writes) else { return Ok(None) };
        let changed_at = Address::from_word(participant.slip().take_change());
        if changed_at.is_valid() {
            committer.note_change(changed_at);
        }
        match durably.waits {
            false => Ok(None),
            true if changed_at.is_valid() => Ok(Some(changed_at)),
            // What it found instead was in the log by now.
            true => self.database.last_in_log().map(Some),
        }
    }
}

type Machine<K, V, T> = operation::Machine<Kernel<K, V>, T>;

enum State<K, V, T> {
    /// The outcome is known.
    Ready(Result<T>),
    /// The operation has to be stepped again, when others have moved on.
    Stalled(Machine<K, V, T>, Retry, Stall),
    /// The operation needs an access, for which there is no permit yet. Without a permit it has no buffer either.
    Queued(Arc<Arrival<Kernel<K, V>, T>>, IoRequest, Place<Kernel<K, V>>),
    /// The access is under way.
    Waiting(Arc<Arrival<Kernel<K, V>, T>>),
    /// The outcome is known, and is told when what lies at this address is durable.
    Settling(T, Address),
    /// The outcome was handed over.
    Over,
}

impl<K: Key, V: Value> Home<K, V> {
    /// For operations that are no work of a user's, beside those of the session.
    #[cfg(not(oxifaster_loom))]
    pub(super) fn unlisted(&self) -> Arc<Self> {
        let (database, gate) = (Arc::clone(&self.database), Arc::clone(&self.gate));
        Arc::new(Self { database, gate, account: Arc::new(Account::new(0, 0)) })
    }
}

impl<K: Key, V: Value, T: 'static> OpFuture<K, V, T> {
    /// An operation that is begun when the future is polled, and changes nothing that anybody sees.
    #[cfg(not(oxifaster_loom))]
    pub(super) fn of(
        home: Arc<Home<K, V>>,
        operation: impl Operation<Kernel<K, V>, Output = T> + Send + 'static,
    ) -> Self {
        let state = State::Stalled(Box::new(operation), Retry::Conflict, Stall::new());
        Self { home, state, durably: Durably::OVER }
    }

    pub(super) fn ready(home: Arc<Home<K, V>>, outcome: Result<T>) -> Self {
        Self { home, state: State::Ready(outcome), durably: Durably::OVER }
    }

    /// The operation is done; the future waits for what lies at `settles_at` to be durable.
    pub(super) fn done(home: Arc<Home<K, V>>, output: T, settles_at: Option<Address>) -> Self {
        let state = match settles_at {
            Some(address) => State::Settling(output, address),
            None => State::Ready(Ok(output)),
        };
        Self { home, state, durably: Durably::OVER }
    }

    pub(super) fn stepped(home: Arc<Home<K, V>>, machine: Machine<K, V, T>, step: Step<T>, durably: Durably) -> Self {
        let state = State::after(machine, step, None, &home.gate);
        Self { home, state, durably }
    }

    /// Steps the machine under a pin of its own: futures may be polled on any thread, many at a time.
    fn step(&self, mut machine: Machine<K, V, T>, stall: Option<Stall>) -> State<K, V, T> {
        let Home { database, account, .. } = &*self.home;
        let mut participant = database.epoch.join();
        let step = step_counted(&database.kernel, &mut *machine, &mut participant, account);
        if let Step::Done(output) = step {
            return match self.home.settles_at(self.durably, &participant) {
                Ok(Some(address)) => State::Settling(output, address),
                Ok(None) => State::Ready(Ok(output)),
                Err(error) => State::Ready(Err(error)),
            };
        }
        State::after(machine, step, stall, &self.home.gate)
    }

    /// Goes from one state to the next, or says that there is something to wait for, of which `waker` will be told.
    fn advance(&self, state: State<K, V, T>, waker: &Waker) -> (State<K, V, T>, bool) {
        let kernel = &self.home.database.kernel;
        match state {
            State::Stalled(machine, before, mut stall) => {
                if let Err(error) = stall.prepare(kernel, before, waker) {
                    return (State::Ready(Err(error)), true);
                }
                let next = self.step(machine, Some(stall));
                if let State::Stalled(_, retry, _) = &next {
                    Stall::see_to_waking(kernel, before, *retry, waker);
                    return (next, false);
                }
                (next, true)
            }
            State::Queued(arrival, request, mut place) => {
                let holder = Arc::downgrade(&arrival) as _;
                let is_strained = kernel.log.read_pool().is_strained();
                let Some(permit) = place.enter(kernel, &holder, waker, is_strained) else {
                    return (State::Queued(arrival, request, place), false);
                };
                arrival.begin(permit);
                kernel.log.count_read(request.len);
                let request = kernel.log.with_buffer(request);
                kernel.log.device().submit(request, Arc::clone(&arrival) as Arc<dyn CompletionSink>, 0);
                (State::Waiting(arrival), true)
            }
            State::Waiting(arrival) => {
                let taken = arrival.take(kernel, waker);
                // What else has come is told here: who is called while he runs need not be woken.
                kernel.log.device().poll();
                match taken {
                    None => (State::Waiting(arrival), false),
                    Some(Ok(machine)) => (self.step(machine, None), true),
                    Some(Err(error)) => (State::Ready(Err(error)), true),
                }
            }
            State::Settling(output, address) => {
                let Some(committer) = &self.home.database.committer else { return (State::Ready(Ok(output)), true) };
                match committer.poll(address, waker) {
                    Poll::Pending => (State::Settling(output, address), false),
                    Poll::Ready(Ok(())) => (State::Ready(Ok(output)), true),
                    Poll::Ready(Err(failure)) => (State::Ready(Err(failure)), true),
                }
            }
            settled @ (State::Ready(_) | State::Over) => (settled, false),
        }
    }
}

impl<K: Key, V: Value, T: 'static> State<K, V, T> {
    fn after(machine: Machine<K, V, T>, step: Step<T>, stall: Option<Stall>, gate: &Arc<Gate<Kernel<K, V>>>) -> Self {
        match step {
            Step::Done(output) => Self::Ready(Ok(output)),
            Step::Failed(error) => Self::Ready(Err(error)),
            Step::Retry(retry) => Self::Stalled(machine, retry, stall.unwrap_or_else(Stall::new)),
            Step::Wait(request) => Self::Queued(Arrival::new(machine), request, gate.place()),
        }
    }
}

// Nothing in it is pinned: the machine is behind a box of its own.
impl<K: Key, V: Value, T> Unpin for OpFuture<K, V, T> {}

impl<K: Key, V: Value, T: 'static> Future for OpFuture<K, V, T> {
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
