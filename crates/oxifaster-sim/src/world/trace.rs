//! Whether two runs were the same.

use super::contents::Contents;
use crate::rng::mix;

/// Two running hashes over everything that happened in a world: of what was done and where, and of that and the bytes and
/// names as well. A store that draws random numbers of its own (the generation of its log, names of checkpoints) has the
/// same shape in every run of a seed, and other bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trace {
    shape: u64,
    full: u64,
}

impl Trace {
    /// The hash of what was done, in which order, where, and with how many bytes.
    pub fn shape(&self) -> u64 {
        self.shape
    }

    /// The hash that covers names and bytes too.
    pub fn full(&self) -> u64 {
        self.full
    }

    pub(super) fn numbers(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.shape = fold(self.shape, *number);
            self.full = fold(self.full, *number);
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.full = fold(self.full, bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.full = fold(self.full, u64::from_le_bytes(word));
        }
    }

    pub(super) fn contents(&mut self, contents: &Contents) {
        self.numbers(&[contents.begin(), contents.len()]);
        self.bytes(&contents.to_vec());
    }
}

/// Depends on the order, and on how many zeros there were.
fn fold(hash: u64, number: u64) -> u64 {
    mix(hash.rotate_left(5).wrapping_add(0x9E37_79B9_7F4A_7C15) ^ number)
}
