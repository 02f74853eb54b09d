//! What the index sees of the log when it splits a bucket, or merges two.

use super::Kernel;
use crate::address::Address;
use crate::allocator::LogHandle;
use crate::cache::ReadCache;
use crate::index::{Look, Records};
use crate::memory::Purpose;
use crate::record::{Key, Mark, RecordLayout, Value};
use crate::sync::{Arc, MonotonicU64};
use std::marker::PhantomData;

/// The records of a log that are in memory, and the copies in front of them.
pub(crate) struct LogRecords<K, V> {
    log: LogHandle,
    /// Entries that lead below lead to nothing that anybody may want.
    kept_from: Arc<MonotonicU64>,
    cache: Option<LogHandle>,
    schema: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: Value> LogRecords<K, V> {
    const LAYOUT: RecordLayout = RecordLayout::of::<K, V>();

    pub(crate) fn new(kernel: &Kernel<K, V>) -> Self {
        let cache = kernel.cache.as_ref().map(ReadCache::handle);
        Self { log: kernel.log.handle(), kept_from: Arc::clone(&kernel.kept_from), cache, schema: PhantomData }
    }

    /// Notes in the log how many buckets there are from here on. False if there is no room for that at this moment.
    pub(crate) fn mark_table(&self, buckets: u64) -> bool {
        self.log.append(Mark::SIZE, |words| Mark::of_table(buckets).write(words, 0))
    }

    /// What a copy in the read cache stands in front of.
    fn behind_copy(&self, copy: Address) -> Address {
        let Some(cache) = &self.cache else { return Address::INVALID };
        cache.view().header(copy.within_cache()).info().previous()
    }
}

impl<K: Key, V: Value> Records for LogRecords<K, V> {
    fn look(&self, address: Address) -> Look {
        if address.is_cached() {
            return Look::Skip(self.behind_copy(address));
        }
        let log = self.log.view();
        if address.get() < self.kept_from.get() {
            return Look::Gone;
        }
        if address < log.head() {
            return Look::Away;
        }
        let record = log.record(address, Self::LAYOUT);
        let info = record.info();
        if info.is_invalid() {
            return Look::Skip(info.previous());
        }
        Look::Record(record.key_hash::<K, V>(), info.previous())
    }

    fn are_of_one_key(&self, one: Address, other: Address) -> bool {
        let log = self.log.view();
        let [one, other] = [one, other].map(|at| log.record(at, Self::LAYOUT));
        one.has_key_of::<K, V>(other)
    }

    /// P1 of replay: where every change is in the log, what is recovered from it must know how its chains were made.
    fn announce(&self, buckets: u64) -> bool {
        !self.log.forbids_updates() || self.mark_table(buckets)
    }

    fn prefetch(&self, address: Address) {
        if !address.is_cached() {
            self.log.view().prefetch(address, Self::LAYOUT, Self::LAYOUT.planned_size(), Purpose::Read);
        }
    }
}
