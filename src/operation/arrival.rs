//! The completion of one access, for a future that waits for it.

use super::Operation;
use super::gate::Permit;
use crate::device::{CompletionSink, IoDone, Token};
use crate::error::Result;
use crate::sync::{Arc, Mutex};
use std::task::Waker;

/// The machine of an operation, whichever it is.
pub(crate) type Machine<E, T> = Box<dyn Operation<E, Output = T> + Send>;

/// An operation and where its access arrives. The device holds it until then, and with it the permit: a future that is
/// dropped leaves its access under way, and the access goes on counting.
pub(crate) struct Arrival<E: ?Sized, T> {
    inner: Mutex<Inner<E, T>>,
}

enum Inner<E: ?Sized, T> {
    /// The access has not begun.
    Queued(Machine<E, T>),
    Awaited(Machine<E, T>, Permit<E>, Option<Waker>),
    Ended(Machine<E, T>, Permit<E>, IoDone),
    /// Somebody has looked at the outcome in the owner's place.
    Digested(Result<Machine<E, T>>),
    /// The owner has taken the operation back.
    Taken,
}

/// Something that holds a permit, and need not any more once the outcome of its access was looked at.
pub(crate) trait Digest<E: ?Sized>: Send + Sync {
    /// Looks at the outcome if the access has ended, and gives the permit and the buffer back.
    fn digest(&self, environment: &E);
}

impl<E: ?Sized, T> Arrival<E, T> {
    pub(crate) fn new(machine: Machine<E, T>) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::new(Inner::Queued(machine)) })
    }

    /// Notes that the access is about to begin.
    pub(crate) fn begin(&self, permit: Permit<E>) {
        let mut inner = self.inner.lock();
        *inner = match std::mem::replace(&mut *inner, Inner::Taken) {
            Inner::Queued(machine) => Inner::Awaited(machine, permit, None),
            other => other,
        };
    }

    /// The operation with the outcome of its access; if that is not there, `waker` is woken when it is.
    pub(crate) fn take(&self, environment: &E, waker: &Waker) -> Option<Result<Machine<E, T>>> {
        let mut inner = self.inner.lock();
        let (machine, permit, done) = match std::mem::replace(&mut *inner, Inner::Taken) {
            Inner::Ended(machine, permit, done) => (machine, permit, done),
            Inner::Digested(machine) => return Some(machine),
            Inner::Awaited(machine, permit, former) => {
                *inner = Inner::Awaited(machine, permit, Some(waker.clone()));
                drop(inner);
                drop(former);
                return None;
            }
            other @ (Inner::Queued(_) | Inner::Taken) => {
                *inner = other;
                return None;
            }
        };
        drop(inner);
        let machine = resume(machine, environment, done);
        drop(permit);
        Some(machine)
    }
}

fn resume<E: ?Sized, T>(mut machine: Machine<E, T>, environment: &E, done: IoDone) -> Result<Machine<E, T>> {
    machine.resume(environment, done).map(|()| machine)
}

impl<E: ?Sized, T> CompletionSink for Arrival<E, T> {
    fn complete(&self, _: Token, done: IoDone) {
        let mut inner = self.inner.lock();
        let Inner::Awaited(machine, mut permit, waker) = std::mem::replace(&mut *inner, Inner::Taken) else { return };
        let others = permit.note_ended();
        *inner = Inner::Ended(machine, permit, done);
        drop(inner);
        waker.into_iter().chain(others).for_each(Waker::wake);
    }
}

impl<E: ?Sized, T> Digest<E> for Arrival<E, T> {
    fn digest(&self, environment: &E) {
        let mut inner = self.inner.lock();
        match std::mem::replace(&mut *inner, Inner::Taken) {
            Inner::Ended(machine, permit, done) => {
                *inner = Inner::Digested(resume(machine, environment, done));
                // It may wake somebody, who may want this lock.
                drop(inner);
                drop(permit);
            }
            other => *inner = other,
        }
    }
}
