//! What a checkpoint consists of.

use super::CheckpointToken;
use crate::address::Address;
use crate::record::{Key, RecordLayout, Value};
use crate::utility::KeyHash;

pub use crate::allocator::{Aborted, Generation};

/// How the log's young part was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CheckpointKind {
    /// Only the index.
    Index,
    /// The log was written to its device up to the cut, and is immutable below it.
    FoldOver,
    /// What was not on the device yet was copied to a file; the log stayed mutable.
    Snapshot,
    /// What came after the cut of a snapshot, or of an increment to it, was copied to a file.
    Incremental,
}

impl CheckpointKind {
    /// The word for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::FoldOver => "fold-over",
            Self::Snapshot => "snapshot",
            Self::Incremental => "incremental",
        }
    }
}

/// Everything that is needed to come back to one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Names the checkpoint.
    pub token: CheckpointToken,
    /// How it was made.
    pub kind: CheckpointKind,
    /// The version that it holds: all operations of this version and none of a later one.
    pub version: u64,
    /// Milliseconds since the Unix epoch when it was begun.
    pub created: u64,
    /// The checkpoint whose files this one needs beside its own.
    pub base: Option<CheckpointToken>,
    /// What records look like.
    pub schema: Schema,
    /// The log, except for [`CheckpointKind::Index`].
    pub log: Option<LogPart>,
    /// The image of the index, if one was taken with it.
    pub index: Option<IndexPart>,
    /// The sessions there were, and how far each had come.
    pub sessions: Vec<SessionCut>,
}

impl Schema {
    /// What records of these types look like, on pages of `1 << page_bits` bytes.
    pub fn of<K: Key, V: Value>(page_bits: u32) -> Self {
        let layout = RecordLayout::of::<K, V>();
        let size = |size: Option<usize>| size.map(|size| size as u32);
        let (key_size, value_size) = (size(layout.key_size()), size(layout.value_size()));
        Self { key_size, value_size, expires: layout.expires(), page_bits, key_hash: KeyHash::ID }
    }

    /// The same, without the pages.
    pub fn layout(&self) -> RecordLayout {
        let size = |size: Option<u32>| size.map(|size| size as usize);
        RecordLayout::new(size(self.key_size), size(self.value_size)).with_expiry(self.expires)
    }
}

impl Manifest {
    /// All files that the checkpoint consists of, its own manifest first. Other checkpoints may need some of them too.
    pub fn files(&self) -> Vec<String> {
        let pieces = self.log.iter().flat_map(|log| &log.pieces).filter_map(|piece| piece.file.clone());
        let image = self.index.iter().map(|index| index.file.clone());
        std::iter::once(self.token.manifest_file()).chain(pieces).chain(image).collect()
    }
}

/// Sizes that a store must agree on with the log it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// Bytes of a key; `None` if keys are of any length.
    pub key_size: Option<u32>,
    /// Bytes of a value; `None` if values are of any length.
    pub value_size: Option<u32>,
    /// Whether values may end, and each record says when.
    pub expires: bool,
    /// A page of the log has `1 << page_bits` bytes.
    pub page_bits: u32,
    /// The function from keys to hashes, [`KeyHash::ID`](crate::utility::KeyHash::ID): an image of the index depends on it.
    pub key_hash: u32,
}

/// The state of the log at the cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPart {
    /// The oldest record.
    pub begin: Address,
    /// Records below belong to the checkpoint's version or an older one.
    pub start: Address,
    /// The cut: a block boundary, above every record of the checkpoint.
    pub end: Address,
    /// Buckets of the index when the log was cut. Records of a chain agree in that many low bits of their hash: an index
    /// with fewer buckets would need one entry for several chains.
    pub buckets: u64,
    /// Where the bytes are, from `begin` to `end` without a gap.
    pub pieces: Vec<Piece>,
    /// Which generation the blocks carry, by ascending address; the first entry covers the first piece.
    pub generations: Vec<Generation>,
    /// Records that are not part of the state, though they lie between `begin` and `end`; by ascending address.
    pub aborted: Vec<Aborted>,
    /// Where files hold a part of the log: what lies below was closed to updates in place before the cut, and is what the log has there
    /// for good. `None` if that is not known, as of a fold-over, all of which is.
    pub closed: Option<Address>,
    /// Whether the log goes on behind `end` with changes that were acknowledged as durable, and the records of the version
    /// after this one are among them.
    pub durable: bool,
}

/// Where a range of the log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its first address, a block boundary. Only that of the first piece may lie below `begin`.
    pub from: Address,
    /// The address behind it, a block boundary.
    pub to: Address,
    /// The file beside the manifest, as a row of the blocks from the one of `from` on; `None` for the log's device.
    pub file: Option<String>,
}

/// An image of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexPart {
    /// The file beside the manifest.
    pub file: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// What the file's blocks carry as their generation.
    pub generation: u32,
    /// Buckets of the table.
    pub buckets: u64,
    /// Overflow buckets that were in use.
    pub overflow_buckets: u64,
    /// Records from here on may be missing in the image.
    pub replay_from: Address,
    /// No entry leads to this address or beyond.
    pub complete_at: Address,
    /// Which generation the log's blocks had then, by ascending address. An image is of use only for a log that is the same
    /// below `complete_at`, and not for one that went another way after a recovery.
    pub generations: Vec<Generation>,
}

/// How far a session had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionCut {
    /// Names the session.
    pub guid: u128,
    /// The serial number of its last operation that is part of the checkpoint.
    pub serial: u64,
}
