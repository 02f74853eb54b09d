//! Growth, step by step, against a world of records that is told without words and races.

mod shrink;

use super::records::{Copier, Look, Place, Records};
use super::run::SHARE_MAX;
use super::{GROWTH_HOLDER, Grower, GrowthRefusal, Haste};
use crate::address::Address;
use crate::epoch::{Guard, LightEpoch, Participant};
use crate::error::ErrorKind;
use crate::index::entry::Overflow;
use crate::index::{IndexConfig, MemIndex};
use crate::memory::MemoryBudget;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};
use crate::utility::KeyHash;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy)]
struct Record {
    key: u64,
    previous: u64,
    is_deleted: bool,
    /// The record of which this is a copy, or its own number.
    original: u64,
    /// Of a copy that is one of several for a pair of chains.
    place: Place,
}

/// The records there are, by number. Those before `head` are on a device.
struct Log {
    records: Mutex<BTreeMap<u64, Record>>,
    next: AtomicU64,
    head: AtomicU64,
    /// Those before are not changed any more where they are.
    settled: AtomicU64,
    /// Copies for which there is room.
    room: AtomicU64,
}

/// A log and the index over it. Keys have few tags and few buckets, so that they meet everywhere.
struct World {
    log: Arc<Log>,
    epoch: Arc<LightEpoch>,
    index: MemIndex,
    tags: u64,
}

fn address_of(number: u64) -> Address {
    Address::new(number * 8)
}

/// Keys collide in tag and bucket; the bits of the bucket are those of the key, the tag is what is above its 32nd bit.
fn hash_of(key: u64, tags: u64) -> KeyHash {
    let tag = (key >> 32) % tags;
    KeyHash::from_raw(tag << (64 - KeyHash::TAG_BITS) | key & 0xffff_ffff)
}

impl Records for (Arc<Log>, u64) {
    fn look(&self, address: Address) -> Look {
        let number = address.get() / 8;
        if number == 0 {
            return Look::Gone;
        }
        if number < self.0.head.load(Ordering::Acquire) {
            return Look::Away;
        }
        match self.0.records.lock().get(&number) {
            Some(record) => Look::Record(hash_of(record.key, self.1), address_of(record.previous)),
            None => panic!("an entry leads to record {number}, which was never there"),
        }
    }

    fn are_of_one_key(&self, one: Address, other: Address) -> bool {
        let records = self.0.records.lock();
        records[&(one.get() / 8)].key == records[&(other.get() / 8)].key
    }
}

impl Copier for Arc<Log> {
    fn is_settled(&self, at: Address) -> bool {
        at.get() / 8 < self.settled.load(Ordering::Acquire)
    }

    fn copy(&self, at: Address, onto: Address, place: Place) -> Option<Address> {
        let left = self.room.load(Ordering::Acquire).checked_sub(1)?;
        self.room.store(left, Ordering::Release);
        let number = self.next.fetch_add(1, Ordering::AcqRel);
        let mut records = self.records.lock();
        let record = Record { previous: onto.get() / 8, place, ..records[&(at.get() / 8)] };
        assert!(
            record.previous < number && onto > at,
            "a copy lies above all, and leads to what lies above its record"
        );
        records.insert(number, record);
        Some(address_of(number))
    }

    fn withdraw(&self, at: Address) {
        self.records.lock().remove(&(at.get() / 8));
    }
}

impl World {
    fn new(buckets: u64, overflow_buckets: u64, tags: u64) -> Self {
        let index = MemIndex::new(IndexConfig { buckets, overflow_buckets }).unwrap();
        let number = AtomicU64::new;
        let (next, head, settled, room) = (number(1), number(0), number(0), number(u64::MAX));
        let log = Log { records: Mutex::new(BTreeMap::new()), next, head, settled, room };
        Self { log: Arc::new(log), epoch: LightEpoch::new(), index, tags }
    }

    fn records(&self) -> (Arc<Log>, u64) {
        (Arc::clone(&self.log), self.tags)
    }

    /// Lets the index grow by itself, or not, within this much memory.
    fn let_grow(&self, budget: usize, automatic: bool) -> MemoryBudget {
        let (budget, size) = (MemoryBudget::new(budget), self.index.config());
        let held = budget.reserve(GROWTH_HOLDER, MemIndex::bytes(size.buckets, size.overflow_buckets)).unwrap();
        let grower = Grower {
            records: Box::new(self.records()),
            epoch: Arc::clone(&self.epoch),
            budget: budget.clone(),
            automatic,
            buckets_max: u64::MAX,
            buckets_min: 1,
        };
        self.index.let_grow(grower, held);
        budget
    }

    /// One try to append a record of `key`; its number if it went through.
    fn append(&self, key: u64, guard: &Guard<'_>) -> Option<u64> {
        let slot = self.index.find(hash_of(key, self.tags), guard);
        let number = self.log.next.fetch_add(1, Ordering::AcqRel);
        let previous = slot.address().get() / 8;
        let record = Record { key, previous, is_deleted: false, original: number, place: Place::Alone };
        // Before it is published, as a store does.
        self.log.records.lock().insert(number, record);
        if self.index.try_update(slot, address_of(number)).is_ok() {
            return Some(number);
        }
        self.log.records.lock().remove(&number);
        None
    }

    fn upsert(&self, key: u64, participant: &mut Participant) -> u64 {
        let started = Instant::now();
        loop {
            let done = self.append(key, &participant.pin());
            self.epoch.drain();
            match done {
                Some(number) => return number,
                None => assert!(started.elapsed() < LIMIT, "an update of {key:#x} never goes through"),
            }
        }
    }

    /// Deletes the key in place, and frees its entry if there is nothing else, as a store does.
    fn delete(&self, key: u64, participant: &mut Participant) {
        let guard = participant.pin();
        let slot = self.index.find(hash_of(key, self.tags), &guard);
        let found = self.walk(key, slot.address().get() / 8);
        let (mut records, head) = (self.log.records.lock(), self.log.head.load(Ordering::Acquire));
        let Some(record) = found.filter(|number| *number >= head).and_then(|number| records.get_mut(&number)) else {
            return;
        };
        record.is_deleted = true;
        if record.previous == 0 && slot.address().get() / 8 == found.unwrap() {
            let _ = self.index.try_free(slot);
        }
    }

    /// The newest record of the key in the chain that begins at record `at`.
    fn walk(&self, key: u64, mut at: u64) -> Option<u64> {
        let records = self.log.records.lock();
        while at != 0 {
            let record = records.get(&at)?;
            if record.key == key {
                return Some(at);
            }
            assert!(record.previous < at, "chains descend");
            at = record.previous;
        }
        None
    }

    /// What a reader of the key finds: its newest record, or what that is a copy of, unless it is deleted.
    fn read(&self, key: u64, guard: &Guard<'_>) -> Option<u64> {
        self.read_in(&self.index, key, 0, guard)
    }

    /// The same with another index, where what is before record `begin` was given up.
    fn read_in(&self, index: &MemIndex, key: u64, begin: u64, guard: &Guard<'_>) -> Option<u64> {
        let found = self.walk(key, index.find(hash_of(key, self.tags), guard).address().get() / 8);
        let found = found.filter(|found| *found >= begin)?;
        let record = self.log.records.lock()[&found];
        (!record.is_deleted).then_some(record.original)
    }

    fn assert_holds(&self, expected: &HashMap<u64, u64>, keys: impl IntoIterator<Item = u64>, what: &str) {
        let mut participant = self.epoch.join();
        let guard = participant.pin();
        for key in keys {
            assert_eq!(self.read(key, &guard), expected.get(&key).copied(), "{what}: key {key:#x}");
        }
    }

    fn begin(&self) -> Result<(), GrowthRefusal> {
        self.index.begin(None)
    }

    /// A step of a growth, with up to `share` buckets. False if there is none.
    fn step(&self, participant: &mut Participant, share: u64) -> bool {
        let moved = {
            let _guard = participant.pin();
            self.index.step(&self.records(), &self.epoch, share)
        };
        self.epoch.drain();
        moved
    }

    fn finish(&self, participant: &mut Participant) {
        while self.index.growth().under_way {
            self.step(participant, SHARE_MAX);
        }
    }

    fn grow_to(&self, buckets: u64) {
        let way = (Haste::Urgent, LIMIT);
        self.index.grow_to(buckets, &self.records(), None, &mut self.epoch.join(), way).unwrap();
    }

    /// I1: no chain has two entries of a tag, and none is frozen, tentative or half made.
    fn assert_is_sound(&self) {
        let table = self.index.table();
        for number in 0..table.len() {
            let mut tags = Vec::new();
            for (bucket, end) in table.chain(number as usize) {
                let words: Vec<u64> = bucket.slots().map(|slot| slot.load(Ordering::Relaxed)).collect();
                for word in words.into_iter().filter(|word| *word != 0) {
                    let entry = crate::index::entry::Entry(word);
                    assert!(entry.is_plain() && !entry.is_frozen(), "{word:#x}");
                    tags.push(entry.tag());
                }
                assert_ne!(end, Overflow::Saturating);
            }
            let count = tags.len();
            tags.sort_unstable();
            tags.dedup();
            assert_eq!(tags.len(), count, "chain {number} has two entries of one tag");
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Upsert,
    Delete,
    Begin,
    Split(u64),
    Finish,
    /// Everything that is there goes to the device.
    Evict,
}

fn steps() -> impl Strategy<Value = Vec<(Step, u64, u64)>> {
    let step = prop_oneof![
        30 => Just(Step::Upsert),
        8 => Just(Step::Delete),
        4 => Just(Step::Begin),
        12 => (1..3u64).prop_map(Step::Split),
        1 => Just(Step::Finish),
        1 => Just(Step::Evict),
    ];
    prop::collection::vec((step, 0..24u64, 0..12u64), 0..400)
}

proptest! {
    /// W3, W4, W6, I1: whatever is done between any two steps of growth, every key leads to its newest record. Tags collide, buckets
    /// are saturated, and part of the chains is on a device.
    #[test]
    fn every_key_leads_to_its_newest_record_at_every_step_of_growth(
        overflow_buckets in 0..3u64,
        tags in prop_oneof![Just(2u64), Just(4), Just(64)],
        has_grower in any::<bool>(),
        steps in steps(),
    ) {
        let world = World::new(2, overflow_buckets, tags);
        if has_grower {
            world.let_grow(1 << 30, false);
        }
        let (mut participant, mut expected) = (world.epoch.join(), HashMap::new());
        let keys: Vec<u64> = (0..12 * 24).map(|at| (at % 24) | (at / 24) << 32).collect();
        for (step, low, high) in steps {
            let key = low | high << 32;
            match step {
                Step::Upsert => {
                    let done = world.append(key, &participant.pin());
                    // Without a grower a first entry waits for the bucket to be split.
                    prop_assert!(done.is_some() || !has_grower);
                    if let Some(number) = done {
                        expected.insert(key, number);
                    }
                }
                Step::Delete => {
                    let is_here = expected.get(&key).is_some_and(|number| *number >= world.log.head.load(Ordering::Relaxed));
                    if is_here {
                        world.delete(key, &mut participant);
                        expected.remove(&key);
                    }
                }
                Step::Begin => {
                    let _ = world.begin();
                }
                Step::Split(share) => {
                    world.step(&mut participant, share);
                }
                Step::Finish => world.finish(&mut participant),
                Step::Evict => world.log.head.store(world.log.next.load(Ordering::Relaxed), Ordering::Relaxed),
            }
            world.epoch.drain();
            world.assert_holds(&expected, [key], "the key of this step");
        }
        world.assert_holds(&expected, keys.iter().copied(), "before the end");
        world.finish(&mut participant);
        world.assert_is_sound();
        world.assert_holds(&expected, keys.iter().copied(), "after the end");
    }
}

/// What a saturated bucket has in its catch-all gets entries of its own again, as far as it is in memory.
#[test]
fn a_saturated_bucket_recovers_when_it_is_split() {
    let world = World::new(1, 0, 1 << 14);
    let (mut participant, mut expected) = (world.epoch.join(), HashMap::new());
    for key in (0..12).map(|tag| tag | tag << 32) {
        expected.insert(key, world.upsert(key, &mut participant));
    }
    assert_eq!(world.index.stats().saturated_buckets, 1);
    world.grow_to(2);
    let stats = world.index.stats();
    assert_eq!((stats.saturated_buckets, stats.entries), (0, 12), "each half has six");
    world.assert_holds(&expected, expected.keys().copied(), "after the growth");
    // What is on the device stays together, but what comes later does not join it.
    for key in (100..112).map(|tag| tag << 1 | tag << 32) {
        expected.insert(key, world.upsert(key, &mut participant));
    }
    world.log.head.store(world.log.next.load(Ordering::Relaxed), Ordering::Relaxed);
    assert_eq!(world.index.stats().saturated_buckets, 1);
    world.grow_to(4);
    assert_eq!(world.index.stats().saturated_buckets, 2, "both halves have the rest");
    world.assert_holds(&expected, expected.keys().copied(), "after the second growth");
}

#[test]
fn an_entry_that_leads_to_the_device_is_in_both_halves() {
    let world = World::new(2, 0, 1 << 14);
    let mut participant = world.epoch.join();
    let on_device = world.upsert(1 | 5 << 32, &mut participant);
    world.log.head.store(on_device + 1, Ordering::Relaxed);
    let newer = world.upsert(3 | 5 << 32, &mut participant); // in front of it: of the same tag and bucket, and of the other half
    world.grow_to(4);
    let guard = participant.pin();
    let heads = [1 | 5 << 32, 3 | 5 << 32].map(|key| world.index.find(hash_of(key, world.tags), &guard).address());
    assert_eq!(heads, [address_of(on_device), address_of(newer)]);
    assert_eq!(world.index.stats().entries, 2);
}

/// The new table keeps as many overflow buckets as the chains that are still to be moved can take, whoever inserts meanwhile.
#[test]
fn inserts_leave_the_overflow_buckets_for_what_is_still_to_be_moved() {
    let world = World::new(2, 1, 1 << 14);
    world.let_grow(1 << 30, false);
    let (mut participant, mut expected) = (world.epoch.join(), HashMap::new());
    for key in (0..14).map(|tag| 1 | tag << 32) {
        expected.insert(key, world.upsert(key, &mut participant));
    }
    // All of them will be in both halves.
    world.log.head.store(world.log.next.load(Ordering::Relaxed), Ordering::Relaxed);
    world.begin().unwrap();
    world.step(&mut participant, 1); // the memory
    let before = world.index.growth().buckets_split;
    world.step(&mut participant, 1); // bucket 0, in which there is nothing
    assert_eq!((before, world.index.growth().buckets_split), (0, 1));
    {
        // Without what would have an insert take part in the growth.
        let (guard, table) = (participant.pin(), world.index.table());
        for key in (0..20).map(|tag| tag << 32) {
            let slot = world.index.find(hash_of(key, world.tags), &guard);
            assert!(!slot.is_there());
            if table.arena.used() == table.arena.len() {
                panic!("the buckets that were kept are gone");
            }
            if let Ok(Some(_)) = world.index.insert_own(table, hash_of(key, world.tags), Address::new(1 << 20)) {
                break;
            }
        }
        assert_eq!((table.arena.used(), table.arena.len()), (0, 2), "both are kept");
    }
    world.finish(&mut participant);
    world.assert_holds(&expected, expected.keys().copied(), "after the growth");
}

#[test]
fn the_budget_has_to_have_room_for_both_tables_and_gets_the_first_one_back() {
    let world = World::new(1 << 10, 1 << 7, 1 << 14);
    let (small, large) = (MemIndex::bytes(1 << 10, 1 << 7), MemIndex::bytes(1 << 11, 1 << 8));
    let budget = world.let_grow(small + large + 100, true);
    let way = (Haste::Gentle, LIMIT);
    let mut participant = world.epoch.join();
    let mut grow_to = |buckets| world.index.grow_to(buckets, &world.records(), Some(&budget), &mut participant, way);
    grow_to(1 << 11).unwrap();
    assert_eq!(budget.used(), large);
    #[cfg(target_os = "linux")]
    for words in world.index.table_at(0).memory() {
        assert_eq!(crate::memory::resident_bytes(words), Some(0), "the system has the memory back");
    }
    let error = grow_to(1 << 12).unwrap_err();
    assert_eq!((error.kind(), error.field("reason")), (ErrorKind::Limit, Some(GrowthRefusal::Budget.reason())));
    assert_eq!((budget.used(), world.index.config().buckets), (large, 1 << 11));
    let growth = world.index.growth();
    assert_eq!((growth.doublings, growth.refused, growth.under_way), (1, Some(GrowthRefusal::Budget), false));
    assert!(growth.last_took.is_some());
}

#[test]
fn the_index_grows_by_itself_and_tells_why_if_it_does_not() {
    let world = World::new(16, 2, 1 << 14);
    let budget = world.let_grow(MemIndex::bytes(128, 16) + MemIndex::bytes(64, 8), true);
    let (mut participant, mut expected) = (world.epoch.join(), HashMap::new());
    for key in (0..2000u64).map(|key| key | key << 32) {
        expected.insert(key, world.upsert(key, &mut participant));
        assert!(budget.used() <= budget.total());
    }
    let stats = world.index.stats();
    assert_eq!((stats.buckets, stats.growth.doublings), (128, 3), "{stats:?}");
    assert_eq!(stats.growth.refused, Some(GrowthRefusal::Budget));
    assert!(stats.load_factor() > 0.9, "{stats:?}");
    world.assert_is_sound();
    world.assert_holds(&expected, expected.keys().copied(), "at the end");
}

#[test]
fn an_index_whose_entries_lead_to_the_device_does_not_grow_by_itself() {
    let world = World::new(64, 8, 1 << 14);
    let (mut participant, keys) = (world.epoch.join(), (0..270u64).map(|key| key | key << 32));
    for key in keys.clone() {
        world.upsert(key, &mut participant);
    }
    world.log.head.store(world.log.next.load(Ordering::Relaxed), Ordering::Relaxed);
    world.let_grow(1 << 30, true);
    for key in (1000..1400u64).map(|key| key | key << 32) {
        world.upsert(key, &mut participant);
        if world.index.growth().refused.is_some() {
            break;
        }
    }
    assert_eq!(world.index.growth().refused, Some(GrowthRefusal::OnDevice));
    assert_eq!(world.index.config().buckets, 64);
}

#[test]
fn a_hold_keeps_the_table_and_waits_for_a_growth_under_way() {
    let world = World::new(64, 8, 1 << 14);
    world.let_grow(1 << 30, true);
    let mut participant = world.epoch.join();
    world.begin().unwrap();
    let hold = world.index.hold(&mut participant, LIMIT).unwrap();
    assert_eq!((world.index.config().buckets, world.index.growth().under_way), (128, false));
    assert_eq!(world.begin(), Err(GrowthRefusal::Image));
    drop(hold);
    world.begin().unwrap();
    // Somebody who stays pinned holds the end of the growth up, and nothing else.
    let mut other = world.epoch.join();
    let guard = other.pin();
    let error = world.index.hold(&mut participant, Duration::from_millis(5)).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    drop(guard);
    drop(world.index.hold(&mut participant, LIMIT).unwrap());
}

/// W2, W4, W5 with real threads: each has keys of its own, and knows exactly what they lead to, from 2^4 buckets to 2^12.
#[test]
fn writers_lose_nothing_while_the_index_grows_under_them() {
    const THREADS: u64 = 3;
    const KEYS: u64 = 6000;
    for round in 0..3 {
        let world = World::new(1 << 4, 1 << 1, if round == 0 { 4 } else { 1 << 14 });
        world.let_grow(1 << 30, true);
        let expected: Vec<HashMap<u64, u64>> = std::thread::scope(|scope| {
            let work = |thread: u64| {
                let world = &world;
                move || {
                    let (mut participant, mut expected) = (world.epoch.join(), HashMap::new());
                    for at in 0..KEYS {
                        let random = KeyHash::of_bytes(&(at | thread << 32 | round << 40).to_le_bytes()).get();
                        // New ones, and old ones again.
                        let number = if at % 3 == 0 { random % (at + 1) } else { at };
                        let key = number * THREADS + thread;
                        let key = key | key << 32;
                        if random >> 61 == 0 {
                            world.delete(key, &mut participant);
                            expected.remove(&key);
                        } else {
                            expected.insert(key, world.upsert(key, &mut participant));
                        }
                        let guard = participant.pin();
                        assert_eq!(world.read(key, &guard), expected.get(&key).copied(), "its own write, at once");
                    }
                    expected
                }
            };
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(work(thread))).collect();
            let (records, mut participant) = (world.records(), world.epoch.join());
            world.index.grow_to(1 << 12, &records, None, &mut participant, (Haste::Gentle, LIMIT)).unwrap();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(world.index.config().buckets >= 1 << 12);
        world.grow_to(1 << 13);
        world.assert_is_sound();
        let expected: HashMap<u64, u64> = expected.into_iter().flatten().collect();
        let keys = (0..KEYS * THREADS).map(|key| key | key << 32);
        world.assert_holds(&expected, keys, "at the end");
    }
}

/// Whatever a growth has to do, no call does more than its share of it: the longest wait of an operation, in buckets.
#[test]
fn no_insert_splits_more_than_its_share() {
    let world = World::new(1 << 8, 1 << 5, 1 << 14);
    world.let_grow(1 << 30, true);
    let mut participant = world.epoch.join();
    let (mut most, mut before) = (0, 0);
    for key in (0..40_000u64).map(|key| key | key << 32) {
        world.upsert(key, &mut participant);
        let growth = world.index.growth();
        let split = if growth.under_way { growth.buckets_split } else { 0 };
        most = most.max(split.saturating_sub(before));
        before = split;
    }
    assert!(world.index.growth().doublings >= 4);
    // Its own bucket, and four; look-ups that take a share come on top.
    assert!((1..=9).contains(&most), "one call split {most} buckets");
}

/// When every bucket is saturated there are no first entries of chains any more that could get a growth begun, or on.
#[test]
fn an_index_that_is_all_catch_all_chains_grows_by_what_is_added_to_them() {
    let world = World::new(2, 0, 256);
    world.let_grow(1 << 20, true);
    let mut participant = world.epoch.join();
    let keys: Vec<u64> = (0..80).map(|number| (number % 2) | (number << 32)).collect();
    let hold = world.index.hold(&mut participant, LIMIT).unwrap();
    for key in &keys {
        world.upsert(*key, &mut participant);
    }
    let stats = world.index.stats();
    assert_eq!((stats.buckets, stats.saturated_buckets), (2, 2), "the hold keeps it as it is");
    drop(hold);
    for _ in 0..10_000 {
        world.upsert(keys[79], &mut participant);
        world.epoch.drain();
    }
    assert!(world.index.config().buckets > 2, "{:?}", world.index.growth());
}
