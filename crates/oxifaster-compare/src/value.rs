//! Values that say what they are, so that nobody wins by returning garbage.
//!
//! ```text
//!   8 bytes:    | key 32 bits | counter 32 bits |
//!   100 bytes:  | key 8 B | counter 8 B | filler 76 B | seal 8 B, of the key |
//! ```
//!
//! A read-modify-write adds 1 to the counter and leaves the rest, so the sum of all counters tells whether one was lost.

use crate::random::mix;

/// Bytes of a value in the larger-than-memory half.
pub(crate) const LONG: usize = 100;

/// The 8-byte value of `key`.
#[inline]
pub(crate) const fn short(key: u64, counter: u64) -> u64 {
    key << 32 | counter & 0xffff_ffff
}

/// 1 if `value` is not one of `key`, 0 if it is.
#[inline]
pub(crate) fn judge_short(key: u64, value: Option<u64>) -> u64 {
    match value {
        Some(value) => u64::from(value >> 32 != key),
        None => 1,
    }
}

/// The counter in an 8-byte value.
#[inline]
pub(crate) const fn short_counter(value: u64) -> u64 {
    value & 0xffff_ffff
}

/// The 100-byte value of `key`; the filler does not compress.
pub(crate) fn long(key: u64, counter: u64) -> [u8; LONG] {
    let mut value = [0; LONG];
    value[..8].copy_from_slice(&key.to_le_bytes());
    value[8..16].copy_from_slice(&counter.to_le_bytes());
    let mut state = key;
    for chunk in value[16..LONG - 8].chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        chunk.copy_from_slice(&mix(state).to_le_bytes()[..chunk.len()]);
    }
    value[LONG - 8..].copy_from_slice(&mix(key ^ SEAL).to_le_bytes());
    value
}

const SEAL: u64 = 0x5eed_5eed_5eed_5eed;

/// Whether these bytes are a value of `key`.
pub(crate) fn is_long(key: u64, value: &[u8]) -> bool {
    value.len() == LONG && word(value, 0) == key && word(value, LONG - 8) == mix(key ^ SEAL)
}

/// The counter in a 100-byte value.
pub(crate) fn long_counter(value: &[u8]) -> u64 {
    word(value, 8)
}

/// Adds 1 to the counter of a 100-byte value.
pub(crate) fn count_up(value: &mut [u8; LONG]) {
    let counter = long_counter(value).wrapping_add(1);
    value[8..16].copy_from_slice(&counter.to_le_bytes());
}

fn word(value: &[u8], at: usize) -> u64 {
    value.get(at..at + 8).map_or(0, |bytes| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_other_keys_and_cut_ones_are_told_apart() {
        let mut value = long(7, 41);
        assert!(is_long(7, &value) && !is_long(8, &value) && !is_long(7, &value[..99]));
        count_up(&mut value);
        assert_eq!((long_counter(&value), is_long(7, &value)), (42, true));
        value[LONG - 1] ^= 1;
        assert!(!is_long(7, &value));
        let short = short(9, 5);
        assert_eq!((judge_short(9, Some(short)), judge_short(8, Some(short)), judge_short(9, None)), (0, 1, 1));
        assert_eq!(short_counter(short + 1), 6);
    }
}
