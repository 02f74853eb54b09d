//! The promises of the README, one module per promise.
#![cfg(not(oxifaster_loom))]

mod crud;
mod larger_than_memory;
