//! Zeros ahead of small writes that are each synced.
//!
//! A write to a place of a file that was never written costs the sync after it a change of the file's description as well: more than
//! the write itself, if that is a small one. So when small writes and syncs alternate, zeros are written ahead of them, many blocks at a
//! time, and the writes find places that were written before.
//!
//! * **A1** Zeros lie at or above the end of every write that has begun. One that ends within them (`ready`) begins at or above what was
//!   ready before it, and may go on by itself; any other one first says how far it reaches, under the lock, which whoever writes zeros
//!   holds until they are written.
//! * **A2** Zeros are not contents: the device ends where it would without them. Where a file ends behind that, it holds zeros (F3 of the files).

use crate::error::Result;
use crate::memory::AlignedBuf;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};

/// Between two syncs at most so much is written where zeros are worth it.
const SMALL: u64 = 16 << 10;
/// Bytes of zeros that are written at once.
const ZEROS: u64 = 512 << 10;

#[derive(Debug)]
pub(in crate::device) struct Ahead {
    /// Everything below was written, if only with zeros.
    ready: AtomicU64,
    /// Where the highest write ends that has begun.
    reached: Mutex<u64>,
    /// Bytes written since the last sync.
    unsynced: AtomicU64,
    /// Little was written between the last two syncs.
    is_worth_it: AtomicBool,
}

impl Ahead {
    /// For a device that ends at `end`.
    pub(in crate::device) fn new(end: u64) -> Self {
        Self {
            ready: AtomicU64::new(end),
            reached: Mutex::new(end),
            unsynced: AtomicU64::new(0),
            is_worth_it: AtomicBool::new(false),
        }
    }

    /// Before a write of `len` bytes that ends at `end`. Has `fill` write zeros behind it, if they are worth it, but none at or behind
    /// `end_max`.
    pub(in crate::device) fn before_write(
        &self,
        end: u64,
        len: u64,
        end_max: u64,
        fill: impl FnOnce(u64, &[u8]) -> Result<()>,
    ) {
        self.unsynced.fetch_add(len, Ordering::Relaxed);
        if self.is_ready(end) {
            return;
        }
        let mut reached = self.reached.lock();
        let zeros_end = reached.max(end).saturating_add(ZEROS).min(end_max);
        *reached = reached.max(end); // A1
        if len > SMALL || zeros_end <= *reached || !self.is_worth_it.load(Ordering::Relaxed) {
            return;
        }
        // If they cannot be written, the write that follows tells why, or does without them.
        let zeros = AlignedBuf::try_zeroed((zeros_end - *reached) as usize);
        if zeros.and_then(|zeros| fill(*reached, &zeros)).is_ok() {
            *reached = zeros_end;
            self.ready.store(zeros_end, Ordering::Release);
        }
    }

    /// Whether a write that ends at `end` finds a place that was written before, and may go on by itself (A1). What is written there and
    /// synced by itself is not counted.
    pub(in crate::device) fn is_ready(&self, end: u64) -> bool {
        end <= self.ready.load(Ordering::Acquire)
    }

    /// Before a sync.
    pub(in crate::device) fn before_sync(&self) {
        let unsynced = self.unsynced.swap(0, Ordering::Relaxed);
        self.is_worth_it.store((1..=SMALL).contains(&unsynced), Ordering::Relaxed);
    }
}
