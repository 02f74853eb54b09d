//! What a log has been through: which generation its blocks carry, and which of its records were given up. Invariants L8
//! and L9 of [`crate::allocator`].
//!
//! A log that was recovered goes on at a cut, with blocks of a generation of its own. What another future of the same log
//! left on the device behind the cut is thus never taken for a part of this one.

use crate::address::Address;
use crate::record::RecordInfo;

/// From an address on, blocks carry this generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation {
    /// A block boundary.
    pub from: Address,
    /// What blocks carry.
    pub generation: u32,
}

/// Records of one version within a range, which a cut left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aborted {
    /// The first address.
    pub from: Address,
    /// The address behind it.
    pub to: Address,
    /// What the records carry in [`RecordInfo::version`].
    pub stamp: u16,
}

/// The generations of a log's blocks, and its aborted ranges.
#[derive(Debug, Clone)]
pub(crate) struct History {
    /// By ascending address.
    generations: Vec<Generation>,
    /// The last of `generations`, or 0 for all addresses if there is none: most blocks carry it.
    newest: Generation,
    aborted: Vec<Aborted>,
    /// Nothing at or above is aborted.
    aborted_end: Address,
}

impl History {
    /// The history of a log whose blocks all carry `generation`.
    pub(crate) fn of_new(generation: u32) -> Self {
        Self::new(vec![Generation { from: Address::INVALID, generation }], Vec::new())
    }

    /// `generations` by ascending address. Addresses below the first carry what the first does.
    pub(crate) fn new(generations: Vec<Generation>, aborted: Vec<Aborted>) -> Self {
        let newest = generations.last().copied().unwrap_or(Generation { from: Address::INVALID, generation: 0 });
        let aborted_end = aborted.iter().map(|range| range.to).max().unwrap_or(Address::INVALID);
        Self { generations, newest, aborted, aborted_end }
    }

    /// What the block that begins at `address` carries.
    #[inline]
    pub(crate) fn generation_at(&self, address: Address) -> u32 {
        if address >= self.newest.from { self.newest.generation } else { self.older_generation_at(address) }
    }

    #[cold]
    fn older_generation_at(&self, address: Address) -> u32 {
        let behind = self.generations.partition_point(|entry| entry.from <= address);
        // `generations` is not empty, or `newest` would begin at address 0.
        self.generations.get(behind.saturating_sub(1)).map_or(0, |entry| entry.generation)
    }

    /// The header of the record at `address` as whoever reads it is to see it: a record that a cut left out is invalid.
    #[inline]
    pub(crate) fn judged(&self, address: Address, info: RecordInfo) -> RecordInfo {
        if address >= self.aborted_end { info } else { self.judged_by_range(address, info) }
    }

    #[cold]
    fn judged_by_range(&self, address: Address, info: RecordInfo) -> RecordInfo {
        let left_out = |range: &Aborted| range.from <= address && address < range.to && range.stamp == info.version();
        if info.is_present() && self.aborted.iter().any(left_out) { info.invalidated() } else { info }
    }

    /// True if a record between the two addresses may have been left out by a cut.
    pub(crate) fn may_be_aborted(&self, from: Address, to: Address) -> bool {
        self.aborted.iter().any(|range| range.from < to && from < range.to)
    }

    /// The generations of the blocks below `end`, by ascending address.
    pub(crate) fn generations_below(&self, end: Address) -> Vec<Generation> {
        self.generations.iter().copied().filter(|entry| entry.from < end).collect()
    }

    /// The same, with that of the blocks from `end` on, if it begins there.
    pub(crate) fn generations_up_to(&self, end: Address) -> Vec<Generation> {
        self.generations.iter().copied().filter(|entry| entry.from <= end).collect()
    }

    /// The ranges of which a part lies at or above `begin`.
    pub(crate) fn aborted_from(&self, begin: Address) -> Vec<Aborted> {
        let cut_off = |range: &Aborted| Aborted { from: range.from.max(begin), ..*range };
        self.aborted.iter().map(cut_off).filter(|range| range.from < range.to).collect()
    }

    /// The same history, with blocks from `from` up to `to` carrying `generation`.
    #[must_use]
    pub(crate) fn with_generation(&self, from: Address, to: Address, generation: u32) -> Self {
        if from >= to {
            return self.clone();
        }
        let mut generations = self.generations_below(from);
        generations.push(Generation { from, generation });
        if to < Address::MAX {
            generations.push(Generation { from: to, generation: self.generation_at(to) });
            generations.extend(self.generations.iter().copied().filter(|entry| entry.from > to));
        }
        Self::new(generations, self.aborted.clone())
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;

    fn at(address: u64) -> Address {
        Address::new(address)
    }

    fn generations(entries: &[(u64, u32)]) -> Vec<Generation> {
        entries.iter().map(|(from, generation)| Generation { from: at(*from), generation: *generation }).collect()
    }

    #[test]
    fn an_address_has_the_generation_of_the_last_entry_at_or_below_it() {
        let history = History::new(generations(&[(0, 7), (8176, 8), (16352, 9)]), Vec::new());
        for (address, generation) in [(0, 7), (8175, 7), (8176, 8), (16351, 8), (16352, 9), (1 << 47, 9)] {
            assert_eq!(history.generation_at(at(address)), generation, "{address}");
        }
        assert_eq!(history.generations_below(at(8176)), generations(&[(0, 7)]));
        assert_eq!(history.generations_below(at(8177)), generations(&[(0, 7), (8176, 8)]));
        let truncated = History::new(generations(&[(8176, 8), (16352, 9)]), Vec::new());
        assert_eq!(truncated.generation_at(at(64)), 8, "the oldest entry is all that is known of what lies below");
    }

    #[test]
    fn a_range_can_be_given_another_generation() {
        let history = History::new(generations(&[(0, 7), (8176, 8)]), Vec::new());
        let changed = history.with_generation(at(4088), at(12264), 1).with_generation(at(20440), Address::MAX, 1);
        for (address, generation) in [(0, 7), (4087, 7), (4088, 1), (12263, 1), (12264, 8), (20439, 8), (20440, 1)] {
            assert_eq!(changed.generation_at(at(address)), generation, "{address}");
        }
        let same = history.with_generation(at(4088), at(4088), 1);
        assert_eq!(same.generations_below(Address::MAX), generations(&[(0, 7), (8176, 8)]));
    }

    #[test]
    fn a_record_is_aborted_if_its_range_and_its_stamp_are() {
        let ranges = [(4088, 8176, 3), (8176, 9000, 4), (8000, 8400, 5)];
        let aborted = ranges.map(|(from, to, stamp)| Aborted { from: at(from), to: at(to), stamp }).to_vec();
        let history = History::new(generations(&[(0, 1)]), aborted);
        let invalid = |address, stamp| history.judged(at(address), RecordInfo::new(at(64), stamp)).is_invalid();
        assert!(invalid(4088, 3) && invalid(8175, 3) && invalid(8176, 4) && invalid(8300, 5));
        assert!(!invalid(4087, 3) && !invalid(8176, 3) && !invalid(4088, 4) && !invalid(9000, 4));
        let kept = history.judged(at(4088), RecordInfo::new(at(64), 3).with_tombstone());
        assert_eq!((kept.previous(), kept.version(), kept.is_tombstone()), (at(64), 3, true), "nothing else changes");
        assert_eq!(history.judged(at(4088), RecordInfo::from_word(0)), RecordInfo::from_word(0));
        assert!(history.may_be_aborted(at(0), at(4089)) && !history.may_be_aborted(at(0), at(4088)));
        assert!(history.may_be_aborted(at(8999), at(1 << 40)) && !history.may_be_aborted(at(9000), at(1 << 40)));
        let left = history.aborted_from(at(8350));
        assert_eq!(
            left.iter().map(|range| (range.from.get(), range.stamp)).collect::<Vec<_>>(),
            [(8350, 4), (8350, 5)]
        );
    }
}
