//! The completion of one access, for a future that waits for it.

use super::gate::Permit;
use crate::device::{CompletionSink, IoDone, Token};
use crate::sync::{Arc, Mutex};
use std::task::Waker;

/// Where one completion arrives. The device holds it until then, and with it the permit: a future that is dropped leaves
/// its access under way, and the access goes on counting.
pub(crate) struct Arrival {
    inner: Mutex<Inner>,
    _permit: Permit,
}

enum Inner {
    Awaited(Option<Waker>),
    Arrived(IoDone),
    Taken,
}

impl Arrival {
    pub(crate) fn new(permit: Permit) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::new(Inner::Awaited(None)), _permit: permit })
    }

    /// The completion; if it is not there, `waker` is woken when it is.
    pub(crate) fn take(&self, waker: &Waker) -> Option<IoDone> {
        let mut inner = self.inner.lock();
        match std::mem::replace(&mut *inner, Inner::Taken) {
            Inner::Arrived(done) => Some(done),
            Inner::Awaited(_) | Inner::Taken => {
                *inner = Inner::Awaited(Some(waker.clone()));
                None
            }
        }
    }
}

impl CompletionSink for Arrival {
    fn complete(&self, _: Token, done: IoDone) {
        let before = std::mem::replace(&mut *self.inner.lock(), Inner::Arrived(done));
        if let Inner::Awaited(Some(waker)) = before {
            waker.wake();
        }
    }
}
