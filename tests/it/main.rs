//! The promises of the README, one module per promise.

mod crud;
mod larger_than_memory;
mod model;
