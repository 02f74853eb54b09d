//! Blocks: what a log's bytes look like on a device. Invariant L8 of [`crate::allocator`].
//!
//! ```text
//! 0                      4088          4092        4096
//! | bytes of the log     | generation  | CRC-32C   |
//! ```
//!
//! The checksum covers the log's bytes, the generation, and the block's number (8 bytes, little-endian), so that a block
//! that is damaged, comes from another place, or was left by an earlier log on the same device is recognised.

use crate::error::{Error, ErrorKind, Result};
use crate::utility::planted;
use crate::utility::{crc32c, crc32c_append};

/// Bytes of a block on the device.
pub const BLOCK_SIZE: usize = 4096;
/// Bytes of the log that a block carries.
pub const BLOCK_PAYLOAD: usize = 4088;

fn checksum(block: &[u8], number: u64) -> u32 {
    crc32c_append(crc32c(&block[..BLOCK_PAYLOAD + 4]), &number.to_le_bytes())
}

/// Completes a block whose first [`BLOCK_PAYLOAD`] bytes are in place.
pub(crate) fn seal(block: &mut [u8], number: u64, generation: u32) {
    block[BLOCK_PAYLOAD..BLOCK_PAYLOAD + 4].copy_from_slice(&generation.to_le_bytes());
    let sum = checksum(block, number);
    block[BLOCK_PAYLOAD + 4..BLOCK_SIZE].copy_from_slice(&sum.to_le_bytes());
}

/// Binds a sealed block to the file that it is put into: its generation becomes another one, which depends on `binding`, that
/// of the file. So a block that lies in the right place of the wrong file is recognised.
pub(crate) fn bind(block: &mut [u8], number: u64, binding: u32) {
    let generation = Seal::of(block, number).generation;
    seal(block, number, generation ^ binding);
}

/// What a block says of itself, beside what its bytes say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) generation: u32,
    pub(crate) stored: u32,
    pub(crate) computed: u32,
}

impl Seal {
    /// Reads the seal of block `number`.
    pub(crate) fn of(block: &[u8], number: u64) -> Self {
        let word = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
        Self { generation: word(BLOCK_PAYLOAD), stored: word(BLOCK_PAYLOAD + 4), computed: checksum(block, number) }
    }

    /// Whether these are the bytes that were written to this place.
    pub(crate) fn is_intact(self) -> bool {
        self.stored == self.computed
    }

    /// That the block is not the one that was asked for. The caller adds where it lies.
    #[cold]
    pub(crate) fn refused(self, what: &'static str, number: u64, generation: u32) -> Error {
        let error = Error::new(ErrorKind::Corrupt, what)
            .with("block", number)
            .with("checksum stored", format_args!("{:#010x}", self.stored))
            .with("checksum computed", format_args!("{:#010x}", self.computed))
            .with("generation stored", format_args!("{:#010x}", self.generation))
            .with("generation expected", format_args!("{generation:#010x}"));
        if self.is_intact() {
            return error.help(
                "the block is whole, but another history of the log wrote it: after a recovery to an older checkpoint \
                 the younger ones cannot be recovered any more; or the file is that of another checkpoint",
            );
        }
        error.help("other bytes came back than were written: check the device, and restore from a good copy")
    }
}

/// Checks a block that was read.
///
/// # Errors
/// [`ErrorKind::Corrupt`] with the block's number, what was expected and what was found.
#[inline]
pub(crate) fn verify(block: &[u8], number: u64, generation: u32, what: &'static str) -> Result<()> {
    let seal = Seal::of(block, number);
    if seal.is_intact() && seal.generation == generation || planted!(SkipsVerification) {
        Ok(())
    } else {
        Err(seal.refused(what, number, generation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_a_wrong_place_and_an_old_generation_are_all_found() {
        let mut block: Vec<u8> = (0..BLOCK_SIZE).map(|at| (at % 251) as u8).collect();
        seal(&mut block, 7, 3);
        let verify = |block: &[u8], number, generation| verify(block, number, generation, "a test");
        verify(&block, 7, 3).unwrap();
        assert!(verify(&block, 8, 3).is_err(), "misdirected");
        let stale = verify(&block, 7, 4).unwrap_err();
        assert!(stale.to_string().contains("another history"), "{stale}");
        for byte in 0..BLOCK_SIZE {
            block[byte] ^= 1 << (byte % 8);
            let error = verify(&block, 7, 3).unwrap_err();
            assert_eq!((error.kind(), error.field("block")), (ErrorKind::Corrupt, Some("7")));
            assert!(error.to_string().contains("good copy"), "{error}");
            block[byte] ^= 1 << (byte % 8);
        }
        assert!(verify(&[0; BLOCK_SIZE], 0, 1).is_err(), "never written");
    }
}
