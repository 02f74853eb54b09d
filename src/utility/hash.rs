//! The hash of a key. It decides where a key lives in the index and is part of the disk format: index images and
//! hash-ordered files hold it, so the function never changes, whatever the machine or the version of the crate.

use rapidhash::v3::{RapidSecrets, rapidhash_v3_inline};

/// Seed and secrets of the key hash, fixed for all time. They differ from the function's defaults so that collisions
/// published for those do not apply. The seed is the fraction of the golden ratio: nothing up the sleeve.
const SECRETS: RapidSecrets = RapidSecrets::seed(0x9e37_79b9_7f4a_7c15);

/// The 64-bit hash of a key.
///
/// The top bits are the [`tag`](Self::tag), the low bits choose the [`bucket`](Self::bucket); with up to 2^50 buckets
/// the two share no bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(u64);

impl KeyHash {
    /// Bits of a tag.
    pub const TAG_BITS: u32 = 14;

    /// The hash of a key with these bytes: rapidhash v3 with a fixed seed.
    #[inline]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        // Most keys are 8 bytes. With the length known at the call the function collapses to two multiplications,
        // without loops and without a call; the result is the same.
        match <&[u8; 8]>::try_from(bytes) {
            Ok(word) => Self(rapidhash_v3_inline::<true, false, false>(word, &SECRETS)),
            Err(_) => Self(of_any_length(bytes)),
        }
    }

    /// A chosen value in place of a hash, for tests and for hashes read back from a file.
    #[inline]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The top 14 bits.
    #[inline]
    pub const fn tag(self) -> u16 {
        (self.0 >> (u64::BITS - Self::TAG_BITS)) as u16
    }

    /// The low bits that `mask` selects: the bucket number in a table of `mask + 1` buckets.
    #[inline]
    pub const fn bucket(self, mask: u64) -> u64 {
        self.0 & mask
    }
}

/// Kept out of line: the function is large, and the callers of `of_bytes` are many.
#[inline(never)]
fn of_any_length(bytes: &[u8]) -> u64 {
    rapidhash_v3_inline::<true, false, false>(bytes, &SECRETS)
}
