//! Values that say what they are, so that every read can be checked.
//!
//! ```text
//! 16 bytes and more:  | key 8 B | version 4 B | checksum 4 B | filler, drawn from key and version |
//! 8 bytes:            | key 28 bits | version 20 bits | checksum 16 bits |
//! ```
//!
//! The checksum covers everything else. The filler differs from version to version, so a value that mixes two writes
//! fails its checksum.

use std::fmt;

/// The value sizes that are compiled in, in bytes.
pub(crate) const SIZES: [usize; 12] = [8, 16, 24, 32, 64, 100, 128, 256, 512, 1024, 2048, 4096];

const SMALL: usize = 8;
const HEADER: usize = 16;
const SMALL_KEY_BITS: u32 = 28;
const SMALL_VERSION_BITS: u32 = 20;

/// The value of `key` at `version`; bits of either that do not fit are dropped.
pub(crate) fn encode<const N: usize>(key: u64, version: u64) -> [u8; N] {
    let mut value = [0; N];
    if N == SMALL {
        value.copy_from_slice(&encode_small(key, version).to_le_bytes());
        return value;
    }
    value[..8].copy_from_slice(&key.to_le_bytes());
    value[8..12].copy_from_slice(&(version as u32).to_le_bytes());
    let mut state = mix(key ^ version.rotate_left(40));
    for chunk in value[HEADER..].chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        chunk.copy_from_slice(&mix(state).to_le_bytes()[..chunk.len()]);
    }
    let checksum = checksum(&value);
    value[12..16].copy_from_slice(&checksum.to_le_bytes());
    value
}

/// The largest version a value of `N` bytes can carry; versions are compared modulo this plus one.
pub(crate) const fn version_mask<const N: usize>() -> u64 {
    if N == SMALL { (1 << SMALL_VERSION_BITS) - 1 } else { u32::MAX as u64 }
}

const fn key_mask<const N: usize>() -> u64 {
    if N == SMALL { (1 << SMALL_KEY_BITS) - 1 } else { u64::MAX }
}

/// What a read gave instead of the value it should have given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// No value at all.
    Missing,
    /// Bytes whose checksum does not match.
    Damaged,
    /// A sound value of another key.
    OtherKey(u64),
    /// A sound value of the right key whose version was overwritten before, or never written.
    Version(u64),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no value"),
            Self::Damaged => f.write_str("a value whose checksum is wrong"),
            Self::OtherKey(key) => write!(f, "the value of key {key}"),
            Self::Version(version) => write!(f, "version {version}"),
        }
    }
}

/// Checks that `value` is sound, belongs to `key`, and has a version from `low` to `high`.
pub(crate) fn judge<const N: usize>(value: Option<&[u8; N]>, key: u64, low: u64, high: u64) -> Result<(), Wrong> {
    let (found_key, version) = decode(value.ok_or(Wrong::Missing)?)?;
    if found_key != key & key_mask::<N>() {
        return Err(Wrong::OtherKey(found_key));
    }
    // Versions live on a ring: a range that covers it all excludes nothing.
    let span = high.saturating_sub(low);
    let distance = version.wrapping_sub(low) & version_mask::<N>();
    if span < version_mask::<N>() && distance > span { Err(Wrong::Version(version)) } else { Ok(()) }
}

/// The version a sound value carries.
pub(crate) fn version_of<const N: usize>(value: &[u8; N]) -> Option<u64> {
    decode(value).ok().map(|(_, version)| version)
}

fn decode<const N: usize>(value: &[u8; N]) -> Result<(u64, u64), Wrong> {
    let word = |at: usize| value[at..].iter().take(8).rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    if N == SMALL {
        let whole = word(0);
        let (key, version) = (whole & key_mask::<N>(), whole >> SMALL_KEY_BITS & version_mask::<N>());
        return if encode_small(key, version) == whole { Ok((key, version)) } else { Err(Wrong::Damaged) };
    }
    let header = word(8);
    if checksum(value) == (header >> 32) as u32 {
        Ok((word(0), header & u64::from(u32::MAX)))
    } else {
        Err(Wrong::Damaged)
    }
}

fn encode_small(key: u64, version: u64) -> u64 {
    let content = (version & version_mask::<SMALL>()) << SMALL_KEY_BITS | key & key_mask::<SMALL>();
    let checksum = crc32c::crc32c(&content.to_le_bytes()[..6]);
    content | u64::from(checksum >> 16 ^ checksum & 0xffff) << 48
}

fn checksum<const N: usize>(value: &[u8; N]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&value[..12]), &value[HEADER..])
}

/// Spreads the bits of a word (a bijection).
pub(crate) const fn mix(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_flipped_bit_is_found<const N: usize>() {
        for (key, version) in [(0, 0), (9_999_999, 1), (123_456_789, 70_000)] {
            let value = encode::<N>(key, version);
            assert_eq!(judge(Some(&value), key, version, version), Ok(()), "{N} bytes");
            for bit in 0..N * 8 {
                let mut flipped = value;
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(judge(Some(&flipped), key, version, version), Err(Wrong::Damaged), "{N} bytes, bit {bit}");
            }
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found_at_every_size() {
        every_flipped_bit_is_found::<8>();
        every_flipped_bit_is_found::<16>();
        every_flipped_bit_is_found::<24>();
        every_flipped_bit_is_found::<32>();
        every_flipped_bit_is_found::<64>();
        every_flipped_bit_is_found::<100>();
        every_flipped_bit_is_found::<128>();
        every_flipped_bit_is_found::<256>();
        every_flipped_bit_is_found::<512>();
        every_flipped_bit_is_found::<1024>();
        every_flipped_bit_is_found::<2048>();
        every_flipped_bit_is_found::<4096>();
    }

    #[test]
    fn values_of_all_zeros_and_all_ones_are_damaged() {
        assert_eq!(judge(Some(&[0; 100]), 0, 0, 9), Err(Wrong::Damaged));
        assert_eq!(judge(Some(&[0xff; 8]), 0, 0, 9), Err(Wrong::Damaged));
    }

    #[test]
    fn half_of_one_write_and_half_of_the_next_is_damaged() {
        let mut torn = encode::<100>(7, 1);
        torn[50..].copy_from_slice(&encode::<100>(7, 2)[50..]);
        assert_eq!(judge(Some(&torn), 7, 1, 2), Err(Wrong::Damaged));
    }

    #[test]
    fn missing_foreign_stale_and_future_values_are_told_apart() {
        assert_eq!(judge::<100>(None, 7, 0, 9), Err(Wrong::Missing));
        assert_eq!(judge(Some(&encode::<100>(8, 3)), 7, 0, 9), Err(Wrong::OtherKey(8)));
        assert_eq!(judge(Some(&encode::<100>(7, 3)), 7, 4, 9), Err(Wrong::Version(3)));
        assert_eq!(judge(Some(&encode::<100>(7, 10)), 7, 4, 9), Err(Wrong::Version(10)));
        assert_eq!(judge(Some(&encode::<8>(7, 3)), 7, 4, 9), Err(Wrong::Version(3)));
    }

    #[test]
    fn versions_beyond_the_field_are_compared_on_the_ring() {
        let wrap = version_mask::<8>() + 1;
        assert_eq!(judge(Some(&encode::<8>(7, wrap + 1)), 7, wrap - 1, wrap + 1), Ok(()));
        assert_eq!(judge(Some(&encode::<8>(7, wrap - 2)), 7, wrap - 1, wrap + 1), Err(Wrong::Version(wrap - 2)));
        assert_eq!(judge(Some(&encode::<8>(7, 12)), 7, 0, wrap * 3), Ok(()));
    }
}
