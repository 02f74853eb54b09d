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

#[cfg(not(oxifaster_loom))]
mod log_copy;
mod manifest;
#[cfg(not(oxifaster_loom))]
mod recovery;
mod report;
mod token;

pub use manifest::{Aborted, CheckpointKind, Generation, IndexPart, LogPart, Manifest, Piece, Schema, SessionCut};
#[cfg(not(oxifaster_loom))]
pub(crate) use recovery::{Recovery, RecoveryLimits, log_of};
pub use report::{ImageUse, RecoveryPhase, RecoveryProgress, RecoveryReport, RecoveryTimes};
pub use token::CheckpointToken;
