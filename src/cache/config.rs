//! How a read cache is set up.

use crate::address::PageGeometry;
use crate::allocator::{LogConfig, LogGeometry};
use crate::error::{Error, ErrorKind, Result};

/// Pages that the cache's memory is divided into at least, if records are not too large for that: one of them leaves at a
/// time.
const PAGES_AIMED_AT: u64 = 64;
/// With larger pages, a read that has to make room would take too long.
const PAGE_BITS_MAX: u32 = 17;
const MEM_SIZE_DEFAULT: u64 = 32 << 20;

/// The set-up of a read cache.
///
/// ```
/// use oxifaster::cache::ReadCacheConfig;
/// let config = ReadCacheConfig::default().with_mem_size(64 << 20).with_mutable_fraction(0.5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ReadCacheConfig {
    /// See [`with_mem_size`](Self::with_mem_size).
    pub mem_size: u64,
    /// See [`with_mutable_fraction`](Self::with_mutable_fraction).
    pub mutable_fraction: f64,
}

impl Default for ReadCacheConfig {
    fn default() -> Self {
        Self { mem_size: MEM_SIZE_DEFAULT, mutable_fraction: 0.5 }
    }
}

impl ReadCacheConfig {
    /// Bytes of memory for copies, rounded down to whole pages. They are a part of the store's memory budget. `Default:`
    /// 32 MiB.
    #[must_use]
    pub fn with_mem_size(mut self, bytes: u64) -> Self {
        self.mem_size = bytes;
        self
    }

    /// The share of the cache, 0.0 to 1.0, that counts as young. A copy that is read when it is older than that is copied
    /// anew, so that it stays. `Default:` 0.5.
    #[must_use]
    pub fn with_mutable_fraction(mut self, fraction: f64) -> Self {
        self.mutable_fraction = fraction;
        self
    }

    /// The sizes of a cache for records of up to `record_size` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the memory is too small or a fraction makes no sense.
    pub(crate) fn geometry(&self, record_size: usize) -> Result<LogGeometry> {
        let fitting = (record_size as u64 + 64).next_power_of_two().ilog2();
        let even = (self.mem_size / PAGES_AIMED_AT).max(1).ilog2();
        let page_bits = even.clamp(PageGeometry::MIN_BITS, PAGE_BITS_MAX).max(fitting);
        let pages = self.mem_size.checked_shr(page_bits).unwrap_or(0).min(LogGeometry::MAX_FRAMES);
        LogGeometry::new(page_bits, pages, self.mutable_fraction).map_err(|error| {
            Error::new(ErrorKind::Config, "the read cache cannot be made like this")
                .with("mem_size", self.mem_size)
                .with("smallest for these records", LogGeometry::MIN_FRAMES << page_bits)
                .with("mutable_fraction", self.mutable_fraction)
                .because(error)
        })
    }
}

/// The log of a cache of these sizes.
pub(super) const fn log_config(geometry: LogGeometry, record_size: usize) -> LogConfig {
    LogConfig { geometry, generation: 0, record_size, volatile: true, read_buffers: 0, spares: 0 }
}
