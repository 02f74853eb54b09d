//! What a read may return: the memory of which versions were written.
//!
//! Remembering the version of every key would take as much memory as the store may have, so the exact versions of one
//! key in 2^n are remembered, spread evenly over the key space. For the other keys a read is held to the highest stamp
//! given out so far; key and checksum are checked for all.
//!
//! A sampled key has two counts: `issued` is raised before a write, `acknowledged` after it. A read may return any
//! version from the acknowledged one when it began to the issued one when it completed, and nothing else.
//!
//! Keys beyond the loaded ones are inserted once and never updated: their version is always [`FIRST`].

use std::sync::atomic::{AtomicU64, Ordering};

/// The version that loading and inserting write.
pub(crate) const FIRST: u64 = 0;

/// Sampled keys at most, unless every key is asked for: 16 bytes each.
const SAMPLES: u64 = 1 << 17;
/// At most one key in this many is sampled, so that the bookkeeping hardly shows in the throughput.
const SPARSEST: u64 = 16;
/// Stamps are given out in blocks, so that threads rarely touch the shared count.
const STAMP_BLOCK: u64 = 1 << 12;

#[derive(Debug, Default)]
struct Slot {
    issued: AtomicU64,
    acknowledged: AtomicU64,
}

/// Permission to write one version of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The key is sampled: this version and no other, to be acknowledged afterwards.
    Exact(u64),
    /// The key is not sampled: any stamp will do.
    Stamp,
    /// Another thread is writing this sampled key, and the order of two writes could not be told: take another key.
    Taken,
}

/// Stamps that one thread may still use.
#[derive(Debug, Default)]
pub(crate) struct Stamps {
    next: u64,
    end: u64,
}

/// The versions that reads are checked against.
#[derive(Debug)]
pub(crate) struct Oracle {
    records: u64,
    shift: u32,
    slots: Vec<Slot>,
    stamps: AtomicU64,
}

impl Oracle {
    /// Remembers one key in some, or `every` key.
    pub(crate) fn new(records: u64, every: bool) -> Self {
        let stride = if every { 1 } else { records.div_ceil(SAMPLES).max(SPARSEST).next_power_of_two() };
        let slots = (0..records.div_ceil(stride)).map(|_| Slot::default()).collect();
        Self { records, shift: stride.trailing_zeros(), slots, stamps: AtomicU64::new(FIRST + 1) }
    }

    /// Loaded keys whose exact version is remembered.
    pub(crate) fn sampled_keys(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Whether reads of `key` are held to its exact version.
    pub(crate) fn is_exact(&self, key: u64) -> bool {
        key >= self.records || self.slot(key).is_some()
    }

    fn slot(&self, key: u64) -> Option<&Slot> {
        if key.trailing_zeros() < self.shift || key >= self.records {
            return None;
        }
        self.slots.get((key >> self.shift) as usize)
    }

    /// The lowest version that a read of `key` that begins now may return.
    pub(crate) fn floor(&self, key: u64) -> u64 {
        self.slot(key).map_or(FIRST, |slot| slot.acknowledged.load(Ordering::Acquire))
    }

    /// The highest version that a read of `key` that completes now may return.
    pub(crate) fn ceiling(&self, key: u64) -> u64 {
        match self.slot(key) {
            Some(slot) => slot.issued.load(Ordering::Acquire),
            None if key >= self.records => FIRST,
            None => self.stamps.load(Ordering::Acquire),
        }
    }

    /// Asks to overwrite `key`.
    pub(crate) fn claim(&self, key: u64) -> Claim {
        let Some(slot) = self.slot(key) else { return Claim::Stamp };
        // `issued` never lies below `acknowledged` and neither ever falls, so if it still equals what was acknowledged
        // then no write is under way, and raising it keeps others out until this one is acknowledged.
        let acknowledged = slot.acknowledged.load(Ordering::Acquire);
        let next = acknowledged + 1;
        match slot.issued.compare_exchange(acknowledged, next, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => Claim::Exact(next),
            Err(_) => Claim::Taken,
        }
    }

    /// Announces a read-modify-write that adds one to the version of `key`. Any number may be under way, since the store
    /// applies them one after another; false if the key is not sampled.
    pub(crate) fn announce(&self, key: u64) -> bool {
        self.slot(key).map(|slot| slot.issued.fetch_add(1, Ordering::AcqRel)).is_some()
    }

    /// The write of `key` that was claimed or announced has returned.
    pub(crate) fn acknowledge(&self, key: u64) {
        if let Some(slot) = self.slot(key) {
            slot.acknowledged.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// A version for a key that is not sampled.
    pub(crate) fn stamp(&self, stamps: &mut Stamps) -> u64 {
        if stamps.next == stamps.end {
            stamps.next = self.stamps.fetch_add(STAMP_BLOCK, Ordering::AcqRel);
            stamps.end = stamps.next + STAMP_BLOCK;
        }
        stamps.next += 1;
        stamps.next - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_bounded_and_spread_over_the_key_space() {
        let oracle = Oracle::new(10_000_000, false);
        assert!((50_000..=SAMPLES).contains(&oracle.sampled_keys()), "{}", oracle.sampled_keys());
        let exact: Vec<u64> = (9_999_000..10_000_000).filter(|key| oracle.is_exact(*key)).collect();
        assert_eq!(exact.len(), 7, "one key in 128: {exact:?}");
        assert_eq!(Oracle::new(1_000, true).sampled_keys(), 1_000);
        assert_eq!(Oracle::new(1_000, false).sampled_keys(), 63);
    }

    #[test]
    fn a_read_may_return_what_was_current_at_some_moment_of_it() {
        let oracle = Oracle::new(100, true);
        assert_eq!((oracle.floor(5), oracle.ceiling(5)), (FIRST, FIRST));
        assert_eq!(oracle.claim(5), Claim::Exact(1));
        assert_eq!((oracle.floor(5), oracle.ceiling(5)), (0, 1));
        oracle.acknowledge(5);
        assert_eq!((oracle.floor(5), oracle.ceiling(5)), (1, 1));
    }

    #[test]
    fn two_writers_of_a_sampled_key_exclude_each_other() {
        let oracle = Oracle::new(100, true);
        assert_eq!(oracle.claim(5), Claim::Exact(1));
        assert_eq!(oracle.claim(5), Claim::Taken);
        oracle.acknowledge(5);
        assert_eq!(oracle.claim(5), Claim::Exact(2));
    }

    #[test]
    fn read_modify_writes_may_overlap_and_all_count() {
        let oracle = Oracle::new(100, true);
        assert!(oracle.announce(5) && oracle.announce(5));
        assert_eq!((oracle.floor(5), oracle.ceiling(5)), (0, 2));
        oracle.acknowledge(5);
        oracle.acknowledge(5);
        assert_eq!((oracle.floor(5), oracle.ceiling(5)), (2, 2));
    }

    #[test]
    fn stamps_are_never_above_the_ceiling_and_never_given_twice() {
        let oracle = Oracle::new(1_000, false);
        let (mut one, mut other) = (Stamps::default(), Stamps::default());
        let mut given = std::collections::HashSet::new();
        for _ in 0..STAMP_BLOCK + 10 {
            for stamps in [&mut one, &mut other] {
                let stamp = oracle.stamp(stamps);
                assert!(given.insert(stamp) && stamp > FIRST && stamp <= oracle.ceiling(1));
            }
        }
        assert_eq!(oracle.claim(1), Claim::Stamp);
        assert!(!oracle.announce(1));
    }

    #[test]
    fn inserted_keys_have_exactly_the_first_version() {
        let oracle = Oracle::new(100, false);
        oracle.stamp(&mut Stamps::default());
        assert!(oracle.is_exact(100));
        assert_eq!((oracle.floor(112), oracle.ceiling(112)), (FIRST, FIRST));
    }
}
