//! Small pure things: hashes, checksums, arithmetic, sizes with units. Nothing here holds state.

mod checksum;
mod clock;
mod hash;
mod math;
mod size;

pub use checksum::{crc32c, crc32c_append};
pub(crate) use clock::unix_milliseconds;
pub use hash::KeyHash;
pub use math::{FastDivisor, align_up};
pub use size::{format_size, parse_size};
