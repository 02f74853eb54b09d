//! A bound on how many accesses are under way, for callers that wait without a thread.

use crate::sync::{Arc, Mutex};
use std::collections::VecDeque;
use std::task::Waker;

/// Lets up to a number of permits out at the same time; who gets none is woken when one comes back.
pub(crate) struct Gate(Mutex<Inner>);

struct Inner {
    free: usize,
    waiting: VecDeque<Waker>,
}

/// The right to have one access under way; given back when dropped.
pub(crate) struct Permit(Arc<Gate>);

impl Gate {
    pub(crate) fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner { free: permits, waiting: VecDeque::new() })))
    }

    /// A permit if one is free; otherwise `waker` is woken when that may have changed.
    pub(crate) fn enter(self: &Arc<Self>, waker: &Waker) -> Option<Permit> {
        let mut inner = self.0.lock();
        if inner.free == 0 {
            inner.waiting.push_back(waker.clone());
            return None;
        }
        inner.free -= 1;
        Some(Permit(Arc::clone(self)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut inner = self.0.0.lock();
        inner.free += 1;
        // All of them: the first in line may have lost interest, and then nobody would wake the next.
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn who_finds_the_gate_closed_is_woken_when_it_opens() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let gate = Gate::new(1);
        let permit = gate.enter(&waker);
        assert!(permit.is_some() && gate.enter(&waker).is_none() && gate.enter(&waker).is_none());
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        drop(permit);
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
        assert!(gate.enter(&waker).is_some());
    }
}
