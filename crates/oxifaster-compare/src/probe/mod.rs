//! What the machine allows, measured bare: the index-and-log loop without a store around it, and the disk without one.
//!
//! ```text
//!   hash -> bucket, one line:  | 7 entries: tag, address | overflow |
//!                                     |
//!                                     v
//!           log, one array:    | previous | key | value | previous | key | value | ..
//! ```
//!
//! No epochs, versions, regions, statuses or growth: an upper bound for an engine of this shape, not an engine. Files
//! here may be unsafe: they measure the hardware and are no part of the product.
//!
//! * **P1** A [`Pages`](pages::Pages) is valid for its whole length for as long as it lives, and its words are atomic.
//! * **P2** Bucket numbers are masked to the table, overflow numbers are handed out below the arena's length, and
//!   addresses in entries and records are word offsets of whole records within the log.
//! * **P3** Each vector loop is entered only after the processor was asked for its instructions.

pub(crate) mod direct;
pub(crate) mod matching;
pub(crate) mod pages;
pub(crate) mod ring;

pub(crate) mod store;
pub(crate) mod walk;
