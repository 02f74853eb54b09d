//! What the versions of an operation and of a record mean for it while a checkpoint is under way. Decision 0009 has the table.

use super::Kernel;
use super::find::{Found, Region};
use crate::address::Address;
use crate::checkpoint::state::{Moment, Phase};
use crate::epoch::Guard;
use crate::record::{Key, RecordInfo, Value};
use crate::sync::{AtomicU64, MonotonicU64, Ordering};

/// The store's version, and where the records of the next one begin.
pub(crate) struct Versions {
    /// The version outside of checkpoints. It changes only while every guard carries a notice, and those that do do not look
    /// at it.
    current: AtomicU64,
    /// Below lie no records of the version that the checkpoint under way begins.
    start: MonotonicU64,
}

impl Versions {
    pub(crate) fn new(version: u64) -> Self {
        Self { current: AtomicU64::new(version), start: MonotonicU64::new(0) }
    }

    pub(crate) fn current(&self) -> u64 {
        self.current.load(Ordering::Acquire)
    }

    /// Sets the version. For the checkpoint under way, while every guard carries a notice.
    pub(crate) fn set(&self, version: u64) {
        self.current.store(version, Ordering::Release);
    }

    /// Notes where the log ends before the version changes.
    pub(crate) fn set_start(&self, start: Address) {
        self.start.advance_to(start.get());
    }
}

/// What records of a version carry.
pub(crate) const fn stamp(version: u64) -> u16 {
    (version % RecordInfo::VERSIONS) as u16
}

impl<K: Key, V: Value> Kernel<K, V> {
    /// When the operation takes place: the same answer for as long as the guard lives.
    #[inline]
    pub(crate) fn moment(&self, guard: &Guard<'_>) -> Moment {
        match guard.notice() {
            None => Moment::rest(self.versions.current()),
            Some(notice) => Moment::of_word(notice),
        }
    }

    /// What the operation of this moment may do with the record it found.
    #[inline]
    pub(crate) fn region(&self, found: &Found<'_>, moment: Moment) -> Region {
        let by_address = self.region_of(found.address);
        if moment.phase == Phase::Rest {
            return by_address;
        }
        by_version(moment, self.is_of_next(found, moment), by_address)
    }

    /// True for a record of the version that the checkpoint under way begins.
    fn is_of_next(&self, found: &Found<'_>, moment: Moment) -> bool {
        let next = if moment.phase == Phase::Prepare { moment.version + 1 } else { moment.version };
        // The stamp alone could be that of a version a whole round ago.
        found.address.get() >= self.versions.start.get() && found.info.version() == stamp(next)
    }
}

/// The table of decision 0009.
const fn by_version(moment: Moment, is_of_next: bool, by_address: Region) -> Region {
    match (moment.phase, is_of_next) {
        (Phase::Rest, _) | (Phase::Prepare, false) | (Phase::InProgress | Phase::Capture, true) => by_address,
        (Phase::Prepare, true) => Region::Newer,
        // Somebody of the old version may still be changing it in place.
        (Phase::InProgress, false) => match by_address {
            Region::Immutable => Region::Immutable,
            Region::Mutable | Region::Fuzzy | Region::Newer => Region::Fuzzy,
        },
        // Nobody does: it is as it will be in the checkpoint. (What is fuzzy by its address is waited for all the same.)
        (Phase::Capture, false) => match by_address {
            Region::Mutable => Region::Immutable,
            other => other,
        },
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_one_of_the_decision() {
        let at = |phase| Moment { phase, version: 7 };
        let all = [Region::Mutable, Region::Fuzzy, Region::Immutable];
        for region in all {
            assert_eq!(by_version(at(Phase::Prepare), false, region), region);
            assert_eq!(by_version(at(Phase::Prepare), true, region), Region::Newer);
            assert_eq!(by_version(at(Phase::InProgress), true, region), region);
            assert_eq!(by_version(at(Phase::Capture), true, region), region);
            assert_ne!(by_version(at(Phase::InProgress), false, region), Region::Mutable);
            assert_ne!(by_version(at(Phase::Capture), false, region), Region::Mutable);
        }
        assert_eq!(by_version(at(Phase::InProgress), false, Region::Mutable), Region::Fuzzy);
        assert_eq!(by_version(at(Phase::Capture), false, Region::Mutable), Region::Immutable);
        assert_eq!(by_version(at(Phase::Capture), false, Region::Fuzzy), Region::Fuzzy);
    }
}
