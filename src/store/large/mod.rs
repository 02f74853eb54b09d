//! Values that are larger than a page, written and read piece by piece.
//!
//! ```text
//!   bytes --> assembly --> title, leaves, lists --> tail of the log          writer: then the root, into the index
//!   bytes <-- path     <-- leaves, a few ahead  <-- memory or device         reader: from the root
//! ```
//!
//! [`crate::record`] has the format (R9, `large.rs`). Memory holds a leaf, and the addresses that are in no list yet; or the leaves
//! that are read ahead.
//!
//! * **V1** A value is what its root leads to. Fragments never change, and their addresses are never used again, so whoever has seen a
//!   root reads the value of that moment, whatever becomes of the key.
//! * **V2** The title is written first and the root last: fragments that no root leads to are garbage, whoever left them.
//! * **V3** Who reads fragments has held the space of the log since before the root was looked up, so the device has them.
//! * **V4** A root that can be found leads to fragments at or above where the log begins: a compaction that meets the title of a value in
//!   use copies all of it, and the root of a writer that it has overtaken is refused (C6 of [`crate::compaction`]).

mod assembly;
mod async_reader;
mod async_writer;
mod reader;
mod relocate;
mod stream;
#[cfg(test)]
mod tests;
mod writer;

use crate::error::{Error, ErrorKind};
use std::io;

pub use async_reader::AsyncValueReader;
pub use async_writer::AsyncValueWriter;
pub use reader::ValueReader;
pub(super) use relocate::{Title, relocate_live};
pub use writer::ValueWriter;

/// Leaves that are read ahead.
const AHEAD: usize = 4;

/// The error as one of [`std::io`], which a caller can take it out of again. Nobody is to try again what was given up.
fn io_error(error: Error) -> io::Error {
    if error.kind() == ErrorKind::Cancelled { io::Error::other(error) } else { error.into() }
}
