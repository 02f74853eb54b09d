//! Values that say what they are, so that every read can be checked.
//!
//! ```text
//! 16 bytes and more:  | key 8 B | version 4 B | checksum 4 B | filler, drawn from key and version |
//! 8 bytes:            | key 28 bits | version 20 bits | checksum 16 bits |
//! ```
//!
//! The checksum covers everything else. The filler differs from version to version, so a value that mixes two writes
//! fails its checksum. Values of any length have one that follows from key and version.

use super::lengths::Lengths;
use oxifaster::record::Value;
use std::fmt;

/// The value sizes that are compiled in, in bytes.
pub(crate) const SIZES: [usize; 12] = [8, 16, 24, 32, 64, 100, 128, 256, 512, 1024, 2048, 4096];

const SMALL: usize = 8;
/// Bytes of a value that has more than one word, without its filler.
pub(crate) const HEADER: usize = 16;
const SMALL_KEY_BITS: u32 = 28;
const SMALL_VERSION_BITS: u32 = 20;

/// A type of values that say what they are.
pub(crate) trait Content: Value + Unpin + fmt::Debug {
    /// What tells how long a value is.
    type Shape: Copy + Send + Sync + 'static;
    /// The largest version a value can carry; versions are compared modulo this plus one.
    const VERSION_MASK: u64;
    /// The bits of a key that a value carries.
    const KEY_MASK: u64;

    /// The value of `key` at `version`; bits of either that do not fit are dropped.
    fn encode(key: u64, version: u64, shape: Self::Shape) -> Self;

    /// How long the value of `key` at `version` is.
    fn length(key: u64, version: u64, shape: Self::Shape) -> usize;
}

impl<const N: usize> Content for [u8; N] {
    type Shape = ();
    const VERSION_MASK: u64 = if N == SMALL { (1 << SMALL_VERSION_BITS) - 1 } else { u32::MAX as u64 };
    const KEY_MASK: u64 = if N == SMALL { (1 << SMALL_KEY_BITS) - 1 } else { u64::MAX };

    fn encode(key: u64, version: u64, (): ()) -> Self {
        let mut value = [0; N];
        fill(&mut value, key, version);
        value
    }

    #[inline]
    fn length(_: u64, _: u64, (): ()) -> usize {
        N
    }
}

impl Content for Vec<u8> {
    type Shape = Lengths;
    const VERSION_MASK: u64 = u32::MAX as u64;
    const KEY_MASK: u64 = u64::MAX;

    fn encode(key: u64, version: u64, shape: Lengths) -> Self {
        let mut value = vec![0; Self::length(key, version, shape)];
        fill(&mut value, key, version);
        value
    }

    fn length(key: u64, version: u64, shape: Lengths) -> usize {
        shape.length(key, version & Self::VERSION_MASK)
    }
}

/// Makes `value` that of `key` at `version`.
#[inline]
fn fill(value: &mut [u8], key: u64, version: u64) {
    if value.len() == SMALL {
        return value.copy_from_slice(&encode_small(key, version).to_le_bytes());
    }
    value[..8].copy_from_slice(&key.to_le_bytes());
    value[8..12].copy_from_slice(&(version as u32).to_le_bytes());
    let mut state = mix(key ^ version.rotate_left(40));
    for chunk in value[HEADER..].chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        chunk.copy_from_slice(&mix(state).to_le_bytes()[..chunk.len()]);
    }
    let checksum = checksum(value);
    value[12..16].copy_from_slice(&checksum.to_le_bytes());
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
pub(crate) fn judge<V: Content>(
    value: Option<&V>,
    shape: V::Shape,
    key: u64,
    (low, high): (u64, u64),
) -> Result<(), Wrong> {
    let value = value.ok_or(Wrong::Missing)?;
    let (found_key, version) = decode(value.as_bytes())?;
    if found_key != key & V::KEY_MASK {
        return Err(Wrong::OtherKey(found_key));
    }
    if value.as_bytes().len() != V::length(key, version, shape) {
        return Err(Wrong::Damaged);
    }
    // Versions live on a ring: a range that covers it all excludes nothing.
    let span = high.saturating_sub(low);
    let distance = version.wrapping_sub(low) & V::VERSION_MASK;
    if span < V::VERSION_MASK && distance > span { Err(Wrong::Version(version)) } else { Ok(()) }
}

/// The version a sound value carries.
pub(crate) fn version_of(value: &impl Content) -> Option<u64> {
    decode(value.as_bytes()).ok().map(|(_, version)| version)
}

#[inline]
fn decode(value: &[u8]) -> Result<(u64, u64), Wrong> {
    let word = |at: usize| value[at..].iter().take(8).rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    if value.len() == SMALL {
        let whole = word(0);
        let (key, version) = (whole & <[u8; SMALL]>::KEY_MASK, whole >> SMALL_KEY_BITS & <[u8; SMALL]>::VERSION_MASK);
        return if encode_small(key, version) == whole { Ok((key, version)) } else { Err(Wrong::Damaged) };
    }
    if value.len() < HEADER {
        return Err(Wrong::Damaged);
    }
    let header = word(8);
    if checksum(value) == (header >> 32) as u32 {
        Ok((word(0), header & u64::from(u32::MAX)))
    } else {
        Err(Wrong::Damaged)
    }
}

fn encode_small(key: u64, version: u64) -> u64 {
    let content = (version & <[u8; SMALL]>::VERSION_MASK) << SMALL_KEY_BITS | key & <[u8; SMALL]>::KEY_MASK;
    let checksum = crc32c::crc32c(&content.to_le_bytes()[..6]);
    content | u64::from(checksum >> 16 ^ checksum & 0xffff) << 48
}

fn checksum(value: &[u8]) -> u32 {
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
            let value = <[u8; N]>::encode(key, version, ());
            assert_eq!(judge(Some(&value), (), key, (version, version)), Ok(()), "{N} bytes");
            for bit in 0..N * 8 {
                let mut flipped = value;
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(
                    judge(Some(&flipped), (), key, (version, version)),
                    Err(Wrong::Damaged),
                    "{N} bytes, bit {bit}"
                );
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
        assert_eq!(judge(Some(&[0; 100]), (), 0, (0, 9)), Err(Wrong::Damaged));
        assert_eq!(judge(Some(&[0xff; 8]), (), 0, (0, 9)), Err(Wrong::Damaged));
    }

    #[test]
    fn half_of_one_write_and_half_of_the_next_is_damaged() {
        let mut torn = <[u8; 100]>::encode(7, 1, ());
        torn[50..].copy_from_slice(&<[u8; 100]>::encode(7, 2, ())[50..]);
        assert_eq!(judge(Some(&torn), (), 7, (1, 2)), Err(Wrong::Damaged));
    }

    #[test]
    fn a_value_of_any_length_has_the_length_of_its_version() {
        let lengths: Lengths = "uniform:16..300".parse().unwrap();
        for version in 0..200 {
            let value = Vec::encode(7, version, lengths);
            assert_eq!(judge(Some(&value), lengths, 7, (version, version)), Ok(()));
            for at in 0..value.len() {
                let mut flipped = value.clone();
                flipped[at] ^= 0x10;
                assert_eq!(judge(Some(&flipped), lengths, 7, (version, version)), Err(Wrong::Damaged), "byte {at}");
            }
            let shorter = value[..value.len() - 1].to_vec();
            assert_eq!(judge(Some(&shorter), lengths, 7, (version, version)), Err(Wrong::Damaged));
            // Sound by itself, but of another store.
            let other: Lengths = format!("uniform:{0}..{0}", value.len() + 1).parse().unwrap();
            assert_eq!(judge(Some(&value), other, 7, (version, version)), Err(Wrong::Damaged));
        }
        assert_eq!(judge(Some(&Vec::new()), lengths, 0, (0, 9)), Err(Wrong::Damaged));
        assert_eq!(version_of(&Vec::encode(7, 5, lengths)), Some(5));
    }

    #[test]
    fn missing_foreign_stale_and_future_values_are_told_apart() {
        assert_eq!(judge::<[u8; 100]>(None, (), 7, (0, 9)), Err(Wrong::Missing));
        assert_eq!(judge(Some(&<[u8; 100]>::encode(8, 3, ())), (), 7, (0, 9)), Err(Wrong::OtherKey(8)));
        assert_eq!(judge(Some(&<[u8; 100]>::encode(7, 3, ())), (), 7, (4, 9)), Err(Wrong::Version(3)));
        assert_eq!(judge(Some(&<[u8; 100]>::encode(7, 10, ())), (), 7, (4, 9)), Err(Wrong::Version(10)));
        assert_eq!(judge(Some(&<[u8; 8]>::encode(7, 3, ())), (), 7, (4, 9)), Err(Wrong::Version(3)));
    }

    #[test]
    fn versions_beyond_the_field_are_compared_on_the_ring() {
        let wrap = <[u8; 8]>::VERSION_MASK + 1;
        assert_eq!(judge(Some(&<[u8; 8]>::encode(7, wrap + 1, ())), (), 7, (wrap - 1, wrap + 1)), Ok(()));
        assert_eq!(
            judge(Some(&<[u8; 8]>::encode(7, wrap - 2, ())), (), 7, (wrap - 1, wrap + 1)),
            Err(Wrong::Version(wrap - 2))
        );
        assert_eq!(judge(Some(&<[u8; 8]>::encode(7, 12, ())), (), 7, (0, wrap * 3)), Ok(()));
    }
}
