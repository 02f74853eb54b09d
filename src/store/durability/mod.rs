//! Durability: when a change is safe, and who waits for that.
//!
//! ```text
//!   upsert --> record at the tail of the log        the log of the store is its write-ahead log: with a durability every
//!      |                                            change appends, and nothing is changed in place
//!      +-- waits ------------------+
//!   wait_durable, futures ---------+--> Committer: one leads (a waiting call, or the store's thread):
//!   interval, bytes ---------------+    close the block, write, sync: all that was there by then is durable
//!                                                                  |
//!   opening:  newest checkpoint --> suffix: what verifies behind it --> a manifest of what there is --> first operation
//! ```
//!
//! * **W1** What a waiting call was told is in the log below a boundary at which the tail was closed, and all of that was written
//!   and synced. No block below is written again.
//! * **W2** A write or a sync that failed is final: every call that waits is told why, and no change is taken any more.
//! * **W3** Before anybody is told anything, a manifest is durable that names the generation of the blocks which are written from
//!   now on. What it names of the time before is durable too: what no note says to be was written once more, as it was, since the
//!   last sync of the process before may have failed, and no later one makes up for that.
//! * **W4** Recovery gives a prefix of the log. It ends where no record is cut, at or behind all that was acknowledged: if blocks
//!   further on say that more was durable, that is an error, and not an end.
//! * **W5** Records of a session lie in the order of its serial numbers. So a prefix of the log holds, of every session, exactly
//!   its changes up to a serial number.
//!
//! `docs/durability.md` says what survives what, `docs/decisions/0013-durability.md` why it is made this way.

mod commit;
#[cfg(not(oxifaster_loom))]
mod open;
#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests;
mod wait;

use crate::error::{Error, ErrorKind, Result};
use std::time::Duration;

pub(crate) use commit::Committer;
pub use wait::DurableFuture;

/// When the changes of a store are safe from the end of the process and of the machine.
///
/// ```
/// use oxifaster::store::{Durability, FasterKvConfig};
/// use std::time::Duration;
/// let every = FasterKvConfig::default().with_durability(Durability::EveryOperation);
/// let some = FasterKvConfig::default()
///     .with_durability(Durability::Group { interval: Duration::from_millis(10), bytes: 8 << 20 });
/// # assert_ne!(every, some);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// With the next checkpoint, and not before. Records are changed in place.
    #[default]
    None,
    /// Some time after the call has returned: the store commits what there is at least every `interval`, and as soon as so many
    /// `bytes` were appended to the log since the last time. Who needs to know waits:
    /// [`Session::wait_durable`](super::Session::wait_durable).
    Group {
        /// The longest time between a change and the commit that makes it durable.
        interval: Duration,
        /// Bytes of the log.
        bytes: u64,
    },
    /// When the call has returned. Calls of several sessions share the cost of a commit; a batch pays it once.
    EveryOperation,
}

impl Durability {
    /// Ten milliseconds or 8 MiB, whichever comes first.
    pub const GROUP: Self = Self::Group { interval: Duration::from_millis(10), bytes: 8 << 20 };

    /// True if changes are durable without a checkpoint.
    pub const fn is_some(self) -> bool {
        !matches!(self, Self::None)
    }

    /// # Errors
    /// [`ErrorKind::Config`] if a value makes no sense.
    pub(super) fn check(self) -> Result<()> {
        match self {
            Self::Group { interval, .. } if interval.is_zero() || interval > Duration::from_secs(3600) => {
                Err(Error::new(ErrorKind::Config, "the interval of a group commit is out of range")
                    .with("interval in milliseconds", interval.as_millis())
                    .with("largest", 3_600_000)
                    .help("for no interval at all choose Durability::EveryOperation"))
            }
            _ => Ok(()),
        }
    }

    /// That a call which does not look at the log behind the checkpoint is not used with a durability.
    pub(super) fn refuse(self, call: &'static str) -> Result<()> {
        if !self.is_some() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Config, "a store with a durability needs a directory, and is opened by open_durable")
            .with("call", call)
            .with("durability", format_args!("{self:?}"))
            .help("call FasterKv::open_durable(directory, config, device): it recovers the store, or creates it"))
    }
}
