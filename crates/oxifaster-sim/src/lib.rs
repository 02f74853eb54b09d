//! A deterministic simulator for oxifaster: storage that crashes, tears, lies and reorders, from a seed.
//!
//! [`SimWorld`] holds simulated storage: [`SimDisk`] for a store's log, [`SimDirectory`] for its checkpoints. One seed gives
//! one run. Afterwards the world can be crashed at every event of the run, in many ways, and restarted with what survived.
//!
//! ```
//! use oxifaster::directory::Directory;
//! use oxifaster_sim::{CrashPolicy, SimWorld};
//! # fn main() -> oxifaster::Result<()> {
//! let world = SimWorld::new(42);
//! let directory = world.directory("checkpoints");
//! let file = directory.create("a.tmp")?;
//! file.write_at(0, b"whole")?;
//! file.sync()?;
//! directory.rename("a.tmp", "a")?;
//! // The contents are durable; the name is not, before `directory.sync()`.
//! let crash = world.crash(CrashPolicy::LoseAll);
//! assert!(crash.image.names("checkpoints").is_empty());
//! directory.sync()?;
//! let after = world.crash(CrashPolicy::LoseAll).restart();
//! assert_eq!(after.directory("checkpoints").open("a")?.len()?, 5);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod directory;
mod disk;
pub mod oracle;
pub mod program;
mod rng;
pub mod runner;
mod world;

pub use directory::SimDirectory;
pub use disk::SimDisk;
pub use rng::{SimRng, derive};
pub use world::{
    Access, Cause, Contents, Crash, CrashPoint, CrashPoints, CrashPolicy, Image, Latency, Lie, Medium, Part, SECTOR,
    SimConfig, SimWorld, Survivors, Trace, Unit, When,
};
