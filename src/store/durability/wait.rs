//! Waiting for changes to be durable: in a call, and as a future.

use crate::address::Address;
use crate::device::StorageDevice;
use crate::error::Result;
use crate::operation::Environment;
use crate::record::{Key, Value};
use crate::store::database::Database;
use crate::store::{AsyncSession, FasterKv, Session};
use crate::sync::Arc;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Ready when what lies below an address of the log is durable, or cannot be any more.
///
/// Dropping it takes nothing back. It does not borrow the session that it came from.
#[must_use = "a future does nothing until it is polled"]
pub struct DurableFuture<K: Key, V: Value> {
    database: Arc<Database<K, V>>,
    /// What lies here is to be durable; `None`: there is nothing to wait for.
    address: Result<Option<Address>>,
}

impl<K: Key, V: Value> DurableFuture<K, V> {
    fn new(database: Arc<Database<K, V>>, address: Result<Option<Address>>) -> Self {
        Self { database, address }
    }
}

impl<K: Key, V: Value> Future for DurableFuture<K, V> {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        match (&self.database.committer, &self.address) {
            (_, Err(error)) => Poll::Ready(Err(error.clone())),
            (Some(committer), Ok(Some(address))) => committer.poll(*address, context.waker()),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<K: Key, V: Value, D: StorageDevice> FasterKv<K, V, D> {
    /// Everything in the log below this address is durable, whatever happens to the process or the machine; `None` in a store
    /// without a durability, where checkpoints say what is.
    pub fn durable_address(&self) -> Option<Address> {
        self.database.committer.as_ref().map(|committer| committer.durable())
    }

    /// Makes everything durable that is in the store at this moment. Returns at once in a store without a durability.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceFailed`](crate::ErrorKind::DeviceFailed) if something cannot be written or synced: the store then
    /// takes no more changes, and has to be opened again. What was durable stays so.
    pub fn commit(&self) -> Result<()> {
        match &self.database.committer {
            Some(committer) => committer.commit(&self.database.kernel.log),
            None => Ok(()),
        }
    }

    /// Returns when everything below `address` of the log is durable, such as the tail at some moment
    /// ([`addresses`](Self::addresses)). What is not in the log by now is not waited for.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    pub fn wait_durable(&self, address: Address) -> Result<()> {
        match (&self.database.committer, self.last_below(address)?) {
            (Some(committer), Some(address)) => committer.wait(&self.database.kernel.log, address),
            _ => Ok(()),
        }
    }

    /// [`wait_durable`](Self::wait_durable) as a future.
    pub fn durable(&self, address: Address) -> DurableFuture<K, V> {
        DurableFuture::new(Arc::clone(&self.database), self.last_below(address))
    }

    /// The last address below this one, and in the log as it is now: what is not there is not waited for.
    fn last_below(&self, address: Address) -> Result<Option<Address>> {
        Ok(last_below(address.min(self.database.tail_at_rest()?)))
    }
}

impl<K: Key, V: Value> Database<K, V> {
    /// The end of what is in the log at this moment, for who is not pinned.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy) if somebody keeps it from being told for too long.
    fn tail_at_rest(&self) -> Result<Address> {
        self.kernel.log.tail_at_rest(self.kernel.wait_limit())
    }

    /// The last address of the log at this moment, likewise.
    pub(in crate::store) fn last_in_log(&self) -> Result<Address> {
        // The first records lie behind an empty beginning.
        self.tail_at_rest().map(|tail| Address::from_word(tail.get() - 1))
    }
}

fn last_below(address: Address) -> Option<Address> {
    address.get().checked_sub(1).map(Address::from_word)
}

impl<K: Key, V: Value> Session<K, V> {
    /// Returns when everything that this session has changed is durable, as well as what calls that changed nothing have found
    /// (a key that was already deleted, say). Returns at once in a store without a durability.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceFailed`](crate::ErrorKind::DeviceFailed) if something cannot be written or synced: whether the
    /// changes are there when the store is opened again is not known.
    pub fn wait_durable(&mut self) -> Result<()> {
        match (&self.database.committer, self.last_change) {
            (Some(committer), Some(address)) => committer.wait(&self.database.kernel.log, address),
            _ => Ok(()),
        }
    }

    /// [`wait_durable`](Self::wait_durable) as a future.
    pub fn durable(&self) -> DurableFuture<K, V> {
        DurableFuture::new(Arc::clone(&self.database), Ok(self.last_change))
    }

    /// Whether this session's calls wait for their changes to be durable. At first they do with
    /// [`Durability::EveryOperation`](crate::store::Durability::EveryOperation), and not otherwise: a session that loads much
    /// turns it off and calls [`wait_durable`](Self::wait_durable) at the end, and a change that matters is made with it on.
    pub fn set_waits_for_durable(&mut self, waits: bool) {
        self.waits = waits && self.database.committer.is_some();
    }

    /// [`upsert`](Self::upsert) that returns when it is durable, whatever the store's durability says.
    ///
    /// # Errors
    /// As for `upsert` and [`wait_durable`](Self::wait_durable).
    pub fn upsert_durable(&mut self, key: K, value: V) -> Result<()> {
        self.upsert(key, value)?;
        self.wait_durable()
    }

    /// [`rmw`](Self::rmw) that returns when it is durable, whatever the store's durability says.
    ///
    /// # Errors
    /// As for `rmw` and [`wait_durable`](Self::wait_durable).
    pub fn rmw_durable(&mut self, key: K, modify: impl FnMut(&mut V) -> bool) -> Result<bool> {
        let changed = self.rmw(key, modify)?;
        self.wait_durable().map(|()| changed)
    }

    /// [`delete`](Self::delete) that returns when it is durable, whatever the store's durability says.
    ///
    /// # Errors
    /// As for `delete` and [`wait_durable`](Self::wait_durable).
    pub fn delete_durable(&mut self, key: &K) -> Result<()> {
        self.delete(key)?;
        self.wait_durable()
    }
}

impl<K: Key, V: Value> AsyncSession<K, V> {
    /// Whether the futures of operations that are begun from now on wait for their changes to be durable. See
    /// [`Session::set_waits_for_durable`].
    pub fn set_waits_for_durable(&mut self, waits: bool) {
        self.waits = waits && self.home.database.committer.is_some();
    }

    /// A future that is ready when everything is durable that is in the store at this moment: the changes of this session's
    /// futures that are ready among it.
    pub fn durable(&self) -> DurableFuture<K, V> {
        let database = &self.home.database;
        DurableFuture::new(Arc::clone(database), database.tail_at_rest().map(last_below))
    }
}
