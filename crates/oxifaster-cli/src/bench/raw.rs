//! How fast the disk gives files when nothing is done with them: what a recovery is compared with.

use crate::failure::Failure;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Bytes that are read at a time.
const ACCESS: usize = 1 << 20;
/// What direct access asks of offsets and memory.
const ALIGN: usize = 4096;

/// Bytes a second at which the files below `directory` are read from their beginning to their end, past the page cache: by one
/// thread or by `threads`, whichever is faster.
pub(crate) fn sequential_rate(directory: &Path, threads: usize) -> Result<f64, Failure> {
    let failed = |error| Failure::path("reading the files in", directory, error);
    let mut paths = Vec::new();
    collect(directory, &mut paths).map_err(failed)?;
    let mut fastest: f64 = 0.0;
    for threads in [1, threads] {
        let began = Instant::now();
        let bytes = read_all(&paths, threads).map_err(failed)?;
        fastest = fastest.max(bytes as f64 / began.elapsed().as_secs_f64());
    }
    Ok(fastest)
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => collect(&entry.path(), paths)?,
            false => paths.push(entry.path()),
        }
    }
    Ok(())
}

fn read_all(paths: &[PathBuf], threads: usize) -> io::Result<u64> {
    let files = paths.iter().map(|path| open(path)).collect::<io::Result<Vec<_>>>()?;
    let lengths = files.iter().map(|file| Ok(file.metadata()?.len())).collect::<io::Result<Vec<_>>>()?;
    // Whoever is free takes the next piece, so that the files are read in their order.
    let pieces: Vec<(&File, u64)> = files
        .iter()
        .zip(&lengths)
        .flat_map(|(file, length)| (0..*length).step_by(ACCESS).map(move |offset| (file, offset)))
        .collect();
    let (next, read) = (AtomicUsize::new(0), AtomicU64::new(0));
    let work = || -> io::Result<()> {
        let mut buffer = vec![0; ACCESS + ALIGN];
        let skip = buffer.as_ptr().align_offset(ALIGN);
        while let Some((file, offset)) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            read.fetch_add(read_at(file, &mut buffer[skip..skip + ACCESS], *offset)? as u64, Ordering::Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        let gone = |_| io::Error::other("a thread that read has ended by a panic");
        others.into_iter().map(|other| other.join().map_err(gone)?).fold(own, Result::and)
    })?;
    Ok(read.into_inner())
}

#[cfg(target_os = "linux")]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let direct = rustix::fs::OFlags::DIRECT.bits() as i32;
    // Some file systems have no direct access.
    File::options().read(true).custom_flags(direct).open(path).or_else(|_| File::open(path))
}

#[cfg(not(target_os = "linux"))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read_by_any_number_of_threads() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("in")).unwrap();
        for (name, bytes) in [("one", 3 * ACCESS + 5), ("in/two", 4096), ("in/none", 0)] {
            std::fs::write(directory.path().join(name), vec![1; bytes]).unwrap();
        }
        let mut paths = Vec::new();
        collect(directory.path(), &mut paths).unwrap();
        for threads in [1, 3] {
            assert_eq!(read_all(&paths, threads).unwrap(), 3 * ACCESS as u64 + 5 + 4096, "{threads}");
        }
        assert!(sequential_rate(directory.path(), 2).unwrap() > 0.0);
    }
}
