//! Following a log that another process appends to.

use super::commit::CommitRecord;
use super::durable::Report;
use super::faster_log::{Commit, FasterLog};
use super::log_core::Core;
use super::open::{explorer, nothing_there};
use super::ordinal::Count;
use super::recover::Found;
use crate::address::Address;
use crate::error::{Error, ErrorKind, Result};

impl FasterLog {
    /// Takes up what another process has appended since this log was [opened to be read](Self::open_read_only), or was refreshed;
    /// returns how far it can be read now. Scans go on where they were, and who waits for more
    /// ([`wait_beyond`](Self::wait_beyond), [`LogScan::poll_next`](super::LogScan::poll_next)) is woken. It reads a page or two at
    /// the end of the log, and what is new. Any other log knows of all there is, and nothing is done.
    ///
    /// ```no_run
    /// # use oxifaster::device::FileSystemDiskOptions;
    /// # use oxifaster::log::{FasterLog, FasterLogConfig};
    /// # fn main() -> oxifaster::Result<()> {
    /// let device = FileSystemDiskOptions::new().with_read_only(true).open("events")?;
    /// let log = FasterLog::open_read_only(FasterLogConfig::default(), device)?;
    /// let mut scan = log.scan(..);
    /// loop {
    ///     while let Some((_, entry)) = scan.next_entry()? {
    ///         println!("{} bytes", entry.len());
    ///     }
    ///     std::thread::sleep(std::time::Duration::from_millis(20));
    ///     log.refresh()?;
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`open`](Self::open); [`ErrorKind::Corrupt`] if what lies on the device is not the log that was opened.
    pub fn refresh(&self) -> Result<Address> {
        if self.core.follows {
            self.core.follow()?;
        }
        Ok(self.committed())
    }
}

impl Core {
    /// Looks at the device anew. One at a time.
    fn follow(&self) -> Result<()> {
        let _one = self.cutting.lock();
        let found = explorer(&self.config, self.log.device())?.find(self.config.damage_accepted)?;
        let found = found.ok_or_else(nothing_there)?;
        let tail = self.log.addresses().tail;
        if found.generation != self.generation || found.end < tail {
            return Err(Error::new(ErrorKind::Corrupt, "the device holds another log than when it was opened")
                .with("end of the log then", tail)
                .with("end of the log now", found.end)
                .help("open it again"));
        }
        let Found { whole, end, commit: CommitRecord { counted, entries, .. }, .. } = found;
        let before = found.commit.durable();
        // What is there, before anybody is told.
        self.log.follow(found.commit.begin().min(end), end);
        let next = found.next();
        let commit = Commit { number: found.commit.number, until: whole, cookie: next.cookie.clone() };
        *self.next.lock() = next;
        *self.count.lock() = Count { at: Address::from_word(counted), entries };
        self.group.follow(whole, Report { commit, before });
        Ok(())
    }
}
