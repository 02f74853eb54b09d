//! Starting and ending a session.

use crate::stage::Size;
use divan::Bencher;

#[divan::bench(threads = [1, 2])]
fn start_and_end(bencher: Bencher<'_, '_>) {
    let store = &Size::Cached.stage().store;
    bencher.bench(|| drop(store.start_session()));
}

#[divan::bench]
fn start_and_end_of_an_async_one(bencher: Bencher<'_, '_>) {
    let store = &Size::Cached.stage().store;
    bencher.bench_local(|| drop(store.start_async_session()));
}

/// With the first operation, for which nothing has been made yet.
#[divan::bench]
fn start_read_and_end(bencher: Bencher<'_, '_>) {
    let store = &Size::Cached.stage().store;
    bencher.bench_local(|| store.start_session().read(&7).unwrap());
}
