//! Batched calls that memory answers, 2 million keys.

use crate::ROUND;
use crate::stage::Size;
use divan::Bencher;
use divan::counter::ItemsCount;
use oxifaster::store::Session;

/// Operations of a call.
const CALL: [usize; 2] = [32, 256];

/// Measures a round.
fn measure(bencher: Bencher<'_, '_>, round: impl Fn(&mut Session<u64, u64>, &[u64]) + Sync) {
    let stage = Size::Large.stage();
    bencher.counter(ItemsCount::new(ROUND)).bench(|| stage.play(&round));
}

#[divan::bench(args = CALL, threads = [1, 2])]
fn read(bencher: Bencher<'_, '_>, size: usize) {
    measure(bencher, |session, keys| {
        let mut values = vec![None; size];
        for keys in keys.chunks(size) {
            session.read_batch_into(keys, &mut values).unwrap();
            divan::black_box(&mut values);
        }
    });
}

#[divan::bench(args = CALL, threads = [1, 2])]
fn upsert(bencher: Bencher<'_, '_>, size: usize) {
    measure(bencher, |session, keys| {
        let mut pairs = Vec::with_capacity(size);
        for keys in keys.chunks(size) {
            pairs.clear();
            pairs.extend(keys.iter().map(|key| (*key, *key)));
            session.upsert_batch(&pairs).unwrap();
        }
    });
}

#[divan::bench(args = CALL, threads = [1, 2])]
fn rmw(bencher: Bencher<'_, '_>, size: usize) {
    measure(bencher, |session, keys| {
        for keys in keys.chunks(size) {
            let modify = |_, value: &mut u64| {
                *value += 1;
                true
            };
            session.rmw_batch(keys, modify).unwrap();
        }
    });
}
