//! Many operations in one call, in order.

use super::pending::{Begun, Outcome, Ticket};
use super::session::Session;
use crate::error::Result;
use crate::record::{Key, Value};

/// Keys whose index buckets are loaded together: twice what a core can have under way.
const GROUP: usize = 32;

impl<K: Key, V: Value> Session<K, V> {
    /// The values of `keys`, in their order. Reads of the device overlap.
    ///
    /// # Errors
    /// As for [`read`](Self::read), for the first key that fails.
    pub fn read_batch(&mut self, keys: &[K]) -> Result<Vec<Option<V>>> {
        let mut values = Vec::with_capacity(keys.len());
        let mut pending = Vec::new();
        let result = self.read_all(keys, &mut values, &mut pending);
        // After a failure, nobody will ask for the others.
        for (_, ticket) in pending {
            self.forget(ticket);
        }
        result.map(|()| values)
    }

    /// Reads `keys` into `values`; leaves in `pending` what was begun and not finished.
    fn read_all(&mut self, keys: &[K], values: &mut Vec<Option<V>>, pending: &mut Vec<(usize, Ticket)>) -> Result<()> {
        for (at, key) in keys.iter().enumerate() {
            if at % GROUP == 0 {
                keys[at..].iter().take(GROUP).for_each(|key| self.database.kernel.prefetch(key));
            }
            values.push(match self.begin_read(key)? {
                Begun::Done(value) => value,
                Begun::Pending(ticket) => {
                    pending.push((at, ticket));
                    None
                }
            });
        }
        while let Some((at, ticket)) = pending.pop() {
            if let Outcome::Read(value) = self.outcome_of(ticket)? {
                values[at] = value;
            }
        }
        Ok(())
    }

    /// Gives each key its value, in order.
    ///
    /// # Errors
    /// As for [`upsert`](Self::upsert), for the first that fails; those before it are done, those after it are not.
    pub fn upsert_batch(&mut self, pairs: &[(K, V)]) -> Result<()> {
        pairs.iter().try_for_each(|(key, value)| self.upsert(key.clone(), value.clone()))
    }

    /// Replaces the value of each key by what `modify` makes of it, in order; `modify` is also given the key's place in
    /// `keys`. Returns how many were changed.
    ///
    /// # Errors
    /// As for [`rmw`](Self::rmw), for the first that fails; those before it are done, those after it are not.
    pub fn rmw_batch(&mut self, keys: &[K], mut modify: impl FnMut(usize, &mut V) -> bool) -> Result<usize> {
        let mut changed = 0;
        for (at, key) in keys.iter().enumerate() {
            changed += usize::from(self.rmw(key.clone(), |value| modify(at, value))?);
        }
        Ok(changed)
    }

    /// Removes each key, in order.
    ///
    /// # Errors
    /// As for [`delete`](Self::delete), for the first that fails; those before it are done, those after it are not.
    pub fn delete_batch(&mut self, keys: &[K]) -> Result<()> {
        keys.iter().try_for_each(|key| self.delete(key))
    }
}
