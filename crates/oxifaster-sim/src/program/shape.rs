//! What kind of keys and values a store has that a program runs on: programs think in numbers and words.

use oxifaster::record::{Key, Value};
use std::fmt::Debug;

/// Keys that are numbers, and values that are `N` words.
pub trait Shape<const N: usize>: Copy + Default + Debug + Send + Sync + 'static {
    /// Keys of the store.
    type Key: Key + Ord + Debug;
    /// Its values.
    type Value: Value + Clone + Debug + Eq;
    /// Whether records have any length.
    const ANY_LENGTH: bool;

    /// The key that is this number.
    fn key(number: u64) -> Self::Key;

    /// The number of a key.
    fn number(key: &Self::Key) -> u64;

    /// The value that is these words. All zeros are what a value begins with.
    fn value(words: [u64; N]) -> Self::Value;

    /// The words of a value; of one that is none of any words, words that nobody writes.
    fn words(value: &Self::Value) -> [u64; N];
}

/// Keys and values of one length.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fixed;

macro_rules! words {
    ($($count:literal)*) => { $(
        impl Shape<$count> for Fixed {
            type Key = u64;
            type Value = [u64; $count];
            const ANY_LENGTH: bool = false;

            fn key(number: u64) -> u64 {
                number
            }

            fn number(key: &u64) -> u64 {
                *key
            }

            fn value(words: [u64; $count]) -> Self::Value {
                words
            }

            fn words(value: &Self::Value) -> [u64; $count] {
                *value
            }
        }
    )* };
}

words! { 10 }

/// Text and bytes. How long a value is depends on what it is, so that it becomes longer and shorter as it changes.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnyLength;

/// Bytes behind the words at most.
const TAIL_MAX: u64 = 300;

impl<const N: usize> Shape<N> for AnyLength {
    type Key = String;
    type Value = Vec<u8>;
    const ANY_LENGTH: bool = true;

    fn key(number: u64) -> String {
        format!("{number:x}.").repeat(1 + (number % 9) as usize)
    }

    fn number(key: &String) -> u64 {
        key.split_once('.').and_then(|(number, _)| u64::from_str_radix(number, 16).ok()).unwrap_or_default()
    }

    fn value(words: [u64; N]) -> Vec<u8> {
        if words == [0; N] {
            return Vec::new();
        }
        let sum = words.iter().fold(1u64, |sum, word| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
        let tail = std::iter::repeat_n(sum as u8, (sum % TAIL_MAX) as usize);
        words.iter().flat_map(|word| word.to_le_bytes()).chain(tail).collect()
    }

    fn words(value: &Vec<u8>) -> [u64; N] {
        let mut words = [0; N];
        let (chunks, _) = value.as_chunks::<8>();
        words.iter_mut().zip(chunks).for_each(|(word, bytes)| *word = u64::from_le_bytes(*bytes));
        if <Self as Shape<N>>::value(words) == *value { words } else { [u64::MAX; N] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_from_bytes_of_any_length_and_damage_is_seen() {
        for words in [[0, 0, 0], [1, 2, 3], [u64::MAX, 0, 7]] {
            let bytes = <AnyLength as Shape<3>>::value(words);
            assert_eq!(<AnyLength as Shape<3>>::words(&bytes), words);
            for place in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[place] ^= 1;
                assert_eq!(<AnyLength as Shape<3>>::words(&damaged), [u64::MAX; 3], "{words:?} byte {place}");
            }
            assert_ne!(<AnyLength as Shape<3>>::words(&[bytes.as_slice(), &[0]].concat()), words);
        }
    }
}
