//! The directory of checkpoints and the log: opened if they are there, and never made.

use crate::failure::Failure;
use oxifaster::device::{FileSystemDisk, FileSystemDiskOptions};
use oxifaster::directory::FileDirectory;
use std::path::Path;

/// What every device of segments has in its directory.
const LOCK: &str = "LOCK";

/// The directory at `path`, which must be there.
pub(crate) fn directory(path: &Path) -> Result<FileDirectory, Failure> {
    let next = "name the directory that the checkpoints were written to";
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(FileDirectory::open(path)?),
        Ok(_) => Err(Failure::usage(format!("{} is not a directory", path.display()), next)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Failure::usage(format!("there is no directory {}", path.display()), next))
        }
        Err(error) => Err(Failure::path("opening", path, error)),
    }
}

/// The log at `path`, which must be there: a directory of segments, or one file. A store may be writing it.
pub(crate) fn log(path: &Path) -> Result<FileSystemDisk, Failure> {
    open_log(path, FileSystemDiskOptions::new().with_read_only(true))
}

/// The same, to be written.
pub(crate) fn writable_log(path: &Path) -> Result<FileSystemDisk, Failure> {
    open_log(path, FileSystemDiskOptions::new())
}

fn open_log(path: &Path, options: FileSystemDiskOptions) -> Result<FileSystemDisk, Failure> {
    let next = "give --log the directory or file that the store was opened with";
    match std::fs::metadata(path) {
        // Opening would take any directory for an empty device.
        Ok(metadata) if metadata.is_dir() && !path.join(LOCK).is_file() => {
            Err(Failure::usage(format!("{} holds no log", path.display()), next))
        }
        Ok(metadata) if metadata.is_dir() => Ok(options.open(path)?),
        Ok(_) => Ok(options.single_file(path)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Failure::usage(format!("there is no log {}", path.display()), next))
        }
        Err(error) => Err(Failure::path("opening", path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_made_where_nothing_is() {
        let parent = tempfile::tempdir().unwrap();
        let missing = parent.path().join("missing");
        let file = parent.path().join("file");
        std::fs::write(&file, "text").unwrap();
        for failure in
            [directory(&missing).err(), directory(&file).err(), log(&missing).err(), log(parent.path()).err()]
        {
            assert!(matches!(failure, Some(Failure::Usage { .. })), "{failure:?}");
        }
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1);
        assert!(log(&file).is_ok());
    }
}
