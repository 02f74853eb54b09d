//! A directory of the file system.

use super::{Directory, DirectoryFile, check_name, check_range};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::AlignedBuf;
use crate::sync::Mutex;
use crate::utility::make_directory;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A directory of the file system.
///
/// Files in it whose names are none ([`check_name`]) and directories in it are left alone and not listed.
#[derive(Debug)]
pub struct FileDirectory {
    path: PathBuf,
}

impl FileDirectory {
    /// The directory at `path`, which is made if it is not there, durably.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it can be neither opened nor made.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        make_directory(&path, os::sync_directory).map_err(|error| failure(&path, "making a directory", error))?;
        Ok(Self { path })
    }

    /// Where the directory is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn path_of(&self, name: &str) -> Result<PathBuf> {
        check_name(name)?;
        Ok(self.path.join(name))
    }
}

fn failure(path: &Path, what: &'static str, error: io::Error) -> Error {
    let kind = if error.kind() == io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Io };
    Error::new(kind, what).with("path", path.display()).because(error)
}

impl Directory for FileDirectory {
    fn names(&self) -> Result<Vec<String>> {
        let failed = |error| failure(&self.path, "listing a directory", error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if check_name(&name).is_err() {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_file() => names.push(name),
                Ok(_) => {}
                // Removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        let path = self.path_of(name)?;
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(|error| failure(&path, "making a file", error))?;
        Ok(Box::new(OpenFile::new(file, path, true)))
    }

    fn open(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        let path = self.path_of(name)?;
        let file = os::open(&path).map_err(|error| failure(&path, "opening a file", error))?;
        Ok(Box::new(OpenFile::new(file, path, false)))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.path_of(from)?, self.path_of(to)?);
        std::fs::rename(&from, &to).map_err(|error| failure(&from, "renaming a file", error).with("to", to.display()))
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.path_of(name)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failure(&path, "removing a file", error)),
            _ => Ok(()),
        }
    }

    fn sync(&self) -> Result<()> {
        os::sync_directory(&self.path).map_err(|error| failure(&self.path, "syncing a directory", error))
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

struct OpenFile {
    file: File,
    /// The path under which it was opened, for people: it may have another name by now.
    path: PathBuf,
    writable: bool,
    /// The first failed sync (D4). The kernel reports a lost write once and then forgets it.
    sync_failure: Mutex<Option<Error>>,
    /// The same file past the page cache, once that was tried.
    direct: OnceLock<Option<File>>,
}

/// Accesses of so many bytes go past the page cache: to copy them would cost more than all else that is done for them, and
/// drive out what is of use there. A recovery would then get fresh memory from the system in place of what it knows already.
const DIRECT_MIN: usize = 16 << 10;

impl OpenFile {
    fn new(file: File, path: PathBuf, writable: bool) -> Self {
        Self { file, path, writable, sync_failure: Mutex::new(None), direct: OnceLock::new() }
    }

    /// The file for an access past the page cache, if it can be one.
    fn direct(&self, offset: u64, bytes: &[u8]) -> Option<&File> {
        let is_aligned = [offset, bytes.len() as u64, bytes.as_ptr() as u64]
            .iter()
            .all(|number| number.is_multiple_of(AlignedBuf::ALIGN as u64));
        if !is_aligned || bytes.len() < DIRECT_MIN {
            return None;
        }
        self.direct.get_or_init(|| os::direct(&self.file, self.writable)).as_ref()
    }

    /// Writes past the page cache. False if that is not possible; something may have been written then.
    fn write_direct(&self, offset: u64, bytes: &[u8]) -> bool {
        // Whatever is wrong, a write through the cache is what tells it.
        self.direct(offset, bytes).is_some_and(|file| os::write_all(file, bytes, offset).is_ok())
    }

    /// Reads past the page cache. False if that is not possible, or there are not as many bytes.
    fn read_direct(&self, offset: u64, bytes: &mut [u8]) -> bool {
        self.direct(offset, bytes)
            .is_some_and(|file| os::read(file, bytes, offset).is_ok_and(|read| read == bytes.len()))
    }

    fn check_sound(&self) -> Result<()> {
        let Some(first) = &*self.sync_failure.lock() else { return Ok(()) };
        Err(Error::new(ErrorKind::DeviceFailed, "an earlier sync of the file failed, so it is unknown what it holds")
            .with("path", self.path.display())
            .because(first.clone())
            .help("remove the file and write it anew"))
    }
}

impl DirectoryFile for OpenFile {
    fn len(&self) -> Result<u64> {
        let failed = |error| failure(&self.path, "looking at a file", error);
        self.file.metadata().map(|metadata| metadata.len()).map_err(failed)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        check_range(offset, bytes.len())?;
        if !self.writable {
            return Err(Error::new(ErrorKind::Config, "a write to a file that was opened for reading")
                .with("path", self.path.display()));
        }
        self.check_sound()?;
        if self.write_direct(offset, bytes) {
            return Ok(());
        }
        let failed = |error| failure(&self.path, "writing a file", error).with("offset", offset);
        os::write_all(&self.file, bytes, offset).map_err(failed)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize> {
        check_range(offset, bytes.len())?;
        if self.read_direct(offset, bytes) {
            return Ok(bytes.len());
        }
        let mut read = 0;
        while read < bytes.len() {
            let at = offset + read as u64;
            match os::read(&self.file, &mut bytes[read..], at) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failure(&self.path, "reading a file", error).with("offset", at)),
            }
        }
        Ok(read)
    }

    fn sync(&self) -> Result<()> {
        self.check_sound()?;
        self.file.sync_all().map_err(|error| {
            let error = failure(&self.path, "syncing a file", error);
            self.sync_failure.lock().get_or_insert(error).clone()
        })
    }
}

#[cfg(unix)]
mod os {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    /// Opens a file for reading; it can be synced.
    pub(super) fn open(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    /// The same file, opened once more for access past the page cache, if the system and the file system can.
    #[cfg(target_os = "linux")]
    pub(super) fn direct(file: &File, writable: bool) -> Option<File> {
        use std::os::fd::AsRawFd;
        use std::os::unix::fs::OpenOptionsExt;
        let again = format!("/proc/self/fd/{}", file.as_raw_fd());
        let flags = rustix::fs::OFlags::DIRECT.bits() as i32;
        File::options().read(true).write(writable).custom_flags(flags).open(again).ok()
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn direct(_file: &File, _writable: bool) -> Option<File> {
        None
    }

    pub(super) fn write_all(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    pub(super) fn read(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        file.read_at(bytes, offset)
    }
}

#[cfg(windows)]
mod os {
    use std::fs::File;
    use std::io;
    use std::os::windows::fs::FileExt;
    use std::path::Path;

    /// Opens a file for reading; it can be synced, for which this system wants the right to write.
    pub(super) fn open(path: &Path) -> io::Result<File> {
        File::options().read(true).write(true).open(path)
    }

    pub(super) fn direct(_file: &File, _writable: bool) -> Option<File> {
        None
    }

    /// The file system keeps its names durable by itself.
    pub(super) fn sync_directory(_path: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn write_all(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match file.seek_write(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn read(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        file.seek_read(bytes, offset)
    }
}

#[cfg(test)]
#[cfg(all(unix, not(oxifaster_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_file_whose_sync_failed_refuses_everything_that_is_to_last() {
        // The kernel refuses to sync this one, always.
        let path = PathBuf::from("/dev/null");
        let file = OpenFile::new(File::options().read(true).write(true).open(&path).unwrap(), path, true);
        file.write_at(0, b"x").unwrap();
        assert_eq!(file.sync().unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(file.sync().unwrap_err().kind(), ErrorKind::DeviceFailed);
        assert_eq!(file.write_at(0, b"x").unwrap_err().kind(), ErrorKind::DeviceFailed);
        assert_eq!(file.read_at(0, &mut [0]).unwrap(), 0);
    }
}
