//! Blocks read past the page cache.

use crate::random::mix;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes of a block, and of its alignment in files and in memory.
pub(crate) const BLOCK: usize = 4_096;

/// Files open for direct access, and how many whole blocks they have.
pub(crate) struct DirectFiles {
    files: Vec<(File, u64)>,
    blocks: u64,
}

impl DirectFiles {
    /// Opens all larger files below `directory`, or makes one of `bytes` bytes if there are none.
    pub(crate) fn open(directory: &Path, bytes: u64) -> io::Result<Self> {
        let mut found = Vec::new();
        collect(directory, &mut found)?;
        if found.is_empty() {
            std::fs::create_dir_all(directory)?;
            found.push(make(&directory.join("blocks"), bytes)?);
        }
        let mut files = Vec::new();
        for path in found {
            let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&path)?;
            let blocks = file.metadata()?.len() / BLOCK as u64;
            files.push((file, blocks));
        }
        let blocks = files.iter().map(|(_, blocks)| blocks).sum();
        Ok(Self { files, blocks })
    }

    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.blocks * BLOCK as u64
    }

    /// The file and the offset of a block that this number chooses.
    pub(super) fn block(&self, number: u64) -> (&File, u64) {
        let mut block = mix(number) % self.blocks;
        for (file, blocks) in &self.files {
            if block < *blocks {
                return (file, block * BLOCK as u64);
            }
            block -= blocks;
        }
        // The sum of all blocks is what `block` is below, so the loop has returned.
        (&self.files[0].0, 0)
    }
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let (path, metadata) = {
            let entry = entry?;
            (entry.path(), entry.metadata()?)
        };
        if metadata.is_dir() {
            collect(&path, found)?;
        } else if metadata.len() >= 1 << 20 {
            found.push(path);
        }
    }
    Ok(())
}

/// Written, not only sized: a hole would be read without the disk.
fn make(path: &Path, bytes: u64) -> io::Result<PathBuf> {
    let mut file = File::create(path)?;
    let chunk: Vec<u8> = (0..1_u64 << 17).flat_map(|word| mix(word).to_le_bytes()).collect();
    for _ in 0..bytes.div_ceil(chunk.len() as u64).max(1) {
        file.write_all(&chunk)?;
    }
    file.sync_all()?;
    Ok(path.to_path_buf())
}

/// Reads one block after the other.
pub(crate) struct DirectReader<'a> {
    files: &'a DirectFiles,
    buffer: Vec<u8>,
    start: usize,
}

impl<'a> DirectReader<'a> {
    pub(crate) fn new(files: &'a DirectFiles) -> Self {
        let buffer = vec![0; 2 * BLOCK];
        let start = buffer.as_ptr().align_offset(BLOCK);
        Self { files, buffer, start }
    }

    /// Reads the block that this number chooses, from the device.
    pub(crate) fn read(&mut self, number: u64) -> io::Result<()> {
        let (file, offset) = self.files.block(number);
        file.read_exact_at(&mut self.buffer[self.start..self.start + BLOCK], offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_made_found_again_and_read() {
        let directory = tempfile::tempdir().unwrap();
        let made = DirectFiles::open(directory.path(), 3 << 20).unwrap();
        let found = DirectFiles::open(directory.path(), 1).unwrap();
        assert_eq!((made.len(), made.bytes(), found.bytes()), (1, 3 << 20, 3 << 20));
        let mut reader = DirectReader::new(&found);
        for number in 0..100 {
            reader.read(number).unwrap();
            let (start, (_, offset)) = (reader.start, found.block(number));
            let word = offset % (1 << 20) / 8;
            assert_eq!(reader.buffer[start..start + 8], mix(word).to_le_bytes());
        }
    }
}
