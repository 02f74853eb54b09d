//! A checkpoint on a thread of its own.

use super::attempt::Attempt;
use super::control::{CheckpointProgress, Control};
use super::options::{CheckpointOptions, CheckpointReport};
use crate::directory::Directory;
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Key, Value};
use crate::store::database::Database;
use crate::sync::{Arc, Condvar, Mutex};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A checkpoint that is under way. It can be waited for, awaited, watched and cancelled. Dropping the handle lets it go on.
pub struct CheckpointHandle {
    control: Arc<Control>,
    outcome: Arc<Outcome>,
}

struct Outcome {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_settled: bool,
    /// Until somebody takes it.
    result: Option<Result<CheckpointReport>>,
    waker: Option<Waker>,
}

/// How often a waiting thread looks again by itself.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl CheckpointHandle {
    pub(super) fn start<K: Key, V: Value>(
        database: Arc<Database<K, V>>,
        directory: Arc<dyn Directory>,
        options: CheckpointOptions,
    ) -> Result<Self> {
        let control = Arc::new(Control::new(options.deadline));
        let outcome = Arc::new(Outcome { state: Mutex::new(State::default()), changed: Condvar::new() });
        let handle = Self { control: Arc::clone(&control), outcome: Arc::clone(&outcome) };
        let promise = Promise(outcome);
        let run = move || {
            let taken = Attempt::new(&database, &*directory, &options, &control).and_then(Attempt::run);
            // The store's parts are given back first: who waits for the checkpoint may want to open its device again.
            drop((database, directory));
            promise.0.settle(taken);
        };
        std::thread::Builder::new().name("oxifaster-checkpoint".to_owned()).spawn(run).map_err(|error| {
            Error::new(ErrorKind::Limit, "the system gives no thread for a checkpoint").because(error)
        })?;
        Ok(handle)
    }

    /// How far it has come.
    pub fn progress(&self) -> CheckpointProgress {
        self.control.progress()
    }

    /// Asks for it to be given up. It then ends with [`ErrorKind::Cancelled`], unless it is
    /// durable before it notices.
    pub fn cancel(&self) {
        self.control.cancel();
    }

    /// True when [`wait`](Self::wait) will not have to wait.
    pub fn is_over(&self) -> bool {
        self.outcome.state.lock().is_settled
    }

    /// Waits for it to end.
    ///
    /// # Errors
    /// As for [`FasterKv::checkpoint_to`](crate::store::FasterKv::checkpoint_to).
    pub fn wait(self) -> Result<CheckpointReport> {
        let mut state = self.outcome.state.lock();
        loop {
            match state.result.take() {
                Some(result) => return result,
                None => state = self.outcome.changed.wait_timeout(state, LOOK_AGAIN),
            }
        }
    }
}

/// Somebody settles the outcome, also if a device or a directory panics: nobody waits for a thread that is gone.
struct Promise(Arc<Outcome>);

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.settle(Err(Error::new(ErrorKind::Io, "the thread that took a checkpoint has ended by a panic")
            .help("look for a panic in the device or the directory that the store was given")));
    }
}

impl Outcome {
    /// The first result counts.
    fn settle(&self, result: Result<CheckpointReport>) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.is_settled, true) {
            return;
        }
        state.result = Some(result);
        let waker = state.waker.take();
        drop(state);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for CheckpointHandle {
    type Output = Result<CheckpointReport>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.outcome.state.lock();
        match state.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
