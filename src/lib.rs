//! A concurrent key-value store that may be larger than memory.
//!
//! ```text
//!   session  session  session      each from one thread at a time; any number
//!      |        |        |
//!   +--v--------v--------v--+
//!   |  hash index           |      one 8-byte entry per key, latch-free; leads to the newest record of a chain
//!   +--|--------------------+
//!      v
//!   +--------+-------------------+----------------------+
//!   |  disk  |  immutable pages  |  mutable pages  tail>|      the hybrid log: records in the order they were written
//!   +--------+-------------------+----------------------+
//! ```
//!
//! A record in the mutable part is updated in place. An older one is updated by a new record at the tail, and goes to the
//! device with its page. What an operation needs from the device it asks for in one read. [`epoch`]s tell when nobody can
//! still be looking at a page whose memory is to be used again.
//!
//! Begin with [`Store`], or with [`store::FasterKv`] and [`store::Session`] for all there is; choose a [`device`]; declare own types with [`pod!`].
#![deny(missing_docs)]
// The model checker is given the parts that threads share, and nobody calls the rest of them there.
#![cfg_attr(oxifaster_loom, allow(dead_code, unused_imports))]

#[cfg(target_endian = "big")]
compile_error!(
    "oxifaster's disk format is little-endian and read without conversion: big-endian targets are not supported"
);
#[cfg(not(target_pointer_width = "64"))]
compile_error!("oxifaster addresses more than 4 GiB: it needs a 64-bit target");

pub mod address;
pub mod allocator;
pub mod cache;
pub mod checkpoint;
pub mod clock;
#[cfg(not(oxifaster_loom))]
pub mod compaction;
pub mod device;
pub mod directory;
pub mod epoch;
mod error;
mod group;
pub mod index;
mod kernel;
pub mod locks;
#[cfg(not(oxifaster_loom))]
pub mod log;
pub mod memory;
mod operation;
pub mod record;
#[cfg(not(oxifaster_loom))]
pub mod scan;
pub mod stats;
pub mod status;
pub mod store;
mod sync;
pub mod utility;

pub use error::{Error, ErrorKind, Result};
#[cfg(not(oxifaster_loom))]
pub use store::Store;
#[doc(hidden)]
pub use zerocopy;

/// The README's example compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The same for what the document on data shows.
#[cfg(doctest)]
#[doc = include_str!("../docs/data.md")]
struct Data;
