//! Bytes in and out of shared words. Invariant M3 of [`crate::memory`]: every access is an atomic word access, so a copy
//! that races with another is stale or mixed, never undefined; who needs it whole uses a latch around it.
//!
//! Words hold bytes in little-endian order. A copy that ends within a word writes zeros to the rest of that word.

use crate::sync::{AtomicU64, Ordering};

/// Words that `bytes` bytes occupy.
#[inline]
pub(crate) const fn words_for(bytes: usize) -> usize {
    bytes.div_ceil(8)
}

#[inline]
fn word_of(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// Stores `bytes` at the start of `words`.
#[inline]
pub(crate) fn store_bytes(words: &[AtomicU64], bytes: &[u8]) {
    let (whole, rest) = bytes.as_chunks::<8>();
    for (word, chunk) in words.iter().zip(whole) {
        word.store(u64::from_le_bytes(*chunk), Ordering::Relaxed);
    }
    if !rest.is_empty() {
        words[whole.len()].store(word_of(rest), Ordering::Relaxed);
    }
}

/// Fills `bytes` from the start of `words`.
#[inline]
pub(crate) fn load_bytes(words: &[AtomicU64], bytes: &mut [u8]) {
    let (whole, rest) = bytes.as_chunks_mut::<8>();
    for (word, chunk) in words.iter().zip(whole.iter_mut()) {
        *chunk = word.load(Ordering::Relaxed).to_le_bytes();
    }
    if !rest.is_empty() {
        let word = words[whole.len()].load(Ordering::Relaxed).to_le_bytes();
        rest.copy_from_slice(&word[..rest.len()]);
    }
}

/// True if `words` starts with `bytes` (the rest of the last word being zero).
#[inline]
pub(crate) fn equals_bytes(words: &[AtomicU64], bytes: &[u8]) -> bool {
    let (whole, rest) = bytes.as_chunks::<8>();
    words.iter().zip(whole).all(|(word, chunk)| word.load(Ordering::Relaxed) == u64::from_le_bytes(*chunk))
        && (rest.is_empty() || words[whole.len()].load(Ordering::Relaxed) == word_of(rest))
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;

    #[test]
    fn every_length_survives_the_way_in_and_out() {
        for len in 0..40 {
            let words: Vec<AtomicU64> = (0..words_for(len) + 1).map(|_| AtomicU64::new(u64::MAX)).collect();
            let bytes: Vec<u8> = (1..=len as u8).collect();
            store_bytes(&words, &bytes);
            let mut back = vec![0; len];
            load_bytes(&words, &mut back);
            assert_eq!(back, bytes);
            assert!(equals_bytes(&words, &bytes));
            assert_eq!(words[words_for(len)].load(Ordering::Relaxed), u64::MAX, "a copy stays within its words");
            for flipped in 0..len {
                let mut other = bytes.clone();
                other[flipped] ^= 1;
                assert!(!equals_bytes(&words, &other));
            }
        }
    }
}
