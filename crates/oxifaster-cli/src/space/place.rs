//! Where a measurement has its files.

use crate::bench::Directory;
use crate::failure::Failure;
use std::path::Path;

/// The directory that was named, or a temporary one.
pub(super) fn directory(named: Option<&Path>) -> Result<Directory, Failure> {
    match named {
        Some(path) => Directory::named(path),
        None => Directory::temporary(&crate::bench::Interrupt::default()),
    }
}

/// A key's place in a round: every number below `count` once, in an order that depends on the round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shuffle {
    count: u64,
    bits: u32,
    round: u64,
}

impl Shuffle {
    pub(super) fn new(count: u64, round: u64) -> Self {
        Self { count, bits: count.next_power_of_two().ilog2().max(2), round }
    }

    /// The `index`th number.
    pub(super) fn at(self, index: u64) -> u64 {
        // A permutation of a power of two; what is beyond the count is sent on until it is not.
        let (mask, half) = ((1 << self.bits) - 1, self.bits / 2);
        let mut number = index;
        loop {
            for step in 0..3 {
                let odd = (0x9e37_79b9_7f4a_7c15_u64.rotate_left((7 * step) as u32) ^ self.round << 1) | 1;
                number = number.wrapping_mul(odd).wrapping_add(self.round ^ step) & mask;
                number ^= number >> half;
            }
            if number < self.count {
                return number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once_and_every_round_in_another_order() {
        for count in [1, 5, 1000, 4096, 5000] {
            let order = |round| (0..count).map(|index| Shuffle::new(count, round).at(index)).collect::<Vec<_>>();
            let mut sorted = order(3);
            sorted.sort_unstable();
            assert_eq!(sorted, (0..count).collect::<Vec<_>>());
            assert!(count < 100 || order(3) != order(4));
        }
    }
}
