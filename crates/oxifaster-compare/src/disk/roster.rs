//! Who takes part, by name.

use super::engine::DiskEngine;
use crate::failure::{Failure, Result};
use std::path::Path;

/// Engines that were compiled in. The probe comes behind the store whose files it reads.
pub(crate) const NAMES: &[&str] = &[
    "oxifaster",
    "probe",
    #[cfg(feature = "rocksdb")]
    "rocksdb",
    #[cfg(feature = "fjall")]
    "fjall",
    #[cfg(feature = "redb")]
    "redb",
    #[cfg(feature = "heed")]
    "heed",
    #[cfg(feature = "published")]
    "published",
];

/// Bytes of a key and its value.
pub(crate) const RECORD: u64 = 8 + crate::value::LONG as u64;

/// An empty engine in `directory` that may take `memory` bytes for everything.
pub(crate) fn open(name: &str, directory: &Path, keys: u64, memory: u64) -> Result<Box<dyn DiskEngine>> {
    Ok(match name {
        "oxifaster" => Box::new(super::oxifaster::Oxifaster::open(directory, memory)?),
        "probe" => Box::new(super::probe::Probe::open(directory, keys * RECORD)?),
        #[cfg(feature = "rocksdb")]
        "rocksdb" => Box::new(super::rocksdb::Rocks::open(directory, memory)?),
        #[cfg(feature = "fjall")]
        "fjall" => Box::new(super::fjall::Fjall::open(directory, memory)?),
        #[cfg(feature = "redb")]
        "redb" => Box::new(super::redb::Redb::open(directory, memory)?),
        #[cfg(feature = "heed")]
        "heed" => Box::new(super::heed::Heed::open(directory, keys * RECORD)?),
        #[cfg(feature = "published")]
        "published" => Box::new(super::published::Published::open(directory, memory)?),
        other => return Err(Failure::new(format!("no engine `{other}` on disk; there are {}", NAMES.join(", ")))),
    })
}
