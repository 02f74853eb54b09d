//! Records in the order of the log.

use crate::address::Address;
use crate::allocator::{LiveReader, ReadLimits};
use crate::epoch::Participant;
use crate::error::Result;
use crate::operation::Environment;
use crate::record::{Key, RecordLayout, Value};
use crate::store::compact::Hold;
use crate::store::database::Database;
use crate::sync::Arc;
use std::collections::VecDeque;
use std::ops::Range;

/// Bytes of the buffers that a scan reads ahead with.
pub(super) const BUFFER_BYTES: usize = 1 << 20;

/// A record as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScannedRecord<K, V> {
    /// Where it lies.
    pub address: Address,
    /// The next older record of its chain.
    pub previous: Address,
    /// The store's version when it was written, modulo 1024.
    pub version: u16,
    /// Whether it deletes its key; the value is [`Value::initial`] then.
    pub is_tombstone: bool,
    /// Its key.
    pub key: K,
    /// Its value; [`Value::initial`] if that is a [large](crate::store::ValueReader) one.
    pub value: V,
    /// Bytes of its value, if that is a large one.
    pub large_len: Option<u64>,
}

/// The valid records of a range of a store's log. Pages on the device are read ahead while others are looked at.
pub struct LogScanIterator<K: Key, V: Value> {
    database: Arc<Database<K, V>>,
    hold: Hold,
    reader: LiveReader,
    participant: Participant,
    range: Range<Address>,
    found: VecDeque<ScannedRecord<K, V>>,
    is_over: bool,
}

impl<K: Key, V: Value> LogScanIterator<K, V> {
    /// `hold` keeps the log from where a record begins, at or below the start of the range.
    pub(super) fn new(database: &Arc<Database<K, V>>, hold: Hold, range: Range<Address>) -> Result<Self> {
        let limits = ReadLimits { buffer_bytes: BUFFER_BYTES, wait: database.kernel.wait_limit() };
        let mut reader = LiveReader::new(&database.kernel.log, RecordLayout::of::<K, V>(), limits)?;
        reader.go_to(hold.at()..range.end.min(reader.end()))?;
        Ok(Self {
            database: Arc::clone(database),
            participant: database.epoch.join(),
            is_over: range.is_empty(),
            hold,
            reader,
            range,
            found: VecDeque::new(),
        })
    }

    /// Where it begins and ends.
    pub fn range(&self) -> Range<Address> {
        self.range.clone()
    }

    fn read_on(&mut self) -> Result<()> {
        while self.found.is_empty() && !self.is_over {
            let (found, start) = (&mut self.found, self.range.start);
            let more =
                self.reader.advance(&self.database.kernel.log, &mut self.participant, &mut |at, info, bytes| {
                    if at >= start && !info.is_invalid() {
                        let record = RecordLayout::parse::<K, V>(bytes)?;
                        found.push_back(ScannedRecord {
                            address: at,
                            previous: info.previous(),
                            version: info.version(),
                            is_tombstone: info.is_tombstone(),
                            large_len: record.large_len(),
                            key: record.key,
                            value: record.value.unwrap_or_else(V::initial),
                        });
                    }
                    Ok(())
                })?;
            self.is_over = !more;
            self.hold.advance(self.reader.position().min(self.range.end));
        }
        Ok(())
    }
}

impl<K: Key, V: Value> Iterator for LogScanIterator<K, V> {
    type Item = Result<ScannedRecord<K, V>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.found.is_empty()
            && let Err(error) = self.read_on()
        {
            self.is_over = true;
            return Some(Err(error));
        }
        self.found.pop_front().map(Ok)
    }
}
