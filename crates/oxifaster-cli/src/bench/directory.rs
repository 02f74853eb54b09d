//! Where the store's files lie.

use super::signal::Interrupt;
use crate::failure::Failure;
use std::io;
use std::path::{Path, PathBuf};

/// A directory for one benchmark: a temporary one is removed when this is dropped, one that the user named is kept.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    temporary: Option<tempfile::TempDir>,
}

impl Directory {
    /// A fresh directory under the system's temporary directory.
    pub(crate) fn temporary(interrupt: &Interrupt) -> Result<Self, Failure> {
        let parent = std::env::temp_dir();
        let directory = tempfile::Builder::new()
            .prefix("oxifaster-bench-")
            .tempdir_in(&parent)
            .map_err(|error| Failure::path("making a directory in", &parent, error))?;
        interrupt.guard(directory.path());
        Ok(Self { path: directory.path().to_owned(), temporary: Some(directory) })
    }

    /// The directory `path`, which must be empty or not exist yet.
    pub(crate) fn named(path: &Path) -> Result<Self, Failure> {
        match std::fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {}
            Ok(false) => {
                let what = format!("directory {} is not empty", path.display());
                return Err(Failure::usage(what, "give --dir an empty or a new one, for nothing in it is overwritten"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::fs::create_dir_all(path).map_err(|error| Failure::path("making the directory", path, error))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                let what = format!("{} is not a directory", path.display());
                return Err(Failure::usage(what, "give --dir an empty directory or a new name"));
            }
            Err(error) => return Err(Failure::path("reading the directory", path, error)),
        }
        Ok(Self { path: path.to_owned(), temporary: None })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.temporary.is_none()
    }

    /// Refuses to begin if the file system has less than `needed` bytes free.
    pub(crate) fn require_space(&self, needed: u64) -> Result<(), Failure> {
        match free_space(&self.path) {
            Some(free) if free < needed => {
                let (needed, free) = (crate::units::size(needed), crate::units::size(free));
                let what = format!("the records need {needed} of disk, {} has {free} free", self.path.display());
                Err(Failure::usage(what, "name a place with --dir or lower --records"))
            }
            _ => Ok(()),
        }
    }

    /// Bytes that the files in it occupy.
    pub(crate) fn bytes(&self) -> u64 {
        occupied(&self.path).unwrap_or(0)
    }

    /// Whether its file system keeps its files in memory, where a disk would be measured in vain.
    pub(crate) fn is_in_memory(&self) -> bool {
        in_memory(&self.path)
    }

    /// Removes a temporary directory now and says whether that worked.
    pub(crate) fn close(self) -> Result<(), Failure> {
        let Self { path, temporary } = self;
        match temporary {
            Some(temporary) => temporary.close().map_err(|error| Failure::path("removing", &path, error)),
            None => Ok(()),
        }
    }
}

/// Bytes that the files in a directory take on its disk.
pub(crate) fn occupied(path: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { occupied(&entry.path())? } else { file_bytes(&metadata) };
    }
    Ok(bytes)
}

#[cfg(unix)]
fn file_bytes(metadata: &std::fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    metadata.blocks() * 512
}

#[cfg(not(unix))]
fn file_bytes(metadata: &std::fs::Metadata) -> u64 {
    metadata.len()
}

#[cfg(unix)]
fn free_space(path: &Path) -> Option<u64> {
    rustix::fs::statvfs(path).ok().map(|volume| volume.f_bavail.saturating_mul(volume.f_frsize))
}

#[cfg(not(unix))]
fn free_space(_path: &Path) -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
fn in_memory(path: &Path) -> bool {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    rustix::fs::statfs(path).is_ok_and(|volume| volume.f_type as u64 == TMPFS_MAGIC)
}

#[cfg(not(target_os = "linux"))]
fn in_memory(_path: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_directory_goes_with_its_owner() {
        let directory = Directory::temporary(&Interrupt::default()).unwrap();
        let path = directory.path().to_owned();
        std::fs::write(path.join("file"), vec![1; 10_000]).unwrap();
        assert!(directory.bytes() >= 10_000 && !directory.is_kept());
        directory.close().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_named_directory_is_made_if_need_be_and_kept() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("new/one");
        let directory = Directory::named(&path).unwrap();
        assert!(directory.is_kept());
        directory.close().unwrap();
        assert!(path.is_dir());
        assert!(Directory::named(&path).is_ok(), "an empty directory will do");
    }

    #[test]
    fn what_is_there_already_is_never_touched() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("precious");
        std::fs::write(&file, "data").unwrap();
        for path in [parent.path(), &file] {
            let failure = Directory::named(path).unwrap_err();
            assert!(matches!(failure, Failure::Usage { .. }), "{failure}");
        }
        assert_eq!(std::fs::read(&file).unwrap(), b"data");
    }

    #[test]
    fn too_little_space_is_noticed_before_anything_is_written() {
        let directory = Directory::temporary(&Interrupt::default()).unwrap();
        assert!(directory.require_space(1).is_ok());
        if cfg!(unix) {
            let failure = directory.require_space(u64::MAX).unwrap_err();
            assert!(failure.to_string().contains("--dir"), "{failure}");
        }
    }
}
