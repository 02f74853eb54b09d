//! The store's core: an index, a log, and the operations on both. It knows nothing of sessions, threads or waiting.
//!
//! * **K1** All that is in the store is reached from index entries: an entry holds the newest record of a chain, each
//!   record's `previous` the next older one. Every structural change is one compare-and-swap of the entry, whole.
//! * **K2** A record is copied only where nobody can still change it: below `safe_read_only`, or on the device. (What is
//!   found fuzzy by an operation that needs the old value is waited for.)
//! * **K3** A record is changed in place only at or above `read_only`, as seen by a pinned thread.
//! * **K4** What was found out about a chain at or below some record stays true: chains grow at the head only. So an
//!   operation that comes back from the device searches only what was added meanwhile.
//! * **K5** No step reads the device or waits. What a step allocated it publishes or marks invalid before it returns.

mod append;
mod below;
mod delete;
mod find;
mod read;
mod rmw;
mod upsert;

use crate::allocator::HybridLog;
use crate::index::MemIndex;
use crate::operation::Environment;
use crate::record::{Key, RecordLayout, Value};
use crate::utility::KeyHash;
use std::marker::PhantomData;
use std::time::Duration;

pub(crate) use delete::DeleteOp;
pub(crate) use read::ReadOp;
pub(crate) use rmw::{Insert, Modify, RmwOp};
pub(crate) use upsert::UpsertOp;

/// Index and log for keys `K` and values `V`.
pub(crate) struct Kernel<K, V> {
    pub(crate) index: MemIndex,
    pub(crate) log: HybridLog,
    wait_limit: Duration,
    schema: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: Value> Kernel<K, V> {
    const LAYOUT: RecordLayout = RecordLayout::of::<K, V>();

    pub(crate) fn new(index: MemIndex, log: HybridLog, wait_limit: Duration) -> Self {
        Self { index, log, wait_limit, schema: PhantomData }
    }

    /// Starts loading what an operation on `key` looks at first, for callers that have other keys to begin with.
    #[inline]
    pub(crate) fn prefetch(&self, key: &K) {
        self.index.prefetch(KeyHash::of_bytes(key.as_bytes()));
    }
}

impl<K: Key, V: Value> Environment for Kernel<K, V> {
    fn log(&self) -> &HybridLog {
        &self.log
    }

    fn wait_limit(&self) -> Duration {
        self.wait_limit
    }
}
