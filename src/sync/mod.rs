//! The concurrency alphabet. Nothing else in the crate names `std::sync::atomic`, so that the whole engine can be put
//! under a model checker: with `--cfg oxifaster_loom` every word below is loom's, otherwise it is the standard library's.

mod backoff;
mod barrier;
mod lock;
mod monotonic;
mod publish;

pub(crate) use backoff::Backoff;
pub(crate) use barrier::{heavy_barrier, light_barrier};
pub(crate) use crossbeam_utils::CachePadded;
pub(crate) use lock::{Condvar, Mutex, MutexGuard};
pub(crate) use monotonic::MonotonicU64;
pub(crate) use publish::publish;

#[cfg(oxifaster_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
// Reference counts are not what the models are about, and loom's `Arc` cannot hold trait objects.
pub(crate) use std::sync::{Arc, Weak};
#[cfg(not(oxifaster_loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
