//! What a store may hold after a recovery, given what its sessions did before.
//!
//! ```text
//!   History: operations with session, serial number, key, begin and end     (from the run)
//!   reported: how far a checkpoint said that each session had come          (known at the crash)
//!   Recovered: serials and contents                                         (from the recovery)
//!        |
//!        v
//!   check --> breaches, each names its clause, key and session
//! ```
//!
//! A checkpoint holds, of each session, exactly the operations up to a serial number: the *cut*. For each key, then, the
//! content is what the operations within the cut make of it in some order that keeps each session's own order and real
//! time. Operations are made such that a content says who contributed to it: an upsert leaves the name of its operation,
//! and an addition counts up the lane of its session. So it can be decided exactly, key by key.
//!
//! Pure: nothing here knows a store.

mod check;
mod content;
mod history;
#[cfg(test)]
mod tests;

pub use check::{Breach, Clause, Recovered, check};
pub use content::{Content, Found, LANES, WORDS, Writer};
pub use history::{Action, History, Operation};
