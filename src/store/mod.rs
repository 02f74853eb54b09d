//! The store as its users see it.

mod admin;
mod async_session;
mod batch;
#[cfg(not(oxifaster_loom))]
mod checkpoint;
#[cfg(not(oxifaster_loom))]
mod compact;
mod conditional;
mod config;
mod database;
mod durability;
mod expiry;
mod faster_kv;
mod flight;
#[cfg(not(oxifaster_loom))]
mod large;
mod locking;
mod look;
mod merge;
mod op_future;
mod pending;
#[cfg(not(oxifaster_loom))]
mod plain;
#[cfg(not(oxifaster_loom))]
mod pool;
#[cfg(not(oxifaster_loom))]
mod recover;
mod resize;
#[cfg(not(oxifaster_loom))]
mod restore;
#[cfg(not(oxifaster_loom))]
mod scan;
mod session;
#[cfg(not(oxifaster_loom))]
mod shrink;
mod transaction;
#[cfg(not(oxifaster_loom))]
mod unlisted;
mod upsert;

pub use async_session::AsyncSession;
#[cfg(not(oxifaster_loom))]
pub use checkpoint::{CheckpointHandle, CheckpointOptions, CheckpointProgress, CheckpointReport, CheckpointStep};
#[cfg(not(oxifaster_loom))]
pub(crate) use compact::{Estimate, Kept, Upkeep};
pub use conditional::Conditional;
pub use config::FasterKvConfig;
pub use durability::{Durability, DurableFuture};
pub use expiry::{OfValue, TimeToLive};
pub use faster_kv::FasterKv;
#[cfg(not(oxifaster_loom))]
pub use large::{AsyncValueReader, AsyncValueWriter, ValueReader, ValueWriter};
pub use locking::LockedKeys;
pub use merge::{Add, Append, Max, MergeOperator, Mergeable, Min, Union};
pub use op_future::OpFuture;
pub use pending::{Begun, Completed, Outcome, Ticket};
#[cfg(not(oxifaster_loom))]
pub use plain::Store;
#[cfg(not(oxifaster_loom))]
pub use restore::RecoveryTarget;
#[cfg(not(oxifaster_loom))]
pub use scan::{
    Change, ChangeCursor, ChangeFeed, ChangeOptions, ChangeReach, KeyVersion, LiveIterator, LogScanIterator,
    ScanCursor, ScannedRecord,
};
pub use session::Session;
pub use transaction::Transaction;
