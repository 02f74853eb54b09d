//! The store as its users see it.

mod admin;
mod batch;
mod config;
mod database;
mod faster_kv;
mod pending;
mod session;

pub use config::FasterKvConfig;
pub use faster_kv::FasterKv;
pub use pending::{Begun, Completed, Outcome, Ticket};
pub use session::Session;
