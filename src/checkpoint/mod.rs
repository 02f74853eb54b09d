//! Checkpoints: a state to come back to, taken while all sessions go on.
//!
//! ```text
//!   directory                                            device
//!   <token>.manifest   what belongs together, checksummed      log blocks below `flushed`
//!   <token>.index      image of the index
//!   <token>.log        log blocks from `flushed` up to the cut (snapshot, incremental)
//! ```
//!
//! `docs/checkpoint.md` says what is promised, `docs/decisions/0009-checkpoints.md` why it is made this way.
//!
//! * **P1** A manifest is visible only once everything that it names is durable: files and names before the manifest's own
//!   name. It is removed, durably, before anything that it names is removed.
//! * **P2** A checkpoint is reported only once its manifest's name is durable.
//! * **P3** What is read from a file is checked in full before it is used: a manifest by its checksum and its rules, a
//!   block by its checksum, number and generation.
//! * **P4** A file that cannot be read is part of the answer. Nobody gets an older state than asked without being told.

mod block_map;
mod catalog;
mod check;
mod choice;
mod codec;
mod file_name;
#[cfg(not(oxifaster_loom))]
mod log_copy;
mod manifest;
#[cfg(not(oxifaster_loom))]
mod recovery;
#[cfg(not(oxifaster_loom))]
mod rehearsal;
mod report;
mod retention;
pub(crate) mod state;
#[cfg(not(oxifaster_loom))]
mod suffix;
#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests;
mod token;
mod verify;
mod wire;

pub use catalog::{Broken, Catalog, Listing};
pub use choice::{IndexChoice, IndexImage, Selection};
pub use manifest::{Aborted, CheckpointKind, Generation, IndexPart, LogPart, Manifest, Piece, Schema, SessionCut};
#[cfg(not(oxifaster_loom))]
pub(crate) use recovery::{Recovery, RecoveryLimits, log_of, open_pieces};
#[cfg(not(oxifaster_loom))]
pub use rehearsal::{RehearsalLimits, rehearse};
pub use report::{ImageUse, RecoveryPhase, RecoveryProgress, RecoveryReport, RecoveryTimes, SuffixEnd, SuffixReport};
pub use retention::Removed;
#[cfg(not(oxifaster_loom))]
pub(crate) use suffix::{Suffix, SuffixLimits, with_suffix};
pub use token::CheckpointToken;
pub use verify::{Defect, LargeValueCounts, RecordCounts, VerifyProgress, VerifyReport, verify};
