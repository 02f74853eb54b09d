//! Small pure things: hashes, checksums, arithmetic, sizes with units. Nothing here holds state.

mod chance;
mod checksum;
mod directories;
mod hash;
mod math;
mod mutation;
mod size;

#[cfg(feature = "test-util")]
pub use chance::reproducibly;
pub(crate) use chance::{random_bits, unix_milliseconds};
pub use checksum::{crc32c, crc32c_append};
pub(crate) use directories::{make_directory, parent};
pub use hash::KeyHash;
pub use math::{FastDivisor, align_up};
#[cfg(oxifaster_mutate)]
pub use mutation::Mutation;
pub(crate) use mutation::planted;
pub use size::{format_size, parse_size};
