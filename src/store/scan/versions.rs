//! What a key was over time.

use crate::address::Address;
use crate::device::access;
use crate::error::Result;
use crate::kernel::{Fetch, Fetched};
use crate::operation::Environment;
use crate::record::{Held, Key, Record, RecordInfo, RecordLayout, Value};
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
    /// What it had; `None` if it was deleted, or had a [large](crate::store::ValueReader) value.
    pub value: Option<V>,
    /// Bytes of its value, if that was a large one.
    pub large_len: Option<u64>,
}

/// Walks the chain of `key` from its newest record to where the log begins.
pub(super) fn versions_of<K: Key, V: Value>(database: &Arc<Database<K, V>>, key: &K) -> Result<Vec<KeyVersion<V>>> {
    let (kernel, log) = (&database.kernel, &database.kernel.log);
    let hold = database.reclaim.hold(|| log.begin());
    let layout = const { RecordLayout::of::<K, V>() };
    let mut participant = database.epoch.join();
    let mut versions = Vec::new();
    // What is in memory under one pin: afterwards a place there may be that of another record.
    let guard = participant.pin();
    let mut at = kernel.newest(&kernel.index.find(KeyHash::of_bytes(key.as_bytes()), &guard), &guard);
    let view = log.view(&guard);
    let head = view.head().max(hold.at());
    while at >= head {
        let record = view.record(at, layout);
        let info = record.info();
        if record.key_is::<K, V>(key) && !info.is_invalid() {
            let held = if info.is_tombstone() { None } else { Some(record.held::<K, V>()?) };
            versions.push(version_of(at, info, held));
        }
        at = info.previous();
    }
    drop(guard);
    while at >= hold.at() {
        let record = fetch(database, at)?;
        let info = record.info;
        if record.key.as_bytes() == key.as_bytes() && !info.is_invalid() {
            versions.push(version_of(at, info, record.held_at(at)));
        }
        at = info.previous();
    }
    Ok(versions)
}

fn version_of<V>(address: Address, info: RecordInfo, held: Option<Held<V>>) -> KeyVersion<V> {
    let (value, large_len) = match held {
        None => (None, None),
        Some(Held::Value(value)) => (Some(value), None),
        Some(Held::Large(root)) => (None, Some(root.len)),
    };
    KeyVersion { address, version: info.version(), value, large_len }
}

/// The record at `at`, from the device.
fn fetch<K: Key, V: Value>(database: &Database<K, V>, at: Address) -> Result<Record<K, V>> {
    let kernel = &database.kernel;
    let mut fetch = Fetch::of(kernel, at);
    loop {
        let done = access(&**kernel.log.device(), kernel.log.with_buffer(fetch.request(kernel)), kernel.wait_limit())?;
        match fetch.take(kernel, done)? {
            Fetched::Record(record) => return Ok(record),
            Fetched::Longer(longer) => fetch = longer,
        }
    }
}
