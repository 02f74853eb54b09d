//! A directory of the file system.

use super::{Directory, DirectoryFile};
use crate::error::{Error, ErrorKind, Result};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A directory of the file system.
#[derive(Debug)]
pub struct FileDirectory {
    path: PathBuf,
}

impl FileDirectory {
    /// The directory at `path`, which is made if it is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it can be neither opened nor made.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        std::fs::create_dir_all(&path).map_err(|error| failure(&path, "making a directory", error))?;
        Ok(Self { path })
    }
}

fn failure(path: &Path, what: &'static str, error: std::io::Error) -> Error {
    let kind = if error.kind() == std::io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Io };
    Error::new(kind, what).with("path", path.display()).because(error)
}

impl Directory for FileDirectory {
    fn names(&self) -> Result<Vec<String>> {
        let failed = |error| failure(&self.path, "listing a directory", error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_file() {
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        let path = self.path.join(name);
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        Ok(Box::new(OpenFile { file: file.map_err(|error| failure(&path, "making a file", error))?, path }))
    }

    fn open(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        let path = self.path.join(name);
        let file = File::open(&path).map_err(|error| failure(&path, "opening a file", error))?;
        Ok(Box::new(OpenFile { file, path }))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.path.join(from), self.path.join(to));
        std::fs::rename(&from, &to).map_err(|error| failure(&from, "renaming a file", error).with("to", to.display()))
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failure(&path, "removing a file", error)),
            _ => Ok(()),
        }
    }

    fn sync(&self) -> Result<()> {
        let sync = || File::open(&self.path)?.sync_all();
        sync().map_err(|error| failure(&self.path, "syncing a directory", error))
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

struct OpenFile {
    file: File,
    path: PathBuf,
}

impl DirectoryFile for OpenFile {
    fn len(&self) -> Result<u64> {
        let failed = |error| failure(&self.path, "looking at a file", error);
        self.file.metadata().map(|metadata| metadata.len()).map_err(failed)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let failed = |error| failure(&self.path, "writing a file", error).with("offset", offset);
        positioned::write_all(&self.file, bytes, offset).map_err(failed)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize> {
        let failed =
            |error, read: usize| failure(&self.path, "reading a file", error).with("offset", offset + read as u64);
        let mut read = 0;
        while read < bytes.len() {
            match positioned::read(&self.file, &mut bytes[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error, read)),
            }
        }
        Ok(read)
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(|error| failure(&self.path, "syncing a file", error))
    }
}

#[cfg(unix)]
mod positioned {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;

    pub(super) fn write_all(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    pub(super) fn read(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        file.read_at(bytes, offset)
    }
}

#[cfg(windows)]
mod positioned {
    use std::fs::File;
    use std::io;
    use std::os::windows::fs::FileExt;

    pub(super) fn write_all(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = file.seek_write(bytes, offset)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[written..];
            offset += written as u64;
        }
        Ok(())
    }

    pub(super) fn read(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        file.seek_read(bytes, offset)
    }
}
