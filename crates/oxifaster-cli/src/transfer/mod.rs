//! `oxifaster import` and `oxifaster export`: a store as text, and text as a store.
//!
//! ```text
//!   file, pipe --> Splitter --> record --> Format --> entry --> batch --> store        import
//!                     |         place                                       |
//!                     +-- Place: offset, line, checksum ---------> cursor <-+ durable
//!
//!   store --> entry --> Format --> file, pipe                                          export
//! ```
//!
//! 1. What was exported and is imported gives the same keys with the same values, whatever bytes they consist of.
//! 2. A cursor speaks of a place in the input only when everything before it is durable in the store, or was skipped as the user wished.
//!    What lies behind it may be in the store, too, and is put again: in the order of the input, so the end is the same.
//! 3. An import goes on only in an input that begins with the same bytes up to the cursor.
//! 4. A record is good as a whole or not at all, and what is wrong is said with line and column.
//! 5. A file is there when it is whole: an export that fails leaves what was there before.

mod cursor;
mod entry;
mod export;
mod fields;
mod import;
mod lines;
mod options;
mod split;
#[cfg(test)]
mod tests;

use crate::failure::Failure;
pub(crate) use options::{EXPORT_HELP, IMPORT_HELP};
pub(crate) use options::{ExportOptions, ImportOptions};

/// `oxifaster import`.
pub(crate) fn import(options: &ImportOptions) -> Result<u8, Failure> {
    import::execute(options)
}

/// `oxifaster export`.
pub(crate) fn export(options: &ExportOptions) -> Result<u8, Failure> {
    export::execute(options)
}
