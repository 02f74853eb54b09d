//! What kind of checkpoint, and what came of it.

use crate::checkpoint::{CheckpointKind, CheckpointToken, SessionCut};
use std::time::Duration;

/// How a checkpoint is taken.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckpointOptions {
    /// See [`with_kind`](Self::with_kind).
    pub kind: CheckpointKind,
    /// See [`with_index`](Self::with_index).
    pub index: bool,
    /// See [`with_deadline`](Self::with_deadline).
    pub deadline: Option<Duration>,
    /// See [`with_keep_last`](Self::with_keep_last).
    pub keep_last: Option<usize>,
    /// See [`with_bytes_per_second`](Self::with_bytes_per_second).
    pub bytes_per_second: Option<u64>,
}

/// What one processor more allows.
const BYTES_PER_SECOND: u64 = 64 << 20;

impl Default for CheckpointOptions {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
        let bytes_per_second = Some(processors * BYTES_PER_SECOND);
        Self { kind: CheckpointKind::FoldOver, index: true, deadline: None, keep_last: None, bytes_per_second }
    }
}

impl CheckpointOptions {
    /// How the young part of the log is kept; [`CheckpointKind::FoldOver`] by default. An increment is one to the newest
    /// snapshot or increment that this store took in the same directory; the first one is a snapshot.
    #[must_use]
    pub fn with_kind(mut self, kind: CheckpointKind) -> Self {
        self.kind = kind;
        self
    }

    /// Whether an image of the index is taken along; true by default, and of no effect on increments, which go without, and
    /// on [`CheckpointKind::Index`]. Without an image recovery reads the whole log, or as much as came after an older image.
    #[must_use]
    pub fn with_index(mut self, index: bool) -> Self {
        self.index = index;
        self
    }

    /// Gives up if it is not done within this time. By default only single waits are bounded, by
    /// [`FasterKvConfig::with_wait_limit`](crate::store::FasterKvConfig::with_wait_limit).
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How fast it copies and writes while sessions operate: `None` for as fast as it can. By default 64 MiB a second for each
    /// processor, which takes about a twentieth of their time. While no session does anything, there is nobody to be
    /// considerate of, and it goes as fast as it can.
    ///
    /// A checkpoint that takes longer holds nobody up for longer; but the log up to it stays immutable for as long, so that
    /// updates append.
    #[must_use]
    pub fn with_bytes_per_second(mut self, rate: impl Into<Option<u64>>) -> Self {
        self.bytes_per_second = rate.into();
        self
    }

    /// Removes all but the newest `count` checkpoints, once this one is durable and was verified.
    #[must_use]
    pub fn with_keep_last(mut self, count: usize) -> Self {
        self.keep_last = Some(count);
        self
    }
}

/// A checkpoint that is durable.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckpointReport {
    /// Names it.
    pub token: CheckpointToken,
    /// How it was made: a snapshot if it was to be the first increment.
    pub kind: CheckpointKind,
    /// All operations of this version are in it, and none of a later one.
    pub version: u64,
    /// How far each session's operations are in it.
    pub sessions: Vec<SessionCut>,
    /// Bytes of its files.
    pub file_bytes: u64,
    /// How long it took.
    pub took: Duration,
    /// How long batched calls had to wait for the cut at most.
    pub cut_took: Duration,
}
