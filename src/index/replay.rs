//! Making an index complete from the records of a log, which come in any order and from several threads.
//!
//! In a chain of records an older one always has the smaller address, so the entry of a chain is the largest address of a
//! valid record in it. That holds as long as no two chains of the log come together under one entry: behind the record of the
//! one the other would be lost. Hence:
//!
//! * **P1** The table has at least as many buckets as the one that was in force in the end. (With more, chains come
//!   apart: then several entries lead into one chain, which is only longer than need be. If it was larger once, its chains were
//!   brought together under records that lie above all of theirs.)
//! * **P2** Replay saturates no chain. It takes as many overflow buckets as it needs; only a chain that was saturated in an
//!   image has a catch-all (and G2 of [`super::image`] holds), and then the index has not shrunk since: the mark of a smaller table in
//!   the log behind the image would say so.
//! * **P3** A tombstone behind which there is nothing is left out. In memory its entry may have been freed, and in a saturated
//!   chain its tag would then be taken for one of the catch-all.
//! * **P4** Of several records that bring two chains together those before the last one are taken in if that one is there: without it
//!   they lead past what was not copied yet. With it they are, all of them: in a larger table they may belong to other chains than it does,
//!   and what they are copies of may have been given up since.

use super::MemIndex;
use super::entry::Overflow;
use crate::address::Address;
use crate::epoch::{Guard, Participant};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Backoff, Ordering};
use crate::utility::KeyHash;
use crate::utility::planted;

/// Records that are taken in together. Behind them as many others have been asked for: their buckets are there when it is their turn.
const GROUP: usize = 32;

/// One thread's part in the replay.
pub(crate) struct Replay<'i> {
    index: &'i MemIndex,
    participant: Participant,
    waiting: [(KeyHash, Address); 2 * GROUP],
    len: usize,
    records: u64,
}

impl<'i> Replay<'i> {
    /// Nobody but replays uses the index yet.
    pub(crate) fn new(index: &'i MemIndex, participant: Participant) -> Self {
        Self { index, participant, waiting: [(KeyHash::from_raw(0), Address::INVALID); 2 * GROUP], len: 0, records: 0 }
    }

    /// A valid record. It is taken in by the time of the next [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if there is no overflow bucket left (P2).
    #[inline]
    pub(crate) fn add(&mut self, hash: KeyHash, address: Address) -> Result<()> {
        self.index.prefetch(hash);
        self.waiting[self.len] = (hash, address);
        self.len += 1;
        if self.len == self.waiting.len() { self.take_in(GROUP) } else { Ok(()) }
    }

    /// Takes in what has been added.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.take_in(self.len)
    }

    /// Takes in the first `count` of those that wait.
    fn take_in(&mut self, count: usize) -> Result<()> {
        let guard = self.participant.pin();
        let waiting = self.len;
        self.records += count as u64;
        self.len -= count;
        self.waiting[..count].iter().try_for_each(|(hash, address)| self.index.raise(*hash, *address, &guard))?;
        self.waiting.copy_within(count..waiting, 0);
        Ok(())
    }

    /// Records that were added.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }
}

impl MemIndex {
    /// Makes `address` the head of the chain for `hash` if the one there is smaller.
    #[inline]
    fn raise(&self, hash: KeyHash, address: Address, guard: &Guard<'_>) -> Result<()> {
        let mut backoff = Backoff::new();
        loop {
            let slot = self.find(hash, guard);
            if slot.address() >= address || (planted!(KeepsFirstRecordMet) && slot.is_there()) {
                return Ok(());
            }
            let raised = if slot.is_there() {
                self.try_update(slot, address)
            } else {
                match self.insert_own(self.table(), hash, address) {
                    Ok(None) => return Ok(()),
                    Ok(Some((last, _))) if Overflow::of_word(last.load(Ordering::Acquire)) == Overflow::End => {
                        return Err(self.has_no_bucket_left());
                    }
                    // Somebody has made the chain longer in between.
                    Ok(Some(_)) => continue,
                    Err(conflict) => Err(conflict),
                }
            };
            match raised {
                Ok(()) => return Ok(()),
                Err(_) => backoff.wait(),
            }
        }
    }

    #[cold]
    fn has_no_bucket_left(&self) -> Error {
        let size = self.config();
        Error::new(ErrorKind::Limit, "the index cannot be made from the log with so little memory")
            .with("buckets", size.buckets)
            .with("overflow buckets", size.overflow_buckets)
            .help(
                "raise memory_budget until the keys fit (about 12 bytes for each), or recover a checkpoint that has an \
                 image of the index",
            )
    }
}
