//! A bound on how many accesses are under way, for callers that wait without a thread.
//!
//! A permit is out from the start of an access until its outcome was looked at: its buffer is in use for as long. While
//! buffers are scarce all over the store, a gate has one permit only.
//!
//! * **G1** Each permit that comes back calls the first in line: as many are called as can enter, not everybody. While less
//!   than half of the permits are out it calls two, so that after a shortage of whatever kind their number grows again.
//! * **G2** Who was called keeps his place until he enters or leaves. If he leaves, the call goes on to the next.
//! * **G3** A permit that is free is had by whoever asks first: somebody who was called and does not come does not hold it.
//! * **G4** When no access is under way any more, everybody in line is called: perhaps those who were called do not come,
//!   and nothing else will happen that could call the next. If no permit is left because nobody comes for the outcomes, who
//!   asks looks at them in the holders' place, and the permits come back.
//!
//! So nobody waits for somebody who waits for nothing, however futures are polled and left alone.

use super::arrival::Digest;
use crate::sync::{Arc, Mutex, Weak};
use std::collections::BTreeMap;
use std::task::Waker;

/// Lets up to a number of permits out at the same time; who gets none is called when one comes back.
pub(crate) struct Gate<E: ?Sized> {
    permits: usize,
    line: Mutex<Line<E>>,
}

/// Who has a permit, and who waits for one.
struct Line<E: ?Sized> {
    /// Permits that are out.
    out: usize,
    /// How many of them are for accesses that have ended.
    ended: usize,
    /// Holders of permits, each at the number of its permit.
    holders: Vec<Option<Weak<dyn Digest<E>>>>,
    free_numbers: Vec<usize>,
    /// Those who wait to be called, by the order in which they first asked.
    waiting: BTreeMap<u64, Waker>,
    next_place: u64,
}

/// The right to have one access under way; given back when dropped.
pub(crate) struct Permit<E: ?Sized> {
    gate: Arc<Gate<E>>,
    number: usize,
    has_ended: bool,
}

/// A place in line; given up when dropped.
pub(crate) struct Place<E: ?Sized> {
    gate: Arc<Gate<E>>,
    number: Option<u64>,
}

impl<E: ?Sized> Gate<E> {
    pub(crate) fn new(permits: usize) -> Arc<Self> {
        let line = Line {
            out: 0,
            ended: 0,
            holders: Vec::new(),
            free_numbers: Vec::new(),
            waiting: BTreeMap::new(),
            next_place: 0,
        };
        Arc::new(Self { permits, line: Mutex::new(line) })
    }

    /// Somebody who is going to ask for a permit.
    pub(crate) fn place(self: &Arc<Self>) -> Place<E> {
        Place { gate: Arc::clone(self), number: None }
    }

    fn is_idle(&self) -> bool {
        let line = self.line.lock();
        line.ended == line.out
    }

    /// Has all outcomes looked at that nobody has looked at.
    #[cold]
    fn digest_ended(&self, environment: &E) {
        let holders: Vec<_> = self.line.lock().holders.iter().flatten().filter_map(Weak::upgrade).collect();
        for holder in holders {
            holder.digest(environment);
        }
    }
}

impl<E: ?Sized> Line<E> {
    /// Takes the first `count` out of the line, to be called without the lock.
    fn call_next(&mut self, count: usize) -> Calls {
        std::iter::from_fn(|| self.waiting.pop_first()).take(count).collect()
    }

    /// The same for all, if no access is under way.
    fn call_all_if_idle(&mut self) -> Calls {
        if self.out == self.ended { std::mem::take(&mut self.waiting) } else { Calls::new() }
    }
}

/// Those who are to be called.
type Calls = BTreeMap<u64, Waker>;

fn call(calls: Calls) {
    calls.into_values().for_each(Waker::wake);
}

impl<E: ?Sized> Place<E> {
    /// A permit for `holder` if one is to be had; otherwise `waker` is woken when that may have changed. `are_scarce` says
    /// whether buffers are.
    pub(crate) fn enter(
        &mut self,
        environment: &E,
        holder: &Weak<dyn Digest<E>>,
        waker: &Waker,
        are_scarce: bool,
    ) -> Option<Permit<E>> {
        let permits = if are_scarce { 1 } else { self.gate.permits };
        let permit = self.ask(permits, holder, waker);
        if permit.is_some() || !self.gate.is_idle() {
            return permit;
        }
        self.gate.digest_ended(environment);
        self.ask(permits, holder, waker)
    }

    fn ask(&mut self, permits: usize, holder: &Weak<dyn Digest<E>>, waker: &Waker) -> Option<Permit<E>> {
        // The one of the last time is dropped without the lock: it may be the last thing that holds somebody's future.
        let _former;
        let waker = waker.clone();
        let mut line = self.gate.line.lock();
        if line.out >= permits {
            let place = *self.number.get_or_insert_with(|| {
                line.next_place += 1;
                line.next_place
            });
            _former = line.waiting.insert(place, waker);
            return None;
        }
        line.out += 1;
        _former = self.number.take().and_then(|place| line.waiting.remove(&place));
        let number = match line.free_numbers.pop() {
            Some(number) => {
                line.holders[number] = Some(Weak::clone(holder));
                number
            }
            None => {
                line.holders.push(Some(Weak::clone(holder)));
                line.holders.len() - 1
            }
        };
        Some(Permit { gate: Arc::clone(&self.gate), number, has_ended: false })
    }
}

impl<E: ?Sized> Drop for Place<E> {
    fn drop(&mut self) {
        let Some(place) = self.number else { return };
        let (former, calls) = {
            let mut line = self.gate.line.lock();
            let former = line.waiting.remove(&place);
            // Not in line any more: he was called, and does not come.
            let is_call_left = former.is_none() && line.out < self.gate.permits;
            (former, if is_call_left { line.call_next(1) } else { Calls::new() })
        };
        drop(former);
        call(calls);
    }
}

impl<E: ?Sized> Permit<E> {
    /// Notes that the access has ended. Returns those who have to be woken because of it.
    pub(crate) fn note_ended(&mut self) -> impl Iterator<Item = Waker> + use<E> {
        let mut line = self.gate.line.lock();
        line.ended += usize::from(!self.has_ended);
        self.has_ended = true;
        line.call_all_if_idle().into_values()
    }
}

impl<E: ?Sized> Drop for Permit<E> {
    fn drop(&mut self) {
        let calls = {
            let mut line = self.gate.line.lock();
            line.out -= 1;
            line.ended -= usize::from(self.has_ended);
            line.holders[self.number] = None;
            line.free_numbers.push(self.number);
            let mut calls = line.call_all_if_idle();
            let count = if line.out < self.gate.permits / 2 { 2 } else { 1 };
            calls.append(&mut line.call_next(count));
            calls
        };
        call(calls);
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

    /// The holder of a permit whose access may have ended.
    struct Holder(Mutex<Option<Permit<()>>>);

    impl Digest<()> for Holder {
        fn digest(&self, (): &()) {
            drop(self.0.lock().take_if(|permit| permit.has_ended));
        }
    }

    /// Somebody in line, and how often he was called.
    struct Somebody {
        place: Place<()>,
        calls: Arc<Count>,
        holder: Arc<Holder>,
        are_scarce: bool,
    }

    impl Somebody {
        fn at(gate: &Arc<Gate<()>>) -> Self {
            Self {
                place: gate.place(),
                calls: Arc::default(),
                holder: Arc::new(Holder(Mutex::new(None))),
                are_scarce: false,
            }
        }

        /// True if he has got a permit, which he keeps.
        fn enter(&mut self) -> bool {
            let holder = Arc::downgrade(&self.holder) as Weak<dyn Digest<()>>;
            let permit = self.place.enter(&(), &holder, &Waker::from(Arc::clone(&self.calls)), self.are_scarce);
            *self.holder.0.lock() = permit;
            self.holder.0.lock().is_some()
        }

        fn give_back(&self) {
            drop(self.holder.0.lock().take());
        }

        fn end(&self) {
            let called = self.holder.0.lock().as_mut().map(Permit::note_ended);
            called.into_iter().flatten().for_each(Waker::wake);
        }
    }

    fn line<const N: usize>(gate: &Arc<Gate<()>>) -> [Somebody; N] {
        [(); N].map(|()| Somebody::at(gate))
    }

    fn calls<const N: usize>(line: [&Somebody; N]) -> [usize; N] {
        line.map(|somebody| somebody.calls.0.load(Ordering::SeqCst))
    }

    #[test]
    fn a_permit_that_comes_back_calls_the_first_in_line_and_nobody_else() {
        let [mut other, mut a, mut b, mut c] = line(&Gate::new(2));
        assert!(other.enter() && a.enter() && !b.enter() && !c.enter() && !b.enter());
        a.give_back();
        assert_eq!(calls([&a, &b, &c]), [0, 1, 0]);
        assert!(b.enter());
        b.give_back();
        assert_eq!(calls([&a, &b, &c]), [0, 1, 1]);
        assert!(c.enter());
    }

    #[test]
    fn who_leaves_passes_his_call_on() {
        let [mut other, mut a, mut b, mut c, mut d] = line(&Gate::new(2));
        assert!(other.enter() && a.enter() && !b.enter() && !c.enter() && !d.enter());
        drop(c); // was not called
        a.give_back();
        assert_eq!(calls([&b, &d]), [1, 0]);
        drop(b);
        assert_eq!(calls([&d]), [1]);
        assert!(d.enter());
    }

    #[test]
    fn who_does_not_come_holds_nobody_up() {
        let [mut a, mut b, mut sleeps, mut c, mut d] = line(&Gate::new(2));
        assert!(a.enter() && b.enter() && !sleeps.enter() && !c.enter() && !d.enter());
        a.give_back();
        assert_eq!(calls([&sleeps, &c, &d]), [1, 0, 0]);
        // Nothing is under way now that could call them later.
        b.give_back();
        assert_eq!(calls([&sleeps, &c, &d]), [1, 1, 1]);
        assert!(c.enter() && d.enter() && !sleeps.enter());
    }

    #[test]
    fn who_comes_too_late_is_first_again() {
        let [mut a, mut b, mut c, mut d] = line(&Gate::new(2));
        assert!(a.enter() && b.enter() && !c.enter() && !d.enter());
        a.give_back();
        assert!(a.enter() && !c.enter());
        a.give_back();
        assert_eq!(calls([&c, &d]), [2, 0]);
    }

    #[test]
    fn permits_of_accesses_that_have_all_ended_are_taken_from_who_does_not_come() {
        let [mut a, mut b, mut c, mut d] = line(&Gate::new(2));
        assert!(a.enter() && b.enter() && !c.enter());
        a.end();
        assert!(!d.enter(), "an access is under way, whose end will call somebody");
        assert_eq!(calls([&c, &d]), [0, 0]);
        b.end();
        assert_eq!(calls([&c, &d]), [1, 1]);
        assert!(d.enter() && c.enter());
        assert!(a.holder.0.lock().is_none() && b.holder.0.lock().is_none());
    }

    #[test]
    fn while_buffers_are_scarce_a_gate_has_one_permit() {
        let [mut a, mut b, mut c] = line(&Gate::new(3));
        for somebody in [&mut a, &mut b, &mut c] {
            somebody.are_scarce = true;
        }
        assert!(a.enter() && !b.enter());
        a.give_back();
        assert_eq!(calls([&b]), [1]);
        assert!(b.enter() && !c.enter());
        b.end();
        assert!(c.enter(), "what was not looked at is looked at for it");
        c.are_scarce = false;
        a.are_scarce = false;
        assert!(a.enter());
    }

    #[test]
    fn after_a_shortage_the_accesses_under_way_become_more_again() {
        let [mut a, mut b, mut c, mut d] = line(&Gate::new(4));
        for somebody in [&mut a, &mut b, &mut c, &mut d] {
            somebody.are_scarce = true;
        }
        assert!(a.enter() && !b.enter() && !c.enter() && !d.enter());
        a.are_scarce = false;
        b.are_scarce = false;
        assert!(b.enter());
        a.give_back();
        assert_eq!(calls([&c, &d]), [1, 1]);
    }
}
