//! Compaction: giving back the space of records that are of no use any more.
//!
//! ```text
//!   begin          until                                tail
//!     |  x  a  x  b  |     ...                           | a' b'
//!     +--------------+-----------------------------------+-------->
//!      look at every     a record is in use if its key     copies of those in use, in front of
//!      record            has no newer one above it         their chains; then begin = until
//! ```
//!
//! One algorithm, with one thread or with many: every record of the oldest part of the log is looked up, and copied to the
//! end if its key has no newer one. `docs/compaction.md` says what is promised, `docs/decisions/0015-compaction.md` why it is
//! made this way.
//!
//! * **C1** A record is in use if no newer one of its key is above it in its chain. Whether an index entry leads to it says
//!   nothing: several keys share chains.
//! * **C2** The look-up and the exchange that publishes the copy are of one entry word, so a copy never hides anything newer.
//! * **C3** `begin` moves over a record only when its copy, if it needed one, can be found by everybody who is pinned: the
//!   epoch is waited for in between. Who searched below `begin` on the device looks again above what it had searched.
//! * **C4** The device gives back only what no checkpoint, scan or feed of changes that the store knows of needs, and only
//!   when the copies are durable.
//! * **C5** A tombstone is never copied, nor a value that has ended: what it hides lies below it, and is given up with it.
//! * **C6** A large value is moved when its title is met, the lowest of its records: all of it, at once. Its root is not moved by
//!   itself. Of what is being written nobody can know whether it will be in use: so the end of the part is announced, and the epoch
//!   waited for, before anything is looked up; no root is published from then on of a title that lies below.

mod auto;
pub(crate) mod concurrent;
pub(crate) mod config;
pub(crate) mod pace;
pub(crate) mod report;

pub use auto::{AutoCompactionConfig, AutoCompactionState, AutoCompactionWorker};
pub use concurrent::{ConcurrentCompactionConfig, ConcurrentCompactor};
pub use config::CompactionConfig;
pub use report::CompactionReport;
