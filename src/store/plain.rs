//! The store without ceremony: opened by a path, called from any thread.

use super::checkpoint::CheckpointOptions;
use super::config::FasterKvConfig;
use super::durability::Durability;
use super::faster_kv::FasterKv;
use super::pool::SessionPool;
use super::session::Session;
use crate::device::FileSystemDisk;
use crate::directory::FileDirectory;
use crate::error::Result;
use crate::record::{Key, KeyBytes, Value, ValueBytes};
use std::borrow::Borrow;
use std::io::{Read, Write};
use std::path::Path;

/// Bytes of a bucket in an image of the index.
const BUCKET_BYTES: u64 = 64;

/// A store in a directory, with calls from any thread.
///
/// It is a [`FasterKv`] with sessions that are lent to whoever calls: one for each thread that is in a call. What a call
/// changed is durable within some 10 milliseconds, or when [`sync`](Self::sync) returns. Who wants serial numbers, batches, calls that
/// do not wait, or another durability, starts sessions of the [`FasterKv`] underneath.
///
/// ```
/// # fn main() -> oxifaster::Result<()> {
/// # let place = tempfile::tempdir().unwrap();
/// # let path = place.path().join("store");
/// let store: oxifaster::Store<String, u64> = oxifaster::Store::open(&path)?;
/// store.put("a".to_owned(), 1)?;
/// store.update("a".to_owned(), |count| *count += 1)?;
/// assert_eq!(store.get("a")?, Some(2));
/// store.delete("a")?;
/// assert_eq!(store.get("a")?, None);
/// # Ok(())
/// # }
/// ```
pub struct Store<K: Key, V: Value> {
    sessions: SessionPool<K, V>,
    kv: FasterKv<K, V, FileSystemDisk>,
    checkpoints: FileDirectory,
}

impl<K: Key, V: Value> Store<K, V> {
    /// The store in the directory `path`, which is made if it is not there.
    ///
    /// # Errors
    /// As for [`open_with`](Self::open_with).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, FasterKvConfig::default())
    }

    /// The same with a configuration. If that has no durability, it gets [`Durability::GROUP`].
    ///
    /// # Errors
    /// As for [`FasterKv::open_durable`] and [`FileSystemDisk::open`]: among others
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy) if another process has it open, and
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it holds keys or values of another length.
    pub fn open_with(path: impl AsRef<Path>, config: FasterKvConfig) -> Result<Self> {
        let path = path.as_ref();
        let config = if config.durability.is_some() { config } else { config.with_durability(Durability::GROUP) };
        let device = FileSystemDisk::open(path.join("log"))?;
        let checkpoints = FileDirectory::open(path.join("checkpoints"))?;
        let (kv, _) = FasterKv::open_durable_in(&checkpoints, config, device, &|_| ())?;
        Ok(Self { sessions: SessionPool::new(), kv, checkpoints })
    }

    /// The value of `key`, which is the key or what it can be borrowed as.
    ///
    /// # Errors
    /// As for [`Session::read`].
    pub fn get<Q: KeyBytes + ?Sized>(&self, key: &Q) -> Result<Option<V>>
    where
        K: Borrow<Q>,
    {
        self.with_session(|session| session.read(key))
    }

    /// Calls `look` with the bytes of the value of `key`, and makes no value: see [`Session::read_with`].
    ///
    /// # Errors
    /// As for [`Session::read`].
    pub fn get_with<Q: KeyBytes + ?Sized, T>(&self, key: &Q, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>>
    where
        K: Borrow<Q>,
    {
        self.with_session(|session| session.read_with(key, look))
    }

    /// Gives `key` the value `value`.
    ///
    /// # Errors
    /// As for [`Session::upsert`].
    pub fn put(&self, key: K, value: V) -> Result<()> {
        self.with_session(|session| session.upsert(key, value))
    }

    /// The same with a key and a value that stay with the caller, of which none is made: see [`Session::upsert_ref`].
    ///
    /// # Errors
    /// As for [`Session::upsert_ref`].
    pub fn put_ref<Q: KeyBytes + ?Sized, W: ValueBytes + ?Sized>(&self, key: &Q, value: &W) -> Result<()>
    where
        K: Borrow<Q>,
        V: Borrow<W>,
    {
        self.with_session(|session| session.upsert_ref(key, value))
    }

    /// Gives `key` what `reader` yields, of any length up to 1 GiB: see [`Session::upsert_from`]. Returns how many bytes those are.
    ///
    /// # Errors
    /// As for [`Session::upsert_from`].
    pub fn put_from(&self, key: K, len: Option<u64>, reader: impl Read) -> Result<u64> {
        self.with_session(|session| session.upsert_from(key, len, reader))
    }

    /// Writes the value of `key`, of whatever length, to `writer`: see [`Session::read_into`]. Returns how many bytes those are.
    ///
    /// # Errors
    /// As for [`Session::read_into`].
    pub fn get_into<Q: KeyBytes + ?Sized>(&self, key: &Q, writer: impl Write) -> Result<Option<u64>>
    where
        K: Borrow<Q>,
    {
        self.with_session(|session| session.read_into(key, writer))
    }

    /// Removes `key`, which is the key or what it can be borrowed as.
    ///
    /// # Errors
    /// As for [`Session::delete`].
    pub fn delete<Q: KeyBytes + ?Sized>(&self, key: &Q) -> Result<()>
    where
        K: Borrow<Q>,
    {
        self.with_session(|session| session.delete(key))
    }

    /// Changes the value of `key` as one step; a key that is not there starts from [`Value::initial`]. `change` must not block and
    /// must not call this store, and may run more than once: then only its last run counts.
    ///
    /// # Errors
    /// As for [`Session::rmw`].
    pub fn update(&self, key: K, mut change: impl FnMut(&mut V)) -> Result<()> {
        let change = |value: &mut V| {
            change(value);
            true
        };
        self.with_session(|session| session.rmw(key, change)).map(drop)
    }

    /// Waits until everything that was changed before this call is durable.
    ///
    /// # Errors
    /// As for [`Session::wait_durable`].
    pub fn sync(&self) -> Result<()> {
        self.kv.commit()
    }

    /// Has the directory hold little more than what is in use: moves that together, takes a checkpoint of it, which also shortens
    /// the next opening, and gives the rest of the space back. The store can be used meanwhile.
    ///
    /// # Errors
    /// As for [`FasterKv::compact`] and [`FasterKv::checkpoint_to`].
    pub fn compact(&self) -> Result<()> {
        self.kv.log_compact_until(self.kv.addresses().read_only)?;
        let log = self.kv.addresses();
        // An image of the index spares the next opening to read the log: one that is larger than the log would be in vain.
        let image = self.kv.index_stats().buckets * BUCKET_BYTES;
        let options =
            CheckpointOptions::default().with_keep_last(1).with_index(image < log.tail.get() - log.begin.get());
        self.kv.checkpoint_to(&self.checkpoints, &options)?;
        self.kv.look_at_checkpoints(&self.checkpoints).map(drop)
    }

    /// Lends a session: for calls that are not here.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn with_session<T>(&self, work: impl FnOnce(&mut Session<K, V>) -> Result<T>) -> Result<T> {
        self.sessions.with(&self.kv, work)
    }

    /// The store underneath.
    pub fn kv(&self) -> &FasterKv<K, V, FileSystemDisk> {
        &self.kv
    }
}
