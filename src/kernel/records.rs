//! What the index sees of the log when it splits a bucket.

use super::Kernel;
use crate::address::Address;
use crate::allocator::LogHandle;
use crate::cache::ReadCache;
use crate::index::{Look, Records};
use crate::memory::Purpose;
use crate::record::{Key, RecordInfo, RecordLayout, Value};
use std::marker::PhantomData;

/// The records of a log that are in memory, and the copies in front of them.
pub(crate) struct LogRecords<K, V> {
    log: LogHandle,
    cache: Option<LogHandle>,
    schema: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: Value> LogRecords<K, V> {
    const SIZE: usize = RecordLayout::of::<K, V>().record_size();

    pub(crate) fn new(kernel: &Kernel<K, V>) -> Self {
        let cache = kernel.cache.as_ref().map(ReadCache::handle);
        Self { log: kernel.log.handle(), cache, schema: PhantomData }
    }

    /// What a copy in the read cache stands in front of.
    fn behind_copy(&self, copy: Address) -> Address {
        let Some(cache) = &self.cache else { return Address::INVALID };
        cache.view().record(copy.within_cache(), size_of::<RecordInfo>()).info().previous()
    }
}

impl<K: Key, V: Value> Records for LogRecords<K, V> {
    fn look(&self, address: Address) -> Look {
        if address.is_cached() {
            return Look::Skip(self.behind_copy(address));
        }
        let log = self.log.view();
        if address < log.begin() {
            return Look::Gone;
        }
        if address < log.head() {
            return Look::Away;
        }
        let record = log.record(address, Self::SIZE);
        let info = record.info();
        if info.is_invalid() {
            return Look::Skip(info.previous());
        }
        Look::Record(record.key_hash::<K, V>(), info.previous())
    }

    fn prefetch(&self, address: Address) {
        if !address.is_cached() {
            self.log.view().prefetch(address, Self::SIZE, Purpose::Read);
        }
    }
}
