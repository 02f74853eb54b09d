//! Freeing entries that lead to nothing any more.

use super::MemIndex;
use super::entry::{Entry, Overflow};
use super::table::Table;
use crate::address::Address;
use crate::epoch::Participant;
use crate::sync::Ordering;

/// Buckets that are looked at under one pin.
const UNDER_ONE_PIN: usize = 256;

impl MemIndex {
    /// Frees the entries that lead to records below `address`, all of which were given up. Others go on meanwhile. False if it did not
    /// come to the end, because the index grows or shrinks: then it is to be called again.
    ///
    /// A chain that is saturated is left as it is: its slots are not claimed any more (I3), so nothing would be gained.
    pub(crate) fn free_below(&self, address: Address, participant: &mut Participant) -> bool {
        let (rank, mut number) = (self.current(), 0);
        loop {
            let _guard = participant.pin();
            match self.free_some(rank, number, address) {
                Some(end) if end == number => return true,
                Some(end) => number = end,
                None => return false,
            }
        }
    }

    /// The same in a few buckets from `number` on. Returns the number of the one behind them; `None` if the table of this rank is not, or not
    /// any more, the whole index. The caller is pinned.
    pub(in crate::index) fn free_some(&self, rank: usize, number: usize, address: Address) -> Option<usize> {
        let table = self.table();
        // A split leaves such entries behind by itself, but not in the buckets that were split before this was known; a merge takes them along.
        if table.rank() != rank || !table.progress.is_over() {
            return None;
        }
        let end = (number + UNDER_ONE_PIN).min(table.len() as usize);
        (number..end).for_each(|number| free_in_chain(table, number, address));
        Some(end)
    }
}

impl MemIndex {
    /// Frees all that leads to records below `address`, for who has made the index and is still alone with it.
    #[cfg(not(oxifaster_loom))]
    pub(crate) fn forget_below(&self, address: Address) {
        let table = self.table();
        let leads_below = |word: u64| Entry(word).address().is_valid() && Entry(word).address() < address;
        for (bucket, end) in (0..table.len()).flat_map(|number| table.chain(number as usize)) {
            for slot in bucket.slots() {
                let word = slot.load(Ordering::Relaxed);
                if Entry(word).is_plain() && leads_below(word) {
                    slot.store(Entry::FREE.0, Ordering::Relaxed);
                }
            }
            let last = bucket.overflow();
            if end == Overflow::Saturated && leads_below(last.load(Ordering::Relaxed)) {
                last.store(Overflow::catch_all(Address::INVALID), Ordering::Relaxed);
            }
        }
    }
}

fn free_in_chain(table: &Table, number: usize, address: Address) {
    let is_open = |(_, end)| matches!(end, Overflow::End | Overflow::Link(_));
    if !table.chain(number).all(is_open) {
        return;
    }
    let slots = table.chain(number).flat_map(|(bucket, _)| bucket.slots());
    for slot in slots {
        let word = slot.load(Ordering::Acquire);
        if Entry(word).is_plain() && !Entry(word).is_frozen() && Entry(word).address() < address {
            // I4, W2: if somebody changed it meanwhile, it leads to something again, or is left to a split.
            let _ = slot.compare_exchange(word, Entry::FREE.0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;
    use crate::epoch::LightEpoch;
    use crate::index::IndexConfig;
    use crate::utility::KeyHash;

    #[test]
    fn entries_of_what_was_given_up_are_free_for_others_and_the_rest_stay() {
        let index = MemIndex::new(IndexConfig { buckets: 1, overflow_buckets: 4 }).unwrap();
        let mut participant = LightEpoch::new().join();
        let hash = |tag: u64| KeyHash::from_raw(tag << 50);
        let put = |tag: u64, at: u64, participant: &mut Participant| {
            let guard = participant.pin();
            index.try_update(index.find(hash(tag), &guard), Address::new(at)).unwrap();
        };
        for tag in 0..20 {
            put(tag, 64 + tag * 8, &mut participant);
        }
        assert!(index.free_below(Address::new(64 + 10 * 8), &mut participant));
        assert_eq!(index.stats().entries, 10);
        let guard = participant.pin();
        for tag in 0..20 {
            let expected = if tag < 10 { 0 } else { 64 + tag * 8 };
            assert_eq!(index.find(hash(tag), &guard).address().get(), expected, "{tag}");
        }
        drop(guard);
        for tag in 100..110 {
            put(tag, 1000, &mut participant);
        }
        assert_eq!(index.stats().overflow_buckets_used, 2, "no more room was taken");
    }

    #[test]
    fn a_saturated_chain_keeps_its_entries() {
        let index = MemIndex::new(IndexConfig { buckets: 1, overflow_buckets: 0 }).unwrap();
        let mut participant = LightEpoch::new().join();
        for tag in 0..9u64 {
            let guard = participant.pin();
            let slot = index.find(KeyHash::from_raw(tag << 50), &guard);
            index.try_update(slot, Address::new(64 + tag * 8)).unwrap();
        }
        assert!(index.free_below(Address::new(1 << 20), &mut participant));
        assert_eq!(index.stats().entries, 7);
        // Whoever is alone with it can do more.
        let heads = |participant: &mut Participant| {
            let guard = participant.pin();
            (0..9).map(|tag| index.find(KeyHash::from_raw(tag << 50), &guard).address().get()).collect::<Vec<_>>()
        };
        index.forget_below(Address::new(64 + 3 * 8));
        assert_eq!(heads(&mut participant)[3..7], [88, 96, 104, 112]);
        assert_eq!(index.stats().entries, 4);
        index.forget_below(Address::new(1 << 20));
        assert_eq!(heads(&mut participant), [0; 9]);
    }
}
