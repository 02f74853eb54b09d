//! One hash for the probe and for all maps: whoever brings a slow default loses nothing by it here.

use std::hash::{BuildHasher, Hasher};

/// The hash of an eight-byte key: a folded multiplication, about the least that spreads counting keys over all bits.
#[inline(always)]
pub(crate) fn of_key(key: u64) -> u64 {
    let product = u128::from(key ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93_u128;
    (product as u64) ^ (product >> 64) as u64
}

/// Makes [`KeyHasher`]s.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct KeyHash;

/// Hashes one `u64` with [`of_key`].
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl BuildHasher for KeyHash {
    type Hasher = KeyHasher;

    #[inline]
    fn build_hasher(&self) -> KeyHasher {
        KeyHasher(0)
    }
}

impl Hasher for KeyHasher {
    #[inline]
    fn write_u64(&mut self, key: u64) {
        self.0 = of_key(key);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = of_key(self.0 ^ u64::from(*byte));
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_keys_spread_over_low_and_high_bits() {
        let (mut low, mut high) = ([0_u32; 64], [0_u32; 64]);
        for key in 0..65_536 {
            let hash = of_key(key);
            low[(hash & 63) as usize] += 1;
            high[(hash >> 58) as usize] += 1;
        }
        for count in low.into_iter().chain(high) {
            assert!((850..1_200).contains(&count), "{count} instead of about 1,024");
        }
    }

    #[test]
    fn the_hasher_gives_the_hash_of_the_key() {
        assert_eq!(KeyHash.hash_one(77_u64), of_key(77));
    }
}
