//! Changes that depend on what is there, and say what they found.

use super::session::Session;
use crate::error::Result;
use crate::kernel::{Fate, RmwOp, When};
use crate::record::{Key, Value};

/// What a conditional change came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a conditional change may not have been made"]
pub enum Conditional<V> {
    /// It was made.
    Done,
    /// It was not: the key has this value, and keeps it.
    Refused(V),
    /// It was not: the key is not in the store.
    Absent,
}

impl<V> Conditional<V> {
    /// True if the change was made.
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }
}

impl<K: Key, V: Value> Session<K, V> {
    /// Gives `key` the value `new` if it has the value `expected`: the same bytes.
    ///
    /// ```
    /// # use oxifaster::device::MemoryDisk;
    /// # use oxifaster::store::{Conditional, FasterKv, FasterKvConfig};
    /// # fn main() -> oxifaster::Result<()> {
    /// # let store = FasterKv::open(FasterKvConfig::default().with_memory_budget(1 << 20), MemoryDisk::new())?;
    /// # let mut session = store.start_session();
    /// session.upsert(7u64, 1u64)?;
    /// assert_eq!(session.compare_exchange(7, &1, 2)?, Conditional::Done);
    /// assert_eq!(session.compare_exchange(7, &1, 3)?, Conditional::Refused(2));
    /// assert_eq!(session.compare_exchange(8, &1, 3)?, Conditional::Absent);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`rmw`](Self::rmw).
    pub fn compare_exchange(&mut self, key: K, expected: &V, new: V) -> Result<Conditional<V>> {
        self.change_when(key, Fate::Set(new), false, |value: &V| value.as_bytes() == expected.as_bytes())
    }

    /// Gives `key` the value `value` if it has none; otherwise says which it has. ([`insert`](Self::insert) without the value.)
    ///
    /// # Errors
    /// As for [`rmw`](Self::rmw).
    pub fn insert_or_get(&mut self, key: K, value: V) -> Result<Conditional<V>> {
        self.change_when(key, Fate::Set(value), true, |_: &V| false)
    }

    /// Gives `key` the value `value` if it has none, or one of which `replaces` says yes: such as one that is older. `replaces` must
    /// not block, and may be asked more than once.
    ///
    /// # Errors
    /// As for [`rmw`](Self::rmw).
    pub fn upsert_if(&mut self, key: K, value: V, replaces: impl FnMut(&V) -> bool) -> Result<Conditional<V>> {
        self.change_when(key, Fate::Set(value), true, replaces)
    }

    /// Gives `key` the value `value` if it has one of which `replaces` says yes. `replaces` must not block, and may be asked more
    /// than once.
    ///
    /// # Errors
    /// As for [`rmw`](Self::rmw).
    pub fn replace_if(&mut self, key: K, value: V, replaces: impl FnMut(&V) -> bool) -> Result<Conditional<V>> {
        self.change_when(key, Fate::Set(value), false, replaces)
    }

    /// Removes `key` if it has a value of which `condition` says yes. `condition` must not block, and may be asked more than once.
    ///
    /// # Errors
    /// As for [`rmw`](Self::rmw).
    pub fn delete_if(&mut self, key: K, condition: impl FnMut(&V) -> bool) -> Result<Conditional<V>> {
        self.change_when(key, Fate::Delete, false, condition)
    }

    fn change_when(
        &mut self,
        key: K,
        change: Fate<V>,
        creates: bool,
        condition: impl FnMut(&V) -> bool,
    ) -> Result<Conditional<V>> {
        let mut operation = RmwOp::new(key, When { condition, change, creates, refused: None });
        let (status, waited) = self.run_change(&mut operation, |counters| &counters.rmws)?;
        self.count_waits(usize::from(waited));
        Ok(match (status.changed(), operation.into_logic().refused) {
            (true, _) => Conditional::Done,
            (false, Some(value)) => Conditional::Refused(value),
            (false, None) => Conditional::Absent,
        })
    }
}
