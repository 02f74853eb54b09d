//! Counters.

use super::snapshot::{DeviceStats, OperationStats};
use crate::sync::{AtomicU64, Ordering};

/// A count that any thread may add to.
#[derive(Debug, Default)]
pub(crate) struct SharedCounter(AtomicU64);

impl SharedCounter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A count that one thread adds to and any may read: adding takes no locked instruction. Who reads it sees what that thread did
/// before it added: sessions are cut by that (A2 of their book).
#[derive(Debug, Default)]
pub(crate) struct OwnedCounter(AtomicU64);

impl OwnedCounter {
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + count, Ordering::Release);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// What a log did with its device.
#[derive(Debug, Default)]
pub(crate) struct LogCounters {
    pub(crate) reads: SharedCounter,
    pub(crate) read_bytes: SharedCounter,
    pub(crate) writes: SharedCounter,
    pub(crate) written_bytes: SharedCounter,
    pub(crate) write_failures: SharedCounter,
}

impl LogCounters {
    pub(crate) fn snapshot(&self) -> DeviceStats {
        DeviceStats {
            reads: self.reads.get(),
            read_bytes: self.read_bytes.get(),
            writes: self.writes.get(),
            written_bytes: self.written_bytes.get(),
            write_failures: self.write_failures.get(),
        }
    }
}

/// What one session did. Only the session adds.
#[derive(Debug, Default)]
pub(crate) struct SessionCounters {
    pub(crate) reads: OwnedCounter,
    pub(crate) upserts: OwnedCounter,
    pub(crate) rmws: OwnedCounter,
    pub(crate) deletes: OwnedCounter,
    pub(crate) inserts: OwnedCounter,
    pub(crate) transactions: OwnedCounter,
    /// Look-ups (reads, read-modify-writes, conditional inserts) that waited for the device; the others were hits.
    pub(crate) read_misses: OwnedCounter,
}

impl SessionCounters {
    /// Operations of all kinds.
    pub(crate) fn operations(&self) -> u64 {
        let Self { reads, upserts, rmws, deletes, inserts, transactions, read_misses: _ } = self;
        [reads, upserts, rmws, deletes, inserts, transactions].iter().map(|counter| counter.get()).sum()
    }
}

/// Sums of session counters.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) operations: OperationStats,
    pub(crate) read_hits: u64,
    pub(crate) read_misses: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, session: &SessionCounters) {
        // Misses first: an operation is counted before it can miss.
        let misses = session.read_misses.get();
        let (reads, rmws, inserts) = (session.reads.get(), session.rmws.get(), session.inserts.get());
        self.operations.reads += reads;
        self.operations.upserts += session.upserts.get();
        self.operations.rmws += rmws;
        self.operations.deletes += session.deletes.get();
        self.operations.inserts += inserts;
        self.operations.transactions += session.transactions.get();
        self.read_hits += (reads + rmws + inserts).saturating_sub(misses);
        self.read_misses += misses;
    }
}
