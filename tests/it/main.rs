//! The promises of the README, one module per promise.
#![cfg(not(oxifaster_loom))]

mod concurrency;
mod crud;
mod faults;
mod larger_than_memory;
mod model;
