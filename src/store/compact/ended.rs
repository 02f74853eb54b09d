//! How much of the log are values that have ended, by looking at some of it. No index entry goes when a value ends, and a count that
//! is kept while values are written would be of no use after a recovery.

use crate::address::Address;
use crate::allocator::{FIRST, LiveReader, ReadLimits};
use crate::error::Result;
use crate::operation::Environment;
use crate::record::{Key, RecordLayout, Value};
use crate::store::database::Database;
use crate::sync::Arc;
use std::ops::Range;

/// Places that are looked at, spread evenly.
const PLACES: u64 = 16;
/// Bytes of the log that are looked at in one place.
const PLACE_BYTES: u64 = 1 << 13;

/// What was seen of a log.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ended {
    /// Bytes of records whose value has ended, whether or not they are the newest of their keys.
    ended: u64,
    /// Bytes of records that have a value.
    all: u64,
    /// Bytes of the log that were read to know that.
    pub(super) read: u64,
}

impl Ended {
    /// Looks at the log of a store whose values may end. A log that cannot be read is said to have none: whoever compacts it meets the
    /// reason.
    pub(super) fn look<K: Key, V: Value>(database: &Arc<Database<K, V>>) -> Self {
        if const { !V::EXPIRES } {
            return Self::default();
        }
        Self::try_look(database).unwrap_or_default()
    }

    fn try_look<K: Key, V: Value>(database: &Arc<Database<K, V>>) -> Result<Self> {
        let (kernel, log) = (&database.kernel, &database.kernel.log);
        let now = kernel.now();
        let hold = database.reclaim.hold(|| log.begin());
        let limits = ReadLimits { buffer_bytes: 2 * PLACE_BYTES as usize, wait: kernel.wait_limit() };
        let mut reader = LiveReader::new(log, RecordLayout::of::<K, V>(), limits)?;
        let mut participant = database.epoch.join();
        let (mut seen, layout) = (Self::default(), const { RecordLayout::of::<K, V>() });
        for place in places(database, hold.at()..reader.end()) {
            reader.go_to(place)?;
            let before = reader.bytes();
            while reader.advance(log, &mut participant, &mut |_, info, bytes| {
                if info.is_live() {
                    seen.all += bytes.len() as u64;
                    if layout.split(bytes)?.expiry.is_over(now) {
                        seen.ended += bytes.len() as u64;
                    }
                }
                Ok(())
            })? {}
            seen.read += reader.bytes() - before;
        }
        Ok(seen)
    }

    /// Of so many bytes of newest records, those whose value has ended.
    pub(super) fn of(self, bytes: u64) -> u64 {
        (u128::from(bytes) * u128::from(self.ended) / u128::from(self.all.max(1))) as u64
    }
}

/// Places of a log, each from where a record begins on.
fn places<K: Key, V: Value>(database: &Database<K, V>, log: Range<Address>) -> impl Iterator<Item = Range<Address>> {
    let page = database.kernel.log.geometry().page();
    let (first, end) = (page.page(log.start), page.page(Address::new(log.end.get().max(FIRST + 1) - 1)) + 1);
    let step = end.saturating_sub(first).div_ceil(PLACES).max(1);
    (first..end).step_by(step as usize).filter_map(move |number| {
        let start = page.start_of(number).max(log.start);
        let until = Address::from_word((start.get() + PLACE_BYTES).min(page.start_of(number + 1).get())).min(log.end);
        (start < until).then_some(start..until)
    })
}
