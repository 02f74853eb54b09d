//! A directory in memory, for tests and examples.

use super::{Directory, DirectoryFile, check_name, check_range};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Arc, Mutex};
use std::collections::BTreeMap;

type Contents = Arc<Mutex<Vec<u8>>>;

/// A directory in memory. A clone is another handle to the same files; they are gone with the last of them.
#[derive(Debug, Clone)]
pub struct MemoryDirectory {
    files: Arc<Mutex<BTreeMap<String, Contents>>>,
}

impl MemoryDirectory {
    /// An empty directory.
    pub fn new() -> Self {
        Self { files: Arc::new(Mutex::new(BTreeMap::new())) }
    }
}

impl Default for MemoryDirectory {
    fn default() -> Self {
        Self::new()
    }
}

fn missing(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, "there is no such file").with("file", name)
}

impl Directory for MemoryDirectory {
    fn names(&self) -> Result<Vec<String>> {
        Ok(self.files.lock().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        check_name(name)?;
        let mut files = self.files.lock();
        if files.contains_key(name) {
            return Err(Error::new(ErrorKind::Io, "the file is there already").with("file", name));
        }
        let contents: Contents = Arc::new(Mutex::new(Vec::new()));
        files.insert(name.to_owned(), Arc::clone(&contents));
        Ok(Box::new(MemoryFile { contents, writable: true }))
    }

    fn open(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        check_name(name)?;
        let contents = self.files.lock().get(name).cloned().ok_or_else(|| missing(name))?;
        Ok(Box::new(MemoryFile { contents, writable: false }))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        check_name(from)?;
        check_name(to)?;
        let mut files = self.files.lock();
        let contents = files.remove(from).ok_or_else(|| missing(from))?;
        files.insert(to.to_owned(), contents);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        check_name(name)?;
        self.files.lock().remove(name);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn place(&self) -> String {
        format!("memory at {:p}", Arc::as_ptr(&self.files))
    }
}

struct MemoryFile {
    contents: Contents,
    writable: bool,
}

impl DirectoryFile for MemoryFile {
    fn len(&self) -> Result<u64> {
        Ok(self.contents.lock().len() as u64)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        check_range(offset, bytes.len())?;
        if !self.writable {
            return Err(Error::new(ErrorKind::Config, "a write to a file that was opened for reading"));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let (mut contents, start) = (self.contents.lock(), offset as usize);
        let end = start + bytes.len();
        if contents.len() < end {
            let missing = end - contents.len();
            contents.try_reserve(missing).map_err(|error| {
                Error::new(ErrorKind::Limit, "there is no memory for a file of this length")
                    .with("length", end)
                    .because(error)
            })?;
            contents.resize(end, 0);
        }
        contents[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize> {
        check_range(offset, bytes.len())?;
        let contents = self.contents.lock();
        let rest = contents.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
