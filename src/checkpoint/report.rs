//! What a recovery tells: while it goes on, and at its end.

use super::{CheckpointToken, Manifest, SessionCut};
use crate::address::Address;
use crate::error::Error;
use std::time::Duration;

/// What a recovery is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecoveryPhase {
    /// Looking for the end of the log behind the checkpoint, in a store whose changes are durable without one.
    Suffix,
    /// Reading an image of the index.
    IndexImage,
    /// Making the index complete from the log.
    Replay,
    /// Copying parts of the log from files to the device.
    Copy,
    /// Loading the newest part of the log into memory.
    Load,
}

/// How far a recovery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryProgress {
    /// What it is doing.
    pub phase: RecoveryPhase,
    /// Bytes of this phase that are done.
    pub bytes_done: u64,
    /// Bytes of this phase altogether.
    pub bytes_total: u64,
}

/// Whether an image of the index was used.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ImageUse {
    /// There is none: all of the log was replayed.
    None,
    /// This one was.
    Used {
        /// The file.
        file: String,
    },
    /// None could be used, and all of the log was replayed.
    Unusable {
        /// The last one that was tried.
        file: String,
        /// What was wrong with it.
        error: Error,
    },
}

/// How long the phases took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryTimes {
    /// [`RecoveryPhase::IndexImage`].
    pub image: Duration,
    /// [`RecoveryPhase::Replay`].
    pub replay: Duration,
    /// [`RecoveryPhase::Copy`].
    pub copy: Duration,
    /// [`RecoveryPhase::Load`].
    pub load: Duration,
}

/// Why the log ends where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SuffixEnd {
    /// Nothing was written there.
    Nothing,
    /// A block that was not written whole: nobody was told that it was durable.
    Torn,
    /// A block of another history of the log.
    OtherHistory,
    /// A block that was durable and is damaged; what lay behind it is lost, as the caller accepted.
    Damaged,
}

/// The part of a log that was recovered from behind its newest checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SuffixReport {
    /// Where the checkpoint ends.
    pub from: Address,
    /// Where the store goes on.
    pub end: Address,
    /// Changes that came after the checkpoint.
    pub records: u64,
    /// Bytes of the device between the two addresses.
    pub bytes: u64,
    /// Why it ends there.
    pub ended: SuffixEnd,
}

/// What was recovered, and what it took.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The checkpoint.
    pub token: CheckpointToken,
    /// The version that it holds. The store goes on with the next one.
    pub version: u64,
    /// The sessions there were, and how far each had come.
    pub sessions: Vec<SessionCut>,
    /// Newer states in the directory, the oldest first. When the store goes on they are of a future that was given up:
    /// [`Catalog::give_up_after`](super::Catalog::give_up_after) removes them.
    pub newer: Vec<CheckpointToken>,
    /// Whether an image of the index was used.
    pub image: ImageUse,
    /// Buckets of the index. An image decides it, whatever the configuration says; without one, there are never fewer than
    /// when the checkpoint was made.
    pub index_buckets: u64,
    /// Overflow buckets of the index. There may be more than the configuration says, if the log needed them.
    pub overflow_buckets: u64,
    /// From here on the log was replayed.
    pub replay_from: Address,
    /// Records that were replayed: valid ones, old versions of keys included.
    pub records: u64,
    /// Bytes of blocks and images that were read and verified, those that were read twice counted twice.
    pub bytes_verified: u64,
    /// Bytes that were copied from files to the device.
    pub bytes_copied: u64,
    /// What came after the checkpoint, in a store whose changes are durable without one.
    pub suffix: Option<SuffixReport>,
    /// How long it took.
    pub times: RecoveryTimes,
}

impl RecoveryReport {
    pub(super) fn new(manifest: &Manifest) -> Self {
        Self {
            token: manifest.token,
            version: manifest.version,
            sessions: manifest.sessions.clone(),
            newer: Vec::new(),
            image: ImageUse::None,
            index_buckets: 0,
            overflow_buckets: 0,
            replay_from: Address::INVALID,
            records: 0,
            bytes_verified: 0,
            bytes_copied: 0,
            suffix: None,
            times: RecoveryTimes::default(),
        }
    }
}
