//! A durable log: entries of any size, appended from any number of threads, made durable together.
//!
//! ```text
//!   append --> hybrid log in memory --commit: record, close the block, write, sync--> device
//!      |                                                                                |
//!      +--- wait, future, tail of a reader <------ everything below is durable <--------+
//! ```
//!
//! It is a tenant of the same hybrid log as the store: pages in memory, blocks with checksums on the device, the same flusher.
//!
//! * **W1** An entry is durable once a commit that began after it was appended has been synced. What is durable is there after
//!   every crash, in order, byte for byte. What is not is a prefix of what was appended since, or not there.
//! * **W2** A commit ends with closing the tail's block, and no block that it covers is written again. (So a commit takes at least
//!   4 KiB of the device: waiting for many entries together is cheaper.)
//! * **W3** A commit record is the last entry of its stretch. It says what was durable before it, so a torn tail can be told
//!   from damage ([`recover`](self)).
//! * **W4** A write or sync that failed is final: what was durable stays readable, everything else is refused with the cause, until
//!   the log is opened again.
//! * **W5** Addresses only grow and are never used twice, also when the end of the log is cut off: it leaves a hole.
//!
//! ```
//! use oxifaster::device::MemoryDisk;
//! use oxifaster::log::{FasterLog, FasterLogConfig};
//! # fn main() -> oxifaster::Result<()> {
//! let disk = MemoryDisk::new();
//! let log = FasterLog::open(FasterLogConfig::default(), disk.clone())?;
//! let first = log.append(b"an entry")?;
//! log.append_and_wait(b"another, which is durable now, like all before it")?;
//! drop(log);
//! let log = FasterLog::open(FasterLogConfig::default(), disk)?;
//! assert_eq!(log.read_entry(first)?, b"an entry");
//! assert_eq!(log.scan_all().count(), 2);
//! # Ok(())
//! # }
//! ```

mod append;
mod batch;
mod commit;
mod config;
mod durable;
mod entry;
pub mod faster_log;
mod follow;
mod image;
mod log_core;
mod open;
mod ordinal;
mod read;
mod recover;
mod scan;
#[cfg(feature = "stream")]
mod stream;
#[cfg(test)]
mod tests;
mod truncate;
mod typed;

pub use append::Appender;
pub use config::FasterLogConfig;
pub use durable::Durable;
pub use faster_log::{Commit, FasterLog};
pub use ordinal::{CommitName, Commits, PastCommit};
pub use scan::{Entries, LogScan};
#[cfg(feature = "postcard")]
pub use typed::Postcard;
pub use typed::{Codec, Json, TypedLog, TypedScan};
