//! The store as its users see it.

mod admin;
mod async_session;
mod batch;
#[cfg(not(oxifaster_loom))]
mod checkpoint;
mod config;
mod database;
mod durability;
mod faster_kv;
mod flight;
mod op_future;
mod pending;
#[cfg(not(oxifaster_loom))]
mod recover;
#[cfg(not(oxifaster_loom))]
mod restore;
mod session;

pub use async_session::AsyncSession;
#[cfg(not(oxifaster_loom))]
pub use checkpoint::{CheckpointHandle, CheckpointOptions, CheckpointProgress, CheckpointReport, CheckpointStep};
pub use config::FasterKvConfig;
pub use durability::{Durability, DurableFuture};
pub use faster_kv::FasterKv;
pub use op_future::OpFuture;
pub use pending::{Begun, Completed, Outcome, Ticket};
#[cfg(not(oxifaster_loom))]
pub use restore::RecoveryTarget;
pub use session::Session;
