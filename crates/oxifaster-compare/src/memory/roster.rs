//! Who takes part, by name.

use super::engine::MemoryEngine;
use crate::failure::{Failure, Result};

/// Engines that were compiled in.
pub(crate) const NAMES: &[&str] = &[
    "oxifaster",
    "probe",
    #[cfg(feature = "maps")]
    "dashmap",
    #[cfg(feature = "maps")]
    "papaya",
    #[cfg(feature = "maps")]
    "scc-map",
    #[cfg(feature = "maps")]
    "scc-index",
    #[cfg(feature = "published")]
    "published",
];

/// An empty engine with room for `keys` keys.
pub(crate) fn engine(name: &str, keys: u64) -> Result<Box<dyn MemoryEngine>> {
    let buckets = buckets(keys);
    Ok(match name {
        "oxifaster" => Box::new(super::oxifaster::Oxifaster::new(keys, buckets)?),
        "probe" => Box::new(super::probe::Probe::new(keys, buckets)?),
        #[cfg(feature = "maps")]
        "dashmap" => Box::new(super::dashmap::Dash::new(keys)),
        #[cfg(feature = "maps")]
        "papaya" => Box::new(super::papaya::Papaya::new(keys)),
        #[cfg(feature = "maps")]
        "scc-map" => Box::new(super::scc_map::SccMap::new(keys)),
        #[cfg(feature = "maps")]
        "scc-index" => Box::new(super::scc_index::SccIndex::new(keys)),
        #[cfg(feature = "published")]
        "published" => Box::new(super::published::Published::new(keys, buckets)),
        other => return Err(Failure::new(format!("no engine `{other}` in memory; there are {}", NAMES.join(", ")))),
    })
}

/// Buckets of store, probe and published store alike: one to two and a half keys in each, so that few chains begin.
pub(crate) fn buckets(keys: u64) -> u64 {
    (keys * 2 / 5).next_power_of_two().max(1_024)
}

/// Bytes that an engine takes for one key, generously: whether several can live at the same time depends on it.
pub(crate) fn bytes_per_key(name: &str) -> u64 {
    match name {
        "published" => 192,
        "papaya" => 96,
        _ => 72,
    }
}
