//! The simulated directory.

use crate::world::{DirectoryId, FileId, SimWorld};
use oxifaster::directory::{Directory, DirectoryFile, check_name, check_range};
use oxifaster::{Error, ErrorKind, Result};

/// A directory of a [`SimWorld`]. A clone is another handle to it.
#[derive(Debug, Clone)]
pub struct SimDirectory {
    world: SimWorld,
    directory: DirectoryId,
    name: String,
}

impl SimDirectory {
    pub(crate) fn new(world: SimWorld, directory: DirectoryId, name: &str) -> Self {
        Self { world, directory, name: name.to_owned() }
    }

    fn file(&self, file: FileId, writable: bool) -> Box<dyn DirectoryFile> {
        Box::new(SimFile { world: self.world.clone(), file, writable })
    }
}

impl Directory for SimDirectory {
    fn names(&self) -> Result<Vec<String>> {
        self.world.list(self.directory)
    }

    fn create(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        check_name(name)?;
        self.world.create(self.directory, name).map(|file| self.file(file, true))
    }

    fn open(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        check_name(name)?;
        self.world.open(self.directory, name).map(|file| self.file(file, false))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        check_name(from)?;
        check_name(to)?;
        self.world.rename(self.directory, from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        check_name(name)?;
        self.world.remove(self.directory, name)
    }

    fn sync(&self) -> Result<()> {
        self.world.sync_names(self.directory)
    }

    fn place(&self) -> String {
        format!("simulated directory {}", self.name)
    }
}

struct SimFile {
    world: SimWorld,
    file: FileId,
    writable: bool,
}

impl DirectoryFile for SimFile {
    fn len(&self) -> Result<u64> {
        Ok(self.world.extent(self.file).1)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        check_range(offset, bytes.len())?;
        if !self.writable {
            return Err(
                Error::new(ErrorKind::Config, "a write to a file that was opened for reading").with("file", self.file)
            );
        }
        self.world.write_file(self.file, offset, bytes)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize> {
        check_range(offset, bytes.len())?;
        self.world.read_file(self.file, offset, bytes)
    }

    fn sync(&self) -> Result<()> {
        self.world.sync_file(self.file)
    }
}
