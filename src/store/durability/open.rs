//! Opening a store whose changes are durable: what there is is recovered, to the last change that was acknowledged and as far
//! beyond as the log goes; where there is nothing, a store is made.

use super::Committer;
use crate::address::Address;
use crate::allocator::{HybridLog, LogState};
use crate::checkpoint::{
    Catalog, CheckpointKind, CheckpointToken, LogPart, Manifest, Piece, RecoveryProgress, RecoveryReport, Schema,
    SessionCut, Suffix, SuffixLimits, with_suffix,
};
use crate::device::{StorageDevice, rewrite};
use crate::directory::{Directory, FileDirectory};
use crate::error::{Error, ErrorKind, Result};
use crate::group::spawn;
use crate::record::{Key, RecordLayout, Value};
use crate::store::config::FasterKvConfig;
use crate::store::database::Database;
use crate::store::faster_kv::FasterKv;
use crate::store::recover::{Recovered, check_memory, recover};
use crate::sync::Arc;
use crate::utility::unix_milliseconds;
use std::path::Path;

/// Bytes of the buffers with which the end of the log is looked for.
const SUFFIX_BUFFERS: usize = 4 << 20;

impl<K: Key, V: Value, D: StorageDevice> FasterKv<K, V, D> {
    /// Opens a store whose changes are durable without a checkpoint: recovers what is there, or makes a new store. `dir` is
    /// the directory of its checkpoints, `device` holds its log. What the configuration's
    /// [`durability`](FasterKvConfig::with_durability) promised when the process or the machine ended is there.
    ///
    /// ```
    /// use oxifaster::device::FileSystemDisk;
    /// use oxifaster::store::{Durability, FasterKv, FasterKvConfig};
    /// # fn main() -> oxifaster::Result<()> {
    /// # let place = tempfile::tempdir().unwrap();
    /// # let path = place.path();
    /// let config = FasterKvConfig::default().with_memory_budget(4 << 20).with_durability(Durability::EveryOperation);
    /// for boots in 0..3 {
    ///     let store = FasterKv::open_durable(path, config.clone(), FileSystemDisk::open(path.join("log"))?)?;
    ///     let mut session = store.start_session();
    ///     assert_eq!(session.read(&7u64)?.unwrap_or(0), boots);
    ///     session.upsert(7, boots + 1)?; // durable when it returns
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`open_durable_in`](Self::open_durable_in).
    pub fn open_durable(dir: impl AsRef<Path>, config: FasterKvConfig, device: D) -> Result<Self> {
        let directory = FileDirectory::open(dir)?;
        Self::open_durable_in(&directory, config, device, &|_| ()).map(|(store, _)| store)
    }

    /// Opens a store whose changes are durable, with its checkpoints in `directory`; and says what was recovered, or `None` if
    /// the store is new. `tell` is called now and then, from several threads.
    ///
    /// Of every session exactly its changes up to the serial number in
    /// [`get_recovered_sessions`](FasterKv::get_recovered_sessions) are there, those of the newest checkpoint and those
    /// behind it in the log. Before it returns, a checkpoint of what there is is durable, so it can be repeated at any time.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the configuration has no durability, or the device holds something and the directory no
    /// checkpoint; [`ErrorKind::Corrupt`] if something that was acknowledged is damaged: with the place, and then
    /// [`FasterKvConfig::with_damage_accepted`] opens what lies before; as for
    /// [`recover_manifest`](FasterKv::recover_manifest).
    pub fn open_durable_in(
        directory: &dyn Directory,
        config: FasterKvConfig,
        device: D,
        tell: &(dyn Fn(RecoveryProgress) + Sync),
    ) -> Result<(Self, Option<RecoveryReport>)> {
        if !config.durability.is_some() {
            return Err(Error::new(ErrorKind::Config, "a durable store is opened without a durability").help(
                "choose one: FasterKvConfig::with_durability(Durability::EveryOperation), or Durability::GROUP",
            ));
        }
        let device = Arc::new(device);
        let erased = Arc::clone(&device) as Arc<dyn StorageDevice>;
        if !erased.info().readable {
            return Err(Error::new(ErrorKind::Config, "a durable store needs a device that keeps what it is given")
                .help("give it one such as FileSystemDisk"));
        }
        let (database, report) = match newest(directory)? {
            Some(manifest) => reopen(directory, &manifest, &config, erased, tell)?,
            None => (create(directory, &config, erased)?, None),
        };
        start_thread(&database)?;
        Ok((Self { database: Arc::new(database), device }, report))
    }
}

/// The newest checkpoint, if there is any.
fn newest(directory: &dyn Directory) -> Result<Option<Manifest>> {
    match Catalog::new(directory).latest() {
        Ok(selection) => selection.exactly().map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A new store. The device is not touched until its manifest is durable: a crash before leaves nothing that is in the way.
fn create<K: Key, V: Value>(
    directory: &dyn Directory,
    config: &FasterKvConfig,
    device: Arc<dyn StorageDevice>,
) -> Result<Database<K, V>> {
    let database = Database::open_at(config, device, |geometry, generation| {
        // The first block has a gap before its first record, and is not one that a log can go on behind.
        LogState::empty_from(Address::new(geometry.block_boundary(crate::allocator::FIRST)), generation)
    })?;
    finish(directory, config, database, Vec::new())
}

/// The store that `manifest` and the log behind it describe.
fn reopen<K: Key, V: Value>(
    directory: &dyn Directory,
    manifest: &Manifest,
    config: &FasterKvConfig,
    device: Arc<dyn StorageDevice>,
    tell: &(dyn Fn(RecoveryProgress) + Sync),
) -> Result<(Database<K, V>, Option<RecoveryReport>)> {
    let images: Vec<_> =
        Catalog::new(directory).index_for(manifest)?.images.into_iter().map(|image| image.part).collect();
    let limits =
        SuffixLimits { buffer_bytes: SUFFIX_BUFFERS, wait: config.wait_limit, accept_damage: config.damage_accepted };
    let Suffix { manifest: whole, report: suffix, uncertain } =
        with_suffix(manifest, RecordLayout::of::<K, V>(), &device, limits, tell)?;
    check_memory::<K, V>(config, &whole, &images)?;
    // If the last sync of the process before failed, what it was to cover is there for those who read, and no later sync makes it
    // durable, unless it is written once more.
    rewrite(&*device, uncertain, config.wait_limit, |_, _| ())?;
    let Recovered { database, mut report } = recover(directory, &whole, &images, config, device, tell)?;
    report.token = manifest.token;
    report.suffix = suffix;
    let sessions = whole.sessions;
    finish(directory, config, database, sessions).map(|database| (database, Some(report)))
}

/// Makes a durable store of one that is at rest: everything in it durable, with a manifest that says so (W3).
fn finish<K: Key, V: Value>(
    directory: &dyn Directory,
    config: &FasterKvConfig,
    mut database: Database<K, V>,
    sessions: Vec<SessionCut>,
) -> Result<Database<K, V>> {
    let log = &database.kernel.log;
    log.forbid_updates();
    let (begin, end) = (log.begin(), log.addresses().tail);
    if begin < end {
        // What the process before wrote and did not sync is part of the state from here on. What lies in files of a
        // checkpoint and not on the device is written.
        log.make_durable_below(end, config.wait_limit, || Ok(()))?;
    }
    let version = database.kernel.versions.current();
    let manifest = Manifest {
        token: CheckpointToken::random(),
        kind: CheckpointKind::FoldOver,
        version,
        created: unix_milliseconds(),
        base: None,
        schema: Schema::of::<K, V>(log.geometry().page().page_bits()),
        log: Some(log_part(log, begin, end, database.kernel.index.config().buckets)),
        index: None,
        sessions,
    };
    // What lies behind it begins where its log does: compaction is not to have that given back (C4).
    database.reclaim.note_checkpoint(directory.place(), manifest.log.as_ref());
    Catalog::new(directory).write(&manifest)?;
    database.kernel.versions.set(version + 1);
    let committer = Committer::new(config.durability, config.wait_limit, end, &database.epoch);
    database.committer = Some(Arc::new(committer));
    Ok(database)
}

fn log_part(log: &HybridLog, begin: Address, end: Address, buckets: u64) -> LogPart {
    let piece = Piece { from: log.geometry().block_start(begin), to: end, file: None };
    let pieces = if begin < end { vec![piece] } else { Vec::new() };
    LogPart {
        begin,
        start: end,
        end,
        buckets,
        pieces,
        generations: log.history().generations_up_to(end),
        aborted: log.history().aborted_from(begin),
        closed: None,
        durable: true,
    }
}

/// Starts the thread that commits for those who do not wait in a call. It ends with the store.
fn start_thread<K: Key, V: Value>(database: &Database<K, V>) -> Result<()> {
    let Some(committer) = database.committer.clone() else { return Ok(()) };
    let log = database.kernel.log.share();
    let thread = spawn(move || committer.serve(&log))?;
    *database.commit_thread.lock() = Some(thread);
    Ok(())
}

impl<K, V> Database<K, V> {
    /// Makes durable what is left, and ends the thread. Who closes a store without having waited is not told if that fails.
    pub(in crate::store) fn close(&self) {
        let Some(committer) = &self.committer else { return };
        let _ = committer.commit(&self.kernel.log);
        committer.stop();
        if let Some(thread) = self.commit_thread.lock().take() {
            let _ = thread.join();
        }
    }
}
