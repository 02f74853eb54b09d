//! What a world holds: the files as who uses them sees them, what is planned for them, and everything that happened.

use super::SimConfig;
use super::contents::{Contents, SECTOR, pieces};
use super::durable::{Body, Durable, Names};
use super::event::{DirectoryId, Event, FileId, Name, WriteEffect};
use super::fault::{Access, Effect, Faults, Lie};
use super::image::Image;
use super::schedule::{Accepted, Delivery, Schedule};
use super::trace::Trace;
use crate::rng::SimRng;
use oxifaster::device::{IoDone, IoOp, IoRequest};
use oxifaster::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Accesses of a disk are in units of this many bytes. A crash tears them all the same, at 512.
pub(crate) const ACCESS_SIZE: u64 = 4096;

pub(super) struct State {
    /// What was durable at first, and what was not although it was there.
    pub(super) base: Durable,
    pub(super) events: Vec<Event>,
    /// The number of the first event.
    pub(super) first: usize,
    pub(super) schedule: Schedule,
    pub(super) faults: Faults,
    pub(super) trace: Trace,
    files: Vec<FileState>,
    /// What the names mean to who looks.
    names: BTreeMap<DirectoryId, BTreeMap<Name, FileId>>,
    rng: SimRng,
    /// Whether writes are taken through.
    lots: SimRng,
    owners: u64,
}

#[derive(Debug, Default)]
struct FileState {
    contents: Contents,
    /// The first failed sync: later writes and syncs are refused.
    sync_failure: Option<Error>,
}

impl State {
    fn empty(seed: u64, config: SimConfig) -> Self {
        Self {
            base: Durable::default(),
            events: Vec::new(),
            first: 0,
            schedule: Schedule::new(config.latency, SimRng::fork(seed, "delays")),
            faults: Faults::new(SimRng::fork(seed, "faults")),
            trace: Trace::default(),
            files: Vec::new(),
            names: BTreeMap::new(),
            rng: SimRng::fork(seed, "effects"),
            lots: SimRng::fork(seed, "writes through"),
            owners: 0,
        }
    }

    pub(super) fn new(seed: u64, config: SimConfig, image: &Image) -> Self {
        let mut state = Self::empty(seed, config);
        for (name, contents) in &image.disks {
            let file = state.add_file(contents.clone());
            state.base.disks.insert(name.clone(), file);
        }
        for (place, files) in &image.directories {
            let directory = state.directory(place);
            for (name, contents) in files {
                let (file, name) = (state.add_file(contents.clone()), Name::from(name.as_str()));
                state.names.entry(directory).or_default().insert(Arc::clone(&name), file);
                state.base.names.entry(directory).or_default().entries.insert(name, file);
            }
        }
        state
    }

    /// What another process finds after one that died at event number `first - 1`.
    pub(super) fn outliving(seed: u64, config: SimConfig, base: Durable, first: usize) -> Self {
        let mut state = Self { first, names: base.visible_names(), ..Self::empty(seed, config) };
        for (file, contents) in base.visible() {
            let at = file.0 as usize;
            state.files.resize_with(state.files.len().max(at + 1), FileState::default);
            state.files[at].contents = contents;
        }
        state.base = base;
        state
    }

    /// How many events there were: the number of the next one.
    pub(super) fn now(&self) -> usize {
        self.first + self.events.len()
    }

    /// A file that is durable from the beginning.
    fn add_file(&mut self, contents: Contents) -> FileId {
        let file = FileId(self.files.len() as u32);
        self.base.files.insert(file, Body::holding(contents.clone()));
        self.files.push(FileState { contents, sync_failure: None });
        file
    }

    /// The disk of this name; it is there from the beginning, empty if the image did not have it.
    pub(super) fn disk(&mut self, name: &str) -> FileId {
        match self.base.disks.get(name) {
            Some(file) => *file,
            None => {
                let file = self.add_file(Contents::default());
                self.base.disks.insert(name.to_owned(), file);
                file
            }
        }
    }

    /// The directory of this name; it is there from the beginning, empty if the image did not have it.
    pub(super) fn directory(&mut self, place: &str) -> DirectoryId {
        match self.base.directories.get(place) {
            Some(directory) => *directory,
            None => {
                let directory = DirectoryId(self.base.directories.len() as u32);
                self.base.directories.insert(place.to_owned(), directory);
                self.base.names.insert(directory, Names::default());
                self.names.insert(directory, BTreeMap::new());
                directory
            }
        }
    }

    pub(super) fn new_owner(&mut self) -> u64 {
        self.owners += 1;
        self.owners
    }

    pub(super) fn contents(&self, file: FileId) -> &Contents {
        &self.files[file.0 as usize].contents
    }

    fn file(&mut self, file: FileId) -> &mut FileState {
        &mut self.files[file.0 as usize]
    }

    fn happen(&mut self, event: Event) {
        self.events.push(event);
    }

    fn failure(&self, access: Access, file: FileId, offset: u64, cause: super::Cause) -> Error {
        Error::new(ErrorKind::Io, "a simulated fault")
            .with("access", format_args!("{access:?}"))
            .with("file", file)
            .with("offset", offset)
            .with("event", self.now())
            .because(cause.to_io_error())
    }

    fn check_sound(&self, file: FileId) -> Result<()> {
        let Some(first) = &self.files[file.0 as usize].sync_failure else { return Ok(()) };
        Err(Error::new(ErrorKind::DeviceFailed, "an earlier sync failed, so it is unknown which writes are durable")
            .with("file", file)
            .because(first.clone()))
    }

    /// Flips bits of what is stored.
    pub(super) fn flip(&mut self, file: FileId, offset: u64, mask: u8) {
        self.trace.numbers(&[1, u64::from(file.0), offset, u64::from(mask)]);
        self.file(file).contents.flip(offset, mask);
        self.happen(Event::Flip { file, offset, mask });
    }
}

/// Disks.
impl State {
    /// Takes an access in; it is carried out when its time comes.
    pub(super) fn accept(&mut self, mut accepted: Accepted, prompt: bool) {
        let request = &accepted.request;
        let access = match request.op {
            IoOp::Read => Access::DiskRead,
            IoOp::Write => Access::DiskWrite,
            IoOp::Sync => Access::DiskSync,
            _ => Access::DiskTruncate,
        };
        self.trace.numbers(&[2, access as u64, u64::from(accepted.file.0), request.offset, request.len as u64]);
        accepted.effect = self.faults.strike(access);
        accepted.at = self.now();
        if request.op == IoOp::Write {
            let bytes = Arc::from(&request.buf[..request.len]);
            self.trace.bytes(&bytes);
            self.happen(Event::Submit { file: accepted.file, offset: request.offset, bytes });
        }
        self.schedule.accept(accepted, prompt);
    }

    pub(super) fn carry_out(&mut self, accepted: Accepted) -> Delivery {
        let Accepted { file, mut request, sink, token, at, effect, .. } = accepted;
        self.trace.numbers(&[3, u64::from(file.0), request.op as u64, request.offset]);
        let result = match request.op {
            IoOp::Read => self.read_disk(file, &mut request, effect),
            IoOp::Write => {
                self.finish_write(Access::DiskWrite, file, at, request.offset, &request.buf[..request.len], effect)
            }
            IoOp::Sync => self.sync_file(Access::DiskSync, file, at, effect).map(|()| 0),
            _ => self.truncate_before(file, request.offset, effect).map(|()| 0),
        };
        Delivery { sink, token, done: request.done(result) }
    }

    /// Carries out a write and the sync of it alone, if the lot falls so; the request otherwise.
    pub(super) fn write_through(&mut self, file: FileId, request: IoRequest) -> std::result::Result<IoDone, IoRequest> {
        if self.lots.coin() || self.check_sound(file).is_err() {
            return Err(request);
        }
        let (offset, bytes, submit) = (request.offset, Arc::<[u8]>::from(&request.buf[..request.len]), self.now());
        self.trace.numbers(&[5, u64::from(file.0), offset]);
        self.trace.bytes(&bytes);
        let [writing, syncing] = [Access::DiskWrite, Access::DiskSync].map(|access| self.faults.strike(access));
        self.happen(Event::Submit { file, offset, bytes: Arc::clone(&bytes) });
        let written = self.finish_write(Access::DiskWrite, file, submit, offset, &bytes, writing);
        let failure = match (&written, syncing) {
            (Err(failure), _) => Some(failure.clone()),
            (Ok(_), Some(Effect::Fail(cause))) => Some(self.failure(Access::DiskSync, file, offset, cause)),
            _ => None,
        };
        self.happen(Event::Through { file, submit, holds: failure.is_none() });
        self.file(file).sync_failure.clone_from(&failure);
        Ok(request.done(failure.map_or(written, Err)))
    }

    fn read_disk(&mut self, file: FileId, request: &mut IoRequest, effect: Option<Effect>) -> Result<usize> {
        let (offset, len) = (request.offset, request.len);
        check_not_truncated(self.contents(file), offset)?;
        let read = self.read(Access::DiskRead, file, offset, &mut request.buf[..len], effect)?;
        // Sectors are read whole, also the last one.
        Ok(if matches!(effect, Some(Effect::Lie(Lie::ShortRead))) {
            read / SECTOR as usize * SECTOR as usize
        } else {
            read
        })
    }

    fn truncate_before(&mut self, file: FileId, offset: u64, effect: Option<Effect>) -> Result<()> {
        if let Some(Effect::Fail(cause)) = effect {
            return Err(self.failure(Access::DiskTruncate, file, offset, cause));
        }
        self.file(file).contents.truncate_before(offset);
        self.happen(Event::TruncateBefore { file, offset });
        Ok(())
    }
}

fn check_not_truncated(contents: &Contents, offset: u64) -> Result<()> {
    if offset >= contents.begin() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Io, "an access to a part of the disk that was truncated")
        .with("offset", offset)
        .with("begin", contents.begin()))
}

/// What disks and files do alike.
impl State {
    fn read(
        &mut self,
        access: Access,
        file: FileId,
        offset: u64,
        bytes: &mut [u8],
        effect: Option<Effect>,
    ) -> Result<usize> {
        let from = match effect {
            Some(Effect::Fail(cause)) => return Err(self.failure(access, file, offset, cause)),
            Some(Effect::Lie(Lie::MisdirectedRead)) => self.elsewhere(file, offset),
            _ => offset,
        };
        let read = self.contents(file).read(from, bytes);
        let read = match effect {
            // A misdirected read has as many bytes as the place it should have read.
            Some(Effect::Lie(Lie::MisdirectedRead)) => {
                bytes[read..].fill(0);
                self.contents(file).len().saturating_sub(offset).min(bytes.len() as u64) as usize
            }
            Some(Effect::Lie(Lie::ShortRead)) if read > 0 => self.rng.index(read),
            Some(Effect::Lie(Lie::FlippedRead)) if read > 0 => {
                bytes[self.rng.index(read)] ^= 1 << self.rng.below(8);
                read
            }
            _ => read,
        };
        Ok(read)
    }

    /// Carries out the write that event `submit` began.
    fn finish_write(
        &mut self,
        access: Access,
        file: FileId,
        submit: usize,
        offset: u64,
        bytes: &[u8],
        effect: Option<Effect>,
    ) -> Result<usize> {
        let refused = self.check_sound(file).and_then(|()| check_not_truncated(self.contents(file), offset));
        let (what, result) = match (refused, effect) {
            (Err(error), _) => (WriteEffect::Part(Vec::new()), Err(error)),
            (Ok(()), Some(Effect::Fail(cause))) => {
                let error = self.failure(access, file, offset, cause);
                (WriteEffect::Part(self.some_sectors(offset, bytes.len())), Err(error))
            }
            (Ok(()), Some(Effect::Lie(Lie::LostWrite))) => (WriteEffect::Part(Vec::new()), Ok(bytes.len())),
            (Ok(()), Some(Effect::Lie(Lie::MisdirectedWrite))) => {
                (WriteEffect::Elsewhere(self.elsewhere(file, offset)), Ok(bytes.len()))
            }
            (Ok(()), _) => (WriteEffect::Whole, Ok(bytes.len())),
        };
        let contents = &mut self.file(file).contents;
        match &what {
            WriteEffect::Whole => contents.write(offset, bytes),
            WriteEffect::Elsewhere(other) => contents.write(*other, bytes),
            WriteEffect::Part(sectors) => {
                for (_, range) in (0..).zip(pieces(offset, bytes.len(), SECTOR)).filter(|(at, _)| sectors.contains(at))
                {
                    contents.write(offset + range.start as u64, &bytes[range]);
                }
            }
        }
        self.happen(Event::Complete { file, submit, effect: what });
        result
    }

    /// What a failed write may have written: nothing, everything, or some of it.
    fn some_sectors(&mut self, offset: u64, len: usize) -> Vec<u32> {
        let (all, choice) = (pieces(offset, len, SECTOR).count() as u32, self.rng.below(3));
        (0..all).filter(|_| choice == 1 || (choice == 2 && self.rng.coin())).collect()
    }

    /// Another place of the same alignment, not far away.
    fn elsewhere(&mut self, file: FileId, offset: u64) -> u64 {
        let by = ACCESS_SIZE * (1 + self.rng.below(8));
        let begin = self.contents(file).begin();
        if self.rng.coin() && offset >= begin + by { offset - by } else { offset + by }
    }

    /// Makes durable what had been written to the file before event `before`.
    fn sync_file(&mut self, access: Access, file: FileId, before: usize, effect: Option<Effect>) -> Result<()> {
        self.check_sound(file)?;
        let failure = match effect {
            Some(Effect::Fail(cause)) => Some(self.failure(access, file, 0, cause)),
            _ => None,
        };
        self.happen(Event::Sync { file, before, holds: failure.is_none() });
        self.file(file).sync_failure.clone_from(&failure);
        failure.map_or(Ok(()), Err)
    }
}

/// Directories and their files. Calls are carried out at once.
impl State {
    /// Counts a call, and says what it suffers.
    fn call(&mut self, access: Access, numbers: &[u64], names: &[&str]) -> Option<Effect> {
        self.trace.numbers(&[4, access as u64]);
        self.trace.numbers(numbers);
        names.iter().for_each(|name| self.trace.bytes(name.as_bytes()));
        self.faults.strike(access)
    }

    /// A call on names: it fails if that is planned.
    fn call_on(&mut self, access: Access, directory: DirectoryId, names: &[&str]) -> Result<()> {
        match self.call(access, &[u64::from(directory.0)], names) {
            Some(Effect::Fail(cause)) => Err(Error::new(ErrorKind::Io, "a simulated fault")
                .with("access", format_args!("{access:?}"))
                .with("directory", directory)
                .with("file", names.join(" to "))
                .with("event", self.now())
                .because(cause.to_io_error())),
            _ => Ok(()),
        }
    }

    fn names_of(&mut self, directory: DirectoryId) -> &mut BTreeMap<Name, FileId> {
        self.names.entry(directory).or_default()
    }

    fn find(&self, directory: DirectoryId, name: &str) -> Result<FileId> {
        let found = self.names.get(&directory).and_then(|names| names.get(name));
        found.copied().ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such file").with("file", name))
    }

    pub(super) fn list(&mut self, directory: DirectoryId) -> Result<Vec<String>> {
        self.call_on(Access::DirectoryList, directory, &[])?;
        let mut entries: Vec<(FileId, Name)> =
            self.names_of(directory).iter().map(|(name, file)| (*file, Arc::clone(name))).collect();
        // By age first: names may have been drawn by lot, and are others in the next run (W1).
        entries.sort_unstable();
        self.rng.shuffle(&mut entries);
        Ok(entries.into_iter().map(|(_, name)| name.to_string()).collect())
    }

    pub(super) fn create(&mut self, directory: DirectoryId, name: &str) -> Result<FileId> {
        self.call_on(Access::FileCreate, directory, &[name])?;
        if self.find(directory, name).is_ok() {
            return Err(Error::new(ErrorKind::Io, "the file is there already").with("file", name));
        }
        let (file, name) = (FileId(self.files.len() as u32), Name::from(name));
        self.files.push(FileState::default());
        self.names_of(directory).insert(Arc::clone(&name), file);
        self.happen(Event::Create { directory, name, file });
        Ok(file)
    }

    pub(super) fn open(&mut self, directory: DirectoryId, name: &str) -> Result<FileId> {
        self.call_on(Access::FileOpen, directory, &[name])?;
        self.find(directory, name)
    }

    pub(super) fn rename(&mut self, directory: DirectoryId, from: &str, to: &str) -> Result<()> {
        self.call_on(Access::FileRename, directory, &[from, to])?;
        let file = self.find(directory, from)?;
        let (from, to) = (Name::from(from), Name::from(to));
        self.names_of(directory).remove(&from);
        self.names_of(directory).insert(Arc::clone(&to), file);
        self.happen(Event::Rename { directory, from, to, file });
        Ok(())
    }

    pub(super) fn remove(&mut self, directory: DirectoryId, name: &str) -> Result<()> {
        self.call_on(Access::FileRemove, directory, &[name])?;
        if let Some(file) = self.names_of(directory).remove(name) {
            self.happen(Event::Remove { directory, name: Name::from(name), file });
        }
        Ok(())
    }

    pub(super) fn sync_names(&mut self, directory: DirectoryId) -> Result<()> {
        let result = self.call_on(Access::DirectorySync, directory, &[]);
        self.happen(Event::SyncNames { directory, holds: result.is_ok() });
        result
    }

    pub(super) fn write_file(&mut self, file: FileId, offset: u64, bytes: &[u8]) -> Result<()> {
        let effect = self.call(Access::FileWrite, &[u64::from(file.0), offset, bytes.len() as u64], &[]);
        self.trace.bytes(bytes);
        let submit = self.now();
        self.happen(Event::Submit { file, offset, bytes: Arc::from(bytes) });
        self.finish_write(Access::FileWrite, file, submit, offset, bytes, effect).map(drop)
    }

    pub(super) fn read_file(&mut self, file: FileId, offset: u64, bytes: &mut [u8]) -> Result<usize> {
        let effect = self.call(Access::FileRead, &[u64::from(file.0), offset, bytes.len() as u64], &[]);
        self.read(Access::FileRead, file, offset, bytes, effect)
    }

    pub(super) fn sync_a_file(&mut self, file: FileId) -> Result<()> {
        let effect = self.call(Access::FileSync, &[u64::from(file.0)], &[]);
        let before = self.now();
        self.sync_file(Access::FileSync, file, before, effect)
    }
}
