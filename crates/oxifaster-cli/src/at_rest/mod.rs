//! `oxifaster inspect`, `scan` and `compact`: what is in a store that nobody has open, by its newest checkpoint.
//!
//! ```text
//! options -> manifest, log -> records of any key and value size -> text, JSON, picture
//! ```
//!
//! 1. `inspect` and `scan` change nothing. `compact` opens the store, and leaves a new checkpoint in place of the old ones.
//! 2. Types are not known: keys and values are bytes. Those of 1, 2, 4 and 8 bytes are shown as numbers, others as hex digits.

mod compact;
mod inspect;
mod options;
mod picture;
mod scan;
mod source;

use crate::failure::Failure;
pub(crate) use options::{COMPACT_HELP, INSPECT_HELP, SCAN_HELP};
pub(crate) use options::{CompactOptions, InspectOptions, ScanOptions};

/// `oxifaster inspect`.
pub(crate) fn inspect(options: &InspectOptions) -> Result<u8, Failure> {
    inspect::execute(options)
}

/// `oxifaster scan`.
pub(crate) fn scan(options: &ScanOptions) -> Result<u8, Failure> {
    scan::execute(options)
}

/// `oxifaster compact`.
pub(crate) fn compact(options: &CompactOptions) -> Result<u8, Failure> {
    compact::execute(options)
}
