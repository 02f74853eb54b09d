//! What the index sees of the log when it splits a bucket.

use crate::address::Address;
use crate::allocator::{HybridLog, LogHandle};
use crate::index::{Look, Records};
use crate::memory::Purpose;
use crate::record::{Key, RecordLayout, Value};
use std::marker::PhantomData;

/// The records of a log that are in memory.
pub(crate) struct LogRecords<K, V> {
    log: LogHandle,
    schema: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: Value> LogRecords<K, V> {
    const SIZE: usize = RecordLayout::of::<K, V>().record_size();

    pub(crate) fn new(log: &HybridLog) -> Self {
        Self { log: log.handle(), schema: PhantomData }
    }
}

impl<K: Key, V: Value> Records for LogRecords<K, V> {
    fn look(&self, address: Address) -> Look {
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
            return Look::Invalid(info.previous());
        }
        Look::Record(record.key_hash::<K, V>(), info.previous())
    }

    fn prefetch(&self, address: Address) {
        self.log.view().prefetch(address, Self::SIZE, Purpose::Read);
    }
}
