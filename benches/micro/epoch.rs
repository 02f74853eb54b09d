//! Epoch protection.

use crate::ROUND;
use crate::slots::Slots;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use oxifaster::epoch::{LightEpoch, Participant};

fn rounds(bencher: Bencher<'_, '_>, one: impl Fn(&mut Participant) + Sync) {
    let epoch = LightEpoch::new();
    let participants = Slots::new(|_| epoch.join());
    bencher.counter(ItemsCount::new(ROUND)).bench(|| {
        participants.with(|participant| {
            for _ in 0..ROUND {
                one(black_box(participant));
            }
        });
    });
}

#[divan::bench(threads = [1, 2])]
fn pin_and_unpin(bencher: Bencher<'_, '_>) {
    rounds(bencher, |participant| drop(black_box(participant.pin())));
}

/// What surrounds every operation.
#[divan::bench(threads = [1, 2])]
fn pin_unpin_and_ask_for_actions(bencher: Bencher<'_, '_>) {
    rounds(bencher, |participant| {
        drop(black_box(participant.pin()));
        black_box(participant.epoch().has_pending());
    });
}

/// An action that nobody holds up, with both barriers.
#[divan::bench]
fn bump_and_drain(bencher: Bencher<'_, '_>) {
    let epoch = LightEpoch::new();
    let _idle = epoch.join();
    bencher.bench_local(|| {
        epoch.bump(|| ());
        epoch.drain()
    });
}

#[divan::bench]
fn join_and_leave(bencher: Bencher<'_, '_>) {
    let epoch = LightEpoch::new();
    bencher.bench_local(|| epoch.join());
}
