//! Who may still be looking.
//!
//! Threads read shared state without taking locks. Before such state is taken away (memory reused, a log page evicted, an
//! old table freed) everybody who might still see it must have left. A thread that reads *pins* a row with the number of
//! the current epoch, and clears it when done. Who takes something away first unlinks it, then *bumps* the epoch and
//! leaves an action; the action runs once no row holds an epoch from before the bump. Pinning costs two plain memory
//! accesses; all the work is on the rare side.
//!
//! ```text
//!   participant rows      epoch    1       2       3       4 = current
//!   A  pinned at 2                         A
//!   B  not pinned                                  bump ^ action registered with epoch 3: waits for A
//!   C  pinned at 4                                         C    (came after the bump, cannot hold it up)
//! ```
//!
//! * **E1** While a row holds epoch `e`, no action registered with an epoch of `e` or more runs. What the thread saw
//!   when it pinned stays until it unpins.
//! * **E2** Everything a thread did while pinned happens before every action that waited for it.
//! * **E3** Actions run in the order of registration, one at a time, each exactly once. One that panics counts as run.
//! * **E4** Actions run without any lock of this module held, and never inside `bump`, `pin` or a guard's drop: an action
//!   may bump, join and pin.
//! * **E5** No action is stranded: of all threads that unpin and then ask [`LightEpoch::has_pending`], the last one
//!   finds every action that its row held up, and either runs it or makes the thread that is draining look again.
//! * **E6** Once an action has run that was registered after `LightEpoch::post`, every guard there is carries that notice or
//!   a later one, for as long as none was withdrawn. The same goes for `LightEpoch::heed_locks`.
//!
//! An epoch reclaims nothing on its own: after an operation, the driver calls
//! `if epoch.has_pending() { epoch.drain(); }` while not pinned.
//!
//! # Example
//!
//! Slots of a shared array are reused as soon as no reader can hold the number of the old one.
//!
//! ```
//! use oxifaster::epoch::LightEpoch;
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicUsize, Ordering};
//!
//! let epoch = LightEpoch::new();
//! let in_use = Arc::new(AtomicUsize::new(0)); // the slot readers are sent to
//! let free = Arc::new(AtomicUsize::new(usize::MAX)); // a slot nobody can be looking at
//!
//! let mut reader = epoch.join();
//! let guard = reader.pin();
//! let slot = in_use.load(Ordering::Acquire);
//!
//! // A writer sends later readers to slot 1, and asks to be told when slot 0 has no reader left.
//! in_use.store(1, Ordering::Release);
//! let freed = free.clone();
//! epoch.bump(move || freed.store(0, Ordering::Release));
//!
//! // The reader is still pinned, so slot 0 is not free, whoever asks.
//! assert!(!epoch.drain());
//! assert_eq!((slot, free.load(Ordering::Acquire)), (0, usize::MAX));
//!
//! drop(guard);
//! assert!(epoch.drain());
//! assert_eq!(free.load(Ordering::Acquire), 0);
//! ```

mod drain;
mod guard;
mod light_epoch;
#[cfg(test)]
#[cfg(oxifaster_loom)]
mod loom;
mod participant;
mod slip;
#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests;

pub use guard::Guard;
pub use light_epoch::LightEpoch;
pub use participant::Participant;
pub(crate) use slip::Slip;
