//! Commits of a store: its log, as a tenant of [group commit](crate::group).

use super::Durability;
use crate::address::Address;
use crate::allocator::HybridLog;
use crate::epoch::{LightEpoch, Participant};
use crate::error::{Error, ErrorKind, Result};
use crate::group::{GroupCommit, Policy, Tenant};
use crate::sync::{Arc, Backoff, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// How far a store is durable, and who waits.
pub(crate) struct Committer {
    durability: Durability,
    /// How long a call waits for the device.
    limit: Duration,
    group: GroupCommit<()>,
    /// Of the one who leads.
    participant: Mutex<Participant>,
}

/// The log that a committer commits.
struct Log<'a> {
    committer: &'a Committer,
    log: &'a HybridLog,
}

impl Committer {
    /// For a log of which everything below `durable` is.
    pub(crate) fn new(durability: Durability, limit: Duration, durable: Address, epoch: &Arc<LightEpoch>) -> Self {
        let policy = match durability {
            Durability::Group { interval, bytes } => Some(Policy { interval, bytes, waiters: 1 }),
            Durability::None | Durability::EveryOperation => None,
        };
        let group = GroupCommit::new(policy, limit, durable, ());
        Self { durability, limit, group, participant: Mutex::new(epoch.join()) }
    }

    const fn on<'a>(&'a self, log: &'a HybridLog) -> Log<'a> {
        Log { committer: self, log }
    }

    /// Whether a call returns only when what it did is durable.
    pub(crate) fn is_every_operation(&self) -> bool {
        self.durability == Durability::EveryOperation
    }

    /// Everything below is durable.
    #[inline]
    pub(crate) fn durable(&self) -> Address {
        self.group.durable()
    }

    /// That changes are taken (W2).
    ///
    /// # Errors
    /// Why not.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        self.group.check()
    }

    /// Notes that there is a new record at `address`.
    #[inline]
    pub(crate) fn note_change(&self, address: Address) {
        self.group.note_growth(address);
    }

    /// Returns when what lies at `address` is durable. Leads a commit if nobody does. Called while not pinned.
    ///
    /// # Errors
    /// Why that cannot be (W2); [`ErrorKind::Busy`] if it takes too long.
    pub(crate) fn wait(&self, log: &HybridLog, address: Address) -> Result<()> {
        self.group.wait(&self.on(log), address)
    }

    /// Makes everything durable that is in the log at this moment.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub(crate) fn commit(&self, log: &HybridLog) -> Result<()> {
        self.group.commit(&self.on(log))
    }

    /// Whether what lies at `address` is durable. If not, sees to it that it will be, and that `waker` is then woken.
    pub(crate) fn poll(&self, address: Address, waker: &Waker) -> Poll<Result<()>> {
        self.group.poll(address, waker)
    }

    /// Has the thread commit at once.
    pub(crate) fn ask(&self) {
        self.group.ask();
    }

    /// What the store's thread does.
    pub(super) fn serve(&self, log: &HybridLog) {
        self.group.serve(&self.on(log));
    }

    /// Ends the store's thread.
    pub(super) fn stop(&self) {
        self.group.stop();
    }
}

impl Tenant for Log<'_> {
    type Report = ();

    /// Closes the tail's block, and makes everything below durable.
    fn commit(&self) -> Result<(Address, ())> {
        let Self { committer: Committer { limit, group, participant, .. }, log } = *self;
        let (started, mut backoff) = (Instant::now(), Backoff::new());
        let end = loop {
            if let Some(end) = log.close_block_with_note(group.durable(), &mut participant.lock()) {
                break end;
            }
            // A page is being turned.
            log.help();
            if backoff.is_slow() && started.elapsed() >= *limit {
                return Err(Error::new(ErrorKind::Busy, "waiting for room in the log took too long")
                    .with("milliseconds waited", started.elapsed().as_millis())
                    .help("look for a hung device, or raise FasterKvConfig::with_wait_limit"));
            }
            backoff.wait();
        };
        if end > group.durable() {
            log.make_durable_below(end, *limit, || Ok(()))?;
        }
        Ok((end, ()))
    }

    fn tail(&self) -> Result<Address> {
        self.log.tail_at_rest(self.committer.limit)
    }
}
