//! The store.

use super::async_session::AsyncSession;
use super::config::FasterKvConfig;
use super::database::Database;
use super::session::Session;
use crate::cache::ReadCacheConfig;
use crate::checkpoint::{CheckpointToken, SessionCut};
use crate::device::StorageDevice;
use crate::error::Result;
use crate::operation::Account;
use crate::record::{Key, Value};
use crate::stats::StatsSnapshot;
use crate::sync::Arc;

/// A concurrent key-value store that may be larger than memory.
///
/// All work is done by [`Session`]s: any number, one per thread or task, each of which may move between threads. The store
/// can be dropped before its sessions; its parts go when the last of them does.
///
/// ```
/// use oxifaster::device::MemoryDisk;
/// use oxifaster::store::{FasterKv, FasterKvConfig};
/// # fn main() -> oxifaster::Result<()> {
/// let store = FasterKv::open(FasterKvConfig::default().with_memory_budget(1 << 20), MemoryDisk::new())?;
/// let mut session = store.start_session();
/// session.upsert(42u64, 100u64)?;
/// session.rmw(42, |value| {
///     *value += 1;
///     true
/// })?;
/// assert_eq!(session.read(&42)?, Some(101));
/// # Ok(())
/// # }
/// ```
pub struct FasterKv<K: Key, V: Value, D: StorageDevice = Arc<dyn StorageDevice>> {
    pub(super) database: Arc<Database<K, V>>,
    pub(super) device: Arc<D>,
}

impl<K: Key, V: Value, D: StorageDevice> FasterKv<K, V, D> {
    /// An empty store on `device`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a size makes no sense or the device already holds data,
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the system does not give the memory.
    pub fn open(config: FasterKvConfig, device: D) -> Result<Self> {
        let device = Arc::new(device);
        let erased = Arc::clone(&device) as Arc<dyn StorageDevice>;
        Ok(Self { database: Arc::new(Database::open(&config, erased)?), device })
    }

    /// An empty store on `device`; [`open`](Self::open) for those who know that it succeeds.
    ///
    /// # Panics
    /// On a configuration or device that `open` would refuse. The default configuration with an empty device never is.
    #[expect(clippy::panic, reason = "documented: `open` is the fallible form")]
    pub fn new(config: FasterKvConfig, device: D) -> Self {
        match Self::open(config, device) {
            Ok(store) => store,
            Err(error) => panic!("{error}"),
        }
    }

    /// An empty store on `device` with a read cache: [`new`](Self::new) with
    /// [`FasterKvConfig::with_read_cache`].
    ///
    /// # Panics
    /// As for `new`.
    pub fn with_read_cache(config: FasterKvConfig, device: D, cache: ReadCacheConfig) -> Self {
        Self::new(config.with_read_cache(cache), device)
    }

    /// A session: the right to operate on the store from one thread at a time. Starting one always succeeds.
    pub fn start_session(&self) -> Session<K, V> {
        Session::new(Arc::clone(&self.database), Account::new(new_guid(), 0))
    }

    /// A session of this name, under which a recovery finds it again.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is a session of that name, or one to go on with.
    pub fn start_named_session(&self, guid: u128) -> Result<Session<K, V>> {
        self.database.check_name(guid)?;
        Ok(Session::new(Arc::clone(&self.database), Account::new(guid, 0)))
    }

    /// A session whose operations are futures. Starting one always succeeds.
    pub fn start_async_session(&self) -> AsyncSession<K, V> {
        AsyncSession::new(Arc::clone(&self.database), Account::shared(new_guid(), 0))
    }

    /// The sessions of the checkpoint that this store was recovered from, with which nobody has gone on yet: who they are,
    /// and the serial number up to which all their operations are there, and none after it.
    pub fn get_recovered_sessions(&self) -> Vec<SessionCut> {
        self.database.recovered_sessions()
    }

    /// Goes on with a session of the recovered checkpoint: the next operation has the serial number after the cut's.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such session, or somebody has gone on with it.
    pub fn continue_session(&self, session: SessionCut) -> Result<Session<K, V>> {
        let serial = self.database.take_recovered(session.guid)?;
        Ok(Session::new(Arc::clone(&self.database), Account::new(session.guid, serial)))
    }

    /// Goes on with a session as one whose operations are futures. See [`continue_session`](Self::continue_session).
    ///
    /// # Errors
    /// As for `continue_session`.
    pub fn continue_async_session(&self, session: SessionCut) -> Result<AsyncSession<K, V>> {
        let serial = self.database.take_recovered(session.guid)?;
        Ok(AsyncSession::new(Arc::clone(&self.database), Account::shared(session.guid, serial)))
    }

    /// The version of operations that begin now. Each checkpoint of the log moves it on by one.
    pub fn version(&self) -> u64 {
        self.database.kernel.versions.current()
    }

    /// Sessions there are at this moment.
    pub fn session_count(&self) -> usize {
        self.database.session_count()
    }

    /// The device the store writes to.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// What was counted so far.
    pub fn stats(&self) -> StatsSnapshot {
        self.database.stats()
    }
}

/// A name for a session that no other has.
fn new_guid() -> u128 {
    CheckpointToken::random().get()
}

impl<K: Key, V: Value, D: StorageDevice> std::fmt::Debug for FasterKv<K, V, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FasterKv").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}
