//! What differs between operating systems: positioned access, locks, durable directories, direct access, holes.

use std::fs::OpenOptions;

/// How every file of a device is opened.
pub(super) fn read_and_write() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
}

/// How every file of a device is opened that is only read.
pub(super) fn read_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    options
}

#[cfg(unix)]
mod files {
    use rustix::fs::{FlockOperation, flock};
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    pub(in super::super) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        file.read_at(buf, offset)
    }

    pub(in super::super) fn write_at(file: &File, buf: &[u8], offset: u64) -> io::Result<usize> {
        file.write_at(buf, offset)
    }

    /// Opens a file and takes its lock, which ends with the file; `None` if another open file holds the lock.
    pub(in super::super) fn open_locked(options: &OpenOptions, path: &Path) -> io::Result<Option<File>> {
        let file = options.open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the names in a directory durable.
    pub(in super::super) fn sync_directory(path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

#[cfg(windows)]
mod files {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::windows::fs::{FileExt, OpenOptionsExt};
    use std::path::Path;

    const ERROR_SHARING_VIOLATION: i32 = 32;

    pub(in super::super) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        file.seek_read(buf, offset)
    }

    pub(in super::super) fn write_at(file: &File, buf: &[u8], offset: u64) -> io::Result<usize> {
        file.seek_write(buf, offset)
    }

    /// Opens a file that nobody else may have open; `None` if somebody has.
    pub(in super::super) fn open_locked(options: &OpenOptions, path: &Path) -> io::Result<Option<File>> {
        match options.clone().share_mode(0).open(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The file system keeps its names durable by itself.
    pub(in super::super) fn sync_directory(_path: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod direct {
    use crate::memory::AlignedBuf;
    use rustix::fs::{AtFlags, FallocateFlags, OFlags, StatxFlags, fallocate, fcntl_getfl, fcntl_setfl, statx};
    use std::fs::File;
    use std::io;

    /// Lets accesses to `file` bypass the page cache; false if the file system cannot, or not at our alignment.
    pub(in super::super) fn enable_direct(file: &File) -> bool {
        let alignment_fits = match statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) {
            // An alignment of zero means that direct access is not supported on this file.
            Ok(stat) if stat.stx_mask & StatxFlags::DIOALIGN.bits() != 0 => {
                let alignment = stat.stx_dio_offset_align.max(stat.stx_dio_mem_align) as usize;
                stat.stx_dio_offset_align != 0 && alignment <= AlignedBuf::ALIGN
            }
            // Too old a kernel to say. Sectors of at most 4 KiB are what there is; otherwise the first access tells.
            Ok(_) | Err(_) => true,
        };
        alignment_fits && fcntl_getfl(file).and_then(|flags| fcntl_setfl(file, flags | OFlags::DIRECT)).is_ok()
    }

    /// Sends accesses to `file` through the page cache again.
    pub(in super::super) fn disable_direct(file: &File) -> io::Result<()> {
        let flags = fcntl_getfl(file)?;
        Ok(fcntl_setfl(file, flags - OFlags::DIRECT)?)
    }

    /// Gives `file` space from `begin` to `end`, which reads as zeros where nothing was written. Never shortens it.
    pub(in super::super) fn reserve(file: &File, begin: u64, end: u64) -> io::Result<()> {
        Ok(fallocate(file, FallocateFlags::empty(), begin, end.saturating_sub(begin))?)
    }

    /// Frees the space of a part of `file`, which then reads as zeros; false if the file system cannot.
    pub(in super::super) fn punch_hole(file: &File, offset: u64, len: u64) -> io::Result<bool> {
        match fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod direct {
    use std::fs::File;
    use std::io;

    /// Direct access is used on Linux only.
    pub(in super::super) fn enable_direct(_file: &File) -> bool {
        false
    }

    pub(in super::super) fn disable_direct(_file: &File) -> io::Result<()> {
        Ok(())
    }

    /// Files get space by those who write.
    pub(in super::super) fn reserve(_file: &File, _begin: u64, _end: u64) -> io::Result<()> {
        Ok(())
    }

    /// Space is given back by deleting segments; a single file keeps it here.
    pub(in super::super) fn punch_hole(_file: &File, _offset: u64, _len: u64) -> io::Result<bool> {
        Ok(false)
    }
}

pub(super) use direct::{disable_direct, enable_direct, punch_hole, reserve};
pub(super) use files::{open_locked, read_at, sync_directory, write_at};
