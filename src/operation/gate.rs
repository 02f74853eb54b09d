//! A bound on how many accesses are under way, for callers that wait without a thread.
//!
//! * **G1** Each permit that comes back calls the first in line: as many are called as can enter, not everybody.
//! * **G2** Who was called keeps his place until he enters or leaves. If he leaves, the call goes on to the next.
//! * **G3** A permit that is free is had by whoever asks first: somebody who was called and does not come does not hold it.

use crate::sync::{Arc, Mutex};
use std::collections::BTreeMap;
use std::task::Waker;

/// Lets up to a number of permits out at the same time; who gets none is called when one comes back.
pub(crate) struct Gate(Mutex<Inner>);

struct Inner {
    free: usize,
    /// Those who wait to be called, by the order in which they first asked.
    waiting: BTreeMap<u64, Waker>,
    next_place: u64,
}

/// The right to have one access under way; given back when dropped.
pub(crate) struct Permit(Arc<Gate>);

/// A place in line; given up when dropped.
pub(crate) struct Place {
    gate: Arc<Gate>,
    number: Option<u64>,
}

impl Gate {
    pub(crate) fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner { free: permits, waiting: BTreeMap::new(), next_place: 0 })))
    }

    /// Somebody who is going to ask for a permit.
    pub(crate) fn place(self: &Arc<Self>) -> Place {
        Place { gate: Arc::clone(self), number: None }
    }
}

impl Inner {
    /// Takes the first in line out of it if he can enter; he is to be called without the lock.
    fn call_next(&mut self) -> Option<Waker> {
        if self.free == 0 {
            return None;
        }
        self.waiting.pop_first().map(|(_, waker)| waker)
    }
}

impl Place {
    /// A permit if one is free; otherwise `waker` is woken when that may have changed.
    pub(crate) fn enter(&mut self, waker: &Waker) -> Option<Permit> {
        let mut inner = self.gate.0.lock();
        if inner.free == 0 {
            let number = *self.number.get_or_insert_with(|| {
                inner.next_place += 1;
                inner.next_place
            });
            inner.waiting.insert(number, waker.clone());
            return None;
        }
        inner.free -= 1;
        if let Some(number) = self.number.take() {
            inner.waiting.remove(&number);
        }
        Some(Permit(Arc::clone(&self.gate)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let next = {
            let mut inner = self.gate.0.lock();
            // Not in line any more: he was called, and does not come.
            if inner.waiting.remove(&number).is_none() { inner.call_next() } else { None }
        };
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let next = {
            let mut inner = self.0.0.lock();
            inner.free += 1;
            inner.call_next()
        };
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Somebody in line, and how often he was called.
    struct Somebody {
        place: Place,
        calls: Arc<Count>,
    }

    impl Somebody {
        fn at(gate: &Arc<Gate>) -> Self {
            Self { place: gate.place(), calls: Arc::default() }
        }

        fn enter(&mut self) -> Option<Permit> {
            self.place.enter(&Waker::from(Arc::clone(&self.calls)))
        }
    }

    fn calls<const N: usize>(line: [&Somebody; N]) -> [usize; N] {
        line.map(|somebody| somebody.calls.0.load(Ordering::SeqCst))
    }

    #[test]
    fn a_permit_that_comes_back_calls_the_first_in_line_and_nobody_else() {
        let gate = Gate::new(1);
        let [mut a, mut b, mut c] = [(); 3].map(|()| Somebody::at(&gate));
        let permit = a.enter();
        assert!(permit.is_some() && b.enter().is_none() && c.enter().is_none() && b.enter().is_none());
        drop(permit);
        assert_eq!(calls([&a, &b, &c]), [0, 1, 0]);
        let permit = b.enter();
        assert!(permit.is_some());
        drop(permit);
        assert_eq!(calls([&a, &b, &c]), [0, 1, 1]);
        assert!(c.enter().is_some());
    }

    #[test]
    fn who_leaves_passes_his_call_on() {
        let gate = Gate::new(1);
        let [mut a, mut b, mut c, mut d] = [(); 4].map(|()| Somebody::at(&gate));
        let permit = a.enter();
        assert!(b.enter().is_none() && c.enter().is_none() && d.enter().is_none());
        drop(c); // was not called
        drop(permit);
        assert_eq!(calls([&b, &d]), [1, 0]);
        drop(b);
        assert_eq!(calls([&d]), [1]);
        assert!(d.enter().is_some());
    }

    #[test]
    fn who_does_not_come_holds_nobody_up() {
        let gate = Gate::new(2);
        let [mut a, mut b, mut sleeps, mut c, mut d] = [(); 5].map(|()| Somebody::at(&gate));
        let (one, two) = (a.enter(), b.enter());
        assert!(sleeps.enter().is_none() && c.enter().is_none() && d.enter().is_none());
        drop(one);
        drop(two);
        assert_eq!(calls([&sleeps, &c, &d]), [1, 1, 0]);
        let (one, two) = (a.enter(), b.enter());
        assert!(one.is_some() && two.is_some() && c.enter().is_none());
        drop(one);
        drop(two);
        assert_eq!(calls([&sleeps, &c, &d]), [1, 2, 1]);
        assert!(c.enter().is_some() && d.enter().is_some());
    }

    #[test]
    fn who_comes_too_late_is_first_again() {
        let gate = Gate::new(1);
        let [mut a, mut b, mut c] = [(); 3].map(|()| Somebody::at(&gate));
        let permit = a.enter();
        assert!(b.enter().is_none() && c.enter().is_none());
        drop(permit);
        let permit = a.enter();
        assert!(permit.is_some() && b.enter().is_none());
        drop(permit);
        assert_eq!(calls([&b, &c]), [2, 0]);
    }
}
