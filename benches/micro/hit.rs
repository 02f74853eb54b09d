//! Single calls that memory answers.

use crate::ROUND;
use crate::stage::Size;
use divan::Bencher;
use divan::counter::ItemsCount;

#[divan::bench(args = Size::ALL, threads = [1, 2])]
fn read(bencher: Bencher<'_, '_>, size: Size) {
    size.stage().measure(bencher, |session, key| session.read(&key).unwrap());
}

#[divan::bench(args = Size::ALL, threads = [1, 2])]
fn upsert(bencher: Bencher<'_, '_>, size: Size) {
    size.stage().measure(bencher, |session, key| session.upsert(key, key).unwrap());
}

#[divan::bench(args = Size::ALL, threads = [1, 2])]
fn rmw(bencher: Bencher<'_, '_>, size: Size) {
    size.stage().measure(bencher, |session, key| {
        let modify = |value: &mut u64| {
            *value += 1;
            true
        };
        session.rmw(key, modify).unwrap()
    });
}

/// Of keys that are written before each round, outside of its time.
#[divan::bench(args = Size::ALL, threads = [1, 2], sample_size = 1)]
fn delete(bencher: Bencher<'_, '_>, size: Size) {
    let stage = size.growing_stage();
    let write = || {
        stage.play(|session, keys| {
            keys.iter().for_each(|key| session.upsert(*key, 0).unwrap());
            keys.to_vec()
        })
    };
    bencher.counter(ItemsCount::new(ROUND)).with_inputs(write).bench_refs(|written| {
        stage.play(|session, _| written.iter().for_each(|key| session.delete(key).unwrap()));
    });
}

#[divan::bench(args = Size::ALL)]
fn read_of_a_key_that_is_not_there(bencher: Bencher<'_, '_>, size: Size) {
    size.stage().measure(bencher, |session, key| session.read(&(1 << 40 | key)).unwrap());
}
