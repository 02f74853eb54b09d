//! What a key was over time.

use crate::address::Address;
use crate::device::access;
use crate::error::Result;
use crate::operation::Environment;
use crate::record::{Key, RecordLayout, Value};
use crate::store::database::Database;
use crate::sync::Arc;
use crate::utility::KeyHash;

/// One version of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyVersion<V> {
    /// Where its record lies.
    pub address: Address,
    /// The store's version when it was written, modulo 1024.
    pub version: u16,
    /// What it had; `None` if it was deleted.
    pub value: Option<V>,
}

/// Walks the chain of `key` from its newest record to where the log begins.
pub(super) fn versions_of<K: Key, V: Value>(database: &Arc<Database<K, V>>, key: &K) -> Result<Vec<KeyVersion<V>>> {
    let (kernel, log) = (&database.kernel, &database.kernel.log);
    let hold = database.reclaim.hold(|| log.begin());
    let size = const { RecordLayout::of::<K, V>().record_size() };
    let mut participant = database.epoch.join();
    let mut versions = Vec::new();
    let mut at = {
        let guard = participant.pin();
        let slot = kernel.index.find(KeyHash::of_bytes(key.as_bytes()), &guard);
        kernel.newest(&slot, &guard)
    };
    while at >= hold.at() {
        let (info, found) = {
            let guard = participant.pin();
            if at >= log.view(&guard).head() {
                let record = log.record(at, size, &guard);
                let info = record.info();
                (info, record.key_is::<K, V>(key).then(|| record.value::<K, V>()))
            } else {
                drop(guard);
                let done = access(&**log.device(), log.fetch_request(at, size), kernel.wait_limit())?;
                let record = log.fetched(at, size, done, RecordLayout::parse::<K, V>)?;
                (record.info, (record.key.as_bytes() == key.as_bytes()).then_some(record.value))
            }
        };
        if let Some(value) = found.filter(|_| !info.is_invalid()) {
            let value = (!info.is_tombstone()).then_some(value);
            versions.push(KeyVersion { address: at, version: info.version(), value });
        }
        at = info.previous();
    }
    Ok(versions)
}
