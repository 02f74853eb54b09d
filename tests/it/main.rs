//! The promises of the README, one module per promise.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test panics when it fails")]
#![cfg(not(oxifaster_loom))]

mod alone;
mod any_length;
mod async_session;
mod backends;
mod checkpoint;
mod checkpoint_handle;
mod checkpoint_mended;
mod colliding;
mod compaction;
mod concurrency;
mod conditional;
mod config;
mod crud;
mod damage;
mod duplicate;
mod executor;
mod expiry;
mod faults;
mod growth;
mod large_values;
mod larger_than_memory;
mod linearizable;
mod log;
mod log_format;
mod log_values;
mod memory;
mod model;
mod paths;
mod plain;
mod pretouch;
mod resize;
mod revivification;
mod shrink;
mod small_memory;
mod transactions;
