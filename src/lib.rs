//! A concurrent key-value store larger than memory.
#![deny(missing_docs)]

#[cfg(target_endian = "big")]
compile_error!(
    "oxifaster's disk format is little-endian and read without conversion: big-endian targets are not supported"
);
#[cfg(not(target_pointer_width = "64"))]
compile_error!("oxifaster addresses more than 4 GiB: it needs a 64-bit target");

pub mod address;
pub mod allocator;
pub mod device;
pub mod epoch;
mod error;
pub mod index;
mod kernel;
pub mod memory;
mod operation;
pub mod record;
pub mod stats;
pub mod status;
pub mod store;
mod sync;
pub mod utility;

pub use error::{Error, ErrorKind, Result};
#[doc(hidden)]
pub use zerocopy;
