//! What a read-modify-write does with a value, and what it does without one.

use crate::error::{Error, Result};
use crate::record::{Value, Verdict};

/// What a read-modify-write does with the old value. Called under a pin: must not block. May be called again when somebody
/// else changed the value first; only the last call's outcome counts.
pub(crate) trait Logic<V> {
    /// Changes the value that is there, and says what is to become of it.
    fn update(&mut self, value: &mut V) -> Verdict;

    /// The value of a key that is not there; `None` leaves the store as it is.
    fn create(&mut self) -> Option<V>;
}

/// Logic of a closure that changes a value, and starts from [`Value::initial`].
pub(crate) struct Modify<F>(pub(crate) F);

impl<V: Value, F: FnMut(&mut V) -> bool> Logic<V> for Modify<F> {
    #[inline(always)]
    fn update(&mut self, value: &mut V) -> Verdict {
        if (self.0)(value) { Verdict::Set } else { Verdict::Keep }
    }

    #[inline]
    fn create(&mut self) -> Option<V> {
        let mut value = V::initial();
        (self.0)(&mut value).then_some(value)
    }
}

/// Logic that gives a value to a key that has none.
pub(crate) struct Insert<V>(pub(crate) V);

impl<V: Value> Logic<V> for Insert<V> {
    fn update(&mut self, _: &mut V) -> Verdict {
        Verdict::Keep
    }

    fn create(&mut self) -> Option<V> {
        Some(self.0.clone())
    }
}

/// Logic of a closure that changes a value where there is one.
pub(crate) struct IfThere<F> {
    pub(crate) change: F,
    /// Whether there was one, the last time.
    pub(crate) was_there: bool,
}

impl<V: Value, F: FnMut(&mut V) -> bool> Logic<V> for IfThere<F> {
    fn update(&mut self, value: &mut V) -> Verdict {
        self.was_there = true;
        if (self.change)(value) { Verdict::Set } else { Verdict::Keep }
    }

    fn create(&mut self) -> Option<V> {
        self.was_there = false;
        None
    }
}

/// What is to become of a value.
pub(crate) enum Fate<V> {
    Set(V),
    Delete,
}

/// Logic of a change that is made on a condition, and otherwise says why not.
pub(crate) struct When<V, F> {
    pub(crate) condition: F,
    pub(crate) change: Fate<V>,
    /// Whether it is made as well where there is no value.
    pub(crate) creates: bool,
    /// The value of which the condition said no, the last time.
    pub(crate) refused: Option<V>,
}

impl<V: Value, F: FnMut(&V) -> bool> Logic<V> for When<V, F> {
    fn update(&mut self, value: &mut V) -> Verdict {
        self.refused = None;
        if !(self.condition)(value) {
            self.refused = Some(value.clone());
            return Verdict::Keep;
        }
        match &self.change {
            Fate::Set(new) => {
                value.clone_from(new);
                Verdict::Set
            }
            Fate::Delete => Verdict::Delete,
        }
    }

    fn create(&mut self) -> Option<V> {
        self.refused = None;
        match &self.change {
            Fate::Set(new) if self.creates => Some(new.clone()),
            Fate::Set(_) | Fate::Delete => None,
        }
    }
}

/// Logic of a merge: what is there and what comes make one value.
pub(crate) struct Merging<V, F> {
    pub(crate) operand: V,
    /// Merges the operand in, if it can be.
    pub(crate) merge: F,
    /// Why it could not be, the last time.
    pub(crate) failure: Option<Error>,
}

impl<V: Value, F: FnMut(&mut V, &V) -> Result<()>> Logic<V> for Merging<V, F> {
    #[inline]
    fn update(&mut self, value: &mut V) -> Verdict {
        self.failure = (self.merge)(value, &self.operand).err();
        if self.failure.is_none() { Verdict::Set } else { Verdict::Keep }
    }

    fn create(&mut self) -> Option<V> {
        self.failure = None;
        Some(self.operand.clone())
    }
}
