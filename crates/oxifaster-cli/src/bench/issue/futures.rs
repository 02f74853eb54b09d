//! Operations as futures.

use super::tasks::Tasks;
use super::{FETCH_EVERY, Issuer, Order, nothing_completes};
use crate::bench::audit::{Asked, Audit, Write};
use crate::bench::value::Content;
use crate::bench::workload::Operation;
use oxifaster::Result;
use oxifaster::store::{AsyncSession, OpFuture};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// Longer than the store lets an operation wait before it fails.
const LIMIT: Duration = Duration::from_secs(60);

/// A session with up to `depth` futures that are not ready.
pub(super) struct Futures<V: Content> {
    session: AsyncSession<u64, V>,
    depth: usize,
    tasks: Tasks<Awaited<V>>,
    since_fetch: u32,
}

impl<V: Content> Futures<V> {
    pub(super) fn new(session: AsyncSession<u64, V>, depth: usize) -> Self {
        Self { session, depth, tasks: Tasks::new(), since_fetch: 0 }
    }

    /// Polls those that were woken; with `wait`, sleeps until there is one.
    fn fetch(&mut self, wait: bool, audit: &mut Audit<'_, V>) -> Result<()> {
        self.since_fetch = 0;
        let (session, mut outcome) = (&mut self.session, Ok(()));
        let woken = self.tasks.poll_woken(wait.then_some(LIMIT), |answer| {
            let told = answer.and_then(|answer| {
                let (operation, began) = (answer.operation(), answer.began);
                answer.tell(session, audit)?;
                audit.took(operation, began.elapsed(), 1);
                Ok(())
            });
            if outcome.is_ok() {
                outcome = told;
            }
        });
        if !woken {
            return Err(nothing_completes(self.tasks.len()));
        }
        audit.restart_clock();
        outcome
    }
}

impl<V: Content> Issuer<V> for Futures<V> {
    fn issue(&mut self, order: Order, audit: &mut Audit<'_, V>) -> Result<()> {
        let call = match order {
            Order::Read(key) => {
                let asked = audit.ask(key);
                Call::Read(self.session.read(&key), asked)
            }
            Order::Change(key) => {
                let change = audit.change(key);
                Call::Change(self.session.rmw(key, move |value| change.apply(value)), change.asked)
            }
            Order::Write(write) => Call::Write(self.session.upsert(write.key, audit.value(write)), write),
        };
        match self.tasks.start(Awaited { call, began: audit.clock() }) {
            Some(answer) => {
                let answer = answer?;
                let operation = answer.operation();
                answer.tell(&mut self.session, audit)?;
                audit.done(operation);
            }
            None => audit.restart_clock(),
        }
        self.since_fetch += 1;
        match self.tasks.len() {
            0 => Ok(()),
            tasks if tasks >= self.depth => self.fetch(true, audit),
            _ if self.since_fetch >= FETCH_EVERY => self.fetch(false, audit),
            _ => Ok(()),
        }
    }

    fn drain(&mut self, audit: &mut Audit<'_, V>) -> Result<()> {
        while self.tasks.len() > 0 {
            self.fetch(true, audit)?;
        }
        Ok(())
    }

    fn issued(&self) -> usize {
        self.tasks.len()
    }
}

/// An operation whose answer is awaited.
struct Awaited<V: Content> {
    call: Call<V>,
    began: Instant,
}

enum Call<V: Content> {
    Read(OpFuture<u64, V, Option<V>>, Asked),
    Change(OpFuture<u64, V, bool>, Asked),
    Write(OpFuture<u64, V, ()>, Write),
}

impl<V: Content> Future for Awaited<V> {
    type Output = Result<Answer<V>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let began = self.began;
        let given = match &mut self.call {
            Call::Read(future, asked) => {
                ready!(Pin::new(future).poll(context)).map(|value| Given::Value(*asked, value))
            }
            Call::Change(future, asked) => {
                ready!(Pin::new(future).poll(context)).map(|applied| Given::Changed(*asked, applied))
            }
            Call::Write(future, write) => ready!(Pin::new(future).poll(context)).map(|()| Given::Written(*write)),
        };
        Poll::Ready(given.map(|given| Answer { given, began }))
    }
}

/// What came of an operation.
struct Answer<V: Content> {
    given: Given<V>,
    began: Instant,
}

enum Given<V: Content> {
    Value(Asked, Option<V>),
    Changed(Asked, bool),
    Written(Write),
}

impl<V: Content> Answer<V> {
    fn operation(&self) -> Operation {
        match &self.given {
            Given::Value(..) => Operation::Read,
            Given::Changed(..) => Operation::ReadModifyWrite,
            Given::Written(write) => write.operation,
        }
    }

    fn tell(self, session: &mut AsyncSession<u64, V>, audit: &mut Audit<'_, V>) -> Result<()> {
        match self.given {
            Given::Value(asked, value) => audit.answered(asked, value.as_ref()),
            Given::Changed(asked, applied) => return audit.changed(asked, applied, |key| finished(session.read(key))),
            Given::Written(write) => audit.written(write),
        }
        Ok(())
    }
}

/// Waits for one operation alone.
fn finished<V: Content, T: 'static>(future: OpFuture<u64, V, T>) -> Result<T> {
    let mut tasks = Tasks::new();
    let mut outcome = tasks.start(future);
    loop {
        if let Some(outcome) = outcome {
            return outcome;
        }
        if !tasks.poll_woken(Some(LIMIT), |done| outcome = Some(done)) {
            return Err(nothing_completes(1));
        }
    }
}
