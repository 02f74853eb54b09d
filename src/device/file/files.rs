//! The files of a device as one space of bytes.
//!
//! * **F1** The lowest segment file marks where the device begins: before a higher one is created, or lower ones are
//!   deleted, it is there, empty if nothing was written to it. So a device that is opened again knows its beginning.
//! * **F2** A write puts its file on the list `written` before it returns, and a sync takes the list before it syncs, so
//!   it covers every write that had returned. Files on the list stay open by themselves.
//!   The first sync after opening covers every file there is: an earlier owner may have ended without one, and what it
//!   wrote counts as written once it has been read.
//! * **F3** A file that does not exist, or ends early, below the end of the device holds zeros there. So does a file behind what was
//!   written, if its owner was killed.

#[cfg(test)]
mod tests;

use super::os;
use super::segment_file::{SegmentFile, io_error};
use super::segment_name::SegmentName;
use crate::device::ahead::Ahead;
use crate::device::segments::{Part, Segments, truncated};
use crate::device::{BlockingDevice, DeviceInfo};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::AlignedBuf;
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use crate::utility::parent;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub(super) const NAME: SegmentName = SegmentName::new("log");

/// Open files beyond this number are closed again, those of the lowest segments first: a process has a limited number.
const OPEN_MAX: usize = 256;

type FileMap = BTreeMap<u64, Arc<SegmentFile>>;

/// Where the files are.
#[derive(Debug)]
pub(super) enum Place {
    /// One file per segment in a directory.
    Directory(PathBuf),
    /// One file, always open.
    Single(PathBuf),
}

#[derive(Debug)]
pub(in crate::device) struct Files {
    place: Place,
    segments: Segments,
    open: RwLock<FileMap>,
    written: Mutex<FileMap>,
    ahead: Ahead,
    /// True until the first sync: files may hold what an earlier owner wrote and did not sync.
    inherited: AtomicBool,
    /// True if a name was, or may have been, made or removed since the directory was synced.
    names_changed: AtomicBool,
    /// Below it everything was truncated; the beginning of a segment if there are several.
    begin: AtomicU64,
    end: AtomicU64,
    extent: u64,
    direct: Arc<AtomicBool>,
    /// Somebody else may be writing the files.
    read_only: bool,
    /// The file system frees whole files only.
    keeps_space: AtomicBool,
    /// Held for its lock, which keeps others away from the directory.
    _lock: Option<File>,
}

impl Files {
    /// The segment files of `directory`, which `lock` keeps others away from.
    pub(super) fn in_directory(directory: &Path, segment_size: u64, direct: bool, lock: File) -> Result<Self> {
        let segments = Segments::new(segment_size);
        let (begin, end) = measure(directory, segments)?;
        let direct = direct && os::enable_direct(&lock);
        let place = Place::Directory(directory.to_path_buf());
        Ok(Self::new(place, segments, begin, end, direct, Some(lock)))
    }

    /// The one file at `path`, which is locked already.
    pub(super) fn in_single_file(path: &Path, file: File, len: u64, direct: bool) -> Self {
        let place = Place::Single(path.to_path_buf());
        let files = Self::new(place, Segments::new(u64::MAX), 0, len, direct && os::enable_direct(&file), None);
        let file = SegmentFile::new(file, path.to_path_buf(), Arc::clone(&files.direct));
        files.open.write().unwrap_or_else(PoisonError::into_inner).insert(0, Arc::new(file));
        files
    }

    fn new(place: Place, segments: Segments, begin: u64, end: u64, direct: bool, lock: Option<File>) -> Self {
        Self {
            place,
            segments,
            open: RwLock::default(),
            written: Mutex::default(),
            ahead: Ahead::new(end),
            inherited: AtomicBool::new(true),
            names_changed: AtomicBool::new(true),
            begin: AtomicU64::new(begin),
            end: AtomicU64::new(end),
            extent: end,
            direct: Arc::new(AtomicBool::new(direct)),
            read_only: false,
            keeps_space: AtomicBool::new(false),
            _lock: lock,
        }
    }

    /// Where the device begins and ends by now, for who only reads what somebody else may be writing.
    fn look_again(&self) -> Result<()> {
        let (begin, end) = match &self.place {
            Place::Directory(directory) => measure(directory, self.segments)?,
            Place::Single(path) => (0, len_of(path)?),
        };
        self.begin.fetch_max(begin, Ordering::AcqRel);
        self.end.fetch_max(end, Ordering::AcqRel);
        Ok(())
    }

    /// The same files, of which none is changed.
    pub(super) fn only_read(mut self) -> Self {
        self.read_only = true;
        self
    }

    fn check_writable(&self) -> Result<()> {
        if !self.read_only {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, "a write to a device that was opened to be read")
            .with("path", self.path().display())
            .help("open it without FileSystemDiskOptions::with_read_only"))
    }

    pub(super) fn is_direct(&self) -> bool {
        self.direct.load(Ordering::Relaxed)
    }

    pub(super) fn path(&self) -> &Path {
        match &self.place {
            Place::Directory(path) | Place::Single(path) => path,
        }
    }

    fn segment_path(&self, segment: u64) -> PathBuf {
        match &self.place {
            Place::Directory(directory) => directory.join(NAME.file_name(segment)),
            Place::Single(path) => path.clone(),
        }
    }

    pub(super) fn check_not_truncated(&self, offset: u64) -> Result<()> {
        let begin = self.begin.load(Ordering::Acquire);
        if offset < begin { Err(truncated(offset, begin)) } else { Ok(()) }
    }

    /// How many bytes a read of `len` at `offset` will report, and how many it has to fetch for them.
    pub(super) fn begin_read(&self, offset: u64, len: usize) -> Result<(usize, usize)> {
        self.check_not_truncated(offset)?;
        let left = self.end.load(Ordering::Acquire).saturating_sub(offset);
        let available = usize::try_from(left).unwrap_or(usize::MAX).min(len);
        // Whole sectors are read also where the contents end within one, as direct access demands it.
        Ok((available, available.next_multiple_of(AlignedBuf::ALIGN).min(len)))
    }

    /// The parts of an access by segments.
    pub(super) fn parts(&self, offset: u64, len: usize) -> impl Iterator<Item = Part> + use<> {
        self.segments.parts(offset, len)
    }

    /// The file of `segment`, if it exists.
    pub(super) fn existing(&self, segment: u64) -> Result<Option<Arc<SegmentFile>>> {
        if let Some(file) = self.open.read().unwrap_or_else(PoisonError::into_inner).get(&segment) {
            return Ok(Some(Arc::clone(file)));
        }
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        self.open_segment(&mut open, segment)
    }

    /// The file of `segment`, which is created if need be.
    fn existing_or_new(&self, segment: u64) -> Result<Arc<SegmentFile>> {
        if let Some(file) = self.existing(segment)? {
            return Ok(file);
        }
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        // A truncation holds the lock while it moves the beginning, so a segment it gave up is not made anew.
        self.check_not_truncated(self.segments.start_of(segment))?;
        self.create_name(self.segments.segment_of(self.begin.load(Ordering::Acquire)))?;
        self.create_name(segment)?;
        self.open_segment(&mut open, segment)?.ok_or_else(|| {
            io_error("opening a file of the device", &self.segment_path(segment), io::ErrorKind::NotFound.into())
        })
    }

    fn open_segment(&self, open: &mut FileMap, segment: u64) -> Result<Option<Arc<SegmentFile>>> {
        if let Some(file) = open.get(&segment) {
            return Ok(Some(Arc::clone(file)));
        }
        let path = self.segment_path(segment);
        let options = if self.read_only { os::read_only() } else { os::read_and_write() };
        let file = match options.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("opening a file of the device", &path, error)),
        };
        let file = Arc::new(SegmentFile::new(file, path, Arc::clone(&self.direct)));
        if open.len() >= OPEN_MAX {
            open.pop_first();
        }
        open.insert(segment, Arc::clone(&file));
        Ok(Some(file))
    }

    /// Makes an empty file for `segment` unless it has one.
    fn create_name(&self, segment: u64) -> Result<()> {
        let path = self.segment_path(segment);
        match os::read_and_write().create_new(true).open(&path) {
            Ok(_) => {
                self.names_changed.store(true, Ordering::Release);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(io_error("creating a file of the device", &path, error)),
        }
    }

    /// Sees to it that a part of a write finds space in its file.
    fn prepare(&self, file: &SegmentFile, part: &Part) {
        let (len, segment_size) = (part.bytes.len() as u64, self.segments.size());
        let (start, end) = (self.segments.start_of(part.segment), part.offset + len);
        file.make_room(part.offset, end, segment_size);
        self.ahead.before_write(start + end, len, start.saturating_add(segment_size), |from, zeros| {
            let from = from - start;
            file.make_room(from, from + zeros.len() as u64, segment_size);
            file.write(from, zeros)
        });
    }

    /// The file, and the place in it, for a write of `len` bytes at `offset` that is to be durable by itself: `None` if more is to be done
    /// for it than to write these bytes, or more has to be durable than what it writes.
    #[cfg(all(target_os = "linux", feature = "io_uring"))]
    pub(in crate::device) fn place_to_write_through(&self, offset: u64, len: usize) -> Option<(Arc<SegmentFile>, u64)> {
        let is_open = !self.read_only && self.check_not_truncated(offset).is_ok();
        // Names count as changed until the first sync as well, which covers what an earlier owner may have left.
        let is_settled = !self.names_changed.load(Ordering::Acquire);
        let mut parts = self.parts(offset, len);
        let (Some(part), None) = (parts.next(), parts.next()) else { return None };
        let file = Arc::clone(self.open.read().unwrap_or_else(PoisonError::into_inner).get(&part.segment)?);
        let may_be = is_open && is_settled && self.is_direct() && self.ahead.is_ready(offset + len as u64);
        may_be.then_some((file, part.offset))
    }

    /// Notes that the device holds something up to `end`.
    pub(in crate::device) fn note_end(&self, end: u64) {
        self.end.fetch_max(end, Ordering::AcqRel);
    }

    fn mark_written(&self, segment: u64, file: &Arc<SegmentFile>) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        // A file that was closed and opened again in between counts as the same: a sync of either covers both.
        written.entry(segment).or_insert_with(|| Arc::clone(file));
    }

    fn sync_inherited(&self) -> Result<()> {
        if !self.inherited.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let segments = match &self.place {
            Place::Directory(directory) => list_segments(directory)?,
            Place::Single(_) => vec![0],
        };
        for segment in segments {
            if let Some(file) = self.existing(segment)? {
                file.sync()?;
            }
        }
        Ok(())
    }

    fn sync_names(&self) -> Result<()> {
        if !self.names_changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let directory = match &self.place {
            Place::Directory(directory) => directory.as_path(),
            Place::Single(path) => parent(path),
        };
        os::sync_directory(directory).map_err(|error| io_error("syncing the directory of the device", directory, error))
    }

    /// Deletes the files of segments below that of `offset`, and frees the part of that one below `offset`. The segment with
    /// the end of the device stays.
    fn delete_segments(&self, directory: &Path, offset: u64) -> Result<()> {
        let offset = offset.min(self.end.load(Ordering::Acquire));
        let first_kept = self.segments.segment_of(offset);
        {
            let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
            if self.segments.start_of(first_kept) > self.begin.load(Ordering::Acquire) {
                self.create_name(first_kept)?;
                self.begin.store(self.segments.start_of(first_kept), Ordering::Release);
                *open = open.split_off(&first_kept);
            }
        }
        for segment in list_segments(directory)?.into_iter().take_while(|segment| *segment < first_kept) {
            let path = self.segment_path(segment);
            match fs::remove_file(&path) {
                Ok(()) => self.names_changed.store(true, Ordering::Release),
                // Another truncation was quicker.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_error("deleting a file of the device", &path, error)),
            }
        }
        // The device still begins with its first file, where the freed part reads as zeros.
        self.free_part(first_kept, offset - self.segments.start_of(first_kept))
    }

    /// Frees the space of the first `len` bytes of a file, as far as the file system can.
    fn free_part(&self, segment: u64, len: u64) -> Result<()> {
        let len = len & !(AlignedBuf::ALIGN as u64 - 1);
        match self.existing(segment)? {
            Some(file) if len > 0 => match file.punch_hole(0, len)? {
                true => Ok(()),
                false => {
                    self.keeps_space.store(true, Ordering::Relaxed);
                    Ok(())
                }
            },
            _ => Ok(()),
        }
    }

    /// True if the file system has refused to free a part of a file.
    pub(super) fn keeps_space(&self) -> bool {
        self.keeps_space.load(Ordering::Relaxed)
    }

    /// Frees the space below `offset` in the only file.
    fn free_front(&self, offset: u64) -> Result<()> {
        let end = self.end.load(Ordering::Acquire);
        let target = offset.min(end) & !(AlignedBuf::ALIGN as u64 - 1);
        self.begin.fetch_max(target, Ordering::AcqRel);
        self.free_part(0, target)
    }
}

impl BlockingDevice for Files {
    fn info(&self) -> DeviceInfo {
        // What cannot be looked at now is as it was: whoever reads there is told why.
        let extent = match self.read_only && self.look_again().is_ok() {
            true => self.end.load(Ordering::Acquire),
            false => self.extent,
        };
        let begin = self.begin.load(Ordering::Acquire);
        DeviceInfo::new(AlignedBuf::ALIGN).with_extent(extent).with_begin(begin)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let (available, len) = self.begin_read(offset, buf.len())?;
        for part in self.parts(offset, len) {
            let target = &mut buf[part.bytes];
            let filled = match self.existing(part.segment)? {
                Some(file) => file.read(part.offset, target)?,
                None => 0,
            };
            target[filled..].fill(0);
        }
        // A truncation moves the beginning before it deletes: whoever still finds it below read no deleted zeros.
        self.check_not_truncated(offset)?;
        Ok(available)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        self.check_writable()?;
        self.check_not_truncated(offset)?;
        for part in self.parts(offset, buf.len()) {
            let file = self.existing_or_new(part.segment)?;
            self.prepare(&file, &part);
            file.write(part.offset, &buf[part.bytes])?;
            self.mark_written(part.segment, &file);
        }
        self.note_end(offset + buf.len() as u64);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.check_writable()?;
        self.ahead.before_sync();
        let written = std::mem::take(&mut *self.written.lock().unwrap_or_else(PoisonError::into_inner));
        for file in written.values() {
            file.sync()?;
        }
        self.sync_inherited()?;
        self.sync_names()
    }

    fn truncate_before(&self, offset: u64) -> Result<()> {
        self.check_writable()?;
        match &self.place {
            Place::Directory(directory) => self.delete_segments(directory, offset),
            Place::Single(_) => self.free_front(offset),
        }
    }
}

/// The last file ends where the device does. Who is killed leaves zeros behind that.
impl Drop for Files {
    fn drop(&mut self) {
        let end = self.end.load(Ordering::Acquire);
        let last = self.segments.segment_of(end.saturating_sub(1));
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(&last).filter(|_| !self.read_only && end > 0) {
            file.shorten(end - self.segments.start_of(last));
        }
    }
}

/// Where the device in `directory` begins and ends.
fn measure(directory: &Path, segments: Segments) -> Result<(u64, u64)> {
    let found = list_segments(directory)?;
    let (Some(first), Some(last)) = (found.first(), found.last()) else { return Ok((0, 0)) };
    let len = len_of(&directory.join(NAME.file_name(*last)))?;
    Ok((segments.start_of(*first), segments.start_of(*last).saturating_add(len)))
}

fn len_of(path: &Path) -> Result<u64> {
    let metadata = fs::metadata(path).map_err(|error| io_error("looking at a file of the device", path, error))?;
    Ok(metadata.len())
}

/// The segments that have a file in `directory`, in order.
pub(super) fn list_segments(directory: &Path) -> Result<Vec<u64>> {
    let failed = |error| io_error("listing the directory of the device", directory, error);
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        segments.extend(entry.map_err(failed)?.file_name().to_str().and_then(|name| NAME.parse(name)));
    }
    segments.sort_unstable();
    Ok(segments)
}
