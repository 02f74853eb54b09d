//! What happens between the steps of a checkpoint: operations of sessions, whenever it calls its directory or syncs its
//! device. On one thread, so that it happens in every run of a seed.

use crate::SimDirectory;
use crate::program::flaw::{Flawed, FlawedDisk};
use oxifaster::Result;
use oxifaster::device::{CompletionSink, DeviceInfo, IoChannel, IoDone, IoOp, IoRequest, StorageDevice, Token};
use oxifaster::directory::{Directory, DirectoryFile};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

type Act = Box<dyn FnMut() + Send>;

/// A place where an act can be put, to be done whenever there is an opportunity.
#[derive(Clone, Default)]
pub(in super::super) struct Interlude(Arc<Mutex<Option<Act>>>);

impl Interlude {
    /// From now on `act` is done at every opportunity.
    pub(super) fn open(&self, act: Act) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(act);
    }

    /// From now on nothing is.
    pub(super) fn close(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// An opportunity. Within the act itself there is none.
    fn pause(&self) {
        if let Ok(mut act) = self.0.try_lock()
            && let Some(act) = &mut *act
        {
            act();
        }
    }
}

/// A disk whose syncs are opportunities.
pub(in super::super) struct InterruptedDisk {
    disk: FlawedDisk,
    interlude: Interlude,
}

impl InterruptedDisk {
    pub(super) fn new(disk: FlawedDisk, interlude: Interlude) -> Self {
        Self { disk, interlude }
    }
}

impl StorageDevice for InterruptedDisk {
    fn info(&self) -> DeviceInfo {
        self.disk.info()
    }

    fn submit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        if request.op == IoOp::Sync {
            self.interlude.pause();
        }
        self.disk.submit(request, sink, token);
    }

    fn poll(&self) -> usize {
        self.disk.poll()
    }

    fn channel(&self) -> Option<Box<dyn IoChannel>> {
        self.disk.channel()
    }

    fn write_through(&self, request: IoRequest, limit: Duration) -> std::result::Result<IoDone, IoRequest> {
        self.interlude.pause();
        self.disk.write_through(request, limit)
    }
}

/// A directory whose calls are opportunities, those on its files included.
pub(super) struct InterruptedDirectory {
    directory: SimDirectory,
    interlude: Interlude,
    flawed: Flawed,
}

impl InterruptedDirectory {
    pub(super) fn new(directory: SimDirectory, interlude: Interlude, flawed: Flawed) -> Self {
        Self { directory, interlude, flawed }
    }

    fn file(&self, file: Box<dyn DirectoryFile>) -> Box<dyn DirectoryFile> {
        Box::new(InterruptedFile {
            file: Arc::from(file),
            interlude: self.interlude.clone(),
            flawed: self.flawed.clone(),
        })
    }
}

impl Directory for InterruptedDirectory {
    fn names(&self) -> Result<Vec<String>> {
        self.interlude.pause();
        self.directory.names()
    }

    fn create(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        self.interlude.pause();
        self.directory.create(name).map(|file| self.file(file))
    }

    fn open(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        self.interlude.pause();
        self.directory.open(name).map(|file| self.file(file))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.interlude.pause();
        self.flawed.note_new_name();
        self.flawed.rename(&self.directory, from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.interlude.pause();
        self.flawed.note_removal();
        self.directory.remove(name)
    }

    fn sync(&self) -> Result<()> {
        self.interlude.pause();
        self.flawed.sync_names(&self.directory)
    }

    fn place(&self) -> String {
        self.directory.place()
    }
}

struct InterruptedFile {
    file: Arc<dyn DirectoryFile>,
    interlude: Interlude,
    flawed: Flawed,
}

impl DirectoryFile for InterruptedFile {
    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.interlude.pause();
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize> {
        self.interlude.pause();
        self.file.read_at(offset, bytes)
    }

    fn sync(&self) -> Result<()> {
        self.interlude.pause();
        self.flawed.sync_file(&self.file)
    }
}
