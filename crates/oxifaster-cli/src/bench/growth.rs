//! Keys that are inserted while the benchmark runs, and how to read the latest of them.

use super::distribution::Zipfian;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that shares its cache line with nothing.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Publishes a new count; only the owner of the counter calls this.
    pub(crate) fn set(&self, count: u64) {
        self.0.store(count, Ordering::Release);
    }
}

/// The keys above the loaded ones. Thread `t` of `T` inserts `records + t`, `records + t + T`, ... and counts up after
/// the store has acknowledged the insert, so that whoever sees the count may demand the key, without waiting for others.
#[derive(Debug)]
pub(crate) struct Growth {
    records: u64,
    inserted: Vec<Counter>,
}

impl Growth {
    pub(crate) fn new(records: u64, threads: usize) -> Self {
        Self { records, inserted: (0..threads).map(|_| Counter::default()).collect() }
    }

    fn key(&self, thread: u64, count: u64) -> u64 {
        self.records + thread + self.inserted.len() as u64 * count
    }

    /// The key of `thread` that is counted next.
    fn next_key(&self, thread: usize) -> u64 {
        self.key(thread as u64, self.inserted[thread].get())
    }

    /// The insert of [`Self::next_key`] was acknowledged.
    fn acknowledge(&self, thread: usize) {
        let counter = &self.inserted[thread];
        counter.set(counter.get() + 1);
    }

    /// How many keys `thread` has inserted.
    pub(crate) fn inserted_by(&self, thread: usize) -> u64 {
        self.inserted[thread].get()
    }

    /// The `index`th key that `thread` has inserted.
    pub(crate) fn inserted_key(&self, thread: usize, index: u64) -> u64 {
        self.key(thread as u64, index)
    }

    /// Loaded and inserted keys.
    pub(crate) fn total(&self) -> u64 {
        self.records + self.inserted.iter().map(Counter::get).sum::<u64>()
    }

    /// The key that is `rank` inserts old, taking the threads in turn; `None` if there are not that many.
    fn latest(&self, rank: u64) -> Option<u64> {
        let threads = self.inserted.len() as u64;
        let (thread, age) = (rank % threads, rank / threads);
        let inserted = self.inserted[thread as usize].get();
        match age.checked_sub(inserted) {
            None => Some(self.key(thread, inserted - 1 - age)),
            Some(before) => (self.records - 1).checked_sub(thread + threads * before),
        }
    }
}

/// The inserts of one thread, of which any number may be under way.
#[derive(Debug)]
pub(crate) struct Inserts<'a> {
    growth: &'a Growth,
    thread: usize,
    issued: u64,
    /// Keys that were acknowledged before one that was issued earlier. They are counted when it is.
    early: BTreeSet<u64>,
}

impl<'a> Inserts<'a> {
    pub(crate) fn new(growth: &'a Growth, thread: usize) -> Self {
        Self { growth, thread, issued: growth.inserted_by(thread), early: BTreeSet::new() }
    }

    /// The key to insert next.
    pub(crate) fn next_key(&mut self) -> u64 {
        self.issued += 1;
        self.growth.key(self.thread as u64, self.issued - 1)
    }

    /// The insert of `key` was acknowledged; that of a key that was loaded counts for nothing.
    pub(crate) fn acknowledge(&mut self, key: u64) {
        if key < self.growth.records {
            return;
        }
        if key != self.growth.next_key(self.thread) {
            self.early.insert(key);
            return;
        }
        self.growth.acknowledge(self.thread);
        while self.early.remove(&self.growth.next_key(self.thread)) {
            self.growth.acknowledge(self.thread);
        }
    }
}

/// Draws keys so that the latest are the most popular.
#[derive(Debug)]
pub(crate) struct LatestChooser {
    ranks: Zipfian,
    theta: f64,
}

impl LatestChooser {
    pub(crate) fn new(growth: &Growth, theta: f64) -> Self {
        Self { ranks: Zipfian::new(growth.total(), theta), theta }
    }

    pub(crate) fn key(&mut self, growth: &Growth, rng: &mut Xoshiro256PlusPlus) -> u64 {
        loop {
            if let Some(key) = growth.latest(self.ranks.rank(rng)) {
                return key;
            }
        }
    }

    /// Follows the growth of the key space; called after an insert.
    pub(crate) fn follow(&mut self, growth: &Growth) {
        // A hundredth more keys hardly moves the distribution, and a new one costs some ten microseconds.
        let total = growth.total();
        if total > self.ranks.items() + self.ranks.items() / 100 {
            self.ranks = Zipfian::new(total, self.theta);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_xoshiro::rand_core::SeedableRng;
    use std::collections::HashSet;

    fn grown() -> Growth {
        let growth = Growth::new(10, 2);
        for thread in [0, 0, 0, 1] {
            growth.acknowledge(thread);
        }
        growth
    }

    #[test]
    fn threads_insert_keys_of_their_own() {
        let growth = grown();
        assert_eq!(growth.next_key(0), 16);
        assert_eq!(growth.next_key(1), 13);
        assert_eq!((0..3).map(|index| growth.inserted_key(0, index)).collect::<Vec<_>>(), [10, 12, 14]);
        assert_eq!(growth.total(), 14);
    }

    #[test]
    fn inserts_are_counted_in_the_order_of_their_keys_whatever_order_they_end_in() {
        let growth = grown();
        let mut inserts = Inserts::new(&growth, 0);
        assert_eq!([inserts.next_key(), inserts.next_key(), inserts.next_key()], [16, 18, 20]);
        inserts.acknowledge(20);
        inserts.acknowledge(18);
        inserts.acknowledge(9);
        assert_eq!(growth.inserted_by(0), 3, "16 is still under way");
        inserts.acknowledge(16);
        assert_eq!((growth.inserted_by(0), growth.next_key(0)), (6, 22));
        assert_eq!(Inserts::new(&growth, 0).next_key(), 22);
    }

    #[test]
    fn ranks_name_each_existing_key_once_and_the_latest_first() {
        let growth = grown();
        assert_eq!(growth.latest(0), Some(14));
        assert_eq!(growth.latest(1), Some(11));
        let keys: Vec<u64> = (0..20).filter_map(|rank| growth.latest(rank)).collect();
        let distinct: HashSet<u64> = keys.iter().copied().collect();
        assert_eq!(distinct.len(), keys.len());
        assert!(keys.iter().all(|key| *key < 10 || [10, 11, 12, 14].contains(key)), "{keys:?}");
        assert!(keys.len() >= 13, "{keys:?}");
    }

    #[test]
    fn draws_prefer_the_latest_and_follow_the_growth() {
        let growth = Growth::new(1_000, 2);
        let mut latest = LatestChooser::new(&growth, 0.99);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        for _ in 0..1_000 {
            growth.acknowledge(0);
            growth.acknowledge(1);
            latest.follow(&growth);
        }
        assert!(latest.ranks.items() > 2_900, "{}", latest.ranks.items());
        let new = (0..10_000).filter(|_| latest.key(&growth, &mut rng) >= 2_980).count();
        assert!(new > 3_000, "{new} of 10,000 reads go to the latest twenty keys");
    }
}
