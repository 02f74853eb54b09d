//! Models of the locks. What the locks guard is Relaxed throughout, or Release and Acquire where the log's words are. The
//! header of each says which changes were seen to break it.

use super::LockMode::{Exclusive, Shared};
use super::{HeldStripes, LockTable, Stripe, Upgrade, Way};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Arc, AtomicU64, Ordering, fence};
use loom::thread;
use std::task::{Wake, Waker};

const A: Stripe = Stripe(0);
const B: Stripe = Stripe(1);

struct World {
    locks: LockTable,
    values: [AtomicU64; 2],
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self { locks: LockTable::new(2), values: [AtomicU64::new(0), AtomicU64::new(0)] })
    }

    fn lock(&self, stripe: Stripe, mode: super::LockMode) {
        while !self.locks.try_lock(stripe, mode) {
            thread::yield_now();
        }
    }
}

/// Two who have a stripe to themselves do not lose each other's change; one who shares it sees none halfway.
///
/// Broken by: relaxed orderings in `try_lock` or `release`; `Exclusive` that only looks for other exclusive locks.
#[test]
fn a_lock_excludes() {
    loom::model(|| {
        let world = World::new();
        let add = |world: &World| {
            world.lock(A, Exclusive);
            for value in &world.values {
                value.store(value.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }
            world.locks.unlock(A, Exclusive);
        };
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || add(&world))
        };
        add(&world);
        world.lock(A, Shared);
        let seen = world.values.each_ref().map(|value| value.load(Ordering::Relaxed));
        assert_eq!(seen[0], seen[1]);
        world.locks.unlock(A, Shared);
        other.join().unwrap();
        assert_eq!(world.values[0].load(Ordering::Relaxed), 2);
    });
}

/// S1: who looked at two values while nobody had the stripe to himself has seen them as they were together.
///
/// Broken by: `unlock` that does not raise the version; `is_still` without its fence; a relaxed load in `seen`.
#[test]
fn what_was_seen_under_one_version_was_there_together() {
    loom::model(|| {
        let world = World::new();
        let writer = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.lock(A, Exclusive);
                world.values.iter().for_each(|value| value.store(1, Ordering::Release));
                world.locks.unlock(A, Exclusive);
            })
        };
        if let Some(seen) = world.locks.seen(A) {
            let values = world.values.each_ref().map(|value| value.load(Ordering::Acquire));
            if world.locks.is_still(A, seen) {
                assert_eq!(values[0], values[1]);
            }
        }
        writer.join().unwrap();
    });
}

/// Two commit who each read what the other writes: not both go by what they have read.
///
/// Broken by: no fence between locking and looking.
#[test]
fn of_two_who_read_what_the_other_writes_one_is_outrun() {
    loom::model(|| {
        let world = World::new();
        let commit = |world: &World, own: usize| {
            let (mine, theirs) = if own == 0 { (A, B) } else { (B, A) };
            let Some(seen) = world.locks.seen(theirs) else { return false };
            let read = world.values[1 - own].load(Ordering::Acquire);
            if !world.locks.is_still(theirs, seen) || !world.locks.try_lock(mine, Exclusive) {
                return false;
            }
            fence(Ordering::SeqCst);
            let is_valid = world.locks.is_still(theirs, seen);
            if is_valid {
                world.values[own].store(read + 1, Ordering::Release);
            }
            world.locks.unlock(mine, Exclusive);
            is_valid
        };
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || commit(&world, 1))
        };
        let (one, other) = (commit(&world, 0), other.join().unwrap());
        let values = world.values.each_ref().map(|value| value.load(Ordering::Relaxed));
        if one && other {
            assert!(values == [1, 2] || values == [2, 1], "both went by what they read: {values:?}");
        }
    });
}

/// An upgrade ends when the others have left, and nobody has come in between.
///
/// Broken by: `try_lock` of a shared lock that does not look for upgrades (it never ends); an upgrade of a stripe that others
/// share.
#[test]
fn an_upgrade_waits_for_those_who_share() {
    loom::model(|| {
        let world = World::new();
        world.lock(A, Shared);
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                if world.locks.try_lock(A, Shared) {
                    assert_eq!(world.values[0].load(Ordering::Relaxed), 0);
                    world.locks.unlock(A, Shared);
                }
            })
        };
        let mut has_begun = false;
        while world.locks.try_upgrade(A, has_begun) != Upgrade::Done {
            has_begun = true;
            thread::yield_now();
        }
        world.values[0].store(1, Ordering::Relaxed);
        world.values[0].store(0, Ordering::Relaxed);
        world.locks.unlock(A, Exclusive);
        other.join().unwrap();
        assert!(world.locks.try_lock(A, Exclusive));
    });
}

/// S3: one who has locked what he knew of, in order, and comes to a stripe below it, does not wait in a circle with one who locks
/// both: as transactions do that were outrun, and look at another key than before.
///
/// Broken by: `way_to` that says to look, who holds others or not; who locks out of order as patiently as in order.
#[test]
fn nobody_waits_in_a_circle() {
    let patiently = || -> Result<()> { Ok(()) };
    let not_at_all = || -> Result<()> { Err(Error::new(ErrorKind::Busy, "not at once")) };
    loom::model(move || {
        let world = World::new();
        let add = |world: &World, mut held: HeldStripes| {
            for value in &world.values {
                value.store(value.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }
            held.release(&world.locks);
        };
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let mut held = HeldStripes::default();
                for stripe in [A, B] {
                    held.lock(&world.locks, stripe, Exclusive, &mut { patiently }).unwrap();
                }
                add(&world, held);
            })
        };
        let mut known: &[Stripe] = &[B];
        loop {
            let mut held = HeldStripes::default();
            for stripe in known {
                held.lock(&world.locks, *stripe, Exclusive, &mut { patiently }).unwrap();
            }
            let is_there = match held.way_to(A) {
                Way::Own(_) => true,
                Way::Lock => held.lock(&world.locks, A, Exclusive, &mut { not_at_all }).is_ok(),
                Way::Look => {
                    while world.locks.seen(A).is_none() {
                        thread::yield_now();
                    }
                    false
                }
            };
            if is_there {
                add(&world, held);
                break;
            }
            held.release(&world.locks);
            known = &[A, B];
        }
        other.join().unwrap();
        assert!(world.values.iter().all(|value| value.load(Ordering::Relaxed) == 2));
    });
}

struct Count(AtomicU64);

impl Wake for Count {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// S4: who finds a stripe locked after he has asked to be woken is woken.
///
/// Broken by: `wake_on_release` that does not mark the word, or marks it before its waker is in the list.
#[test]
fn who_goes_to_sleep_is_woken() {
    loom::model(|| {
        let world = World::new();
        world.lock(A, Exclusive);
        let holder = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.locks.unlock(A, Exclusive))
        };
        let count = std::sync::Arc::new(Count(AtomicU64::new(0)));
        world.locks.wake_on_release(A, &Waker::from(std::sync::Arc::clone(&count)));
        let sleeps = !world.locks.try_lock(A, Exclusive);
        holder.join().unwrap();
        assert!(!sleeps || count.0.load(Ordering::SeqCst) == 1);
    });
}
