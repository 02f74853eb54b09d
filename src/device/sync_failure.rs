//! Clause C7: what a device remembers of its first failed sync.

use super::IoOp;
use crate::error::{Error, ErrorKind, Result};
use std::sync::OnceLock;

/// The first failed sync of a device, once there was one.
///
/// The kernel reports a failed write-back once and then forgets it, so a sync that succeeds after one that failed proves
/// nothing about the writes before. The only honest answer is to refuse until the device is opened again.
#[derive(Debug, Default)]
pub(super) struct SyncFailure(OnceLock<Error>);

impl SyncFailure {
    /// Refuses `op` if it depends on a sync that failed earlier.
    pub(super) fn check(&self, op: IoOp) -> Result<()> {
        match (op, self.0.get()) {
            (IoOp::Write | IoOp::Sync, Some(first)) => Err(Self::refusal(first)),
            _ => Ok(()),
        }
    }

    /// Remembers why a sync failed, unless an earlier one did.
    pub(super) fn record(&self, cause: &Error) {
        self.0.get_or_init(|| cause.clone());
    }

    #[cold]
    fn refusal(first: &Error) -> Error {
        Error::new(ErrorKind::DeviceFailed, "an earlier sync failed, so it is unknown which writes are durable")
            .because(first.clone())
            .help("close the store, repair the device, and recover")
    }
}
