//! Models of the epoch. Shared state outside the epoch is Relaxed throughout, so every ordering that makes a model hold
//! comes from the epoch itself. Each header says which changes were seen to break it.

use super::LightEpoch;
use crate::sync::{Arc, AtomicU64, Ordering::Relaxed};
use loom::thread;

const LINKED: u64 = 0;
const UNLINKED: u64 = 1;

/// Something that is unlinked first and taken away by an action.
struct World {
    link: AtomicU64,
    taken: AtomicU64,
    /// Written by a reader that still found the link.
    visited: AtomicU64,
    /// What the action found in `visited`.
    found: AtomicU64,
}

impl World {
    fn new() -> Arc<Self> {
        let word = || AtomicU64::new(0);
        Arc::new(Self { link: AtomicU64::new(LINKED), taken: word(), visited: word(), found: word() })
    }

    /// To be called while pinned.
    fn read(&self) {
        if self.link.load(Relaxed) == LINKED {
            self.visited.store(1, Relaxed);
            assert_eq!(self.taken.load(Relaxed), 0, "taken away under a reader");
        }
    }

    fn unlink_and_bump(self: &Arc<Self>, epoch: &LightEpoch) {
        self.link.store(UNLINKED, Relaxed);
        let world = Arc::clone(self);
        epoch.bump(move || {
            world.found.store(world.visited.load(Relaxed), Relaxed);
            world.taken.fetch_add(1, Relaxed);
        });
    }

    fn assert_taken_once_after_every_visit(&self) {
        assert_eq!(self.taken.load(Relaxed), 1, "the action runs exactly once");
        assert_eq!(self.found.load(Relaxed), self.visited.load(Relaxed), "a visit happens before the action");
    }
}

/// E1, E2, E3 for a reader that pins twice: its first pin may be seen to be over by its second one.
///
/// Broken by: no light barrier in `pin`; unlinking after the bump; a relaxed store or load of the row; running actions of
/// epochs up to the oldest row's own.
#[test]
fn what_a_pinned_reader_sees_is_not_taken_away() {
    loom::model(|| {
        let epoch = LightEpoch::new();
        let world = World::new();
        let mut participant = epoch.join();
        let reader = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                for _ in 0..2 {
                    let guard = participant.pin();
                    world.read();
                    drop(guard);
                }
            })
        };
        world.unlink_and_bump(&epoch);
        epoch.drain();
        reader.join().unwrap();
        assert!(epoch.drain());
        world.assert_taken_once_after_every_visit();
    });
}

/// E1 and E2 for a participant that comes and goes while the drainer looks at the rows.
///
/// Broken by: no light barrier in `pin`; unlinking after the bump; a relaxed store or load of the row.
#[test]
fn a_reader_that_joins_and_leaves_during_a_drain_is_protected() {
    loom::model(|| {
        let epoch = LightEpoch::new();
        let world = World::new();
        let reader = {
            let (epoch, world) = (Arc::clone(&epoch), Arc::clone(&world));
            thread::spawn(move || {
                let mut participant = epoch.join();
                let guard = participant.pin();
                world.read();
                drop(guard);
            })
        };
        world.unlink_and_bump(&epoch);
        epoch.drain();
        reader.join().unwrap();
        assert!(epoch.drain());
        world.assert_taken_once_after_every_visit();
    });
}

/// E1 and E2 when a third thread drains, which took its role before anything was unlinked and has an older action to run.
///
/// Broken by: no heavy barrier, or one after the rows are read; judging actions that were registered after the rows were
/// read.
#[test]
fn a_drain_that_began_before_the_unlinking_takes_nothing_away_too_early() {
    loom::model(|| {
        let epoch = LightEpoch::new();
        let world = World::new();
        let mut participant = epoch.join();
        let reader = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let guard = participant.pin();
                world.read();
                drop(guard);
            })
        };
        epoch.bump(|| {});
        let drainer = {
            let epoch = Arc::clone(&epoch);
            thread::spawn(move || {
                epoch.drain();
            })
        };
        world.unlink_and_bump(&epoch);
        reader.join().unwrap();
        drainer.join().unwrap();
        assert!(epoch.drain());
        world.assert_taken_once_after_every_visit();
    });
}

/// E5: two readers hold the action up, and every thread asks after its part is done. Nobody drains afterwards.
///
/// Broken by: no light barrier in `has_pending`; no second look in `Draining::leave`; no fence in it or in `take_role`;
/// clearing `wanted` after looking at the rows.
#[test]
fn the_last_one_to_leave_strands_no_action() {
    loom::model(|| {
        let epoch = LightEpoch::new();
        let world = World::new();
        let ask = |epoch: &LightEpoch| {
            if epoch.has_pending() {
                epoch.drain();
            }
        };
        let mut participant = epoch.join();
        let reader = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let guard = participant.pin();
                world.read();
                drop(guard);
                ask(participant.epoch());
            })
        };
        let mut other = epoch.join();
        let guard = other.pin();
        world.unlink_and_bump(&epoch);
        drop(guard);
        ask(&epoch);
        reader.join().unwrap();
        world.assert_taken_once_after_every_visit();
    });
}

/// E3 and E5: two threads bump and drain.
///
/// Broken by: draining without the role; drawing the epoch outside the list's lock; no second look in `leave`.
#[test]
fn actions_run_once_and_in_order_whoever_drains() {
    loom::model(|| {
        let epoch = LightEpoch::new();
        let (turn, other) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let step = |turn: &Arc<AtomicU64>, from: u64| {
            let turn = Arc::clone(turn);
            // A load and a store, so that two actions that run at the same time lose a step.
            move || {
                assert_eq!(turn.load(Relaxed), from, "out of turn");
                turn.store(from + 1, Relaxed);
            }
        };
        let drainer = {
            let (epoch, action) = (Arc::clone(&epoch), step(&other, 0));
            thread::spawn(move || {
                epoch.bump(action);
                epoch.drain();
            })
        };
        epoch.bump(step(&turn, 0));
        epoch.bump(step(&turn, 1));
        epoch.drain();
        drainer.join().unwrap();
        assert!(!epoch.has_pending(), "every action ran");
        assert_eq!((turn.load(Relaxed), other.load(Relaxed)), (2, 1));
    });
}

/// E6: once everybody who was pinned when a notice was posted has left, no guard is without it.
///
/// Broken by: looking for the flag only before the row is set, in `pin` or in `pin_flagged`; posting after the bump.
#[test]
fn a_guard_that_was_not_waited_for_carries_the_notice() {
    for is_flagged_before in [false, true] {
        loom::model(move || {
            let epoch = LightEpoch::new();
            let waited = Arc::new(AtomicU64::new(0));
            let mut participant = epoch.join();
            if is_flagged_before {
                // An action waits, so that the reader takes the long way.
                epoch.bump(|| {});
            }
            let reader = {
                let waited = Arc::clone(&waited);
                thread::spawn(move || {
                    let guard = participant.pin();
                    if waited.load(Relaxed) == 1 {
                        assert_eq!(guard.notice(), Some(7), "it was not waited for, and does not know");
                    }
                })
            };
            epoch.post(7);
            let done = Arc::clone(&waited);
            epoch.bump(move || done.store(1, Relaxed));
            epoch.drain();
            reader.join().unwrap();
            assert!(epoch.drain());
        });
    }
}
