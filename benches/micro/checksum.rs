//! The checksum of what reaches a device.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use oxifaster::allocator::BLOCK_SIZE;
use oxifaster::utility::crc32c;

#[divan::bench]
fn of_block(bencher: Bencher<'_, '_>) {
    let block = [7; BLOCK_SIZE];
    bencher.counter(BytesCount::of_slice(&block)).bench_local(|| crc32c(black_box(&block)));
}
