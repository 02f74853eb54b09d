//! What several threads see of each other's work.

mod cached;
mod chains;
mod counters;
mod litmus;
mod races;
mod readers;
mod sessions;
mod torn;

use oxifaster::device::{MemoryDisk, StorageDevice};
use oxifaster::record::Value;
use oxifaster::store::{FasterKv, FasterKvConfig};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

type Store<V> = FasterKv<u64, V, MemoryDisk>;

/// A log of 16 pages of 4 KiB: everything moves through every region all the time.
fn tiny() -> FasterKvConfig {
    FasterKvConfig::default().with_log_memory_size(64 << 10).with_page_size_bits(12).with_table_size(1 << 11)
}

/// A log that holds all that these tests write.
fn roomy() -> FasterKvConfig {
    FasterKvConfig::default().with_memory_budget(16 << 20)
}

fn store_of<V: Value>(config: FasterKvConfig) -> Store<V> {
    FasterKv::open(config, MemoryDisk::new()).unwrap()
}

/// Runs `work` on as many threads, which start together, and gives back what each returned, in order.
fn at_once<T: Send>(threads: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let (barrier, work) = (Barrier::new(threads), &work);
    std::thread::scope(|scope| {
        let run = |thread| {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                work(thread)
            })
        };
        let running: Vec<_> = (0..threads).map(run).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Runs `work` while other threads keep the log moving: one fills it, one evicts all of it over and over.
fn while_pages_move<V: Value, D: StorageDevice, T>(
    store: &FasterKv<u64, V, D>,
    filler: impl Fn(u64) -> V + Sync,
    work: impl FnOnce() -> T,
) -> T {
    /// Ends the background also when the work fails.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let filler = &filler;
        scope.spawn(move || {
            let mut session = store.start_session();
            let mut key = 0;
            while !done.load(Ordering::Relaxed) {
                session.upsert((1 << 32) + key % 5_000, filler(key)).unwrap();
                key += 1;
                // The work is to meet moving pages, not to be starved by who moves them.
                std::thread::yield_now();
            }
        });
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                store.evict().unwrap();
                std::thread::yield_now();
            }
        });
        let _stop = Stop(done);
        work()
    })
}

/// A small generator of numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
