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
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        Self { kind: CheckpointKind::FoldOver, index: true, deadline: None, keep_last: None }
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
