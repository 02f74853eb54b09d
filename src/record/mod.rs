//! One record format.
//!
//! ```text
//!  word 0        words 1 ..            next word               words ..
//! +------------+---------------------+-----------------------+---------------------+
//! | RecordInfo | key, padded with 0s | length u32, stamp u32 | value, padded       |
//! +------------+---------------------+-----------------------+---------------------+
//!   previous 48    to whole words      only if the value is     to whole words
//!   version, flags                     more than one word
//! ```
//!
//! `u64 -> u64` takes 24 bytes. All numbers are little-endian. A record begins at a multiple of 8 bytes and never crosses
//! a page.
//!
//! * **R1** A record's header always has its *present* bit set; a zero word where a header could be means that nothing
//!   follows before the next block boundary.
//! * **R2** Key, size and `previous` never change once the record is published in the index (but for copies in a
//!   read cache, whose `previous` skips others that leave).
//! * **R3** A value of at most 8 bytes is one atomic word. A larger one is written only while its stamp is odd, by the
//!   thread that made it odd; who reads it takes only what it copied between two equal, even stamps (`latch.rs`).
//! * **R4** A tombstone is set once and never taken back. An operation that found the record without it may still change
//!   the value afterwards: the change is ordered just before the deletion, which nobody can tell from having come first.
//! * **R5** An invalid record was never published; it is skipped wherever the log is walked.
//! * **R6** The header says how long a record is: whether it has a word for its origin, or is a mark (`origin.rs`).

mod field;
mod info;
mod latch;
mod layout;
#[cfg(all(test, oxifaster_loom))]
mod loom;
mod origin;
mod pod;
mod view;

pub use field::{Key, Value};
pub use info::RecordInfo;
pub(crate) use latch::Latch;
pub use layout::{Record, RecordLayout};
pub(crate) use origin::{Mark, Origin};
pub use pod::Pod;
pub(crate) use view::RecordRef;
