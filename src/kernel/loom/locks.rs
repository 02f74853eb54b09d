//! Models of groups of writes and of locked keys, with plain operations beside them. The header of each says which changes
//! were seen to break it.

use super::{Store, add_one, builder, run, store};
use crate::epoch::{LightEpoch, Participant};
use crate::kernel::{GroupOp, ReadOp, RmwOp, UpsertOp, Write};
use crate::locks::LockMode::Exclusive;
use crate::locks::Stripe;
use crate::sync::{Arc, AtomicBool, Ordering};
use crate::utility::KeyHash;
use loom::thread;

const ONLY: Stripe = Stripe(0);

fn writes(values: [(u64, u64); 2]) -> Vec<Write<u64, u64>> {
    values.map(|(key, value)| Write { key, value: Some(value) }).into()
}

fn lock(store: &Store) {
    while !store.locks().unwrap().try_lock(ONLY, Exclusive) {
        thread::yield_now();
    }
}

fn unlock(store: &Store) {
    store.locks().unwrap().unlock(ONLY, Exclusive);
}

/// Who reads two keys one after the other never finds the second older than the first, if both are always written together.
///
/// Broken by: a reader that does not look at the stripe behind its look-up.
#[test]
fn a_group_is_seen_as_a_whole() {
    let mut builder = builder();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let epoch = LightEpoch::new();
        let store = store(&epoch);
        store.locks_or_new(1);
        epoch.heed_locks();
        let mut participant = epoch.join();
        for key in [1, 2] {
            run(&store, UpsertOp::new(key, 0), &mut participant);
        }
        let writer = {
            let (store, mut participant) = (Arc::clone(&store), epoch.join());
            thread::spawn(move || {
                lock(&store);
                run(&store, GroupOp::new(&writes([(1, 1), (2, 1)])), &mut participant);
                unlock(&store);
            })
        };
        let first = run(&store, ReadOp::new(1u64), &mut participant);
        let second = run(&store, ReadOp::new(2u64), &mut participant);
        assert!(first <= second, "{first:?} and then {second:?}");
        writer.join().unwrap();
        assert_eq!(run(&store, ReadOp::new(1u64), &mut participant), Some(1));
    });
}

/// Adds one to key 1 in the way of a session, the short way if it can.
fn add(store: &Store, participant: &mut Participant) {
    if let Some(guard) = participant.pin_plain() {
        let view = store.view(&guard);
        let slot = view.find(KeyHash::of_bytes(&1u64.to_le_bytes()));
        if view
            .modify(&1, slot, 0, &mut |value: &mut u64| {
                *value += 1;
                true
            })
            .is_some()
        {
            return;
        }
    }
    run(store, RmwOp::new(1, add_one()), participant);
}

/// From the moment at which the first locks can be had, nobody changes a locked key: not even who had begun before.
///
/// Broken by: no wait for those who are pinned; `pin_plain` that does not look for the flag.
#[test]
fn the_first_lock_is_heeded_by_all() {
    let mut builder = builder();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let epoch = LightEpoch::new();
        let store = store(&epoch);
        let mut participant = epoch.join();
        run(&store, UpsertOp::new(1, 0), &mut participant);
        let plain = {
            let (store, mut participant) = (Arc::clone(&store), epoch.join());
            thread::spawn(move || add(&store, &mut participant))
        };
        store.locks_or_new(1);
        epoch.heed_locks();
        let left = Arc::new(AtomicBool::new(false));
        let have_left = Arc::clone(&left);
        epoch.bump(move || have_left.store(true, Ordering::Release));
        while !left.load(Ordering::Acquire) {
            epoch.drain();
            thread::yield_now();
        }
        lock(&store);
        participant.slip().set_own_lock(Some((ONLY.0, false)));
        let value = run(&store, ReadOp::new(1u64), &mut participant).unwrap();
        let writes = [Write { key: 1, value: Some(value + 1) }];
        run(&store, GroupOp::new(&writes), &mut participant);
        participant.slip().set_own_lock(None);
        unlock(&store);
        plain.join().unwrap();
        assert_eq!(run(&store, ReadOp::new(1u64), &mut participant), Some(2));
    });
}
