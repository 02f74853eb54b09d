//! Sessions that are lent to whoever calls.

use super::session::Session;
use crate::device::StorageDevice;
use crate::record::{Key, Value};
use crate::store::FasterKv;
use crate::sync::{AtomicUsize, Mutex, Ordering};
use std::cell::Cell;

/// Lists of idle sessions; threads spread over them, so that they seldom meet at a lock.
const LISTS: usize = 16;

/// Idle sessions: at most as many as there were calls at the same time.
pub(super) struct SessionPool<K: Key, V: Value> {
    idle: [Mutex<Vec<Session<K, V>>>; LISTS],
}

impl<K: Key, V: Value> SessionPool<K, V> {
    pub(super) fn new() -> Self {
        Self { idle: std::array::from_fn(|_| Mutex::new(Vec::new())) }
    }

    /// Runs `work` with a session of `store`. If it panics, the session ends.
    pub(super) fn with<D: StorageDevice, T>(
        &self,
        store: &FasterKv<K, V, D>,
        work: impl FnOnce(&mut Session<K, V>) -> T,
    ) -> T {
        let list = &self.idle[own_list()];
        let idle = list.lock().pop();
        let mut session = idle.unwrap_or_else(|| store.start_session());
        let outcome = work(&mut session);
        // What was begun and is pending is given up, as when a session ends.
        if session.pending() == 0 {
            list.lock().push(session);
        }
        outcome
    }
}

/// The list of the thread that calls.
fn own_list() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    OWN.with(|own| {
        let list = own.get().unwrap_or_else(|| THREADS.fetch_add(1, Ordering::Relaxed) % LISTS);
        own.set(Some(list));
        list
    })
}
