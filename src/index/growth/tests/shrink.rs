//! The same with an index that shrinks: chains are brought together.

use super::*;
use crate::index::table::Filling;
use crate::index::{Hindrance, Means, Replay, Rows, ShrinkStage};

/// Buckets that begin a world, and may be left.
const LARGE: u64 = 16;

impl World {
    /// A world of sixteen buckets that may become one.
    fn of_many_buckets(overflow_buckets: u64, tags: u64) -> Self {
        let world = Self::new(LARGE, overflow_buckets, tags);
        world.let_grow(1 << 30, false);
        world
    }

    /// A step of a shrinking, or what it takes for one. False if there is none under way.
    fn shrink_step(&self, participant: &mut Participant) -> Result<bool, GrowthRefusal> {
        match self.index.shrink_stage() {
            ShrinkStage::Over => return Ok(false),
            ShrinkStage::Announced => {
                self.epoch.bump(|| ());
                self.index.shrink_in_force()?;
            }
            ShrinkStage::Merging => self.merge_one(participant),
            ShrinkStage::Settling => {
                self.index.give_larger_back();
            }
        }
        self.epoch.drain();
        Ok(true)
    }

    /// Merges a bucket, at once or slowly.
    fn merge_one(&self, participant: &mut Participant) {
        let mut next = 0;
        for _ in 0..100 {
            let merged = {
                let _guard = participant.pin();
                let (records, log): (_, &dyn Copier) = (self.records(), &self.log);
                let means = Means { records: &records, copier: None, begin: Address::INVALID };
                match self.index.merge_next(&mut next, means, &self.epoch) {
                    Err(Hindrance::Copies) => self.index.merge(next, Means { copier: Some(log), ..means }, &self.epoch),
                    merged => merged.map(|_| ()),
                }
            };
            let Err(hindrance) = merged else { return };
            self.assert_is_untouched(next);
            match hindrance {
                // Closed to updates before it is tried again, or while the bucket is frozen.
                Hindrance::Open(at) if at.get() % 16 == 0 => {
                    self.log.settled.store(at.get() / 8 + 1, Ordering::Release);
                }
                Hindrance::Open(_) | Hindrance::Away | Hindrance::Room => {
                    if self.merge_slowly(next, participant) {
                        return;
                    }
                    self.assert_is_untouched(next);
                    self.log.room.store(100, Ordering::Release);
                }
                Hindrance::Copies | Hindrance::Full => panic!("{hindrance:?} is in the way of bucket {next}"),
            }
        }
        panic!("bucket {next} is never merged");
    }

    fn assert_is_untouched(&self, bucket: u64) {
        let first = self.index.table().bucket(bucket as usize).unwrap();
        let words: Vec<u64> =
            first.slots().chain([first.overflow()]).map(|word| word.load(Ordering::Relaxed)).collect();
        assert_eq!(words, [0; 8], "what was hindered has not begun");
    }

    /// Merges a bucket one record at a time, as a store does that reads them from the device. False if it fails for want of room, after any
    /// of the copies.
    fn merge_slowly(&self, bucket: u64, participant: &mut Participant) -> bool {
        let records = self.records();
        let means = Means { records: &records, copier: None, begin: Address::INVALID };
        let (frozen, pairs) = {
            let _guard = participant.pin();
            let frozen = self.index.freeze(bucket).expect("nobody else merges");
            let pairs = frozen.pairs(means);
            (frozen, pairs)
        };
        self.log.settled.fetch_max(self.log.next.load(Ordering::Acquire), Ordering::AcqRel);
        for pair in &pairs {
            let (mut at, mut keys, mut newest) = (pair.lower.get() / 8, Vec::new(), Vec::new());
            while at != 0 {
                let record = self.log.records.lock()[&at];
                if frozen.is_own(pair, hash_of(record.key, self.tags)) && !keys.contains(&record.key) {
                    keys.push(record.key);
                    newest.push(at);
                }
                at = record.previous;
            }
            let (mut head, count) = (pair.higher, newest.len());
            for (at, number) in newest.into_iter().zip(1..) {
                let place = match (number == count, count) {
                    (true, 1) => Place::Alone,
                    (true, _) => Place::Last,
                    (false, _) => Place::Part,
                };
                match self.log.copy(address_of(at), head, place) {
                    Some(copy) => head = copy,
                    None => return false,
                }
            }
            frozen.join(pair, head);
        }
        let _guard = participant.pin();
        assert_eq!(frozen.merge(means, &self.epoch), Ok(()), "what is joined can be merged");
        true
    }

    /// Every key is found in an index of `buckets` buckets that is made from the records up to `last`: from all of them, and without
    /// those before `begin`, behind which nothing is the newest of its key.
    fn assert_is_recovered(&self, buckets: u64, last: u64, expected: &HashMap<u64, u64>, keys: &[u64]) {
        let begin = self.oldest_in_use(last, expected, keys);
        for (begin, buckets) in [0, begin].into_iter().flat_map(|begin| [(begin, buckets), (begin, buckets * 4)]) {
            let index = MemIndex::new(IndexConfig { buckets, overflow_buckets: 64 }).unwrap();
            let epoch = LightEpoch::new();
            let (mut replay, mut rows) = (Replay::new(&index, epoch.join()), Rows::default());
            for (number, record) in self.log.records.lock().range(begin..=last) {
                let (hash, at, previous) = (hash_of(record.key, self.tags), address_of(*number), record.previous);
                if record.is_deleted && previous < begin.max(1) {
                    continue; // P3
                }
                match record.place {
                    Place::Part => {
                        rows.add_part(hash, at, address_of(previous));
                        continue;
                    }
                    Place::Last => rows.add_last(address_of(previous)),
                    Place::Alone => {}
                }
                replay.add(hash, at).unwrap();
            }
            rows.whole().try_for_each(|(hash, at)| replay.add(hash, at)).unwrap();
            replay.finish().unwrap();
            let mut participant = epoch.join();
            let guard = participant.pin();
            for key in keys {
                let found = self.read_in(&index, *key, begin, &guard);
                let what = format!("recovered from {begin} up to {last} with {buckets} buckets: key {key:#x}");
                assert_eq!(found, expected.get(key).copied(), "{what}");
            }
        }
    }

    /// The first of the records up to `last` that is the newest of its key: a compaction would give up all that is before.
    fn oldest_in_use(&self, last: u64, expected: &HashMap<u64, u64>, keys: &[u64]) -> u64 {
        let records = self.log.records.lock();
        // Those of a row that is not whole do not count.
        let newest_of = |key: &u64| {
            let is_of =
                |(number, record): &(&u64, &Record)| record.key == *key && !self.is_torn(&records, **number, last);
            records.range(..=last).rev().find(is_of).map(|(number, _)| *number)
        };
        keys.iter().filter(|key| expected.contains_key(key)).filter_map(newest_of).min().unwrap_or(0)
    }

    /// Whether this record is a part of copies of which the last one is behind `last`.
    fn is_torn(&self, records: &BTreeMap<u64, Record>, mut number: u64, last: u64) -> bool {
        while records.get(&number).is_some_and(|record| record.place == Place::Part) {
            let leads_here = |(_, front): &(&u64, &Record)| front.previous == number && front.place != Place::Alone;
            match records.range(..=last).find(leads_here) {
                None => return true,
                Some((front, _)) => number = *front,
            }
        }
        false
    }

    /// The larger of the tables that are in use.
    fn buckets_in_use(&self) -> u64 {
        let table = self.index.table();
        if table.progress.is_over() { table.len() } else { table.len().max(self.index.before(table).len()) }
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Upsert,
    Delete,
    Shrink,
    Grow,
    /// So many steps of what is under way.
    GoOn(u64),
    Evict,
    Settle,
    /// There is room for so many copies.
    Room(u64),
}

fn steps() -> impl Strategy<Value = Vec<(Step, u64, u64)>> {
    let step = prop_oneof![
        30 => Just(Step::Upsert),
        14 => Just(Step::Delete),
        6 => Just(Step::Shrink),
        2 => Just(Step::Grow),
        20 => (1..6u64).prop_map(Step::GoOn),
        1 => Just(Step::Evict),
        3 => Just(Step::Settle),
        2 => (0..3u64).prop_map(Step::Room),
    ];
    prop::collection::vec((step, 0..14u64, 0..6u64), 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever is done between any two steps of shrinking and growing, every key leads to its newest record, and does so in an index
    /// that is made from the log, wherever that ends.
    #[test]
    fn every_key_leads_to_its_newest_record_at_every_step_of_shrinking(
        overflow_buckets in prop_oneof![Just(0u64), Just(8), Just(32)],
        tags in prop_oneof![Just(1u64), Just(2), Just(4)],
        steps in steps(),
    ) {
        let world = World::of_many_buckets(overflow_buckets, tags);
        let (mut participant, mut expected) = (world.epoch.join(), HashMap::new());
        let keys: Vec<u64> = (0..6 * 14).map(|at| (at % 14) | (at / 14) << 32).collect();
        for (step, low, high) in steps {
            let key = low | high << 32;
            let (before, buckets) = (world.log.next.load(Ordering::Relaxed), world.buckets_in_use());
            match step {
                Step::Upsert => {
                    if let Some(number) = world.append(key, &participant.pin()) {
                        expected.insert(key, number);
                    }
                }
                Step::Delete => {
                    let is_here = expected.get(&key).is_some_and(|number| {
                        *number >= world.log.head.load(Ordering::Relaxed).max(world.log.settled.load(Ordering::Relaxed))
                    });
                    if is_here {
                        world.delete(key, &mut participant);
                        expected.remove(&key);
                    }
                }
                Step::Shrink => {
                    let _ = world.index.begin_to_shrink(None);
                }
                Step::Grow => {
                    let _ = world.begin();
                }
                Step::GoOn(count) => {
                    for _ in 0..count {
                        if !matches!(world.shrink_step(&mut participant), Ok(true)) {
                            world.step(&mut participant, 1);
                        }
                    }
                }
                Step::Evict => world.log.head.store(world.log.next.load(Ordering::Relaxed), Ordering::Relaxed),
                Step::Settle => world.log.settled.store(world.log.next.load(Ordering::Relaxed), Ordering::Relaxed),
                Step::Room(room) => world.log.room.store(room, Ordering::Relaxed),
            }
            world.epoch.drain();
            world.assert_holds(&expected, [key], "the key of this step");
            let now = world.log.next.load(Ordering::Relaxed);
            if matches!(step, Step::GoOn(_)) && now > before {
                for last in before - 1..now {
                    world.assert_is_recovered(buckets.max(world.buckets_in_use()), last, &expected, &keys);
                }
            }
        }
        world.assert_holds(&expected, keys.iter().copied(), "before the end");
        world.assert_is_recovered(world.buckets_in_use(), u64::MAX, &expected, &keys);
        while world.index.growth().under_way {
            if !matches!(world.shrink_step(&mut participant), Ok(true)) {
                world.step(&mut participant, SHARE_MAX);
            }
        }
        world.assert_is_sound();
        world.assert_holds(&expected, keys.iter().copied(), "after the end");
        world.assert_is_recovered(world.buckets_in_use(), u64::MAX, &expected, &keys);
    }
}

#[test]
fn two_chains_of_one_tag_become_one_and_the_memory_of_the_larger_table_is_given_back() {
    let world = World::new(1 << 10, 1 << 7, 4);
    let (large, small) = (MemIndex::bytes(1 << 10, 1 << 7), MemIndex::bytes(1 << 9, 1 << 6));
    let budget = world.let_grow(large + small, true);
    let (mut participant, mut expected) = (world.epoch.join(), HashMap::new());
    // Two keys in each chain, and two chains in each bucket to come.
    for key in (0..1 << 10).flat_map(|low| [low, low | 4 << 32]) {
        expected.insert(key, world.upsert(key, &mut participant));
    }
    world.log.settled.store(u64::MAX, Ordering::Relaxed);
    world.index.begin_to_shrink(Some(&budget)).unwrap();
    assert_eq!(budget.used(), large + small);
    while world.shrink_step(&mut participant).unwrap() {}
    let stats = world.index.stats();
    assert_eq!((stats.buckets, stats.entries, stats.growth.halvings), (1 << 9, 1 << 9, 1), "{stats:?}");
    assert_eq!((budget.used(), stats.growth.under_way, stats.overflow_buckets), (small, false, 1 << 6));
    #[cfg(target_os = "linux")]
    for words in world.index.table_at(10).memory() {
        assert_eq!(crate::memory::resident_bytes(words), Some(0), "the system has the memory back");
    }
    world.assert_is_sound();
    world.assert_holds(&expected, expected.keys().copied(), "after the shrinking");
    // And back again, into the table that was left.
    world.grow_to(1 << 10);
    assert_eq!(world.index.stats().buckets, 1 << 10);
    world.assert_is_sound();
    world.assert_holds(&expected, expected.keys().copied(), "after the growth");
}

#[test]
fn a_sweep_knows_that_its_table_went_away() {
    let world = World::new(1 << 10, 1 << 7, 4);
    world.let_grow(1 << 30, false);
    let mut participant = world.epoch.join();
    for key in 0..1 << 10 {
        world.upsert(key, &mut participant);
    }
    world.log.settled.store(u64::MAX, Ordering::Relaxed);
    let (rank, given_up) = (world.index.current(), address_of(1 << 20));
    let swept = world.index.free_some(rank, 0, given_up).unwrap();
    assert!(swept < 1 << 9);
    world.index.begin_to_shrink(None).unwrap();
    while world.shrink_step(&mut participant).unwrap() {
        if world.index.shrink_stage() == ShrinkStage::Merging {
            assert!(!world.index.free_below(given_up, &mut participant), "it is in two tables");
        }
    }
    assert_eq!(world.index.free_some(rank, swept, given_up), None, "what it has not seen is in the smaller table");
    assert!(world.index.stats().entries > 0);
    assert!(world.index.free_below(given_up, &mut participant));
    assert_eq!(world.index.stats().entries, 0);
}

/// Whose chain is complete inserts at once, also where the table before had an entry for it: that was marked when it was moved, and stays
/// there when the new one is freed.
#[test]
fn an_entry_that_was_freed_is_not_looked_for_in_the_table_before() {
    for shrinks in [true, false] {
        let world = World::of_many_buckets(8, 4);
        world.log.settled.store(u64::MAX, Ordering::Relaxed);
        let mut participant = world.epoch.join();
        for key in 0..LARGE {
            world.upsert(key, &mut participant);
        }
        match shrinks {
            true => world.index.begin_to_shrink(None).unwrap(),
            false => world.begin().unwrap(),
        }
        let is_complete = || {
            let table = world.index.table();
            !table.progress.is_over() && table.filling(table.first(hash_of(0, world.tags))) == Filling::Done
        };
        while !is_complete() {
            assert!(world.shrink_step(&mut participant).unwrap() || world.step(&mut participant, 1));
        }
        let guard = participant.pin();
        let slot = world.index.find(hash_of(0, world.tags), &guard);
        world.index.try_free(slot).unwrap();
        assert!(world.append(0, &guard).is_some());
    }
}

#[test]
fn it_tells_why_it_does_not_shrink() {
    let refused = |world: &World| {
        let mut participant = world.epoch.join();
        world.index.begin_to_shrink(None).err().or_else(|| {
            loop {
                match world.shrink_step(&mut participant) {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(refusal) => return Some(refusal),
                }
            }
        })
    };
    let world = World::of_many_buckets(2, 1 << 14);
    let mut participant = world.epoch.join();
    assert!(world.index.enter_scan());
    assert_eq!(refused(&world), Some(GrowthRefusal::Scan));
    world.index.leave_scan();
    let hold = world.index.hold(&mut participant, LIMIT).unwrap();
    assert_eq!(refused(&world), Some(GrowthRefusal::Image));
    drop(hold);
    for key in (0..48u64).map(|key| key | key << 32) {
        world.upsert(key, &mut participant);
    }
    assert_eq!(
        (refused(&world), world.index.growth().refused),
        (Some(GrowthRefusal::Crowded), Some(GrowthRefusal::Crowded))
    );
    assert_eq!((world.index.config().buckets, world.index.growth().under_way), (LARGE, false));
    let world = World::of_many_buckets(0, 1 << 14);
    for tag in 0..10u64 {
        world.upsert(tag << 32, &mut world.epoch.join());
    }
    assert_eq!(refused(&world), Some(GrowthRefusal::Saturated));
    let world = World::of_many_buckets(0, 4);
    (0..4).for_each(|_| assert_eq!(refused(&world), None));
    assert_eq!((refused(&world), world.index.config().buckets), (Some(GrowthRefusal::Smallest), 1));
    world.index.begin_to_shrink(None).unwrap_err();
    assert!(world.index.enter_scan(), "nothing is under way");
}

/// W2, W4, W5, W8 with real threads: each has keys of its own, and knows exactly what they lead to, while the index shrinks and grows.
#[test]
fn writers_lose_nothing_while_the_index_shrinks_under_them() {
    const THREADS: u64 = 2;
    for round in 0..4 {
        let world = World::new(1 << 8, 1 << 6, if round % 2 == 0 { 2 } else { 1 << 14 });
        world.let_grow(1 << 30, false);
        world.log.settled.store(u64::MAX, Ordering::Relaxed);
        let expected: Vec<HashMap<u64, u64>> = std::thread::scope(|scope| {
            let work = |thread: u64| {
                let world = &world;
                move || {
                    let (mut participant, mut expected) = (world.epoch.join(), HashMap::new());
                    for at in 0..6000u64 {
                        let random = KeyHash::of_bytes(&(at | thread << 32 | round << 40).to_le_bytes()).get();
                        let key = (random % 150) * THREADS + thread;
                        let key = key | key << 32;
                        expected.insert(key, world.upsert(key, &mut participant));
                        let guard = participant.pin();
                        assert_eq!(world.read(key, &guard), expected.get(&key).copied(), "its own write, at once");
                    }
                    expected
                }
            };
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(work(thread))).collect();
            let mut participant = world.epoch.join();
            let mut halvings = 0;
            while !threads.iter().all(|thread| thread.is_finished()) || halvings == 0 {
                while world.index.config().buckets > 1 << 7 && world.index.begin_to_shrink(None).is_ok() {
                    while matches!(world.shrink_concurrently(&mut participant), Ok(true)) {}
                }
                halvings = world.index.growth().halvings;
                let way = (Haste::Urgent, LIMIT);
                world.index.grow_to(1 << 9, &world.records(), None, &mut participant, way).unwrap();
            }
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        world.assert_is_sound();
        let expected: HashMap<u64, u64> = expected.into_iter().flatten().collect();
        world.assert_holds(&expected, expected.keys().copied(), "at the end");
    }
}

impl World {
    /// A step of a shrinking while others are pinned now and then.
    fn shrink_concurrently(&self, participant: &mut Participant) -> Result<bool, GrowthRefusal> {
        if self.index.shrink_stage() == ShrinkStage::Announced {
            let left = Arc::new(crate::sync::AtomicBool::new(false));
            let flag = Arc::clone(&left);
            self.epoch.bump(move || flag.store(true, Ordering::Release));
            while !left.load(Ordering::Acquire) {
                self.epoch.drain();
                std::thread::yield_now();
            }
        }
        self.shrink_step(participant)
    }
}
