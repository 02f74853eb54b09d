use super::entry::{Entry, Overflow};
use super::{Conflict, IndexConfig, MemIndex};
use crate::address::Address;
use crate::epoch::{LightEpoch, Participant};
use crate::error::ErrorKind;
use crate::sync::{AtomicU64, Ordering};
use crate::utility::KeyHash;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Barrier;

const TAG_MAX: u64 = (1 << KeyHash::TAG_BITS) - 1;

fn hash(bucket: u64, tag: u64) -> KeyHash {
    // The bits between are neither bucket nor tag, and must not matter.
    KeyHash::from_raw(tag << (64 - KeyHash::TAG_BITS) | 0x5a5a_5a5a << 8 | bucket)
}

/// The address of record `number`.
fn address_of(number: u64) -> Address {
    Address::new(number * 8)
}

/// The last record that there can be.
const LAST: u64 = Address::MAX.get() / 8;

fn index(buckets: u64, overflow_buckets: u64) -> MemIndex {
    MemIndex::new(IndexConfig { buckets, overflow_buckets }).unwrap()
}

fn participant() -> Participant {
    LightEpoch::new().join()
}

/// What a chain's words hold: the address of every tag that has an entry, and of the catch-all if there is one.
fn contents(index: &MemIndex, bucket: usize) -> (HashMap<u64, u64>, Option<u64>) {
    let (mut entries, mut catch_all) = (HashMap::new(), None);
    for (bucket, overflow) in index.table().chain(bucket) {
        for word in bucket.slots().map(|slot| slot.load(Ordering::Relaxed)).filter(|word| *word != 0) {
            assert!(!Entry(word).is_tentative(), "a tentative entry was left behind");
            let before = entries.insert(word >> Address::BITS & TAG_MAX, Address::from_word(word).get() / 8);
            assert_eq!(before, None, "two entries with the same tag");
        }
        assert_ne!(overflow, Overflow::Saturating);
        if overflow == Overflow::Saturated {
            catch_all = Some(Address::from_word(bucket.overflow().load(Ordering::Relaxed)).get() / 8);
        }
    }
    (entries, catch_all)
}

#[test]
fn nonsense_sizes_are_refused_with_the_accepted_ones() {
    for (buckets, overflow_buckets, field) in [
        (0, 0, "buckets"),
        (3, 0, "buckets"),
        (1 << 37, 0, "buckets"),
        (u64::MAX, 0, "buckets"),
        (8, (1 << 36) + 1, "overflow_buckets"),
        (8, u64::MAX, "overflow_buckets"),
    ] {
        let error = MemIndex::new(IndexConfig { buckets, overflow_buckets }).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.field(field).is_some() && error.to_string().contains("2^36"), "{error}");
    }
}

#[test]
fn the_memory_of_an_index_is_known_before_it_is_made() {
    assert_eq!(MemIndex::bytes(1024, 16), 1040 * 64);
    assert_eq!(MemIndex::bytes(u64::MAX, 1), usize::MAX);
}

#[test]
fn an_entry_is_found_updated_and_freed() {
    let (index, mut participant) = (index(4, 0), participant());
    let guard = participant.pin();
    for tag in [0, 1, TAG_MAX] {
        let hash = hash(2, tag);
        let empty = index.find(hash, &guard);
        assert_eq!((empty.address(), empty.seen()), (Address::INVALID, 0));
        index.view(&guard).prefetch(hash);
        index.try_update(empty, address_of(7)).unwrap();
        let first = index.find(hash, &guard);
        assert_eq!(first.address(), address_of(7));
        assert!(first.is_same(&index.find(hash, &guard)) && !first.is_same(&empty));
        index.try_update(first, address_of(LAST)).unwrap();
        let second = index.find(hash, &guard);
        assert_eq!(second.address(), address_of(LAST));
        assert!(!second.is_same(&first));
        assert_eq!(index.try_update(first, address_of(9)), Err(Conflict));
        assert_eq!(index.try_free(first), Err(Conflict));
        index.try_free(second).unwrap();
        assert!(index.find(hash, &guard).is_same(&empty));
    }
}

#[test]
fn an_invalid_address_frees_the_entry() {
    let (index, mut participant) = (index(1, 0), participant());
    let guard = participant.pin();
    let hash = hash(0, 0);
    index.try_update(index.find(hash, &guard), address_of(7)).unwrap();
    index.try_update(index.find(hash, &guard), Address::INVALID).unwrap();
    index.try_update(index.find(hash, &guard), Address::INVALID).unwrap();
    assert_eq!(index.stats().entries, 0);
}

#[test]
fn a_slot_taken_by_another_tag_is_not_mistaken_for_the_old_one() {
    let (index, mut participant) = (index(1, 0), participant());
    let guard = participant.pin();
    index.try_update(index.find(hash(0, 3), &guard), address_of(7)).unwrap();
    let old = index.find(hash(0, 3), &guard);
    index.try_free(old).unwrap();
    index.try_update(index.find(hash(0, 4), &guard), address_of(7)).unwrap();
    assert_eq!(index.try_update(old, address_of(8)), Err(Conflict));
    assert_eq!(index.try_free(old), Err(Conflict));
    assert_eq!(index.find(hash(0, 4), &guard).address(), address_of(7));
}

#[test]
fn a_tentative_entry_is_not_found_and_not_overlooked() {
    let (index, mut participant) = (index(1, 0), participant());
    let guard = participant.pin();
    let word = index.table().first(hash(0, 3)).slots().next().unwrap();
    word.store(Entry::new(3, address_of(7)).tentative().0, Ordering::Relaxed);
    let slot = index.find(hash(0, 3), &guard);
    assert_eq!(slot.address(), Address::INVALID);
    assert_eq!(index.try_update(slot, address_of(8)), Err(Conflict));
    index.try_update(index.find(hash(0, 4), &guard), address_of(9)).unwrap();
    assert_eq!(index.stats().entries, 1);
    assert_eq!(word.load(Ordering::Relaxed), Entry::new(3, address_of(7)).tentative().0);
}

#[test]
fn a_full_bucket_goes_on_in_the_arena_and_then_in_the_catch_all() {
    let (index, mut participant) = (index(2, 1), participant());
    let guard = participant.pin();
    for tag in 0..14 {
        index.try_update(index.find(hash(1, tag), &guard), address_of(100 + tag)).unwrap();
    }
    let full = index.stats();
    assert_eq!((full.buckets, full.entries, full.saturated_buckets), (2, 14, 0));
    assert_eq!((full.overflow_buckets_used, full.overflow_buckets), (1, 1));

    // Every further tag shares one chain.
    index.try_update(index.find(hash(1, 14), &guard), address_of(114)).unwrap();
    assert_eq!(index.find(hash(1, 15), &guard).address(), address_of(114));
    assert!(index.find(hash(1, 15), &guard).seen() != 0);
    index.try_update(index.find(hash(1, 15), &guard), address_of(115)).unwrap();
    assert_eq!(index.find(hash(1, 14), &guard).address(), address_of(115));
    assert_eq!(index.stats().saturated_buckets, 1);

    // A freed slot stays free, because its tag may live in the catch-all by now; the other bucket is as it was.
    index.try_free(index.find(hash(1, 3), &guard)).unwrap();
    assert_eq!(index.find(hash(1, 3), &guard).address(), address_of(115));
    index.try_update(index.find(hash(1, 3), &guard), address_of(116)).unwrap();
    assert_eq!(index.stats().entries, 13);
    index.try_free(index.find(hash(1, 3), &guard)).unwrap();
    assert_eq!(index.find(hash(1, 15), &guard).address(), Address::INVALID);
    assert_eq!(index.stats().saturated_buckets, 1);
    assert_eq!(index.find(hash(0, 3), &guard).address(), Address::INVALID);
}

/// What the index should be, told without words and races.
struct Oracle {
    chains: Vec<Chain>,
    overflow_buckets_left: usize,
    last_address: u64,
}

#[derive(Default)]
struct Chain {
    slots: usize,
    entries: HashMap<u64, u64>,
    catch_all: Option<u64>,
}

impl Oracle {
    fn new(buckets: usize, overflow_buckets: usize) -> Self {
        let chains = (0..buckets).map(|_| Chain { slots: 7, ..Chain::default() }).collect();
        Self { chains, overflow_buckets_left: overflow_buckets, last_address: 0 }
    }

    fn find(&self, bucket: u64, tag: u64) -> u64 {
        let chain = &self.chains[bucket as usize];
        chain.entries.get(&tag).copied().or(chain.catch_all).unwrap_or(0)
    }

    /// The home of the tag gets a new address, which is returned.
    fn update(&mut self, bucket: u64, tag: u64) -> u64 {
        self.last_address += 1;
        let chain = &mut self.chains[bucket as usize];
        if let Some(address) = chain.entries.get_mut(&tag).or(chain.catch_all.as_mut()) {
            *address = self.last_address;
            return self.last_address;
        }
        if chain.entries.len() == chain.slots && self.overflow_buckets_left > 0 {
            self.overflow_buckets_left -= 1;
            chain.slots += 7;
        }
        if chain.entries.len() < chain.slots {
            chain.entries.insert(tag, self.last_address);
        } else {
            chain.catch_all = Some(self.last_address);
        }
        self.last_address
    }

    fn free(&mut self, bucket: u64, tag: u64) {
        let chain = &mut self.chains[bucket as usize];
        if chain.entries.remove(&tag).is_none() {
            chain.catch_all = chain.catch_all.map(|_| 0);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Update,
    Free,
    /// An update through a slot that was found before another update of the same key went through.
    UpdateTooLate,
    FreeTooLate,
}

fn steps() -> impl Strategy<Value = Vec<(Step, u64, u64)>> {
    let step = prop_oneof![
        6 => Just(Step::Update),
        3 => Just(Step::Free),
        1 => Just(Step::UpdateTooLate),
        1 => Just(Step::FreeTooLate),
    ];
    let tag = prop_oneof![0..20u64, TAG_MAX - 2..=TAG_MAX];
    prop::collection::vec((step, 0..4u64, tag), 0..200)
}

proptest! {
    #[test]
    fn the_index_behaves_like_a_map_of_tags_with_a_catch_all(overflow_buckets in 0..3u64, steps in steps()) {
        let (index, mut participant) = (index(4, overflow_buckets), participant());
        let mut oracle = Oracle::new(4, overflow_buckets as usize);
        for (step, bucket, tag) in steps {
            let guard = participant.pin();
            let hash = hash(bucket, tag);
            let slot = index.find(hash, &guard);
            prop_assert_eq!(slot.address().get() / 8, oracle.find(bucket, tag));
            match step {
                Step::Free => {
                    oracle.free(bucket, tag);
                    prop_assert_eq!(index.try_free(slot), Ok(()));
                }
                _ => {
                    let address = address_of(oracle.update(bucket, tag));
                    prop_assert_eq!(index.try_update(slot, address), Ok(()));
                }
            }
            match step {
                Step::UpdateTooLate => prop_assert_eq!(index.try_update(slot, address_of(LAST)), Err(Conflict)),
                Step::FreeTooLate if slot.seen() != 0 => prop_assert_eq!(index.try_free(slot), Err(Conflict)),
                _ => {}
            }
        }
        for (bucket, chain) in oracle.chains.iter().enumerate() {
            prop_assert_eq!(contents(&index, bucket), (chain.entries.clone(), chain.catch_all));
        }
        let stats = index.stats();
        prop_assert_eq!(stats.overflow_buckets_used, overflow_buckets - oracle.overflow_buckets_left as u64);
        prop_assert_eq!(stats.entries as usize, oracle.chains.iter().map(|chain| chain.entries.len()).sum::<usize>());
        let saturated = oracle.chains.iter().filter(|chain| chain.catch_all.is_some()).count();
        prop_assert_eq!(stats.saturated_buckets as usize, saturated);
    }
}

const THREADS: u64 = 4;
const BUCKETS: u64 = 2;
const TAGS: u64 = 20;

/// Every thread makes addresses of random tags one larger; with `frees`, it frees one now and then instead.
///
/// Returns per bucket and tag how often that succeeded, and the sum of all addresses that were freed.
fn hammer(index: &MemIndex, seed: u64, frees: bool) -> (Vec<Vec<u64>>, u64) {
    let epoch = LightEpoch::new();
    let updates: Vec<Vec<AtomicU64>> = (0..BUCKETS).map(|_| (0..TAGS).map(|_| AtomicU64::new(0)).collect()).collect();
    let freed = AtomicU64::new(0);
    let start = Barrier::new(THREADS as usize);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (epoch, updates, freed, start) = (&epoch, &updates, &freed, &start);
            scope.spawn(move || {
                let mut participant = epoch.join();
                start.wait();
                for round in 0..2000u64 {
                    let guard = participant.pin();
                    let random = KeyHash::of_bytes(&(seed << 40 | thread << 32 | round).to_le_bytes()).get();
                    let (bucket, tag) = (random % BUCKETS, random / BUCKETS % TAGS);
                    let slot = index.find(hash(bucket, tag), &guard);
                    if frees && random >> 60 < 4 {
                        if index.try_free(slot).is_ok() {
                            freed.fetch_add(slot.address().get() / 8, Ordering::Relaxed);
                        }
                    } else if index.try_update(slot, address_of(slot.address().get() / 8 + 1)).is_ok() {
                        updates[bucket as usize][tag as usize].fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let updates = updates.into_iter().map(|tags| tags.into_iter().map(AtomicU64::into_inner).collect()).collect();
    (updates, freed.into_inner())
}

#[test]
fn threads_that_share_few_buckets_lose_no_update_and_give_every_tag_one_home() {
    for seed in 0..40 {
        let index = index(BUCKETS, seed % 3);
        let (updates, _) = hammer(&index, seed, false);
        for (bucket, mut updates) in updates.into_iter().enumerate() {
            let (entries, catch_all) = contents(&index, bucket);
            for (tag, address) in entries {
                assert_eq!(
                    address,
                    std::mem::take(&mut updates[tag as usize]),
                    "all updates of tag {tag} are in its entry"
                );
            }
            assert_eq!(
                catch_all.unwrap_or(0),
                updates.iter().sum::<u64>(),
                "and those of tags without one in the catch-all"
            );
        }
    }
}

#[test]
fn threads_that_also_free_entries_lose_no_update() {
    for seed in 0..40 {
        let index = index(BUCKETS, seed % 3);
        let (updates, freed) = hammer(&index, seed, true);
        let left = (0..BUCKETS as usize).map(|bucket| contents(&index, bucket));
        let left: u64 = left.map(|(entries, catch_all)| entries.values().sum::<u64>() + catch_all.unwrap_or(0)).sum();
        assert_eq!(left + freed, updates.iter().flatten().sum::<u64>());
    }
}
