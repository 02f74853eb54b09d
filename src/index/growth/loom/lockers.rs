//! A model of those who lock keys beside one who has the index shrink.

use super::merge::check;
use super::*;
use crate::sync::{AtomicU64, Ordering};

/// W11: of two who lock keys and one who has the index shrink, he is alone, or not at it.
///
/// Broken by: leaving out either fence; looking before counting, or before shutting.
#[test]
fn nobody_has_keys_locked_while_the_index_shrinks() {
    /// More than all who lock keys.
    const SHRINKS: u64 = 8;
    check(|| {
        let (world, at_it) = (World::of(1, &[]), Arc::new(AtomicU64::new(0)));
        let lock = {
            let (world, at_it) = (Arc::clone(&world), Arc::clone(&at_it));
            move || {
                if world.index.begin_to_lock() {
                    assert!(at_it.fetch_add(1, Ordering::Relaxed) < SHRINKS, "the index shrinks");
                    at_it.fetch_sub(1, Ordering::Relaxed);
                    world.index.end_locking();
                }
            }
        };
        let lockers = [thread::spawn(lock.clone()), thread::spawn(lock)];
        world.index.shut_lockers_out();
        if !world.index.has_lockers() {
            assert_eq!(at_it.fetch_add(SHRINKS, Ordering::Relaxed), 0, "somebody has keys locked");
            at_it.fetch_sub(SHRINKS, Ordering::Relaxed);
        }
        world.index.let_lockers_in();
        lockers.into_iter().for_each(|locker| locker.join().unwrap());
        assert!(!world.index.has_lockers() && world.index.begin_to_lock());
    });
}
