//! Bytes in and out of shared words. Invariant M3 of [`crate::memory`]: every access is an atomic word access, so a copy
//! that races with another is stale or mixed, never undefined; who needs it whole uses a latch around it.
//!
//! Words hold bytes in little-endian order. A copy that ends within a word writes zeros to the rest of that word.
//!
//! Each way is there twice: for a number of bytes that the compiler knows, which it makes straight code of, and for any number.

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

/// As [`store_bytes`], for any number of bytes. Out of line, so that what calls it is small.
#[inline(never)]
pub(crate) fn store_any(words: &[AtomicU64], bytes: &[u8]) {
    let (whole, rest) = bytes.as_chunks::<8>();
    let (words, behind) = words.split_at(whole.len());
    in_rows(words, whole, |word, chunk| word.store(u64::from_le_bytes(*chunk), Ordering::Relaxed));
    if let Some(last) = behind.first()
        && !rest.is_empty()
    {
        let word = match bytes.last_chunk() {
            Some(chunk) => u64::from_le_bytes(*chunk) >> (64 - 8 * rest.len()), // less what is in the word before
            None => piecewise(rest),
        };
        last.store(word, Ordering::Relaxed);
    }
}

/// As [`load_bytes`], for any number of bytes.
#[inline]
pub(crate) fn load_any(words: &[AtomicU64], bytes: &mut [u8]) {
    let (whole, rest) = bytes.as_chunks_mut::<8>();
    let (words, behind) = words.split_at(whole.len());
    in_rows_mut(words, whole, |word, chunk| *chunk = word.load(Ordering::Relaxed).to_le_bytes());
    if let Some(last) = behind.first()
        && !rest.is_empty()
    {
        fill_piecewise(last.load(Ordering::Relaxed), rest);
    }
}

/// Does something with each word and its chunk, of which there are as many: eight in a row, then four, two and one.
#[inline(always)]
fn in_rows(words: &[AtomicU64], chunks: &[[u8; 8]], each: impl Fn(&AtomicU64, &[u8; 8])) {
    let ((rows, words), (row_chunks, chunks)) = (words.as_chunks::<8>(), chunks.as_chunks::<8>());
    for (row, chunks) in rows.iter().zip(row_chunks) {
        row.iter().zip(chunks).for_each(|(word, chunk)| each(word, chunk));
    }
    let ((rows, words), (row_chunks, chunks)) = (words.as_chunks::<4>(), chunks.as_chunks::<4>());
    if let (Some(row), Some(chunks)) = (rows.first(), row_chunks.first()) {
        row.iter().zip(chunks).for_each(|(word, chunk)| each(word, chunk));
    }
    words.iter().zip(chunks).for_each(|(word, chunk)| each(word, chunk));
}

/// The same with chunks that are changed.
#[inline(always)]
fn in_rows_mut(words: &[AtomicU64], chunks: &mut [[u8; 8]], each: impl Fn(&AtomicU64, &mut [u8; 8])) {
    let ((rows, words), (row_chunks, chunks)) = (words.as_chunks::<8>(), chunks.as_chunks_mut::<8>());
    for (row, chunks) in rows.iter().zip(row_chunks) {
        row.iter().zip(chunks).for_each(|(word, chunk)| each(word, chunk));
    }
    let ((rows, words), (row_chunks, chunks)) = (words.as_chunks::<4>(), chunks.as_chunks_mut::<4>());
    if let (Some(row), Some(chunks)) = (rows.first(), row_chunks.first_mut()) {
        row.iter().zip(chunks).for_each(|(word, chunk)| each(word, chunk));
    }
    words.iter().zip(chunks).for_each(|(word, chunk)| each(word, chunk));
}

/// The word of less than 8 bytes: to copy a number of them that is not known would be a call.
#[inline(always)]
fn piecewise(mut bytes: &[u8]) -> u64 {
    let (mut word, mut shift) = (0, 0);
    if let Some((four, behind)) = bytes.split_first_chunk::<4>() {
        (word, shift, bytes) = (u64::from(u32::from_le_bytes(*four)), 32, behind);
    }
    if let Some((two, behind)) = bytes.split_first_chunk::<2>() {
        word |= u64::from(u16::from_le_bytes(*two)) << shift;
        (shift, bytes) = (shift + 16, behind);
    }
    if let Some(one) = bytes.first() {
        word |= u64::from(*one) << shift;
    }
    word
}

/// Fills less than 8 bytes from a word, likewise.
#[inline(always)]
fn fill_piecewise(mut word: u64, mut bytes: &mut [u8]) {
    if bytes.len() >= 4 {
        let (four, behind) = bytes.split_at_mut(4);
        four.copy_from_slice(&(word as u32).to_le_bytes());
        (word, bytes) = (word >> 32, behind);
    }
    if bytes.len() >= 2 {
        let (two, behind) = bytes.split_at_mut(2);
        two.copy_from_slice(&(word as u16).to_le_bytes());
        (word, bytes) = (word >> 16, behind);
    }
    if let Some(one) = bytes.first_mut() {
        *one = word as u8;
    }
}

/// The first `len` bytes of `words`, or as many as there are, in memory of their own.
#[inline]
pub(crate) fn bytes_of(words: &[AtomicU64], len: usize) -> Vec<u8> {
    // Words become bytes without another copy, and nothing is zeroed before.
    let words = words[..words_for(len).min(words.len())].iter();
    let chunks: Vec<[u8; 8]> = words.map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
    let mut bytes = chunks.into_flattened();
    bytes.truncate(len);
    bytes
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
        for (len, store) in (0..100).flat_map(|len| [(len, store_bytes as fn(&[AtomicU64], &[u8])), (len, store_any)]) {
            let words: Vec<AtomicU64> = (0..words_for(len) + 1).map(|_| AtomicU64::new(u64::MAX)).collect();
            let bytes: Vec<u8> = (1..=len as u8).collect();
            store(&words, &bytes);
            let mut back = vec![0; len];
            load_bytes(&words, &mut back);
            assert_eq!(back, bytes);
            back.fill(0);
            load_any(&words, &mut back);
            assert_eq!(back, bytes);
            assert_eq!(bytes_of(&words, len), bytes);
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
