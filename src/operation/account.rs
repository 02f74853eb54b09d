//! What a session has done: its serial number, and where checkpoints cut it.
//!
//! * **A1** An operation is counted while pinned, by its session, once it has taken effect. So when nobody of a version is
//!   pinned any more, all its operations are counted.
//! * **A2** Before a session counts its first operation of a new version it has noted how far it had come. Whoever reads the
//!   number first and then finds no such note has read one of before.
//! * **A3** Between the two calls around a batch the version does not change for it: a checkpoint waits for those that began
//!   before it, and those that begin later wait for it.

use crate::epoch::Slip;
use crate::record::Origin;
use crate::stats::SessionCounters;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};

/// How many operations of a session have finished, by the parity of their version.
#[derive(Debug, Default)]
struct Finished {
    by_parity: [AtomicU64; 2],
    /// The count under the parity of the version to come, before anything of that version was counted.
    before_next: AtomicU64,
}

impl Finished {
    fn of(&self, version: u64) -> &AtomicU64 {
        &self.by_parity[(version & 1) as usize]
    }
}

/// No version.
const NEVER: u64 = u64::MAX;

/// The book of one session.
#[derive(Debug)]
pub(crate) struct Account {
    /// Names the session, also after a recovery.
    pub(crate) guid: u128,
    pub(crate) counters: SessionCounters,
    /// The serial number before its first operation here.
    base: u64,
    /// The version under which it last counted anything while a checkpoint was under way, and how far it had come then.
    version: AtomicU64,
    cut: AtomicU64,
    in_batch: AtomicBool,
    /// For a session whose operations finish on any thread.
    finished: Option<Finished>,
    /// Its number in a log that is to say whose changes are in it; 0 in others.
    number: u64,
    /// The version in which the log was told the session's name under this number.
    introduced: AtomicU64,
    /// The serial number with which a change was last signed.
    signed: AtomicU64,
    /// Held while an operation of a shared session is stepped, if the log says whose changes are in it: their serial numbers
    /// are to be in the order of their records.
    pub(crate) turn: Mutex<()>,
}

impl Account {
    /// The book of a session that goes on after the operation `base`.
    pub(crate) fn new(guid: u128, base: u64) -> Self {
        Self {
            guid,
            counters: SessionCounters::default(),
            base,
            version: AtomicU64::new(0),
            cut: AtomicU64::new(base),
            in_batch: AtomicBool::new(false),
            finished: None,
            number: 0,
            introduced: AtomicU64::new(NEVER),
            signed: AtomicU64::new(base),
            turn: Mutex::new(()),
        }
    }

    /// The same for a session whose operations finish on any thread.
    pub(crate) fn shared(guid: u128, base: u64) -> Self {
        Self { finished: Some(Finished::default()), ..Self::new(guid, base) }
    }

    /// The same in a log that is to say whose changes are in it, under a number that no other session has at the same time.
    pub(crate) fn with_number(self, number: u64) -> Self {
        Self { number, ..self }
    }

    /// Its number in the log; 0 if the log does not say whose changes are in it.
    #[inline(always)]
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Says on the slip whose change the next one is, for a session with a number. Within a batch, which is counted at its end,
    /// only at its beginning: there the numbers go on by themselves.
    pub(crate) fn sign(&self, slip: &Slip, version: u64) {
        let serial = self.serial();
        slip.set_origin(Origin::new(self.number, serial + 1).word());
        let distance = serial.abs_diff(self.signed.load(Ordering::Relaxed));
        self.signed.store(serial, Ordering::Relaxed);
        if self.introduced.load(Ordering::Relaxed) != version || distance >= Origin::DISTANCE_MAX / 2 {
            slip.introduce(self.guid, serial);
            // If it makes no change now, it is asked again: the slip keeps the name until the log was told.
            self.introduced.store(version, Ordering::Relaxed);
        }
    }

    /// Notes that the slip with the name is gone.
    pub(crate) fn note_stranger(&self) {
        self.introduced.store(NEVER, Ordering::Relaxed);
    }

    /// The number of the last operation that took effect.
    pub(crate) fn serial(&self) -> u64 {
        let count = match &self.finished {
            Some(finished) => finished.by_parity.iter().map(|count| count.load(Ordering::Acquire)).sum(),
            None => self.counters.operations(),
        };
        self.base + count
    }

    /// Counts an operation of a session whose operations finish on any thread (A1).
    pub(crate) fn finish(&self, version: u64) {
        if let Some(finished) = &self.finished {
            finished.of(version).fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Notes that what the session counts from now on is of this version (A2).
    pub(crate) fn observe(&self, version: u64) {
        if self.version.load(Ordering::Relaxed) < version {
            self.cut.store(self.serial(), Ordering::Relaxed);
            self.version.store(version, Ordering::Release);
        }
    }

    /// Notes how far a shared session had come, before there is anything of `version`.
    pub(crate) fn expect(&self, version: u64) {
        if let Some(finished) = &self.finished {
            finished.before_next.store(finished.of(version).load(Ordering::Acquire), Ordering::Relaxed);
        }
    }

    /// The number of its last operation before `version`, when nobody is pinned any more who runs under an earlier one.
    pub(crate) fn cut_before(&self, version: u64) -> u64 {
        if let Some(finished) = &self.finished {
            // The version before, and those before that which share this one's parity, have come to rest.
            let before = finished.of(version - 1).load(Ordering::Acquire);
            return self.base + before + finished.before_next.load(Ordering::Relaxed);
        }
        let serial = self.serial();
        if self.version.load(Ordering::Acquire) < version { serial } else { self.cut.load(Ordering::Relaxed) }
    }

    /// Begins a batch (A3). The caller then looks whether a checkpoint is about to cut, and takes it back if so.
    #[inline]
    pub(crate) fn begin_batch(&self) {
        self.in_batch.store(true, Ordering::Relaxed);
    }

    /// Ends a batch: what it did has been counted.
    #[inline]
    pub(crate) fn end_batch(&self) {
        self.in_batch.store(false, Ordering::Release);
    }

    /// True while a batch is under way.
    pub(crate) fn is_in_batch(&self) -> bool {
        self.in_batch.load(Ordering::Acquire)
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_cut_where_its_version_changed() {
        let account = Account::new(7, 100);
        account.counters.reads.add(3);
        assert_eq!((account.serial(), account.cut_before(2)), (103, 103), "it did nothing since");
        account.observe(2);
        account.counters.upserts.add(4);
        account.observe(2);
        account.counters.rmws.add(1);
        assert_eq!((account.serial(), account.cut_before(2)), (108, 103));
        assert_eq!(account.cut_before(3), 108);
        account.observe(5);
        account.counters.deletes.add(1);
        assert_eq!(account.cut_before(5), 108);
    }

    #[test]
    fn a_shared_session_is_cut_between_the_versions_of_its_operations() {
        let account = Account::shared(7, 100);
        let finish = |version: u64, times: u64| (0..times).for_each(|_| account.finish(version));
        finish(1, 5);
        account.expect(2);
        finish(2, 2);
        finish(1, 1);
        assert_eq!((account.cut_before(2), account.serial()), (106, 108));
        account.expect(3);
        finish(3, 10);
        finish(2, 1);
        assert_eq!((account.cut_before(3), account.serial()), (109, 119));
    }
}
