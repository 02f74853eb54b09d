//! Small files beside a log: checkpoints keep theirs in a directory.
//!
//! A [`Directory`] is flat: names, no paths. What survives a crash is the same as on a file system, and no more:
//!
//! * **D1** What was written to a file is durable once [`DirectoryFile::sync`] has returned, not before, and then whole.
//! * **D2** That a name exists, is gone, or means another file is durable once [`Directory::sync`] has returned. Until then
//!   a crash may undo it, also for a file whose contents were synced.
//! * **D3** [`Directory::rename`] replaces the target at once: who looks sees the old file or the new one, whole.
//! * **D4** After a failed sync nothing may be concluded about that file any more: it is removed and written anew.

mod file;
mod memory;

use crate::error::Result;

pub use file::FileDirectory;
pub use memory::MemoryDirectory;

/// A flat collection of named files. Names consist of letters, digits, `.`, `-` and `_`.
pub trait Directory: Send + Sync + 'static {
    /// The names of all files, in any order.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if they cannot be listed.
    fn names(&self) -> Result<Vec<String>>;

    /// A new, empty file.
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
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if that fails.
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
    /// [`ErrorKind::Io`](crate::ErrorKind::Io), with file and offset.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Reads into `bytes` from `offset`, and returns how many bytes there were: fewer only at the end of the file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io), with file and offset.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize>;

    /// Makes the contents durable (D1).
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io); then D4 holds.
    fn sync(&self) -> Result<()>;
}
