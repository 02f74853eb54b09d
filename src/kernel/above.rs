//! Is a record the newest of its key? The search in a chain above a record that is known to be old enough not to change.

use super::{Fetch, Fetched, Kernel};
use crate::address::Address;
use crate::device::{IoDone, IoRequest};
use crate::epoch::Guard;
use crate::error::Result;
use crate::index::Slot;
use crate::record::{Key, RecordInfo, RecordLayout, Value};

/// Which records of a chain count: those below `end`, without those that a cut leaves out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Records at or above count for nothing.
    pub(crate) end: Address,
    /// Nor do those from here on that carry the stamp.
    pub(crate) left_out: Option<(Address, u16)>,
}

impl Extent {
    /// All records.
    pub(crate) const ALL: Self = Self { end: Address::MAX, left_out: None };

    /// Whether the record at `at` counts.
    #[inline]
    pub(crate) fn counts(&self, at: Address, info: RecordInfo) -> bool {
        let is_left_out = |(from, stamp)| at >= from && info.version() == stamp;
        at < self.end && !info.is_invalid() && !self.left_out.is_some_and(is_left_out)
    }
}

/// What a look at a chain came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// A record of the key lies above, or the record is in no chain any more: it is not the newest.
    Old,
    /// Nothing above the record is of its key, as of this pin.
    Newest,
    /// The device has to be asked.
    Disk,
}

/// The search above one record. K4 holds for it: what was searched need not be searched again, since chains grow at the head.
pub(crate) struct Above {
    extent: Extent,
    /// At or below, nothing newer of the key is. To begin with, the record itself.
    floor: Address,
    /// The search has met the record, so it is in its chain.
    is_met: bool,
    walk: Option<Walk>,
    is_old: bool,
}

/// A search on the device.
#[derive(Clone, Copy)]
struct Walk {
    /// The chain's newest record when the walk began.
    top: Address,
    next: Fetch,
}

impl Above {
    /// A search above the record at `at`.
    pub(crate) const fn new(at: Address, extent: Extent) -> Self {
        Self { extent, floor: at, is_met: false, walk: None, is_old: false }
    }

    /// Looks at the chain of `slot` from its newest record down, as far as memory goes.
    #[inline]
    pub(crate) fn look<K: Key, V: Value>(
        &mut self,
        kernel: &Kernel<K, V>,
        key: &K,
        slot: &Slot<'_>,
        guard: &Guard<'_>,
    ) -> Look {
        if self.is_old {
            return Look::Old;
        }
        if self.walk.is_some() {
            return Look::Disk;
        }
        let log = kernel.log.view(guard);
        let top = kernel.newest(slot, guard);
        let mut at = top;
        while at > self.floor {
            if at < log.head() {
                self.walk = Some(Walk { top, next: Fetch::of(kernel, at) });
                return Look::Disk;
            }
            let record = log.record(at, const { RecordLayout::of::<K, V>() });
            let info = record.info();
            if self.extent.counts(at, info) && record.key_is::<K, V>(key) {
                return Look::Old;
            }
            at = info.previous();
        }
        // A chain that leads past the record does not hold it: it was taken out, with all that lies below.
        if self.is_met || at == self.floor { Look::Newest } else { Look::Old }
    }

    /// The access that the search needs, if it needs one.
    pub(crate) fn request<K: Key, V: Value>(&self, kernel: &Kernel<K, V>) -> Option<IoRequest> {
        self.walk.map(|walk| walk.next.request(kernel))
    }

    /// Takes in the record that [`request`](Self::request) asked for.
    ///
    /// # Errors
    /// The device's error, or [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt).
    pub(crate) fn resume<K: Key, V: Value>(&mut self, kernel: &Kernel<K, V>, key: &K, done: IoDone) -> Result<()> {
        let Some(next) = self.walk.map(|walk| walk.next) else { return Ok(()) };
        let fetched = next.take(kernel, done)?;
        self.take_in(kernel, key, fetched);
        Ok(())
    }

    /// The record that the search needs from the device, if it needs one.
    pub(crate) fn wanted(&self) -> Option<Fetch> {
        self.walk.map(|walk| walk.next)
    }

    /// Takes in what was brought of that record. True if that ends the search: the record that it is about is not the newest.
    pub(crate) fn take_in<K: Key, V: Value>(&mut self, kernel: &Kernel<K, V>, key: &K, fetched: Fetched<K, V>) -> bool {
        let Some(Walk { top, next }) = self.walk.take() else { return self.is_old };
        let record = match fetched {
            Fetched::Record(record) => record,
            Fetched::Longer(next) => {
                self.walk = Some(Walk { top, next });
                return false;
            }
        };
        let previous = record.info.previous();
        if self.extent.counts(next.at, record.info) && record.key.as_bytes() == key.as_bytes() {
            self.is_old = true;
        } else if previous > self.floor {
            self.walk = Some(Walk { top, next: Fetch::of(kernel, previous) });
        } else if self.is_met || previous == self.floor {
            (self.floor, self.is_met) = (top, true);
        } else {
            self.is_old = true;
        }
        self.is_old
    }
}
