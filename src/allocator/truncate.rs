//! Giving up a log's old end. Invariants L1, L4, L10 and L11 of [`crate::allocator`].
//!
//! ```text
//!   shift_begin    nobody looks below any more who begins to look now
//!   free_before    the device gives up what lies below
//! ```
//!
//! Who owns the log says when: what was moved has to be durable, and everybody to have left who may be looking, before the
//! device gives anything up.

use super::hybrid_log::HybridLog;
use crate::address::Address;
use crate::device::{IoRequest, access};
use crate::error::{Error, ErrorKind, Result};
use std::time::Duration;

impl HybridLog {
    /// Gives up what lies below `begin`, where a record begins or may begin, for everybody who begins to look now. False if it
    /// was given up already. Its space is still taken: see [`free_before`](Self::free_before).
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

    /// Has the device give up the blocks below that of `address`, at which nobody is looking any more.
    ///
    /// # Errors
    /// That of the device, or that it does not answer within `limit`.
    pub(crate) fn free_before(&self, address: Address, limit: Duration) -> Result<()> {
        let offset = self.geometry().device_offset(self.geometry().block_of(address));
        access(&**self.device(), IoRequest::truncate_before(offset), limit).map(drop)
    }
}
