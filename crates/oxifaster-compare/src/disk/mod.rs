//! The half that is larger than memory: keys of 8 and values of 100 bytes, memory for a tenth of them.
//!
//! ```text
//!   campaign --- order (a line of JSON) ---> serve: one engine, in a process and a memory cgroup of its own
//!            <-- answer ------------------- loads, settles, checks, races
//! ```
//!
//! Every engine gets the same bytes for everything: its own caches are set to them, and the cgroup, which also counts the
//! page cache, holds it to them. All processes live through the whole run, so that repetitions are interleaved; those
//! whose turn it is not are stopped, so that nobody compacts on another one's time.

pub(crate) mod campaign;
mod cgroup;
mod check;
mod child;
mod crowd;
mod engine;
#[cfg(feature = "fjall")]
mod fjall;
#[cfg(feature = "heed")]
mod heed;
mod locks;
pub(crate) mod mix;
mod oxifaster;
mod probe;
mod protocol;
#[cfg(feature = "published")]
mod published;
mod race;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod roster;
pub(crate) mod serve;
mod usage;
