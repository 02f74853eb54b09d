//! The records of a checkpoint, and how they are shown.

use super::options::Source;
use crate::checkpoint::place;
use crate::failure::Failure;
use oxifaster::checkpoint::{Catalog, CheckpointToken, Manifest};
use oxifaster::device::StorageDevice;
use oxifaster::directory::FileDirectory;
use oxifaster::scan::DoubleBufferedLogIterator;
use std::fmt::Write;
use std::sync::Arc;

/// A checkpoint that was found.
pub(super) struct Found {
    pub(super) directory: FileDirectory,
    pub(super) manifest: Manifest,
}

/// The checkpoint that was named, or the newest.
pub(super) fn find(source: &Source, token: Option<CheckpointToken>) -> Result<Found, Failure> {
    let directory = place::directory(&source.places()?.0)?;
    let catalog = Catalog::new(&directory);
    let manifest = match token {
        Some(token) => catalog.load(token)?,
        None => catalog.latest()?.exactly()?,
    };
    Ok(Found { directory, manifest })
}

/// Its records.
pub(super) fn records(source: &Source, found: &Found) -> Result<DoubleBufferedLogIterator, Failure> {
    let device = Arc::new(place::log(&source.places()?.1)?) as Arc<dyn StorageDevice>;
    Ok(DoubleBufferedLogIterator::new(&found.directory, &found.manifest, device)?)
}

/// Bytes as a number if they are as many as numbers have, and as hexadecimal digits otherwise.
pub(super) fn shown(bytes: &[u8]) -> String {
    if matches!(bytes.len(), 1 | 2 | 4 | 8) {
        let number = bytes.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        return number.to_string();
    }
    let mut text = String::with_capacity(bytes.len() * 2 + 2);
    text.push_str("0x");
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ones_are_numbers_and_long_ones_are_digits() {
        assert_eq!(shown(&[1, 2]), "513");
        assert_eq!(shown(&u64::MAX.to_le_bytes()), u64::MAX.to_string());
        assert_eq!(shown(&[0xab, 0, 1]), "0xab0001");
        assert_eq!(shown(&[]), "0x");
    }
}
