//! Giving up the old end of a log. Invariants L1 and L11 of [`crate::allocator`].
//!
//! In two steps, since what says where the log begins may have to be durable between them: after a crash in between the log is
//! opened with what is written down, and that has to be there.
//!
//! ```text
//!   shift_begin   readers are told "truncated" below it
//!        |        <-- the owner writes down the new begin, durably
//!   give_back     once no pin is left from before: the device gives up what lies below
//! ```

use super::hybrid_log::{HybridLog, LogCore};
use crate::address::Address;
use crate::device::{CompletionSink, IoRequest, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Arc;

/// The token of a truncation: none of a write, whose numbers begin with zero.
pub(super) const TRUNCATION_TOKEN: Token = Token::MAX - 1;

impl HybridLog {
    /// Gives up what lies below `begin`, where a record begins or may begin. False if it was given up already. Its space is still
    /// taken: see [`give_back`](Self::give_back).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if not everything below is on the device yet, and so may be changed still.
    pub(crate) fn shift_begin(&self, begin: Address) -> Result<bool> {
        let flushed = self.addresses().flushed;
        if begin > flushed {
            return Err(Error::new(ErrorKind::Config, "a log cannot be truncated beyond what is on its device")
                .with("address", begin)
                .with("on the device up to", flushed)
                .help("have it written first, and truncate then"));
        }
        Ok(self.core.pointers.advance_begin(begin))
    }

    /// Has the device give up the blocks below that of `begin`, which is not above [`begin`](Self::begin), once nobody can be
    /// looking at them who does not know of it. Returns at once; `wake_on_progress` tells of the end.
    pub(crate) fn give_back(&self, begin: Address) {
        let begin = begin.min(self.begin());
        let core = Arc::downgrade(&self.core);
        self.core.epoch.bump(move || {
            if let Some(core) = core.upgrade() {
                let offset = core.geometry.device_offset(core.geometry.block_of(begin));
                let sink = Arc::clone(&core) as Arc<dyn CompletionSink>;
                core.device.submit(IoRequest::truncate_before(offset), sink, TRUNCATION_TOKEN);
            }
        });
        self.help();
    }

    /// Why the device did not give up what it was asked to, the last time.
    pub(crate) fn truncation_failure(&self) -> Option<Error> {
        self.core.truncation_failure.lock().clone()
    }

    /// What a read of `address` is answered with that came back with `error`.
    pub(super) fn answered(&self, address: Address, error: Error) -> Error {
        if address < self.begin() { truncated(address, self.begin()).because(error) } else { error }
    }
}

impl LogCore {
    pub(super) fn end_truncation(&self, result: Result<usize>) {
        *self.truncation_failure.lock() = result.err();
        self.tell_progress();
    }
}

/// That `address` was given up.
#[cold]
pub(crate) fn truncated(address: Address, begin: Address) -> Error {
    Error::new(ErrorKind::NotFound, "this part of the log was truncated")
        .with("address", address)
        .with("begin of the log", begin)
}
