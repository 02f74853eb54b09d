//! Operations as machines that never wait.
//!
//! An [`Operation`] is stepped under a pin. A step finishes it, or says why it cannot go on: try again (after the pin was
//! dropped), or wait for a device access. It never blocks and never submits anything itself. [`Driver`] is the one loop
//! that turns steps into progress; the blocking and the pending face of a session are two uses of it. A future steps its
//! operation when it is polled.
//!
//! ```text
//!              +--------- pin, step, unpin <--------+
//!              v                                    |
//!   Done -> result    Retry -> help, back off ------+
//!                     Wait  -> submit the access, park; resume with its completion, then step again
//! ```

mod account;
mod arrival;
mod driver;
mod gate;
mod merge;
mod pending;

use crate::allocator::HybridLog;
use crate::device::{IoDone, IoRequest};
use crate::epoch::Guard;
use crate::error::{Error, Result};
use crate::locks::Stripe;
use std::task::Waker;
use std::time::Duration;

pub(crate) use account::Account;
pub(crate) use arrival::{Arrival, Machine};
pub(crate) use driver::{CountAs, Driver, HELD_UP_MAX, Progress, Stall};
pub(crate) use gate::{Gate, Place};
pub(crate) use pending::PendingTable;

/// What a step came to.
pub(crate) enum Step<T> {
    /// The operation is done.
    Done(T),
    /// The operation cannot go on under this pin.
    Retry(Retry),
    /// The operation goes on when this access is finished.
    Wait(IoRequest),
    /// The operation failed.
    Failed(Error),
}

impl<T> Step<T> {
    /// The same, with another form of output.
    pub(crate) fn map<U>(self, map: impl FnOnce(T) -> U) -> Step<U> {
        match self {
            Self::Done(output) => Step::Done(map(output)),
            Self::Retry(retry) => Step::Retry(retry),
            Self::Wait(request) => Step::Wait(request),
            Self::Failed(error) => Step::Failed(error),
        }
    }
}

/// Why a step has to be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Somebody else changed the index entry first.
    Conflict,
    /// The record is in the fuzzy region: somebody may still be changing it in place.
    Fuzzy,
    /// The log has no room until a page is written and its frame is free.
    Room,
    /// A checkpoint is about to cut, and waits for batches that are under way.
    Cut,
    /// Somebody has locked the key.
    Locked(Stripe),
}

/// What operations work on.
pub(crate) trait Environment {
    /// The log they append to.
    fn log(&self) -> &HybridLog;

    /// The version of what an operation does under this guard.
    fn version(&self, guard: &Guard<'_>) -> u64;

    /// How long a caller waits for others or for the device before its call fails.
    fn wait_limit(&self) -> Duration;

    /// Has `waker` woken when a lock of the stripe ends.
    fn wake_on_release(&self, stripe: Stripe, waker: &Waker);

    /// What can be done if an index entry cannot be changed for long, as far as that is known.
    fn help_with_entries(&self) -> Option<&'static str>;
}

/// A sans-IO operation on an environment `E`.
pub(crate) trait Operation<E: ?Sized> {
    /// What it yields.
    type Output;

    /// Goes as far as it can under this pin.
    fn step(&mut self, environment: &E, guard: &Guard<'_>) -> Step<Self::Output>;

    /// Takes in the access that the last step waited for.
    fn resume(&mut self, environment: &E, done: IoDone) -> Result<()>;
}
