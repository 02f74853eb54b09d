//! One open file of a device: whole reads and writes, direct while the file system lets us.

use super::os;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::AlignedBuf;
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that is read and written at positions.
///
/// A file system has those who write where a file has no space yet wait for each other, at its end as well as in a hole. So a file gets
/// space before it is written to, a little more than it has; it never becomes shorter that way, whoever else does the same.
#[derive(Debug)]
pub(in crate::device) struct SegmentFile {
    file: File,
    path: PathBuf,
    /// Whether accesses to this file bypass the page cache.
    direct: AtomicBool,
    /// The same for the device as a whole: the first file that has to fall back speaks for those opened later.
    device_direct: Arc<AtomicBool>,
    /// It is at least as long.
    len: AtomicU64,
}

/// Bytes that a file gets in addition: a 32nd of what it has, within these bounds. At 1 GB a second the upper one is asked for every
/// 8 milliseconds, which takes some ten microseconds.
const ROOM_MIN: u64 = 64 << 10;
const ROOM_MAX: u64 = 8 << 20;

impl SegmentFile {
    pub(super) fn new(file: File, path: PathBuf, device_direct: Arc<AtomicBool>) -> Self {
        let direct = device_direct.load(Ordering::Relaxed) && os::enable_direct(&file);
        let len = AtomicU64::new(file.metadata().map_or(0, |metadata| metadata.len()));
        Self { file, path, direct: AtomicBool::new(direct), device_direct, len }
    }

    /// Reads until `buf` is full or the file ends; returns how many bytes there were.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            let at = offset + filled as u64;
            let (read, ended) = self.take_in(at, os::read_at(&self.file, &mut buf[filled..], at))?;
            filled += read;
            if ended {
                break;
            }
        }
        Ok(filled)
    }

    /// What one system call for a read at `offset` brought: how many bytes, and whether the file ends after them. No bytes
    /// without an end: the call is to be made again.
    pub(super) fn take_in(&self, offset: u64, outcome: io::Result<usize>) -> Result<(usize, bool)> {
        match outcome {
            Ok(0) => Ok((0, true)),
            // Only the end of the file cuts a direct read inside a sector, and the next one could not start there.
            Ok(read) => Ok((read, read % AlignedBuf::ALIGN != 0 && self.direct.load(Ordering::Relaxed))),
            Err(error) => match self.recover(error) {
                Ok(()) => Ok((0, false)),
                Err(error) => Err(self.failed("reading from a file of the device", offset, error)),
            },
        }
    }

    /// Writes all of `buf`.
    pub(super) fn write(&self, offset: u64, buf: &[u8]) -> Result<()> {
        let mut written = 0;
        while written < buf.len() {
            match os::write_at(&self.file, &buf[written..], offset + written as u64) {
                Ok(count) => {
                    // A direct write continues at the beginning of the sector that was cut.
                    let direct = self.direct.load(Ordering::Relaxed);
                    let whole =
                        if direct && written + count < buf.len() { count - count % AlignedBuf::ALIGN } else { count };
                    if whole == 0 {
                        return Err(self.failed(
                            "writing to a file of the device",
                            offset,
                            io::ErrorKind::WriteZero.into(),
                        ));
                    }
                    written += whole;
                }
                Err(error) => self.recover(error).map_err(|error| self.failed_to_write(offset, error))?,
            }
        }
        Ok(())
    }

    /// Has the file reach beyond what is going to be written from `begin` to `end`, but not beyond `end_max`, with space for it. If that
    /// cannot be, a write takes the space.
    pub(super) fn make_room(&self, begin: u64, end: u64, end_max: u64) {
        let len = self.len.load(Ordering::Relaxed);
        if end <= len {
            return;
        }
        let room = (end / 32).clamp(ROOM_MIN, ROOM_MAX);
        let wanted = end.saturating_add(room).next_multiple_of(ROOM_MIN).min(end_max.max(end));
        if self.len.compare_exchange(len, wanted, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            // What lies between the end of the file and `begin` is not going to be written.
            let _ = os::reserve(&self.file, begin.max(len), wanted);
        }
    }

    /// Cuts off what is behind `len`.
    pub(super) fn shorten(&self, len: u64) {
        if self.len.load(Ordering::Relaxed) > len {
            let _ = self.file.set_len(len); // else it stays, and reads as zeros
        }
    }

    /// Makes what was written durable, with the length of the file.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| io_error("syncing a file of the device", &self.path, error))
    }

    /// Frees the space from `begin` to `end`; false if the file system cannot.
    pub(super) fn punch_hole(&self, begin: u64, end: u64) -> Result<bool> {
        os::punch_hole(&self.file, begin, end - begin)
            .map_err(|error| self.failed("freeing a part of a file of the device", begin, error))
    }

    /// Ok if the access that failed with `error` can go on: after a signal, or after the file system turned out to refuse
    /// direct access, which is then given up.
    fn recover(&self, error: io::Error) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::Interrupted => Ok(()),
            io::ErrorKind::InvalidInput if self.direct.swap(false, Ordering::Relaxed) => {
                self.device_direct.store(false, Ordering::Relaxed);
                os::disable_direct(&self.file)
            }
            _ => Err(error),
        }
    }

    /// The error of a write that somebody else made.
    pub(in crate::device) fn failed_to_write(&self, offset: u64, error: io::Error) -> Error {
        self.failed("writing to a file of the device", offset, error)
    }

    #[cold]
    fn failed(&self, what: &'static str, offset: u64, error: io::Error) -> Error {
        io_error(what, &self.path, error).with("offset", offset)
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for SegmentFile {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The error of an operation on `path`, with what the reader can do about the usual causes.
#[cold]
pub(super) fn io_error(what: &'static str, path: &Path, error: io::Error) -> Error {
    let kind = error.kind();
    let failure = Error::new(ErrorKind::Io, what).with("file", path.display()).because(error);
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            failure.help("free some space and call again; nothing acknowledged is lost")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            failure.help("give the process the right to read and write there")
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &tempfile::TempDir) -> (SegmentFile, Arc<AtomicBool>) {
        let path = directory.path().join("file");
        let file = os::read_and_write().create(true).truncate(false).open(&path).unwrap();
        let device_direct = Arc::new(AtomicBool::new(true));
        (SegmentFile::new(file, path, Arc::clone(&device_direct)), device_direct)
    }

    #[test]
    fn a_direct_access_that_the_file_system_refuses_goes_through_the_page_cache() {
        let directory = tempfile::tempdir().unwrap();
        let (file, device_direct) = open(&directory);
        let was_direct = file.direct.load(Ordering::Relaxed);
        // What no file system takes directly stands for a file system that takes nothing directly.
        file.write(1, &[5; 3]).unwrap();
        assert!(!file.direct.load(Ordering::Relaxed));
        assert_eq!(device_direct.load(Ordering::Relaxed), !was_direct, "files opened later are told");
        let mut read = [0; 9];
        assert_eq!(file.read(0, &mut read).unwrap(), 4);
        assert_eq!(read, [0, 5, 5, 5, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn errors_name_the_file_and_say_what_to_do() {
        let full = io_error("writing", Path::new("/data/log.000000"), io::ErrorKind::StorageFull.into());
        let text = full.to_string();
        assert!(text.contains("/data/log.000000") && text.contains("free some space"), "{text}");
        let denied = io_error("opening", Path::new("/data"), io::ErrorKind::PermissionDenied.into()).to_string();
        assert!(denied.contains("the right to read and write"), "{denied}");
    }
}
