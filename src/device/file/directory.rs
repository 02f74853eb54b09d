//! Opening: the directory or file is made, locked, and checked against what it was created with.

use super::files::{NAME, list_segments};
use super::segment_file::io_error;
use super::{FileSystemDiskOptions, SEGMENT_SIZE_MULTIPLE, os};
use crate::error::{Error, ErrorKind, Result};
use crate::utility::make_directory;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// Its lock is the device's lock; its text says how large a segment is.
const LOCK_NAME: &str = "LOCK";
const LOCK_FIELD: &str = "segment_size ";
/// More than any text we write there.
const LOCK_LEN_MAX: u64 = 64;

/// Locks `directory`, which is made if need be, and settles the size of its segments.
pub(super) fn open(directory: &Path, wanted: Option<u64>) -> Result<(File, u64)> {
    create_directory(directory)?;
    let path = directory.join(LOCK_NAME);
    let mut options = os::read_and_write();
    options.create(true);
    let mut lock = match os::open_locked(&options, &path) {
        Ok(Some(lock)) => lock,
        Ok(None) => return Err(busy(directory)),
        Err(error) => return Err(io_error("locking the directory of the device", &path, error)),
    };
    let size = match read_segment_size(&mut lock, directory, &path)? {
        Some(size) => size,
        None => {
            let size = wanted.unwrap_or(FileSystemDiskOptions::SEGMENT_SIZE_DEFAULT);
            check_segments_fit(directory, size)?;
            record_segment_size(&mut lock, directory, size).map_err(|error| io_error("writing", &path, error))?;
            size
        }
    };
    match wanted {
        Some(wanted) if wanted != size => {
            Err(Error::new(ErrorKind::Config, "the device was created with segments of another size")
                .with("directory", directory.display())
                .with("segment_size", wanted)
                .with("created_with", size)
                .help("leave the segment size open to use what is there"))
        }
        _ => Ok((lock, size)),
    }
}

/// Opens `directory` for somebody who only reads, also while another writes: nothing is made, nothing is locked.
pub(super) fn open_to_read(directory: &Path) -> Result<(File, u64)> {
    let path = directory.join(LOCK_NAME);
    let mut lock = os::read_only().open(&path).map_err(|error| no_device(directory, &path, error))?;
    let size = read_segment_size(&mut lock, directory, &path)?;
    Ok((lock, size.unwrap_or(FileSystemDiskOptions::SEGMENT_SIZE_DEFAULT)))
}

/// The same for a single file; its length as it is now.
pub(super) fn open_single_to_read(path: &Path) -> Result<(File, u64)> {
    let file = os::read_only().open(path).map_err(|error| no_device(path, path, error))?;
    let len = file.metadata().map_err(|error| io_error("opening the file of the device", path, error))?.len();
    Ok((file, len))
}

#[cold]
fn no_device(place: &Path, path: &Path, error: io::Error) -> Error {
    if error.kind() != io::ErrorKind::NotFound {
        return io_error("opening the device", path, error);
    }
    Error::new(ErrorKind::NotFound, "there is no device to read here")
        .with("path", place.display())
        .help("name the directory or file of a device that was written to")
}

/// Opens and locks the file at `path`, which is made if need be; returns its length.
pub(super) fn open_single(path: &Path) -> Result<(File, u64)> {
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Error::new(ErrorKind::Config, "a device in a single file needs a regular file")
            .with("path", path.display())
            .help("name a file, or open the path as a directory"));
    }
    let mut options = os::read_and_write();
    options.create(true);
    let failed = |error| io_error("opening the file of the device", path, error);
    let file = os::open_locked(&options, path).map_err(failed)?.ok_or_else(|| busy(path))?;
    let len = file.metadata().map_err(failed)?.len();
    Ok((file, len))
}

pub(super) fn check_segment_size(size: u64) -> Result<()> {
    if size > 0 && size.is_multiple_of(SEGMENT_SIZE_MULTIPLE) && size <= i64::MAX as u64 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Config, "the size of a segment file is not possible")
        .with("segment_size", size)
        .help("choose a multiple of 4096 above zero"))
}

#[cold]
fn busy(path: &Path) -> Error {
    Error::new(ErrorKind::Busy, "the device is in use")
        .with("path", path.display())
        .help("close the store that uses it, in this process or another")
}

/// Makes `directory` and its missing ancestors, durably.
fn create_directory(directory: &Path) -> Result<()> {
    match fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            return Err(Error::new(ErrorKind::Config, "a device of segments needs a directory")
                .with("path", directory.display())
                .help("name a directory, or open the path as a single file"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_error("looking for the directory of the device", directory, error)),
    }
    make_directory(directory, os::sync_directory)
        .map_err(|error| io_error("creating the directory of the device", directory, error))
}

/// The segment size that the directory was created with; `None` if it was not recorded (yet).
fn read_segment_size(lock: &mut File, directory: &Path, path: &Path) -> Result<Option<u64>> {
    let mut text = Vec::new();
    let read = lock.take(LOCK_LEN_MAX).read_to_end(&mut text);
    read.map_err(|error| io_error("reading the segment size of the device", path, error))?;
    if text.is_empty() {
        return Ok(None);
    }
    let recorded = std::str::from_utf8(&text)
        .ok()
        .and_then(|text| text.strip_prefix(LOCK_FIELD)?.strip_suffix('\n')?.parse().ok())
        .filter(|size| check_segment_size(*size).is_ok());
    // The record is durable before the first segment is made, so without segments it is one that a crash cut short.
    if recorded.is_some() || list_segments(directory)?.is_empty() {
        return Ok(recorded);
    }
    Err(Error::new(ErrorKind::Corrupt, "the record of the segment size makes no sense")
        .with("file", path.display())
        .with("expected", "segment_size and a multiple of 4096")
        .with("found", String::from_utf8_lossy(&text).escape_debug())
        .help("write the size the device was created with into the file, or restore it"))
}

/// Records the size durably, before the first segment is written.
fn record_segment_size(lock: &mut File, directory: &Path, size: u64) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(format!("{LOCK_FIELD}{size}\n").as_bytes())?;
    lock.sync_all()?;
    os::sync_directory(directory)
}

/// Segments without a record (it was removed): at least none may be larger than `size`.
fn check_segments_fit(directory: &Path, size: u64) -> Result<()> {
    for segment in list_segments(directory)? {
        let path = directory.join(NAME.file_name(segment));
        let len = fs::metadata(&path).map_err(|error| io_error("looking at a file of the device", &path, error))?.len();
        if len > size {
            return Err(Error::new(ErrorKind::Config, "a segment file is larger than a segment")
                .with("file", path.display())
                .with("length", len)
                .with("segment_size", size)
                .help("open the device with the segment size it was created with"));
        }
    }
    Ok(())
}
