//! Storage that breaks its promises, to see that it is found out.

use crate::SimDisk;
use oxifaster::Result;
use oxifaster::device::{CompletionSink, DeviceInfo, IoChannel, IoDone, IoOp, IoRequest, StorageDevice, Token};
use oxifaster::directory::{Directory, DirectoryFile};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What storage does wrong while it says that all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageFlaw {
    /// Files are not synced.
    SkipsFileSync,
    /// A failed sync of a file is reported as a success.
    OverlooksFailedFileSync,
    /// Names are not synced.
    SkipsDirectorySync,
    /// A failed sync of names is reported as a success.
    OverlooksFailedDirectorySync,
    /// A file gets its new name by being written once more under it.
    CopiesInsteadOfRenaming,
    /// Files are removed before the sync that was asked for comes.
    SyncsNamesAfterRemovals,
    /// The disk is not synced.
    SkipsDiskSync,
    /// A failed sync of the disk is reported as a success.
    OverlooksFailedDiskSync,
    /// A failed write to the disk is reported as a success.
    OverlooksFailedDiskWrite,
}

impl StorageFlaw {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::SkipsFileSync,
        Self::OverlooksFailedFileSync,
        Self::SkipsDirectorySync,
        Self::OverlooksFailedDirectorySync,
        Self::CopiesInsteadOfRenaming,
        Self::SyncsNamesAfterRemovals,
        Self::SkipsDiskSync,
        Self::OverlooksFailedDiskSync,
        Self::OverlooksFailedDiskWrite,
    ];

    /// What it breaks, in a line.
    pub const fn what(self) -> &'static str {
        match self {
            Self::SkipsFileSync => "Files are not synced.",
            Self::OverlooksFailedFileSync => "A failed sync of a file is reported as a success.",
            Self::SkipsDirectorySync => "Names are not synced.",
            Self::OverlooksFailedDirectorySync => "A failed sync of names is reported as a success.",
            Self::CopiesInsteadOfRenaming => "A new name appears with parts of the bytes.",
            Self::SyncsNamesAfterRemovals => "Files are removed before the removal of their manifest is durable.",
            Self::SkipsDiskSync => "The disk is not synced.",
            Self::OverlooksFailedDiskSync => "A failed sync of the disk is reported as a success.",
            Self::OverlooksFailedDiskWrite => "A failed write to the disk is reported as a success.",
        }
    }
}

type SharedFile = Arc<dyn DirectoryFile>;

/// The flaw of a run's storage, if it has one, and what it has put off.
#[derive(Clone, Default)]
pub(super) struct Flawed {
    flaw: Option<StorageFlaw>,
    names_are_late: Arc<AtomicBool>,
}

impl Flawed {
    pub(super) fn new(flaw: Option<StorageFlaw>) -> Self {
        Self { flaw, ..Self::default() }
    }

    pub(super) fn sync_file(&self, file: &SharedFile) -> Result<()> {
        match self.flaw {
            Some(StorageFlaw::SkipsFileSync) => Ok(()),
            Some(StorageFlaw::OverlooksFailedFileSync) => file.sync().or(Ok(())),
            _ => file.sync(),
        }
    }

    pub(super) fn sync_names(&self, directory: &dyn Directory) -> Result<()> {
        match self.flaw {
            Some(StorageFlaw::SkipsDirectorySync) => Ok(()),
            Some(StorageFlaw::OverlooksFailedDirectorySync) => directory.sync().or(Ok(())),
            Some(StorageFlaw::SyncsNamesAfterRemovals) => {
                // The names that a rename gave are made durable; a removal is left to the next sync.
                if self.names_are_late.swap(false, Ordering::Relaxed) { Ok(()) } else { directory.sync() }
            }
            _ => directory.sync(),
        }
    }

    pub(super) fn note_removal(&self) {
        self.names_are_late.store(true, Ordering::Relaxed);
    }

    pub(super) fn note_new_name(&self) {
        self.names_are_late.store(false, Ordering::Relaxed);
    }

    pub(super) fn rename(&self, directory: &dyn Directory, from: &str, to: &str) -> Result<()> {
        if self.flaw != Some(StorageFlaw::CopiesInsteadOfRenaming) {
            return directory.rename(from, to);
        }
        let old = directory.open(from)?;
        let mut bytes = vec![0; old.len()? as usize];
        let read = old.read_at(0, &mut bytes)?;
        directory.create(to)?.write_at(0, &bytes[..read])?;
        directory.remove(from)
    }

    /// The one who is told how an access of the disk ended.
    fn sink(&self, op: IoOp, sink: Arc<dyn CompletionSink>) -> Arc<dyn CompletionSink> {
        match (self.flaw, op) {
            (Some(StorageFlaw::OverlooksFailedDiskSync), IoOp::Sync)
            | (Some(StorageFlaw::OverlooksFailedDiskWrite), IoOp::Write) => Arc::new(Optimist { sink }),
            _ => sink,
        }
    }
}

/// A disk with the flaw of its run, if there is one.
pub(super) struct FlawedDisk {
    disk: SimDisk,
    flawed: Flawed,
}

impl FlawedDisk {
    pub(super) fn new(disk: SimDisk, flawed: Flawed) -> Self {
        Self { disk, flawed }
    }
}

impl StorageDevice for FlawedDisk {
    fn info(&self) -> DeviceInfo {
        self.disk.info()
    }

    fn submit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        if request.op == IoOp::Sync && self.flawed.flaw == Some(StorageFlaw::SkipsDiskSync) {
            return sink.complete(token, IoDone { buf: request.buf, result: Ok(0) });
        }
        let sink = self.flawed.sink(request.op, sink);
        self.disk.submit(request, sink, token);
    }

    fn poll(&self) -> usize {
        self.disk.poll()
    }

    fn channel(&self) -> Option<Box<dyn IoChannel>> {
        self.disk.channel()
    }

    fn write_through(&self, request: IoRequest, limit: Duration) -> std::result::Result<IoDone, IoRequest> {
        match self.flawed.flaw {
            None => self.disk.write_through(request, limit),
            Some(_) => Err(request),
        }
    }
}

/// Tells of no failure.
struct Optimist {
    sink: Arc<dyn CompletionSink>,
}

impl CompletionSink for Optimist {
    fn complete(&self, token: Token, mut done: IoDone) {
        let whole = done.buf.len();
        done.result = done.result.or(Ok(whole));
        self.sink.complete(token, done);
    }
}
