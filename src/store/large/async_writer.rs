//! Writing a value piece by piece, as futures.

use super::assembly::Assembly;
use super::async_reader::Leaves;
use super::writer::Draft;
use crate::address::Address;
use crate::error::Result;
use crate::kernel::{AppendFragmentOp, PublishRootOp};
use crate::record::{Key, Value};
use crate::store::async_session::{AsyncSession, Use};
use crate::store::op_future::{Home, OpFuture};
use crate::sync::Arc;

/// Writes a value of any length piece by piece through futures: [`ValueWriter`](super::ValueWriter) for an [`AsyncSession`]. It needs
/// no particular executor.
///
/// ```
/// # use oxifaster::device::MemoryDisk;
/// # use oxifaster::store::{FasterKv, FasterKvConfig};
/// # async fn example() -> oxifaster::Result<()> {
/// # let config = FasterKvConfig::default().with_memory_budget(1 << 20);
/// # let store: FasterKv<String, Vec<u8>, _> = FasterKv::open(config, MemoryDisk::new())?;
/// # let mut session = store.start_async_session();
/// let mut writer = session.value_writer("film".to_owned(), None)?;
/// for _ in 0..1000 {
///     writer.write(&[7; 10_000]).await?;
/// }
/// writer.commit().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a value that is not committed is not there"]
pub struct AsyncValueWriter<'s, K: Key, V: Value> {
    session: &'s mut AsyncSession<K, V>,
    home: Arc<Home<K, V>>,
    draft: Draft<K>,
}

impl<K: Key, V: Value> AsyncValueWriter<'_, K, V> {
    /// Bytes that were written so far.
    #[expect(clippy::len_without_is_empty, reason = "it counts what was written")]
    pub fn len(&self) -> u64 {
        self.draft.assembly.len()
    }

    /// Adds `bytes` to the value. If the future is dropped before it is done, the writer is of no use any more: its calls fail with
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    ///
    /// # Errors
    /// As for [`Session::upsert`](crate::store::Session::upsert); [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the value becomes
    /// larger than it may, or than was told.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.draft.check(bytes.len())?;
        self.draft.begin_write()?;
        while !bytes.is_empty() {
            let taken = self.draft.assembly.take_in(bytes);
            bytes = &bytes[taken..];
            if taken == 0 {
                self.write_due().await?;
            }
        }
        self.draft.end_write();
        Ok(())
    }

    /// Makes what was written the value of the key, and returns how many bytes it has.
    ///
    /// # Errors
    /// As for [`ValueWriter::commit`](super::ValueWriter::commit).
    pub async fn commit(mut self) -> Result<u64> {
        self.draft.begin_write()?;
        self.draft.check_is_whole()?;
        let (len, database) = (self.draft.assembly.len(), Arc::clone(&self.home.database));
        if let Some(value) = self.draft.ordinary(&database)? {
            self.session.upsert(self.draft.key, value).await?;
            return Ok(len);
        }
        self.draft.assembly.close();
        self.write_due().await?;
        let Draft { key, assembly, mut hold, .. } = self.draft;
        let mut root = assembly.into_root()?;
        loop {
            let publish = PublishRootOp::new(key.clone(), &root);
            match self.session.begin(publish, Use::WRITE, |()| ()).await {
                Err(error) if PublishRootOp::<K>::is_overtaken(&error) => {
                    let mut next = database.hold_log();
                    let (leaf, whole) = (root.leaf, root.len);
                    let mut leaves = Leaves::new(root, hold, Arc::clone(&self.home));
                    let mut copy = Assembly::new(key.as_bytes(), leaf);
                    while let Some(bytes) = leaves.next().await? {
                        copy.take_in(&bytes);
                        if copy.len() == whole {
                            copy.close();
                        }
                        append_due(&self.home, &mut copy).await?;
                        next.advance_writer(copy.title().unwrap_or(Address::INVALID));
                    }
                    (root, hold) = (copy.into_root()?, next);
                }
                Err(error) => return Err(error),
                Ok(()) => {
                    self.session.home.account.counters.upserts.add(1);
                    return Ok(len);
                }
            }
        }
    }

    /// Writes the fragments that are due.
    async fn write_due(&mut self) -> Result<()> {
        if let Some(committer) = &self.home.database.committer {
            committer.check()?;
        }
        append_due(&self.home, &mut self.draft.assembly).await?;
        self.draft.note_written();
        Ok(())
    }
}

async fn append_due<K: Key, V: Value>(home: &Arc<Home<K, V>>, assembly: &mut Assembly) -> Result<()> {
    while let Some(new) = assembly.next()? {
        let (at, memory) = OpFuture::of(Arc::clone(home), AppendFragmentOp::new(new, false)).await?;
        assembly.placed(at, memory);
    }
    Ok(())
}

impl<K: Key, V: Value> AsyncSession<K, V> {
    /// A writer of a value for `key`, of `len` bytes if that is known.
    ///
    /// # Errors
    /// As for [`Session::value_writer`](crate::store::Session::value_writer).
    pub fn value_writer(&mut self, key: K, len: Option<u64>) -> Result<AsyncValueWriter<'_, K, V>> {
        let draft = Draft::new(&self.home.database, key, len)?;
        Ok(AsyncValueWriter { home: self.home.unlisted(), session: self, draft })
    }
}
