//! Models of values that end, with a clock that moves meanwhile. The header of each says which changes were seen to break it.

use super::{builder, close_tail, run, store_with};
use crate::clock::{StoreClock, VirtualClock};
use crate::epoch::{LightEpoch, Participant};
use crate::kernel::{DeleteOp, IfThere, Kernel, Modify, ReadOp, RmwOp, UpsertOp};
use crate::record::{Expiring, Expiry};
use crate::sync::Arc;
use loom::thread;
use std::time::Duration;

type Store = Kernel<u64, Expiring<u64>>;

/// Has the value of the key stay, if there is one.
fn persist(store: &Store, participant: &mut Participant) {
    let change = |value: &mut Expiring<u64>| {
        value.set_expiry(Expiry::NEVER);
        true
    };
    run(store, RmwOp::new(1, IfThere { change, was_there: false }), participant);
}

fn is_there(store: &Store, participant: &mut Participant) -> bool {
    run(store, ReadOp::new(1u64), participant).is_some()
}

/// Who moves the clock.
#[derive(Clone, Copy, PartialEq)]
enum Mover {
    /// The one who looks at the value, before.
    Looker,
    /// The one who has it stay, after: its time never comes.
    Keeper,
}

/// One thread has a value stay while its time comes, another looks at it. Who was told once that it is over is not told otherwise
/// later, and nobody else is who comes after. In place, and from a record that is immutable.
fn over_for_one_is_over_for_all(is_immutable: bool) {
    for mover in [Mover::Looker, Mover::Keeper] {
        let mut builder = builder();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let (epoch, clock) = (LightEpoch::new(), Arc::new(VirtualClock::new(5)));
            let store = store_with::<Expiring<u64>>(&epoch, None);
            let store = Arc::into_inner(store).unwrap().with_clock(StoreClock::new(clock.clone()));
            let store = Arc::new(store);
            let mut participant = epoch.join();
            run(&store, UpsertOp::new(1, Expiring::until(7, Expiry::at_ms(6))), &mut participant);
            if is_immutable {
                close_tail(&store);
                epoch.drain();
            }
            let other = {
                let (store, clock, mut participant) = (Arc::clone(&store), clock.clone(), epoch.join());
                thread::spawn(move || {
                    persist(&store, &mut participant);
                    if mover == Mover::Keeper {
                        clock.advance(Duration::from_millis(1));
                    }
                })
            };
            if mover == Mover::Looker {
                clock.advance(Duration::from_millis(1));
            }
            let first = is_there(&store, &mut participant);
            let second = is_there(&store, &mut participant);
            assert!(first || !second, "it came back");
            assert!(second || mover == Mover::Looker, "it was to stay before its time came");
            other.join().unwrap();
            assert_eq!(is_there(&store, &mut participant), second, "what was told does not hold");
        });
    }
}

/// Broken by: not asking `may_last` in `try_modify`; no fence in `may_last`.
#[test]
fn a_value_that_is_over_for_one_does_not_last_in_place() {
    over_for_one_is_over_for_all(false);
}

/// Broken by: `append` in place of `append_lasting`; no hold before the record is published; no second look in
/// `MemIndex::begins_at`; not asking `may_last`.
#[test]
fn a_value_that_is_over_for_one_does_not_last_in_a_new_record() {
    over_for_one_is_over_for_all(true);
}

/// One thread deletes a value before its time comes, another adds to what is there: to the value, which is deleted then, or to nothing,
/// after the deletion, and then what it makes stays.
///
/// Broken by: not looking for a tombstone under the latch, in `RmwOp::in_place`.
#[test]
fn what_begins_where_a_value_ended_is_not_lost_to_an_earlier_deletion() {
    builder().check(|| {
        let (epoch, clock) = (LightEpoch::new(), Arc::new(VirtualClock::new(5)));
        let store = store_with::<Expiring<u64>>(&epoch, None);
        let store = Arc::new(Arc::into_inner(store).unwrap().with_clock(StoreClock::new(clock.clone())));
        let mut participant = epoch.join();
        run(&store, UpsertOp::new(1, Expiring::until(7, Expiry::at_ms(6))), &mut participant);
        let other = {
            let (store, clock, mut participant) = (Arc::clone(&store), clock.clone(), epoch.join());
            thread::spawn(move || {
                run(&store, DeleteOp::new(1u64), &mut participant);
                clock.advance(Duration::from_millis(1));
            })
        };
        let mut saw = 0;
        let add = |value: &mut Expiring<u64>| {
            saw = **value;
            *value = Expiring::from(saw + 10);
            true
        };
        run(&store, RmwOp::new(1, Modify(add)), &mut participant);
        other.join().unwrap();
        assert_eq!(is_there(&store, &mut participant), saw == 0, "{saw} was there");
    });
}
