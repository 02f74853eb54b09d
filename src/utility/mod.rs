//! Small pure things: hashes, checksums, arithmetic, sizes with units. Nothing here holds state.

mod chance;
mod checksum;
mod hash;
mod math;
mod size;

#[cfg(feature = "test-util")]
pub use chance::reproducibly;
pub(crate) use chance::{random_bits, unix_milliseconds};
pub use checksum::{crc32c, crc32c_append};
pub use hash::KeyHash;
pub use math::{FastDivisor, align_up};
pub use size::{format_size, parse_size};
