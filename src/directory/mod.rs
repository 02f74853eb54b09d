//! Small files beside a log: checkpoints keep theirs in a directory.
//!
//! ```text
//!   create tmp -> write -> file.sync -> rename tmp to name -> directory.sync     what makes a file appear whole, or not
//!        |                    |                  |                  |
//!        |        contents are durable    the name is changed   the names are durable
//!        the name may be gone after a crash, as long as the directory was not synced
//! ```
//!
//! A [`Directory`] is flat: names, no paths. What survives a crash is the same as on a file system, and no more:
//!
//! * **D1** What was written to a file is durable once [`DirectoryFile::sync`] has returned, not before, and then whole.
//! * **D2** That a name exists, is gone, or means another file is durable once [`Directory::sync`] has returned. Until then
//!   a crash may undo it, also for a file whose contents were synced, and in any order.
//! * **D3** [`Directory::rename`] replaces the target at once: who looks sees the old file or the new one, whole. A file
//!   that is open stays the file it is, whatever happens to its name.
//! * **D4** After a failed sync nothing may be concluded about that file any more, so it refuses further writes and syncs
//!   with [`DeviceFailed`](crate::ErrorKind::DeviceFailed): it is removed and written anew. After a failed sync of the
//!   directory nobody knows which of the changes before it are durable, and a later sync by the same owner does not tell.
//!   Who opens the directory anew may rely on a sync of its own for all names that it finds.
//! * **D5** What is no name ([`check_name`]) is refused by every call, with [`Config`](crate::ErrorKind::Config): nothing
//!   leads out of the directory.
//! * **D6** A read is short only where the file ends. Below the end, what was never written reads as zeros.
//! * **D7** A file from [`Directory::open`] is for reading: writes to it are refused with `Config`.
//!
//! The feature `test-util` brings a suite that checks them, for those who write a directory of their own.

mod check;
#[cfg(all(any(test, feature = "test-util"), not(oxifaster_loom)))]
pub mod conformance;
mod file;
mod memory;
#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests;

use crate::error::Result;
use crate::sync::Arc;

pub use check::{check_name, check_range};
pub use file::FileDirectory;
pub use memory::MemoryDirectory;

/// A flat collection of named files. [`check_name`] says what a name is.
pub trait Directory: Send + Sync + 'static {
    /// The names of all files, in any order.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if they cannot be listed.
    fn names(&self) -> Result<Vec<String>>;

    /// A new, empty file, for writing and reading.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if there is one of this name, or it cannot be made.
    fn create(&self, name: &str) -> Result<Box<dyn DirectoryFile>>;

    /// A file that is there, for reading.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is none.
    fn open(&self, name: &str) -> Result<Box<dyn DirectoryFile>>;

    /// Gives a file another name, in place of the file that has it (D3).
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no file `from`.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Removes a file. One that is not there is no error.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be removed.
    fn remove(&self, name: &str) -> Result<()>;

    /// Makes the names durable (D2).
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if that fails; then D4 holds.
    fn sync(&self) -> Result<()>;

    /// Where this is, for people: a path.
    fn place(&self) -> String;
}

/// A file of a [`Directory`]. Calls block.
pub trait DirectoryFile: Send + Sync {
    /// Bytes of the file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io).
    fn len(&self) -> Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// As for [`len`](Self::len).
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Writes all of `bytes` at `offset`; the file grows as needed.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io), with file and offset; what was to be written may be there in part then.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Reads into `bytes` from `offset`, and returns how many bytes there were (D6).
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io), with file and offset.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize>;

    /// Makes the contents durable (D1), also those that an earlier owner of the file wrote.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io); then D4 holds.
    fn sync(&self) -> Result<()>;
}

impl<D: Directory + ?Sized> Directory for Arc<D> {
    fn names(&self) -> Result<Vec<String>> {
        (**self).names()
    }

    fn create(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        (**self).create(name)
    }

    fn open(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        (**self).open(name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        (**self).rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        (**self).remove(name)
    }

    fn sync(&self) -> Result<()> {
        (**self).sync()
    }

    fn place(&self) -> String {
        (**self).place()
    }
}
