//! The half that is in memory: keys and values of 8 bytes, everything fits.
//!
//! ```text
//!   campaign: for each cell (distribution, threads, workload), for each repetition, for each contestant:
//!                 race: one worker per thread, the same key streams, chunks of keys until time is up
//! ```
//!
//! A contestant is a mode of an engine: the engine is loaded once, and asked in different ways. All engines that are
//! compared live at the same time, so that repetitions can be interleaved: a neighbour that slows the machine down for a
//! minute slows all of them down.

pub(crate) mod campaign;
pub(crate) mod check;
#[cfg(feature = "maps")]
mod dashmap;
mod each;
pub(crate) mod engine;
mod oxifaster;
#[cfg(feature = "maps")]
mod papaya;
mod probe;
#[cfg(feature = "published")]
mod published;
mod race;
pub(crate) mod roster;
#[cfg(feature = "maps")]
mod scc_index;
#[cfg(feature = "maps")]
mod scc_map;
mod stream;
pub(crate) mod trial;
