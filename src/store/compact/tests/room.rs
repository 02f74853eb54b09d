//! Who waits for room that a compaction is to make.

use super::*;
use crate::store::OpFuture;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};

/// Counts how often it is woken.
#[derive(Default)]
struct Counter(AtomicU64);

impl Wake for Counter {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future that had itself polled again at once would keep a core busy for as long as writers are held up.
#[test]
fn a_future_that_is_held_up_sleeps_until_there_is_room() {
    let store = open(&Shredder::new());
    let log = &store.database.kernel.log;
    let mut session = store.start_async_session();
    log.keep_room(Address::new(1));
    assert!(log.is_held_up() || log.addresses().tail.get() < 1 << 12);
    let counter = std::sync::Arc::new(Counter::default());
    let waker = Waker::from(std::sync::Arc::clone(&counter));
    let mut context = Context::from_waker(&waker);
    let woken = || counter.0.load(Ordering::SeqCst);
    let mut written = 0;
    let mut waiting = loop {
        let mut write = session.upsert(written, written);
        if Pin::new(&mut write).poll(&mut context).is_pending() {
            break write;
        }
        written += 1;
        assert!(written < 1000, "a page holds less");
    };
    // Whatever was written meanwhile has told what it had to tell.
    let rest = |context: &mut Context<'_>, waiting: &mut OpFuture<u64, u64, ()>| {
        while log.is_writing() {
            log.help();
        }
        let mut before = u64::MAX;
        while woken() != before {
            before = woken();
            assert!(Pin::new(&mut *waiting).poll(context).is_pending());
        }
        before
    };
    let asleep = rest(&mut context, &mut waiting);
    for _ in 0..100 {
        log.help();
        assert!(Pin::new(&mut waiting).poll(&mut context).is_pending());
    }
    assert_eq!(woken(), asleep, "nothing has changed, and nobody was woken");
    log.extend_room(0);
    assert_eq!(woken(), asleep, "that is no room");
    log.extend_room(2 << 12);
    assert_eq!(woken(), asleep + 1);
    assert!(matches!(Pin::new(&mut waiting).poll(&mut context), Poll::Ready(Ok(()))));
    // The same when all are let go.
    log.keep_room(Address::new(1));
    let mut waiting = loop {
        written += 1;
        let mut write = session.upsert(written, written);
        if Pin::new(&mut write).poll(&mut context).is_pending() {
            break write;
        }
    };
    let asleep = rest(&mut context, &mut waiting);
    store.let_writers_go();
    assert_eq!(woken(), asleep + 1);
    assert!(matches!(Pin::new(&mut waiting).poll(&mut context), Poll::Ready(Ok(()))));
}

/// While buckets are being split, those that have been are not gone through: what leads to nothing in them is freed afterwards, also if
/// nothing else happens any more.
#[test]
fn entries_of_what_was_given_up_are_freed_when_the_index_has_grown() {
    let config = FasterKvConfig::default()
        .with_table_size(1 << 10)
        .with_table_size_max(1 << 11)
        .with_page_size_bits(14)
        .with_log_memory_size(64 << 14);
    let store: Store = FasterKv::open(config, Shredder::new()).unwrap();
    let mut session = store.start_session();
    let mut keys = 0;
    while store.index_growth().buckets_split == 0 {
        session.upsert(keys, keys).unwrap();
        keys += 1;
        assert!(keys < 1 << 14, "{:?}", store.index_stats());
    }
    // Whoever deletes a key in memory frees its entry by the way.
    store.evict().unwrap();
    for key in 0..keys {
        session.delete(&key).unwrap();
    }
    let growth = store.index_growth();
    assert!(growth.under_way && growth.buckets_split < 1 << 10, "{growth:?}");
    store.log_compact_until(store.addresses().tail).unwrap();
    let (left, growth) = (store.index_stats().entries, store.index_growth());
    assert!(growth.under_way && left > 0, "the index grows, and was not gone through: {left} {growth:?}");
    assert_eq!(store.give_back_durable(false).unwrap(), 0);
    store.grow_index(1 << 11).unwrap();
    let since = Instant::now();
    while store.index_stats().entries > 0 {
        assert_eq!(store.give_back_durable(false).unwrap(), 0);
        assert!(since.elapsed().as_secs() < 30, "{:?}", store.index_stats());
    }
}
