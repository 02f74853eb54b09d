//! Futures that memory answers: ready at the first poll.

use crate::ROUND;
use crate::stage::{Keys, Size};
use divan::Bencher;
use divan::counter::ItemsCount;
use oxifaster::store::AsyncSession;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

fn measure<F, T>(bencher: Bencher<'_, '_>, size: Size, call: impl Fn(&mut AsyncSession<u64, u64>, u64) -> F)
where
    F: Future<Output = oxifaster::Result<T>>,
{
    let stage = size.stage();
    let (mut session, mut keys) = (stage.store.start_async_session(), Keys::new(3, stage.count));
    bencher.counter(ItemsCount::new(ROUND)).bench_local(|| {
        for _ in 0..ROUND {
            let future = pin!(call(&mut session, keys.draw()));
            let Poll::Ready(outcome) = future.poll(&mut Context::from_waker(Waker::noop())) else { continue };
            divan::black_box(outcome.unwrap());
        }
    });
}

#[divan::bench(args = Size::ALL)]
fn read(bencher: Bencher<'_, '_>, size: Size) {
    measure(bencher, size, |session, key| session.read(&key));
}

#[divan::bench(args = Size::ALL)]
fn upsert(bencher: Bencher<'_, '_>, size: Size) {
    measure(bencher, size, |session, key| session.upsert(key, key));
}
