//! Appending a record unless its key has a newer one: how compaction moves what is still of use.

use super::above::{Above, Extent, Look};
use super::locked::step_of_key;
use super::{Descent, Fetch, Fetched, Kernel, KeyOperation};
use crate::address::Address;
use crate::device::IoDone;
use crate::epoch::Guard;
use crate::error::{Error, ErrorKind, Result};
use crate::index::Slot;
use crate::operation::{Operation, Retry, Step};
use crate::record::{Draft, Key, RecordLayout, RootDraft, Value};
use crate::utility::KeyHash;

/// Appends a copy of an immutable record in front of its chain, unless the key has a newer record. The search and the
/// exchange that publishes the copy are of the same entry word: a record that comes in between makes the exchange fail.
pub(crate) struct ConditionalInsertOp<'r, K> {
    key: K,
    moved: Moved<'r>,
    above: Above,
}

/// What a copy holds.
enum Moved<'r> {
    /// The bytes of the record. Its value is made if it is moved: most are not.
    Record(&'r [u8]),
    /// The bytes of a root whose fragments are copies already.
    Root(&'r [u8]),
}

impl<'r, K: Key> ConditionalInsertOp<'r, K> {
    /// Of the record at `at`, below `safe_read_only`, with this key and these bytes.
    #[inline]
    pub(crate) const fn new(key: K, record: &'r [u8], at: Address) -> Self {
        Self { key, moved: Moved::Record(record), above: Above::new(at, Extent::ALL) }
    }

    /// Of the root of a large value, in place of that at `at`.
    pub(crate) const fn of_root(key: K, root: &'r [u8], at: Address) -> Self {
        Self { key, moved: Moved::Root(root), above: Above::new(at, Extent::ALL) }
    }
}

/// The value of a record that has an ordinary one.
fn value_of<K: Key, V: Value>(record: &[u8]) -> Result<V> {
    let value = RecordLayout::parse::<K, V>(record)?.value;
    value.ok_or_else(|| Error::new(ErrorKind::Corrupt, "a record that is to be moved has no value"))
}

impl<K: Key, V: Value> Operation<Kernel<K, V>> for ConditionalInsertOp<'_, K> {
    /// Whether it was appended: whether the record was the newest of its key.
    type Output = bool;

    fn step(&mut self, kernel: &Kernel<K, V>, guard: &Guard<'_>) -> Step<bool> {
        let hash = KeyHash::of_bytes(self.key.as_bytes());
        step_of_key(self, kernel, hash, guard)
    }

    fn resume(&mut self, kernel: &Kernel<K, V>, done: IoDone) -> Result<()> {
        self.above.resume(kernel, &self.key, done)
    }
}

impl<K: Key, V: Value> KeyOperation<K, V> for ConditionalInsertOp<'_, K> {
    /// Of two records of a key at most one is appended, whichever comes first.
    const WRITES: bool = false;
    const APPENDS: bool = true;

    fn step_at<'g>(&mut self, kernel: &'g Kernel<K, V>, slot: Slot<'g>, guard: &'g Guard<'_>) -> Step<bool> {
        match self.above.look(kernel, &self.key, &slot, guard) {
            Look::Old => Step::Done(false),
            Look::Disk => self.above.request(kernel).map_or(Step::Retry(Retry::Conflict), Step::Wait),
            // The copy is of the version of this operation, whatever the record's was: it is there from now on.
            Look::Newest => {
                let moment = kernel.moment(guard);
                let appended = match self.moved {
                    Moved::Record(record) => value_of::<K, V>(record)
                        .and_then(|value| kernel.append_moved(slot, Draft::new(&self.key, &value), moment, guard)),
                    Moved::Root(root) => {
                        kernel.append_moved(slot, RootDraft::new(self.key.as_bytes(), root), moment, guard)
                    }
                };
                match appended {
                    Ok(Ok(())) => Step::Done(true),
                    Ok(Err(retry)) => Step::Retry(retry),
                    Err(error) => Step::Failed(error),
                }
            }
        }
    }
}

impl<K: Key, V: Value> Descent<K, V> for ConditionalInsertOp<'_, K> {
    fn wanted(&self) -> Option<Fetch> {
        self.above.wanted()
    }

    fn take_in(&mut self, kernel: &Kernel<K, V>, fetched: Fetched<K, V>) -> Option<bool> {
        self.above.take_in(kernel, &self.key, fetched).then_some(false)
    }
}
