//! Reading a value piece by piece, as futures.

use super::AHEAD;
use crate::error::Result;
use crate::kernel::{FragmentBytes, LookOp, ReadFragmentOp};
use crate::record::{Held, Key, Path, Root, Value, Wanted};
use crate::store::async_session::{AsyncSession, Use};
use crate::store::compact::Hold;
use crate::store::op_future::{Home, OpFuture};
use crate::sync::Arc;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The leaves of a value, a few of them ahead. Invariants V1 and V3 of [`super`].
pub(super) struct Leaves<K: Key, V: Value> {
    home: Arc<Home<K, V>>,
    path: Path,
    /// Keeps the fragments on the device.
    _hold: Hold,
    ahead: VecDeque<Ahead<K, V>>,
}

/// A fragment that was asked for.
struct Ahead<K: Key, V: Value> {
    wanted: Wanted,
    state: State<K, V>,
}

enum State<K: Key, V: Value> {
    There(Result<FragmentBytes>),
    Asked(OpFuture<K, V, FragmentBytes>),
}

impl<K: Key, V: Value> Leaves<K, V> {
    /// `hold` keeps what lay in the log before the root was looked up; `home` is an unlisted one.
    pub(super) fn new(root: Root, hold: Hold, home: Arc<Home<K, V>>) -> Self {
        Self { home, path: Path::new(root), _hold: hold, ahead: VecDeque::new() }
    }

    /// The next leaf; `None` at the end. May be given up at any time, and called again.
    pub(super) fn next(&mut self) -> impl Future<Output = Result<Option<FragmentBytes>>> {
        poll_fn(|context| self.poll_next(context))
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<FragmentBytes>>> {
        loop {
            while self.ahead.len() < AHEAD && self.ahead.back().is_none_or(|last| last.wanted.is_leaf()) {
                let Some(wanted) = self.path.next() else { break };
                let state = State::Asked(OpFuture::of(Arc::clone(&self.home), ReadFragmentOp::new(&wanted)));
                self.ahead.push_back(Ahead { wanted, state });
            }
            for ahead in &mut self.ahead {
                if let State::Asked(future) = &mut ahead.state
                    && let Poll::Ready(bytes) = Pin::new(future).poll(context)
                {
                    ahead.state = State::There(bytes);
                }
            }
            match self.ahead.pop_front() {
                None => return Poll::Ready(Ok(None)),
                Some(Ahead { wanted, state: State::There(Ok(bytes)) }) if !wanted.is_leaf() => {
                    self.path.take_in(&bytes)
                }
                Some(Ahead { state: State::There(bytes), .. }) => return Poll::Ready(bytes.map(Some)),
                Some(pending) => {
                    self.ahead.push_front(pending);
                    return Poll::Pending;
                }
            }
        }
    }
}

/// The bytes of a value, read piece by piece through futures: [`ValueReader`](super::ValueReader) for an [`AsyncSession`]. It does
/// not borrow its session, and needs no particular executor.
///
/// ```
/// # use oxifaster::device::MemoryDisk;
/// # use oxifaster::store::{FasterKv, FasterKvConfig};
/// # async fn example() -> oxifaster::Result<()> {
/// # let config = FasterKvConfig::default().with_memory_budget(1 << 20);
/// # let store: FasterKv<String, Vec<u8>, _> = FasterKv::open(config, MemoryDisk::new())?;
/// # let mut session = store.start_async_session();
/// let mut sum = 0;
/// if let Some(mut reader) = session.value_reader(&"film".to_owned()).await? {
///     while let Some(bytes) = reader.next().await? {
///         sum += bytes.len() as u64;
///     }
///     assert_eq!(sum, reader.len());
/// }
/// # Ok(())
/// # }
/// ```
pub struct AsyncValueReader<K: Key, V: Value> {
    len: u64,
    source: Source<K, V>,
}

enum Source<K: Key, V: Value> {
    Whole(Option<Vec<u8>>),
    Large(Leaves<K, V>),
}

impl<K: Key, V: Value> AsyncValueReader<K, V> {
    /// Bytes of the value.
    #[expect(clippy::len_without_is_empty, reason = "the length of what is read, not of what there is to read")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The bytes that come next, at most 256 KiB of them; `None` at the end. The future may be dropped: nothing is lost then.
    ///
    /// # Errors
    /// As for [`Session::read`](crate::store::Session::read).
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        match &mut self.source {
            Source::Whole(bytes) => Ok(bytes.take().filter(|bytes| !bytes.is_empty())),
            Source::Large(leaves) => Ok(leaves.next().await?.map(FragmentBytes::into_vec)),
        }
    }
}

impl<K: Key, V: Value> AsyncSession<K, V> {
    /// A reader of the value of `key`, large or not; `None` if it is not in the store.
    ///
    /// # Errors
    /// The future's: as for [`Session::value_reader`](crate::store::Session::value_reader).
    pub fn value_reader(
        &mut self,
        key: &K,
    ) -> impl Future<Output = Result<Option<AsyncValueReader<K, V>>>> + Send + use<K, V> {
        const { assert!(V::FIXED.is_none(), "values of one length are never read piece by piece") }
        let (home, hold) = (self.home.unlisted(), self.home.database.hold_log()); // V3
        self.home.account.counters.reads.add(1);
        let look = self.begin(LookOp::new(key.clone()), Use::READ, |held| held);
        async move {
            Ok(look.await?.map(|held| match held {
                Held::Value(value) => {
                    let bytes = value.as_bytes().to_vec();
                    AsyncValueReader { len: bytes.len() as u64, source: Source::Whole(Some(bytes)) }
                }
                Held::Large(root) => {
                    AsyncValueReader { len: root.len, source: Source::Large(Leaves::new(root, hold, home)) }
                }
            }))
        }
    }
}
