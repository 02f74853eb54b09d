//! A log that goes on where a cut ended. Invariants L1, L5 and L9 of [`crate::allocator`] hold from its first moment.

use super::hybrid_log::{HybridLog, LogConfig};
use super::scan::{Scan, Visitor};
use super::state::LogState;
use crate::address::Address;
use crate::epoch::LightEpoch;
use crate::error::Result;
use crate::memory::{pretouch, store_bytes};
use crate::record::{RecordInfo, RecordRef};
use crate::sync::Arc;

impl HybridLog {
    /// The log in `state`, with the pages in memory that the range of `scan` covers: from the block of `state.head` to
    /// `state.end`. As many threads as `threads` says. With `touches`, all of the log's memory is taken from the system meanwhile:
    /// the device is what the threads wait for.
    ///
    /// # Errors
    /// As for [`HybridLog::new`] and [`Scan::run`].
    pub(crate) fn recovered(
        config: LogConfig,
        state: LogState,
        epoch: Arc<LightEpoch>,
        scan: &Scan<'_>,
        threads: usize,
        touches: bool,
    ) -> Result<Self> {
        let has_aborted = scan.pieces.history.may_be_aborted(scan.range.start, scan.range.end);
        let log = Self::at(config, state, epoch, Arc::clone(&scan.pieces.device))?;
        std::thread::scope(|scope| {
            let touched = touches.then(|| scope.spawn(|| pretouch(&[log.memory()])));
            let loaded = scan.run((0..threads).map(|_| Loader { log: &log, has_aborted }).collect());
            let touched = touched.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            loaded.and(touched.unwrap_or(Ok(())))
        })?;
        Ok(log)
    }
}

/// Fills frames.
struct Loader<'l> {
    log: &'l HybridLog,
    has_aborted: bool,
}

impl Visitor for Loader<'_> {
    fn wants_records(&self) -> bool {
        self.has_aborted
    }

    /// Nobody else knows of the log yet, and every page is filled by one thread.
    fn block(&mut self, at: Address, payload: &[u8]) -> Result<()> {
        store_bytes(self.log.core.frames.words(at, payload.len()), payload);
        Ok(())
    }

    fn record(&mut self, at: Address, info: RecordInfo, _: &[u8]) -> Result<()> {
        if info.is_invalid() {
            RecordRef::new(self.log.core.frames.words(at, size_of::<RecordInfo>())).invalidate();
        }
        Ok(())
    }
}
