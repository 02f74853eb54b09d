//! Logs without a store: entries appended as fast as each can with everything durable every ten milliseconds, and entries that
//! are waited for one by one.
//!
//! The contestants take turns in every round, each in an empty directory, and what a round has left on disk is looked at:
//! nobody wins by not writing.

pub(crate) mod campaign;
mod engine;
#[cfg(feature = "fjall")]
mod fjall;
#[cfg(feature = "okaywal")]
mod okaywal;
mod oxifaster;
mod race;
#[cfg(feature = "rocksdb")]
mod rocksdb;
