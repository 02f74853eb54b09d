//! Short histories of concurrent calls, each looked at as a whole: is there an order in which they could have happened one by one?
//! Every kind of call that takes effect at once, on few keys, while records leave memory, are compacted, and the index grows and shrinks;
//! and while time goes by, for values that end.

mod history;
mod search;

use history::{Call, Caller, KEYS, Shape, could_be};
use oxifaster::clock::{Clock, VirtualClock};
use oxifaster::device::MemoryDisk;
use oxifaster::index::GrowthRefusal;
use oxifaster::record::{Expiring, Key};
use oxifaster::store::{FasterKv, FasterKvConfig};
use search::Event;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const THREADS: usize = 3;
/// Calls of one thread in a history.
const CALLS: usize = 7;

/// How keys of a store are made.
trait Name: Key + Clone {
    fn of(number: u64) -> Self;
}

impl Name for u64 {
    fn of(number: u64) -> Self {
        number
    }
}

impl Name for String {
    fn of(number: u64) -> Self {
        format!("{number:x}.").repeat(1 + number as usize % 5)
    }
}

/// Records `histories` histories, of new keys each, and looks at each.
fn histories_could_be<K: Name, V: Shape>(histories: u64, transactions: bool) {
    let config = FasterKvConfig::default()
        .with_page_size_bits(12)
        .with_log_memory_size(8 << 12)
        .with_table_size(4)
        .with_index_shrinking(true);
    histories_of_store_could_be::<K, V>(config.clone(), histories, transactions);
    histories_of_store_could_be::<K, V>(config.with_revivification(true), histories / 2, transactions);
}

fn histories_of_store_could_be<K: Name, V: Shape>(config: FasterKvConfig, histories: u64, transactions: bool) {
    let time = Arc::new(VirtualClock::new(0));
    let revives = config.revivification;
    let config = config.with_clock(time.clone());
    let store: FasterKv<K, V, MemoryDisk> = FasterKv::open(config, MemoryDisk::new()).unwrap();
    let clock = AtomicU64::new(0);
    let keys = |history: u64| std::array::from_fn(|place| K::of(history * KEYS as u64 + place as u64));
    let mut callers = Vec::from_iter((0..THREADS as u64).map(|thread| Caller {
        session: store.start_session(),
        clock: &clock,
        keys: keys(0),
        dice: thread,
        transactions,
        time: &time,
    }));
    let mut concurrent = 0;
    for history in 0..histories {
        let now = time.now_ms();
        let here = AtomicUsize::new(0);
        // They begin together: a thread takes longer to start than all its calls.
        let together = || {
            here.fetch_add(1, Ordering::SeqCst);
            while here.load(Ordering::SeqCst) < THREADS {
                std::thread::yield_now();
            }
        };
        let events: Vec<Vec<Event<Call>>> = std::thread::scope(|scope| {
            let threads = Vec::from_iter(callers.iter_mut().map(|caller| {
                caller.keys = keys(history);
                scope.spawn(|| {
                    together();
                    (0..CALLS).map(|_| caller.event()).collect()
                })
            }));
            disturb(&store, history, revives);
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        concurrent +=
            usize::from(events[1..].iter().flatten().any(|event| events[0].iter().any(|other| event.overlaps(other))));
        let mut events = events.concat();
        events.sort_by_key(|event| event.begun);
        let told = || Vec::from_iter(events.iter().map(|event| format!("{event:?}"))).join("\n");
        assert!(could_be(&events, now), "history {history} cannot have happened:\n{}", told());
    }
    assert!(concurrent > 0, "nothing was concurrent: nothing was tried");
    assert_eq!(store.index_growth().halvings > 0, !revives, "{:?}", store.index_growth());
}

/// What does not change what any call finds.
fn disturb<K: Name, V: Shape>(store: &FasterKv<K, V, MemoryDisk>, history: u64, revives: bool) {
    match history % 8 {
        2 | 3 => store.evict().unwrap(),
        1 | 6 => store.flush().unwrap(),
        5 if history % 64 == 5 => drop(store.log_compact_until(store.addresses().tail).unwrap()),
        4 if history % 32 == 4 => shrink(store, revives),
        0 if history.is_power_of_two() => store.grow_index(store.index_stats().buckets * 2).unwrap(),
        _ => {}
    }
}

/// Makes the index large enough for that, and then half as large, unless the store uses space again.
fn shrink<K: Name, V: Shape>(store: &FasterKv<K, V, MemoryDisk>, revives: bool) {
    let stats = store.index_stats();
    let buckets = stats.entries.max(2 * stats.buckets.min(64)).next_power_of_two();
    store.grow_index(buckets).unwrap();
    let Err(error) = store.shrink_index(buckets / 2) else { return assert!(!revives) };
    // What was saturated stays so as long as its chain is on the device.
    let reasons = match revives {
        true => [GrowthRefusal::Revivification].as_slice(),
        false => &[GrowthRefusal::Saturated, GrowthRefusal::Crowded, GrowthRefusal::Locks],
    };
    assert!(reasons.iter().any(|refusal| error.field("reason") == Some(refusal.reason())), "{error}");
}

#[test]
fn one_word_values_are_linearizable() {
    histories_could_be::<u64, u64>(1500, false);
}

#[test]
fn one_word_values_with_transactions_are_linearizable() {
    histories_could_be::<u64, u64>(1000, true);
}

#[test]
fn latched_values_are_linearizable() {
    histories_could_be::<u64, [u64; 13]>(1500, false);
}

#[test]
fn text_and_bytes_are_linearizable() {
    histories_could_be::<String, Vec<u8>>(1500, false);
}

#[test]
fn text_and_bytes_with_transactions_are_linearizable() {
    histories_could_be::<String, Vec<u8>>(1000, true);
}

#[test]
fn values_that_end_are_linearizable() {
    histories_could_be::<u64, Expiring<u64>>(1500, false);
}

#[test]
fn values_that_end_with_transactions_are_linearizable() {
    histories_could_be::<u64, Expiring<u64>>(1000, true);
}

#[test]
fn text_and_bytes_that_end_are_linearizable() {
    histories_could_be::<String, Expiring<Vec<u8>>>(1500, false);
}
