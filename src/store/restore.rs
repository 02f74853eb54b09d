//! Finding a checkpoint and coming back to it.

use super::config::FasterKvConfig;
use super::faster_kv::FasterKv;
use crate::checkpoint::{Catalog, CheckpointToken, Manifest, RecoveryProgress, RecoveryReport};
use crate::device::StorageDevice;
use crate::directory::{Directory, FileDirectory};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Key, Value};
use crate::utility::planted;
use std::path::Path;

/// Which checkpoint to come back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveryTarget {
    /// This one.
    Token(CheckpointToken),
    /// The newest.
    Latest,
    /// The newest of this version or an older one.
    Version(u64),
    /// The newest that was begun by this time, in milliseconds since the Unix epoch.
    Time(u64),
}

impl<K: Key, V: Value, D: StorageDevice> FasterKv<K, V, D> {
    /// The store as it was at the checkpoint `token` in the directory `dir`, on the device that it was written to. Every
    /// session's operations up to the serial number in [`get_recovered_sessions`](Self::get_recovered_sessions) are there, and
    /// none after it. Memory, threads and limits may be others than before.
    ///
    /// # Errors
    /// As for [`recover_from`](Self::recover_from).
    pub fn recover(dir: impl AsRef<Path>, token: CheckpointToken, config: FasterKvConfig, device: D) -> Result<Self> {
        let directory = existing(dir)?;
        Self::recover_from(&directory, RecoveryTarget::Token(token), config, device, &|_| ()).map(|(store, _)| store)
    }

    /// The store as it was at the newest checkpoint in the directory `dir`.
    ///
    /// # Errors
    /// As for [`recover_from`](Self::recover_from): also if a newer checkpoint may be there and cannot be read.
    pub fn recover_latest(dir: impl AsRef<Path>, config: FasterKvConfig, device: D) -> Result<Self> {
        let directory = existing(dir)?;
        Self::recover_from(&directory, RecoveryTarget::Latest, config, device, &|_| ()).map(|(store, _)| store)
    }

    /// The store as it was at a checkpoint in `directory`, and what it took. The index comes from the newest image that fits,
    /// or from the log. `tell` is called now and then, from several threads.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such checkpoint; [`ErrorKind::Corrupt`] or
    /// [`ErrorKind::Unsupported`] if it, or one that may be newer, cannot be used: never is an older or emptier state given
    /// than was asked for. Else as for [`recover_manifest`](Self::recover_manifest).
    pub fn recover_from(
        directory: &dyn Directory,
        target: RecoveryTarget,
        config: FasterKvConfig,
        device: D,
        tell: &(dyn Fn(RecoveryProgress) + Sync),
    ) -> Result<(Self, RecoveryReport)> {
        let catalog = Catalog::new(directory);
        let manifest = find(&catalog, target)?;
        if target == RecoveryTarget::Latest {
            check_is_all(&manifest)?;
        }
        // If only the process died, between the rename and the sync, the manifest is there and a failure of power may still
        // take it away. Now somebody comes to rely on it.
        if !planted!(TrustsUnsyncedName) {
            directory.sync()?;
        }
        let images: Vec<_> = catalog.index_for(&manifest)?.images.into_iter().map(|image| image.part).collect();
        Self::recover_manifest(directory, &manifest, &images, config, device, tell)
    }
}

fn find(catalog: &Catalog<'_>, target: RecoveryTarget) -> Result<Manifest> {
    match target {
        RecoveryTarget::Token(token) => catalog.load(token),
        RecoveryTarget::Latest => catalog.latest()?.exactly(),
        RecoveryTarget::Version(version) => catalog.at_version(version)?.exactly(),
        RecoveryTarget::Time(milliseconds) => catalog.at_time(milliseconds)?.exactly(),
    }
}

/// That a checkpoint is all there is: what came after it in the log of a store with a durability was acknowledged.
fn check_is_all(manifest: &Manifest) -> Result<()> {
    if !manifest.log.as_ref().is_some_and(|log| log.durable) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Config, "the newest checkpoint is not the newest state: the store is a durable one")
        .with("checkpoint", manifest.token)
        .help(
            "open it with FasterKv::open_durable, which brings back what came after the checkpoint too; or name the \
             checkpoint (RecoveryTarget::Token) to give that up",
        ))
}

/// A directory that is there already: a mistyped path is not made.
fn existing(dir: impl AsRef<Path>) -> Result<FileDirectory> {
    let path = dir.as_ref();
    if !path.is_dir() {
        return Err(Error::new(ErrorKind::NotFound, "there is no directory of checkpoints at this path")
            .with("path", path.display())
            .help("give the directory that the checkpoints were taken into"));
    }
    FileDirectory::open(path)
}
