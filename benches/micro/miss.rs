//! Reads of records that are on the device only: fetching a block, checking it, finding the record in it.

use crate::ROUND;
use crate::stage::Stage;
use divan::Bencher;
use divan::counter::ItemsCount;
use std::sync::LazyLock;

/// All records of this store are on its device, which is memory.
static EVICTED: LazyLock<Stage<[u8; 100]>> = LazyLock::new(|| {
    let stage = Stage::new(200_000, 32 << 20, |key| [key as u8; 100]);
    stage.store.evict().unwrap();
    stage
});

#[divan::bench(threads = [1, 2])]
fn read(bencher: Bencher<'_, '_>) {
    EVICTED.measure(bencher, |session, key| session.read(&key).unwrap());
}

#[divan::bench(threads = [1, 2])]
fn read_of_a_batch_of_256(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(ROUND)).bench(|| {
        EVICTED.play(|session, keys| {
            let mut values = [None; 256];
            for keys in keys.chunks(values.len()) {
                session.read_batch_into(keys, &mut values).unwrap();
                divan::black_box(&values);
            }
        });
    });
}
