//! The hash of a key.

use divan::{Bencher, black_box};
use oxifaster::utility::KeyHash;

/// Bytes of the key.
#[divan::bench(consts = [8, 16, 100])]
fn of_key<const N: usize>(bencher: Bencher<'_, '_>) {
    let key = [7; N];
    bencher.bench_local(|| KeyHash::of_bytes(black_box(&key)));
}
