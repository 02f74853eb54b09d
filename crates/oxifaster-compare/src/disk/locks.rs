//! Locks by key, for stores that have no read-modify-write of their own: without one, updates would be lost, and a store
//! would be fast by being wrong.

use crate::hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many locks that two threads hardly ever meet at one.
pub(crate) struct Locks(Vec<Mutex<()>>);

impl Locks {
    pub(crate) fn new() -> Self {
        Self((0..4_096).map(|_| Mutex::new(())).collect())
    }

    /// Holds the lock of `key` until the guard is dropped.
    pub(crate) fn lock(&self, key: u64) -> MutexGuard<'_, ()> {
        let at = hash::of_key(key) as usize % self.0.len();
        self.0[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
