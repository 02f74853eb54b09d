//! The concurrency alphabet. Nothing else in the crate names `std::sync::atomic`, so that the whole engine can be put
//! under a model checker: with `--cfg oxifaster_loom` every word below is loom's, otherwise it is the standard library's.

mod backoff;
mod barrier;
mod lock;
mod monotonic;
mod publish;

pub(crate) use backoff::Backoff;
pub(crate) use barrier::{barriers_are_free, compiler_barrier, heavy_barrier, light_barrier};
pub(crate) use crossbeam_utils::CachePadded;
pub(crate) use lock::{Condvar, Mutex, MutexGuard};
pub(crate) use monotonic::MonotonicU64;
pub(crate) use publish::{Visible, after_exchange, publish_all};

/// The standard library's under loom too: nothing here counts references by hand, so there is nothing to check, and
/// loom's neither serves as a method's receiver nor turns into an `Arc<dyn Trait>`.
pub(crate) use std::sync::{Arc, Weak};

#[cfg(oxifaster_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(all(target_arch = "x86_64", not(oxifaster_loom)))]
pub(crate) use std::sync::atomic::AtomicU8;
#[cfg(not(oxifaster_loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
