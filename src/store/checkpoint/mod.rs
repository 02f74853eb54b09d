//! Taking checkpoints of a store while its sessions go on.
//!
//! ```text
//!   options --> Attempt: index image -> cut -> log -> manifest --> CheckpointReport
//!                 |                                        ^
//!              Control  (phase, bytes, cancelled, deadline) --- CheckpointHandle: await, watch, cancel
//! ```
//!
//! * **C1** A checkpoint is reported only once all of it is durable and was read back ([`Catalog::write`]).
//! * **C2** However an attempt ends, operations are back on their short way when it has.
//! * **C3** There is one attempt at a time.

mod attempt;
mod control;
mod handle;
mod options;
mod pace;
mod wait;

use self::attempt::Attempt;
use self::control::Control;
use self::wait::Around;
use super::database::Database;
use super::faster_kv::FasterKv;
use crate::address::Address;
use crate::checkpoint::{Catalog, CheckpointToken, Listing};
use crate::device::StorageDevice;
use crate::directory::{Directory, FileDirectory};
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{Cut, Extent, stamp};
use crate::record::{Key, Value};
use crate::sync::Arc;
use std::path::Path;

pub use control::{CheckpointProgress, CheckpointStep};
pub use handle::CheckpointHandle;
pub use options::{CheckpointOptions, CheckpointReport};

/// Cuts as a checkpoint does, and has everything below closed to updates in place. Returns the version that was cut off, and which
/// records of the log are of it or of earlier ones.
///
/// # Errors
/// [`ErrorKind::Busy`] if a checkpoint is under way or somebody holds the cut up for too long.
pub(super) fn cut_for_scan<K: Key, V: Value>(database: &Database<K, V>) -> Result<(u64, Extent)> {
    let chain = database.chain.try_lock().ok_or_else(|| {
        Error::new(ErrorKind::Busy, "a checkpoint of this store is under way").help("wait for it to end")
    })?;
    let control = Control::new(None);
    let around = Around { database, control: &control };
    let kept_below = chain.as_ref().map_or(Address::INVALID, |chain| chain.end);
    let cut = Cut::make(&database.kernel, &database.epoch, &around, kept_below, |_| ())?;
    database.kernel.log.close_settled(cut.end);
    let left_out = Some((cut.start, stamp(cut.version() + 1)));
    Ok((cut.version(), Extent { end: cut.end, left_out }))
}

impl<K: Key, V: Value, D: StorageDevice> FasterKv<K, V, D> {
    /// Takes a full checkpoint into the directory `dir`, and returns when it is durable: the state of one moment of every
    /// session, to which [`recover`](Self::recover) comes back. Sessions go on meanwhile.
    ///
    /// # Errors
    /// As for [`checkpoint_to`](Self::checkpoint_to).
    pub fn checkpoint(&self, dir: impl AsRef<Path>) -> Result<CheckpointToken> {
        let directory = FileDirectory::open(dir)?;
        self.checkpoint_to(&directory, &CheckpointOptions::default()).map(|report| report.token)
    }

    /// Takes a checkpoint of the chosen kind into `directory`, and returns when it is durable.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if another one is under way, or a session's call holds the cut up for too
    /// long; [`ErrorKind::DeviceFailed`] or [`ErrorKind::Io`] if
    /// something cannot be written or synced; [`ErrorKind::Limit`] for a fold-over on a device that
    /// keeps nothing. There is no new checkpoint then; the older ones and the store are as they were.
    pub fn checkpoint_to(&self, directory: &dyn Directory, options: &CheckpointOptions) -> Result<CheckpointReport> {
        Attempt::new(&self.database, directory, options, &Control::new(options.deadline))?.run()
    }

    /// Begins a checkpoint on a thread of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if another one is under way,
    /// [`ErrorKind::Limit`] if the system gives no thread. All other failures are the handle's.
    pub fn begin_checkpoint(
        &self,
        directory: Arc<dyn Directory>,
        options: CheckpointOptions,
    ) -> Result<CheckpointHandle> {
        CheckpointHandle::start(Arc::clone(&self.database), directory, options)
    }

    /// The checkpoints in the directory `dir`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be read. Manifests that cannot be read are in the result.
    pub fn list_checkpoints(dir: impl AsRef<Path>) -> Result<Listing> {
        Catalog::new(&FileDirectory::open(dir)?).list()
    }
}
