//! Models of the index, with buckets of two entries. Addresses count: every successful update makes the address one
//! record larger, so an update that is lost or goes to a second home shows as a sum that is too small. Records outside the index
//! are Relaxed, so that what makes them visible is the index. Each header says which changes were seen to break it.

use super::entry::{Entry, Overflow};
use super::image::Chain;
use super::{IndexConfig, MemIndex};
use crate::address::Address;
use crate::epoch::LightEpoch;
use crate::sync::{Arc, AtomicU64, Ordering::Relaxed};
use crate::utility::KeyHash;
use loom::thread;

/// One chain, and the records that its addresses 8 to 32 lead to.
struct World {
    epoch: Arc<LightEpoch>,
    index: MemIndex,
    records: [AtomicU64; 4],
}

const TAG: u64 = 9;

/// The hash with this tag; there is only one bucket.
fn hash(tag: u64) -> KeyHash {
    KeyHash::from_raw(tag << (64 - KeyHash::TAG_BITS))
}

impl World {
    /// One bucket in which the tags of `present` have an entry.
    fn new(overflow_buckets: u64, present: &[u64]) -> Arc<Self> {
        let index = MemIndex::new(IndexConfig { buckets: 1, overflow_buckets }).unwrap();
        let world = Self { epoch: LightEpoch::new(), index, records: [(); 4].map(|()| AtomicU64::new(0)) };
        for tag in present {
            assert_eq!(world.add_one(*tag), 1);
        }
        Arc::new(world)
    }

    /// One try to make the address of a tag one larger: 1 if it went through. The record is written before its address
    /// is published, and looked at after its address was found.
    fn add_one(&self, tag: u64) -> u64 {
        let mut participant = self.epoch.join();
        let guard = participant.pin();
        let slot = self.index.find(hash(tag), &guard);
        let found = slot.address().get() / 8;
        if found > 0 {
            assert_eq!(self.records[found as usize - 1].load(Relaxed), 1, "the record is there with its address");
        }
        self.records[found as usize].store(1, Relaxed);
        u64::from(self.index.try_update(slot, Address::new((found + 1) * 8)).is_ok())
    }

    fn free(&self, tag: u64) {
        let mut participant = self.epoch.join();
        let guard = participant.pin();
        let slot = self.index.find(hash(tag), &guard);
        self.index.try_free(slot).unwrap();
    }

    /// The addresses of all homes that keys of [`TAG`] have: entries of the tag, and the catch-all.
    fn homes(&self) -> Vec<u64> {
        let mut homes = Vec::new();
        for (bucket, overflow) in self.index.table().chain(0) {
            let entries = bucket.slots().map(|slot| Entry(slot.load(Relaxed)));
            homes.extend(entries.filter(|e| e.has_tag(TAG as u16)).map(|e| e.address().get() / 8));
            if overflow == Overflow::Saturated {
                homes.push(Address::from_word(bucket.overflow().load(Relaxed)).get() / 8);
            }
        }
        homes.retain(|address| *address > 0);
        homes
    }

    /// After `updates` successful ones, and with nobody else there, the tag has one home with all of them, and a further
    /// update goes through.
    fn assert_one_home_with(&self, updates: u64) {
        let expected = if updates == 0 { vec![] } else { vec![updates] };
        assert_eq!(self.homes(), expected, "one home that counts {updates}");
        assert_eq!(self.add_one(TAG), 1);
        assert_eq!(self.homes(), [updates + 1]);
    }
}

/// I1, I2: two threads insert the same tag, into different slots if a third one frees the first of them in between.
///
/// Broken by: no second walk in `claim`, or one that counts only entries in force; no fence before it.
#[test]
fn a_tag_gets_one_entry_whoever_inserts_it() {
    loom::model(|| {
        let world = World::new(0, &[1]);
        let inserters = [(); 2].map(|()| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.add_one(TAG))
        });
        world.free(1);
        let updates = inserters.map(|inserter| inserter.join().unwrap()).iter().sum();
        world.assert_one_home_with(updates);
    });
}

/// I5: two threads find the bucket full and make the chain longer, both for the same tag.
///
/// Broken by: linking with a store instead of a comparison; keeping the bucket that lost the race; a second walk that
/// counts only entries in force.
#[test]
fn a_full_bucket_gets_one_overflow_bucket_and_the_other_is_given_back() {
    loom::model(|| {
        let world = World::new(2, &[1, 2]);
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.add_one(TAG))
        };
        let updates = world.add_one(TAG) + other.join().unwrap();
        world.assert_one_home_with(updates);
        // Both overflow buckets are still to be had: four tags more than the bucket holds have a place of their own.
        for tag in 3..6 {
            assert_eq!(world.add_one(tag), 1);
        }
        let stats = world.index.stats();
        assert_eq!((stats.entries, stats.overflow_buckets_used, stats.saturated_buckets), (6, 2, 0));
    });
}

/// I1, I3: one thread claims the slot that a third one frees, another saturates the chain, both for the same tag; the
/// third one then wants that tag too, without having taken part in the saturation.
///
/// Broken by: a claim that does not look for saturation; no walk in `add_to_catch_all`; no fence in `claim` or in
/// `saturate`; a catch-all that can be used from the first step of `saturate`; relaxed loads in `find`; a relaxed
/// comparison in `replace`.
#[test]
fn a_tag_lives_in_a_slot_or_in_the_catch_all_but_not_in_both() {
    loom::model(|| {
        let world = World::new(0, &[1, 2]);
        let inserters = [(); 2].map(|()| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.add_one(TAG))
        });
        world.free(1);
        let mine = world.add_one(TAG);
        let updates = inserters.map(|inserter| inserter.join().unwrap()).iter().sum::<u64>() + mine;
        world.assert_one_home_with(updates);
    });
}

/// I3, I4: in a saturated chain, an entry is freed while another thread updates it; its tag moves to the catch-all, which
/// a second tag is using.
///
/// Broken by: freeing with a store instead of a comparison.
#[test]
fn a_freed_tag_of_a_saturated_chain_moves_to_the_catch_all() {
    loom::model(|| {
        let world = World::new(0, &[TAG, 2, 3]);
        let freer = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let mut participant = world.epoch.join();
                let guard = participant.pin();
                let slot = world.index.find(hash(TAG), &guard);
                if world.index.try_free(slot).is_ok() { slot.address().get() / 8 } else { 0 }
            })
        };
        let updates: u64 = (0..2).map(|_| world.add_one(TAG)).sum();
        let freed = freer.join().unwrap();
        // One for the tag's own entry and one for the tag that saturated the chain.
        assert_eq!(world.homes().iter().sum::<u64>() + freed, 2 + updates);
    });
}

/// G2 of images: while an image is taken, one thread claims the slot that it freed, and another one saturates the chain. If
/// the image says saturated, it has an entry for every tag that has one of its own.
///
/// Broken by: looking at the entries before the end of the chain; not waiting for what becomes of a tentative entry.
#[test]
fn an_image_of_a_saturated_chain_has_every_tag_with_an_entry() {
    loom::model(|| {
        let world = World::new(0, &[1, 2]);
        let claimer = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.free(1);
                world.add_one(TAG)
            })
        };
        let capturer = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let mut chain = Chain::new();
                chain.capture(world.index.table(), 0, &|address| address);
                chain
            })
        };
        world.add_one(3);
        claimer.join().unwrap();
        let chain = capturer.join().unwrap();
        if chain.end != Overflow::END {
            for (bucket, _) in world.index.table().chain(0) {
                let entries = bucket.slots().map(|slot| slot.load(Relaxed)).filter(|word| *word != 0);
                for entry in entries {
                    assert!(chain.entries.contains(&entry), "{entry:#x} is not in the image: {:#x?}", chain.entries);
                }
            }
        }
    });
}
