//! Changes that depend on what is there, and say what they found.

use super::async_session::{AsyncSession, Use};
use super::op_future::OpFuture;
use super::session::Session;
use crate::error::Result;
use crate::kernel::{Fate, LearnOp, When};
use crate::record::{Key, Value};
use crate::status::OperationStatus;

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
    /// Of what became of the record, and the value of which the condition said no.
    fn of((status, refused): (OperationStatus, Option<V>)) -> Self {
        match (status.changed(), refused) {
            (true, _) => Self::Done,
            (false, Some(value)) => Self::Refused(value),
            (false, None) => Self::Absent,
        }
    }

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
        let mut operation = LearnOp::new(key, When { condition, change, creates, refused: None });
        let (learned, waited) = self.run_change(&mut operation, |counters| &counters.rmws)?;
        self.count_waits(usize::from(waited));
        Ok(Conditional::of(learned))
    }
}

/// As those of [`Session`], as futures: the closures go with them.
impl<K: Key, V: Value> AsyncSession<K, V> {
    /// As [`Session::compare_exchange`].
    ///
    /// # Errors
    /// The future's: as for [`Session::rmw`].
    pub fn compare_exchange(&mut self, key: K, expected: V, new: V) -> OpFuture<K, V, Conditional<V>> {
        self.change_when(key, Fate::Set(new), false, move |value: &V| value.as_bytes() == expected.as_bytes())
    }

    /// As [`Session::insert_or_get`].
    ///
    /// # Errors
    /// The future's: as for [`Session::rmw`].
    pub fn insert_or_get(&mut self, key: K, value: V) -> OpFuture<K, V, Conditional<V>> {
        self.change_when(key, Fate::Set(value), true, |_: &V| false)
    }

    /// As [`Session::upsert_if`].
    ///
    /// # Errors
    /// The future's: as for [`Session::rmw`].
    pub fn upsert_if(
        &mut self,
        key: K,
        value: V,
        replaces: impl FnMut(&V) -> bool + Send + 'static,
    ) -> OpFuture<K, V, Conditional<V>> {
        self.change_when(key, Fate::Set(value), true, replaces)
    }

    /// As [`Session::replace_if`].
    ///
    /// # Errors
    /// The future's: as for [`Session::rmw`].
    pub fn replace_if(
        &mut self,
        key: K,
        value: V,
        replaces: impl FnMut(&V) -> bool + Send + 'static,
    ) -> OpFuture<K, V, Conditional<V>> {
        self.change_when(key, Fate::Set(value), false, replaces)
    }

    /// As [`Session::delete_if`].
    ///
    /// # Errors
    /// The future's: as for [`Session::rmw`].
    pub fn delete_if(
        &mut self,
        key: K,
        condition: impl FnMut(&V) -> bool + Send + 'static,
    ) -> OpFuture<K, V, Conditional<V>> {
        self.change_when(key, Fate::Delete, false, condition)
    }

    fn change_when(
        &mut self,
        key: K,
        change: Fate<V>,
        creates: bool,
        condition: impl FnMut(&V) -> bool + Send + 'static,
    ) -> OpFuture<K, V, Conditional<V>> {
        self.home.account.counters.rmws.add(1);
        let operation = LearnOp::new(key, When { condition, change, creates, refused: None });
        self.begin(operation, Use::BOTH, Conditional::of)
    }
}
