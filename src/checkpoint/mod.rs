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

mod manifest;
mod token;

pub use manifest::{Aborted, CheckpointKind, Generation, IndexPart, LogPart, Manifest, Piece, Schema, SessionCut};
pub use token::CheckpointToken;
