//! Whether a recorded history could have happened one operation at a time: the search of Wing and Gong, which remembers what it has
//! tried as Lowe's does.
//!
//! J. M. Wing, C. Gong: Testing and verifying concurrent objects, 1993. G. Lowe: Testing for linearizability, 2017.

use std::collections::HashSet;
use std::hash::Hash;

/// What an operation says it found and did.
pub(super) trait Step<S> {
    /// The state that it leaves, if it can have taken effect in `state` with the outcome that it had.
    fn after(&self, state: &S) -> Option<S>;
}

/// An operation with the moments between which it took effect, on a clock that all threads share.
#[derive(Debug, Clone)]
pub(super) struct Event<T> {
    pub(super) begun: u64,
    pub(super) ended: u64,
    pub(super) what: T,
}

impl<T> Event<T> {
    /// True if neither was over when the other began.
    pub(super) fn overlaps<U>(&self, other: &Event<U>) -> bool {
        self.begun < other.ended && other.begun < self.ended
    }
}

/// True if there is an order of the at most 64 events, which began in the state `start`, that agrees with their outcomes, and in
/// which none comes before one that was over when it began.
pub(super) fn is_linearizable<S: Clone + Eq + Hash, T: Step<S>>(start: &S, events: &[Event<T>]) -> bool {
    assert!(events.len() <= 64, "a set of events is a word");
    let all = u64::MAX.checked_shr(64 - events.len() as u32).unwrap_or(0);
    let mut tried = HashSet::from([(0u64, start.clone())]);
    let mut open = vec![(0u64, start.clone())];
    while let Some((done, state)) = open.pop() {
        if done == all {
            return true;
        }
        let left = || events.iter().enumerate().filter(|(place, _)| done >> place & 1 == 0);
        let first_end = left().map(|(_, event)| event.ended).min().unwrap_or(u64::MAX);
        for (place, event) in left().filter(|(_, event)| event.begun < first_end) {
            if let Some(after) = event.what.after(&state) {
                let next = (done | 1 << place, after);
                if tried.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a register that starts with 0.
    #[derive(Debug, Clone)]
    enum Call {
        Saw(u64),
        Set(u64),
        /// From the first to the second.
        Changed(u64, u64),
    }

    impl Step<u64> for Call {
        fn after(&self, state: &u64) -> Option<u64> {
            match *self {
                Self::Saw(value) => (value == *state).then_some(value),
                Self::Set(value) => Some(value),
                Self::Changed(old, new) => (old == *state).then_some(new),
            }
        }
    }

    fn holds(calls: &[(u64, u64, Call)]) -> bool {
        let event =
            |(begun, ended, what): &(u64, u64, Call)| Event { begun: *begun, ended: *ended, what: what.clone() };
        is_linearizable(&0, &calls.iter().map(event).collect::<Vec<_>>())
    }

    #[test]
    fn what_could_have_happened_is_told_from_what_could_not() {
        use Call::{Changed, Saw, Set};
        assert!(holds(&[]));
        assert!(holds(&[(1, 4, Set(1)), (2, 3, Saw(0))]));
        assert!(holds(&[(1, 4, Set(1)), (2, 3, Saw(1))]));
        assert!(!holds(&[(1, 2, Set(1)), (3, 4, Saw(0))]), "a stale read");
        assert!(!holds(&[(1, 2, Saw(1)), (3, 4, Set(1))]), "a read of what is to come");
        assert!(holds(&[(1, 4, Changed(0, 1)), (2, 3, Changed(1, 2))]));
        assert!(!holds(&[(1, 4, Changed(0, 1)), (2, 3, Changed(0, 1))]), "a lost update");
        // Two who look while it changes: once the new value was seen, the old one is gone.
        assert!(holds(&[(1, 9, Set(1)), (2, 3, Saw(0)), (4, 5, Saw(1))]));
        assert!(!holds(&[(1, 9, Set(1)), (2, 3, Saw(1)), (4, 5, Saw(0))]));
        assert!(!holds(&[(1, 2, Saw(3))]), "a value that nobody wrote");
    }
}
