//! The store as its users see it.

mod admin;
mod async_session;
mod batch;
mod checkpoint;
mod config;
mod database;
mod faster_kv;
mod flight;
mod op_future;
mod pending;
mod session;

pub use async_session::AsyncSession;
pub use checkpoint::{CheckpointHandle, CheckpointOptions, CheckpointProgress, CheckpointReport, CheckpointStep};
pub use config::FasterKvConfig;
pub use faster_kv::FasterKv;
pub use op_future::OpFuture;
pub use pending::{Begun, Completed, Outcome, Ticket};
pub use session::Session;
