//! `oxifaster bench --trace`: the requests of a real cache, replayed on a store.
//!
//! ```text
//!   file, pipe, zstd --> lines --> requests --by the hash of the key--> players, one a thread --> store
//!                                                                          |        |
//!                                                                          book     model of the keys it follows
//!                                                                          |        |
//!                                                       report: hit rate, rates, latencies, bytes, memory, faults
//! ```
//!
//! 1. All requests for a key are played by the same thread, in the order of the trace: the hit rate does not depend on the number of
//!    threads, and every answer can be known beforehand.
//! 2. The answers for the keys that are followed are compared with those of a model, byte for byte.
//! 3. The clock of the store is that of the trace: values end when it says. It moves on when all requests before are answered.
//! 4. What the store does otherwise than a cache does (no eviction, sizes that do not fit) is in the report.

mod book;
mod line;
mod model;
mod player;
mod replay;
mod report;
mod source;
mod text;

use super::device::Device;
use super::directory::Directory;
use super::issue::Api;
use super::memory::Division;
use super::options::Verify;
use super::signal::{INTERRUPTED, Interrupt};
use crate::failure::Failure;
use crate::output::{print_json, print_text};
use oxifaster::clock::VirtualClock;
use oxifaster::device::StorageDevice;
use oxifaster::record::Expiring;
use oxifaster::store::{FasterKv, FasterKvConfig};
use std::path::PathBuf;
use std::sync::Arc;

/// A store of what the trace says.
type Cache = FasterKv<Vec<u8>, Expiring<Vec<u8>>, Arc<dyn StorageDevice>>;

/// Requests of a thread that were read and not played.
const UNDER_WAY: u64 = 1280;
/// Bytes of a value, where memory is set aside for requests under way and for what is known of the keys that are followed.
const VALUE: u64 = 768;

/// What will be done: options that make sense.
#[derive(Debug, Clone)]
pub(crate) struct TracePlan {
    /// `None` for standard input.
    pub(crate) file: Option<PathBuf>,
    pub(crate) memory: u64,
    pub(crate) threads: usize,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) device: Device,
    pub(crate) verify: Verify,
    pub(crate) revivification: bool,
    pub(crate) json: bool,
}

/// Replays a trace and prints its report; the result is the exit code.
pub(crate) fn execute(plan: &TracePlan) -> Result<u8, Failure> {
    let interrupt = Interrupt::listen()?;
    let source = source::open(plan.file.as_deref())?;
    let directory = match &plan.directory {
        Some(path) => Some(Directory::named(path)?),
        None if plan.device.has_files() => Some(Directory::temporary(&interrupt)?),
        None => None,
    };
    let (device, used) = plan.device.open(directory.as_ref(), Api::Sync)?;
    let division = Division::new(plan.memory, plan.threads as u64, UNDER_WAY, VALUE);
    division.check()?;
    let clock = Arc::new(VirtualClock::new(0));
    let config = FasterKvConfig::default()
        .with_memory_budget(division.store())
        .with_revivification(plan.revivification)
        .with_clock(clock.clone());
    let store = Cache::open(config, device)?;
    let replayed = replay::replay(&store, &clock, plan, source, &interrupt)?;
    let report = report::Report::new(plan, &replayed, &store, used, division, directory.as_ref(), &interrupt);
    drop(store);
    if let Some(directory) = directory {
        directory.close()?;
    }
    if plan.json {
        print_json(&report)?;
    } else {
        print_text(&text::render(&report))?;
    }
    Ok(match () {
        () if report.is_wrong() => 1,
        () if report.interrupted => INTERRUPTED,
        () => 0,
    })
}
