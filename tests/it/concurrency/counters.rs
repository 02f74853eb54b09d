//! Of any number of concurrent read-modify-writes none is lost and none counts twice.

use super::{Store, at_once, roomy, store_of, tiny, while_pages_move};
use oxifaster::record::Value;
use oxifaster::store::{Outcome, Session};

const THREADS: usize = 8;

/// A value that counts, and can tell when it was torn.
trait Counter: Value {
    fn of(count: u64) -> Self;
    fn count(&self) -> u64;
}

impl Counter for u64 {
    fn of(count: u64) -> Self {
        count
    }

    fn count(&self) -> u64 {
        *self
    }
}

/// All words follow from the first; all zeros is the count 0 of a missing key.
impl Counter for [u64; 4] {
    fn of(count: u64) -> Self {
        if count == 0 { [0; 4] } else { [count, !count, count.wrapping_mul(3), count.rotate_left(17)] }
    }

    fn count(&self) -> u64 {
        assert_eq!(*self, Self::of(self[0]), "a torn value");
        self[0]
    }
}

fn increment<V: Counter>(value: &mut V) -> bool {
    *value = V::of(value.count() + 1);
    true
}

/// Each thread increments `each` times, going over the keys in a way of its own.
fn count_up<V: Counter>(store: &Store<V>, keys: u64, each: u64, increment: impl Fn(&mut V) -> bool + Sync) {
    at_once(THREADS, |thread| {
        let mut session = store.start_session();
        for step in 0..each {
            let key = (step * (2 * thread as u64 + 1)) % keys;
            assert!(session.rmw(key, &increment).unwrap());
            if step % 64 == 0 {
                std::thread::yield_now();
            }
        }
    });
}

/// As `count_up`, with up to 64 increments of each thread under way.
fn count_up_pipelined<V: Counter>(store: &Store<V>, keys: u64, each: u64) -> u64 {
    let take = |session: &mut Session<u64, V>, wait| {
        let completed = session.complete_pending(wait).unwrap();
        completed.iter().for_each(|completed| assert!(matches!(completed.outcome, Ok(Outcome::Rmw(true)))));
        completed.len() as u64
    };
    let pending = at_once(THREADS, |thread| {
        let mut session = store.start_session();
        let mut were_pending = 0;
        for step in 0..each {
            let key = (step * (2 * thread as u64 + 1)) % keys;
            session.begin_rmw(key, increment::<V>).unwrap();
            if step % 50 == 0 {
                std::thread::yield_now();
                were_pending += take(&mut session, false);
            }
        }
        while session.pending() > 0 {
            were_pending += take(&mut session, true);
        }
        were_pending
    });
    pending.iter().sum()
}

fn total<V: Counter>(store: &Store<V>, keys: u64) -> u64 {
    let mut session = store.start_session();
    (0..keys).map(|key| session.read(&key).unwrap().map_or(0, |value| value.count())).sum()
}

#[test]
fn a_million_increments_of_one_key_are_all_there() {
    let store = store_of::<u64>(roomy());
    count_up(&store, 1, 125_000, increment);
    assert_eq!(total(&store, 1), 1_000_000);
}

#[test]
fn a_million_increments_of_a_thousand_keys_are_all_there() {
    let store = store_of::<u64>(roomy());
    count_up(&store, 1_000, 125_000, increment);
    assert_eq!(total(&store, 1_000), 1_000_000);
}

#[test]
fn increments_of_latched_values_are_all_there() {
    let store = store_of::<[u64; 4]>(roomy());
    count_up(&store, 1, 25_000, increment);
    count_up(&store, 1_000, 25_000, increment);
    assert_eq!(total(&store, 1_000), 400_000);
}

#[test]
fn increments_that_are_interrupted_half_way_are_all_there() {
    fn interrupted<V: Counter>() {
        let store = store_of::<V>(roomy());
        count_up(&store, 3, 2_000, |value: &mut V| {
            let count = value.count();
            std::thread::yield_now();
            *value = V::of(count + 1);
            true
        });
        assert_eq!(total(&store, 3), 16_000);
    }
    interrupted::<u64>();
    interrupted::<[u64; 4]>();
}

/// A thread that is interrupted between finding a record mutable and changing it still finds the page as it was.
#[test]
fn increments_are_all_there_while_the_counters_go_through_every_region() {
    fn moving<V: Counter>(keys: u64) {
        let store = store_of::<V>(tiny());
        let interrupted = |value: &mut V| {
            let count = value.count();
            if count.is_multiple_of(7) {
                std::thread::yield_now();
            }
            *value = V::of(count + 1);
            true
        };
        while_pages_move(&store, V::of, || count_up(&store, keys, 10_000, interrupted));
        assert_eq!(total(&store, keys), 80_000);
        assert!(store.stats().read_misses > 0);
    }
    for keys in [3, 100] {
        moving::<u64>(keys);
        moving::<[u64; 4]>(keys);
    }
}

#[test]
fn increments_that_overlap_are_all_there_while_the_counters_go_through_every_region() {
    fn moving<V: Counter>() {
        let store = store_of::<V>(tiny());
        let were_pending = while_pages_move(&store, V::of, || count_up_pipelined(&store, 100, 20_000));
        assert_eq!(total(&store, 100), 160_000);
        assert!(were_pending > 100, "only {were_pending} were ever pending");
    }
    moving::<u64>();
    moving::<[u64; 4]>();
}
