//! What the threads of a log share.

use super::append::LANES;
use super::commit::CommitRecord;
use super::config::{FasterLogConfig, log_config};
use super::durable::Report;
use super::entry::Kind;
use super::faster_log::Commit;
use super::ordinal::Count;
use crate::address::Address;
use crate::allocator::{FIRST, History, HybridLog, LogState};
use crate::device::StorageDevice;
use crate::epoch::{LightEpoch, Participant};
use crate::error::{Error, ErrorKind, Result};
use crate::group::GroupCommit;
use crate::sync::{Arc, AtomicU64, Mutex};
use crate::utility::unix_milliseconds;

/// Bytes of a commit record that are kept for what grows by itself: numbers, and links.
const RESERVE: usize = 1024;

pub(super) struct Core {
    pub(super) log: HybridLog,
    pub(super) epoch: Arc<LightEpoch>,
    pub(super) config: FasterLogConfig,
    /// What the blocks carry, and the checksums of entries cover.
    pub(super) generation: u32,
    pub(super) group: GroupCommit<Report>,
    /// Participants for those who append through `&self`.
    pub(super) lanes: Vec<Mutex<Participant>>,
    pub(super) next_lane: AtomicU64,
    /// What the next commit record says. Held by who commits only to look.
    pub(super) next: Mutex<CommitRecord>,
    /// Up to where entries were counted. Locked before `next`.
    pub(super) count: Mutex<Count>,
    /// Held by who cuts off an end, or looks for what somebody else has appended.
    pub(super) cutting: Mutex<()>,
    /// Somebody else appends.
    pub(super) follows: bool,
}

impl Core {
    /// The log that goes on at `end`, where `next` is the next commit; everything below `durable` can be read.
    pub(super) fn new(
        config: FasterLogConfig,
        device: Arc<dyn StorageDevice>,
        generation: u32,
        next: CommitRecord,
        durable: Address,
        end: Address,
    ) -> Result<Self> {
        let (geometry, epoch) = (config.geometry()?, LightEpoch::new());
        let commit = Commit { number: next.number.saturating_sub(1), until: durable, cookie: next.cookie.clone() };
        let last = Report { commit, before: Address::INVALID };
        let begin = geometry.block_start(next.begin()).max(Address::new(FIRST)).min(end);
        let state = LogState { begin, head: end, flushed: end, end, history: History::of_new(generation) };
        let log = HybridLog::at(log_config(geometry, generation), state, Arc::clone(&epoch), device)?;
        Ok(Self {
            log,
            lanes: (0..LANES).map(|_| Mutex::new(epoch.join())).collect(),
            next_lane: AtomicU64::new(0),
            group: GroupCommit::new(config.policy(), config.wait_limit, durable, last),
            count: Mutex::new(Count { at: Address::from_word(next.counted), entries: next.entries }),
            next: Mutex::new(next),
            cutting: Mutex::new(()),
            follows: false,
            epoch,
            config,
            generation,
        })
    }

    /// Commits, on behalf of this caller and all who wait.
    pub(super) fn commit_record(&self, cookie: Option<Vec<u8>>) -> Result<(Address, Report)> {
        let before = self.group.durable();
        let appended = self.log.tail_at_rest(self.config.wait_limit)?; // before the time is looked at
        let (record, body) = {
            let count = self.count_settled();
            let mut next = self.next.lock();
            (next.counted, next.entries) = (count.at.get(), count.entries);
            next.durable = before.get();
            next.appended = appended.get();
            next.time = unix_milliseconds().max(next.time);
            next.named = cookie.is_some();
            next.cookie = cookie.unwrap_or_else(|| std::mem::take(&mut next.cookie));
            (next.clone(), next.encode()?)
        };
        let put = |core: &Self, participant: &mut Participant| core.put(participant, Kind::Commit, &body, true);
        let at = self.with_lane(put).and_then(Self::placed)?;
        let until = self.log.make_durable(self.config.wait_limit)?;
        let mut next = self.next.lock();
        next.number += 1;
        next.links = record.links_behind(at);
        drop(next);
        let commit = Commit { number: record.number, until, cookie: record.cookie };
        Ok((until, Report { commit, before }))
    }

    /// That what a commit says fits on a page.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if it does not.
    pub(super) fn check_room(&self, next: &CommitRecord, cookie: &[u8]) -> Result<()> {
        let len = CommitRecord { cookie: cookie.to_vec(), ..next.clone() }.encode()?.len() + RESERVE;
        if len <= self.body_max() {
            return Ok(());
        }
        Err(limit(
            "what a commit says does not fit on a page: cursors, cookie, and what was cut off",
            len,
            self.body_max(),
        )
        .help("use fewer cursors or a shorter cookie, truncate_before, or larger pages for a new log"))
    }

    /// Where what can be read ends.
    pub(super) fn readable(&self) -> Address {
        if self.follows { self.group.durable() } else { self.log.addresses().tail }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.next.lock().complete
    }

    /// Everything that `address` is compared with to tell what is there.
    pub(super) fn holes(&self) -> (Address, Vec<(u64, u64)>) {
        let next = self.next.lock();
        (next.begin(), next.holes.clone())
    }
}

pub(super) fn completed() -> Error {
    Error::new(ErrorKind::Unsupported, "the log is complete: nothing is appended any more")
}

pub(super) fn limit(what: &'static str, value: usize, largest: usize) -> Error {
    Error::new(ErrorKind::Limit, what).with("value", value).with("largest", largest)
}
