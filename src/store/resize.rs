//! Sizes that change while the store is in use.

use super::faster_kv::FasterKv;
use crate::allocator::HybridLog;
use crate::device::StorageDevice;
use crate::error::{Error, ErrorKind, Result};
use crate::operation::{Retry, Stall};
use crate::record::{Key, Value};

impl<K: Key, V: Value, D: StorageDevice> FasterKv<K, V, D> {
    /// Has at most `bytes` of the log in memory from now on, rounded down to whole pages, and returns when that is so. What it
    /// was opened with is the most it can have.
    ///
    /// If it is less than before, the oldest pages leave: they are written to the device first, those who append wait until there is
    /// room again, and then the memory of their frames is given back to the system and to the budget, from which the index may grow.
    /// If it is more, memory fills as the log grows. While it is less than the most, a page that is begun takes its memory from the
    /// system as it is filled.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the log cannot have so many pages in memory; [`ErrorKind::Limit`] if the budget does not have what is
    /// missing, or the device keeps nothing, so that nothing may leave memory; [`ErrorKind::Busy`] if another call is changing it, or a
    /// session keeps a page from leaving for too long; [`ErrorKind::DeviceFailed`] if what is to leave cannot be written. After the last
    /// two the new bound is in force, what is beyond it leaves when it can, and the same call again waits for that.
    pub fn set_log_memory(&self, bytes: u64) -> Result<()> {
        let log = &self.database.kernel.log;
        let page = log.geometry().page();
        let frames = bytes >> page.page_bits();
        log.geometry().check_frames_in_use(frames)?;
        let mut held = self.database.log_reservation().ok_or_else(|| {
            Error::new(ErrorKind::Busy, "somebody else is changing the memory of the log")
                .help("wait for that call to end")
        })?;
        let needed = HybridLog::write_buffer_bytes(page.page_bits()) + (frames << page.page_bits()) as usize;
        if frames < log.frames_in_use() && !self.device().info().readable {
            return Err(Error::new(
                ErrorKind::Limit,
                "with a device that keeps nothing, all of the log stays in memory",
            )
            .help("give the store a device that can be read back, such as FileSystemDisk"));
        }
        if needed > held.bytes() {
            held.resize(needed)?; // before anybody uses it
        }
        log.set_frames(frames)?;
        let (mut stall, mut oldest) = (Stall::new(), log.addresses().safe_head);
        while !log.fits() {
            log.press();
            stall.wait(&self.database.kernel, Retry::Room)?;
            // As long as it gets on, it may take as long as it takes.
            let now = log.addresses().safe_head;
            if now > oldest {
                (stall, oldest) = (Stall::new(), now);
            }
        }
        if frames < log.geometry().frames() {
            log.discard_free();
        }
        held.resize(needed)
    }

    /// Bytes of the log that are in memory at most at this moment.
    pub fn log_memory(&self) -> u64 {
        let log = &self.database.kernel.log;
        log.frames_in_use() << log.geometry().page().page_bits()
    }

    /// Has this share of the log's memory be updated in place from now on, 0.0 to 1.0. If it is less than before, the rest is closed
    /// to updates at once; if it is more, the part that is open grows with the log.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is no share.
    pub fn set_mutable_fraction(&self, fraction: f64) -> Result<()> {
        self.database.kernel.log.set_mutable_fraction(fraction)
    }
}
