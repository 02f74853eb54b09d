//! How operations are issued: the four ways in which the store can be called.
//!
//! ```text
//!   order --> Blocking   one call, one answer
//!         --> Pending    calls that leave a ticket, answers fetched now and then
//!         --> Batches    orders are collected, one call for each kind when there are enough
//!         --> Futures    one task per operation that has to wait, polled when it was woken
//!                |
//!                +--> audit: checks, counts and times every answer
//! ```
//!
//! 1. Every order that was issued is answered to the audit exactly once, at the latest by [`Issuer::drain`].
//! 2. What the oracle says of a key is asked when the store is called, not earlier: that is when the operation begins.
//! 3. No wait is unbounded: one that nothing ends is an error.

mod batches;
mod blocking;
mod futures;
mod pending;
mod tasks;

use super::audit::{Audit, Write};
use super::campaign::Store;
use super::value::Content;
use batches::Batches;
use blocking::Blocking;
use clap::ValueEnum;
use futures::Futures;
use oxifaster::{Error, ErrorKind, Result};
use pending::Pending;

/// While operations wait for the device, completed ones are fetched after this many new ones.
const FETCH_EVERY: u32 = 16;

/// An operation that a worker asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    Read(u64),
    /// A read-modify-write.
    Change(u64),
    Write(Write),
}

/// A way of calling the store, from one thread.
pub(crate) trait Issuer<V: Content> {
    /// Takes an order. Its answer goes to `audit`, now or within a later call.
    fn issue(&mut self, order: Order, audit: &mut Audit<'_, V>) -> Result<()>;

    /// Waits until every order is answered.
    fn drain(&mut self, audit: &mut Audit<'_, V>) -> Result<()>;

    /// Orders that are not answered yet.
    fn issued(&self) -> usize;
}

/// By which of its faces the store is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Api {
    /// One blocking call after the other
    Sync,
    /// Calls that leave a ticket if they have to wait, up to --depth of them
    Pending,
    /// One call for --batch operations, up to --depth of which wait for the disk at the same time
    Batch,
    /// Futures, up to --depth of them
    Async,
}

impl Api {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Pending => "pending",
            Self::Batch => "batch",
            Self::Async => "async",
        }
    }

    /// An issuer with up to `depth` operations in flight, or with calls of `batch` operations, whichever it has.
    pub(crate) fn issuer<V: Content>(self, store: &Store<V>, depth: usize, batch: usize) -> Box<dyn Issuer<V>> {
        match self {
            Self::Sync => Box::new(Blocking::new(store.start_session())),
            Self::Pending => Box::new(Pending::new(store.start_session(), depth)),
            Self::Batch => Box::new(Batches::new(store.start_session(), batch)),
            Self::Async => Box::new(Futures::new(store.start_async_session(), depth)),
        }
    }
}

/// Nothing of what is in flight completes, and it was waited for.
#[cold]
fn nothing_completes(in_flight: usize) -> Error {
    Error::new(ErrorKind::Busy, "waiting for operations in flight: none completes").with("in flight", in_flight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::audit::Check;
    use crate::bench::faults::Faults;
    use crate::bench::growth::Growth;
    use crate::bench::oracle::Oracle;
    use oxifaster::device::{FileSystemDisk, StorageDevice};
    use oxifaster::store::FasterKvConfig;
    use std::sync::Arc;

    const RECORDS: u64 = 1_000;

    /// A store whose records are all on its disk.
    fn evicted(directory: &std::path::Path) -> Store<[u8; 32]> {
        let device: Arc<dyn StorageDevice> = Arc::new(FileSystemDisk::open(directory).unwrap());
        let store = Store::open(FasterKvConfig::default().with_memory_budget(1 << 20), device).unwrap();
        let mut session = store.start_session();
        for key in 0..RECORDS {
            session.upsert(key, Content::encode(key, 0, ())).unwrap();
        }
        store.evict().unwrap();
        store
    }

    #[test]
    fn every_order_is_answered_once_the_issuer_is_drained() {
        for api in Api::value_variants() {
            let directory = tempfile::tempdir().unwrap();
            let store = evicted(directory.path());
            let (oracle, growth, faults) = (Oracle::new(RECORDS, true), Growth::new(RECORDS, 1), Faults::default());
            let check = Check { oracle: &oracle, growth: &growth, faults: &faults, during: "test", signal: None };
            let (mut audit, mut issuer) = (Audit::new(check, 0, ()), api.issuer(&store, 16, 16));
            for key in 0..5 {
                issuer.issue(Order::Read(key), &mut audit).unwrap();
                issuer.issue(Order::Change(100 + key), &mut audit).unwrap();
                let write = audit.insert();
                issuer.issue(Order::Write(write), &mut audit).unwrap();
            }
            let write = audit.update(200).unwrap();
            issuer.issue(Order::Write(write), &mut audit).unwrap();
            issuer.drain(&mut audit).unwrap();
            assert_eq!(issuer.issued(), 0, "{api:?}");
            let tally = audit.into_tally();
            assert_eq!((tally.operations(), tally.checked), (16, 10), "{api:?}");
            assert_eq!((faults.first(), growth.inserted_by(0)), (Vec::new(), 5), "{api:?}");
            let acknowledged: Vec<u64> = [0, 100, 104, 200].map(|key| oracle.floor(key)).to_vec();
            assert_eq!(acknowledged, [0, 1, 1, 1], "{api:?}");
        }
    }
}
