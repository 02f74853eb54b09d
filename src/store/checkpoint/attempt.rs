//! One attempt at a checkpoint, from its begin to its manifest.

use super::control::{CheckpointStep, Control};
use super::options::{CheckpointOptions, CheckpointReport};
use super::pace::Pace;
use super::wait::Around;
use crate::address::Address;
use crate::allocator::{BLOCK_PAYLOAD, BLOCK_SIZE, bind};
use crate::checkpoint::{
    Aborted, Catalog, CheckpointKind, CheckpointToken, IndexPart, LogPart, Manifest, Piece, Schema,
};
use crate::directory::{Directory, DirectoryFile};
use crate::error::{Error, ErrorKind, Result};
use crate::index::TableHold;
use crate::kernel::{Cut, Surroundings, closed_tail, stamp};
use crate::memory::{AlignedBuf, IoBuf};
use crate::operation::{Environment, Retry, Stall};
use crate::record::{Key, Value};
use crate::store::compact::Hold;
use crate::store::database::{Chain, Database};
use crate::store::shrink::finish_shrinking;
use crate::sync::{Arc, MutexGuard};
use crate::utility::planted;
use crate::utility::{random_bits, unix_milliseconds};
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Bytes of the log that are given to the device at a time, and how far that may be ahead of what it has written.
const STEP: u64 = 64 * BLOCK_PAYLOAD as u64;
const AHEAD: u64 = 4 * STEP;
/// How long it waits at most for the device to tell that it has written something, before it looks by itself.
const NAP: Duration = Duration::from_millis(5);

/// Wakes a thread that waits for the device.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A file whose writing is watched, paced, and stopped if nobody wants it any more.
struct Watched<'a> {
    file: Box<dyn DirectoryFile>,
    control: &'a Control,
    pace: &'a Pace<'a>,
}

impl DirectoryFile for Watched<'_> {
    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.pace.spend(bytes.len(), self.control)?;
        self.file.write_at(offset, bytes)?;
        self.control.add_bytes(bytes.len());
        Ok(())
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize> {
        self.file.read_at(offset, bytes)
    }

    fn sync(&self) -> Result<()> {
        self.file.sync()
    }
}

/// An attempt, while it has the store's turn (C3).
pub(super) struct Attempt<'a, K: Key, V: Value> {
    database: &'a Database<K, V>,
    directory: &'a dyn Directory,
    options: &'a CheckpointOptions,
    control: &'a Control,
    token: CheckpointToken,
    begun: Instant,
    /// Buckets of the index at the cut.
    buckets: u64,
    /// What the next increment is to be based on.
    chain: MutexGuard<'a, Option<Chain>>,
    /// What is copied to files passes through this.
    buffer: IoBuf,
    /// Keeps the log from where it began when the attempt did. What is moved from there meanwhile may come to lie behind the
    /// cut.
    hold: Hold,
    /// Keeps the index as it is until the cut is made: an image of a smaller table than the log's would be of no use.
    table: Option<TableHold<'a>>,
}

impl<'a, K: Key, V: Value> Attempt<'a, K, V> {
    pub(super) fn new(
        database: &'a Database<K, V>,
        directory: &'a dyn Directory,
        options: &'a CheckpointOptions,
        control: &'a Control,
    ) -> Result<Self> {
        let chain = database.chain.try_lock().ok_or_else(|| {
            Error::new(ErrorKind::Busy, "another checkpoint of this store is under way").help("wait for it to end")
        })?;
        let (token, begun) = (CheckpointToken::random(), Instant::now());
        let buffer = IoBuf::from(AlignedBuf::try_zeroed(database.checkpoint_buffer)?);
        finish_shrinking(database)?;
        let table = Some(database.kernel.index.hold(&mut database.epoch.join(), database.kernel.wait_limit())?);
        // In this order: where the index shrinks, chains come together without what was given up by then, which may be no part of this (W10).
        let hold = database.reclaim.hold(|| database.kernel.log.begin());
        Ok(Self { database, directory, options, control, token, begun, buckets: 0, chain, buffer, hold, table })
    }

    /// Takes the checkpoint. If that fails, removes what there is of it, as far as that is possible.
    pub(super) fn run(mut self) -> Result<CheckpointReport> {
        let database = self.database;
        let operations = || database.operations();
        let outcome = self.take(&Pace::new(self.options.bytes_per_second, &operations));
        self.control.enter(CheckpointStep::Over);
        if outcome.is_err() && (planted!(RemovesFilesOfFailed) || self.is_without_manifest()) {
            for left in [self.token.log_file(), self.token.index_file()] {
                let _ = self.directory.remove(&left);
            }
        }
        outcome
    }

    /// Whether no crash can bring a manifest with this token to light: one that got its name may still be there, and one that
    /// was removed may come back until the directory is synced. Its files are left alone then; a sweep removes them.
    fn is_without_manifest(&self) -> bool {
        let manifest = self.directory.open(&self.token.manifest_file());
        manifest.is_err_and(|error| error.kind() == ErrorKind::NotFound) && self.directory.sync().is_ok()
    }

    fn take(&mut self, pace: &Pace<'_>) -> Result<CheckpointReport> {
        let wanted = self.kind();
        self.check_device(wanted)?;
        if wanted == CheckpointKind::Incremental && !planted!(BuildsOnRemovedBase) {
            self.forget_base_if_removed()?;
        }
        // What an image leads to, and what is replayed on top of it, stays where it is until the cut.
        let pause = self.database.kernel.log.pause_spares();
        let index = if self.takes_image(wanted) { Some(self.take_image(pace)?) } else { None };
        let mut manifest = Manifest {
            token: self.token,
            kind: wanted,
            version: self.database.kernel.versions.current(),
            created: unix_milliseconds(),
            base: None,
            schema: Schema::of::<K, V>(self.database.kernel.log.geometry().page().page_bits()),
            log: None,
            index,
            sessions: Vec::new(),
        };
        let (mut cut_took, mut next_chain) = (Duration::ZERO, None);
        if wanted != CheckpointKind::Index {
            self.control.enter(CheckpointStep::Cut);
            let began = Instant::now();
            let closed = self.database.kernel.log.safe_read_only();
            let cut = self.cut(&mut manifest)?;
            cut_took = began.elapsed();
            self.buckets = self.database.kernel.index.config().buckets;
            self.table = None;
            drop(pause);
            self.control.enter(CheckpointStep::Log);
            next_chain = self.keep_log(cut, &mut manifest, pace)?;
            // What is changed in place afterwards is not what it holds. Only a fold-over closes all of it.
            if let Some(log) = manifest.log.as_mut().filter(|_| wanted != CheckpointKind::FoldOver) {
                log.closed = Some(log.start.min(closed));
            }
        }
        self.control.enter(CheckpointStep::Manifest);
        self.control.check()?;
        // Before it is there: if writing it fails, it may be there all the same after a crash.
        self.database.reclaim.note_checkpoint(self.directory.place(), manifest.log.as_ref());
        Catalog::new(self.directory).write(&manifest)?;
        // Only now: an increment to a checkpoint that is not there would be worth nothing.
        if let Some(chain) = next_chain {
            *self.chain = Some(chain);
        }
        self.database.forget_ended_before(&manifest.sessions);
        if let Some(log) = &manifest.log {
            self.database.checkpointed.advance_to(log.closed.unwrap_or(log.start).get());
        }
        self.retain(&manifest)?;
        Ok(CheckpointReport {
            token: manifest.token,
            kind: manifest.kind,
            version: manifest.version,
            sessions: manifest.sessions,
            file_bytes: self.control.progress().file_bytes,
            took: self.begun.elapsed(),
            cut_took,
        })
    }

    fn around(&self) -> Around<'a, K, V> {
        Around { database: self.database, control: self.control }
    }

    fn cut(&self, manifest: &mut Manifest) -> Result<Cut<'a, K, V>> {
        let database = self.database;
        // What is in the base is not changed in place, or the next increment would miss it.
        let kept_below = self.chain.as_ref().map_or(Address::INVALID, |chain| chain.end);
        let cut = Cut::make(&database.kernel, &database.epoch, &self.around(), kept_below, |version| {
            manifest.sessions = database.cut_sessions_before(version);
        })?;
        manifest.version = cut.version();
        Ok(cut)
    }

    /// The kind that is taken. With a durability nothing is changed in place, and the log goes to its device all the time: all
    /// kinds come to the same, and the one without files takes the least.
    fn kind(&self) -> CheckpointKind {
        match self.options.kind {
            CheckpointKind::Snapshot | CheckpointKind::Incremental if self.database.committer.is_some() => {
                CheckpointKind::FoldOver
            }
            kind => kind,
        }
    }

    fn check_device(&self, wanted: CheckpointKind) -> Result<()> {
        if wanted == CheckpointKind::FoldOver && !self.database.kernel.log.device().info().readable {
            return Err(Error::new(ErrorKind::Limit, "the device keeps nothing, so there is nothing to come back to")
                .help(
                    "take a snapshot (CheckpointKind::Snapshot), or give the store a device such as FileSystemDisk",
                ));
        }
        Ok(())
    }

    fn takes_image(&self, wanted: CheckpointKind) -> bool {
        match wanted {
            CheckpointKind::Index => true,
            CheckpointKind::FoldOver | CheckpointKind::Snapshot => self.options.index,
            CheckpointKind::Incremental => self.base().is_none() && self.options.index,
        }
    }

    /// What an increment would be based on.
    fn base(&self) -> Option<&Chain> {
        // One of which everything was given up since is no base for anything.
        self.chain.as_ref().filter(|chain| chain.place == self.directory.place() && chain.end > self.hold.at())
    }

    /// A base that somebody removed, such as a later checkpoint that kept only the newest, is none: the chain begins anew.
    fn forget_base_if_removed(&mut self) -> Result<()> {
        let Some(token) = self.base().map(|base| base.token) else { return Ok(()) };
        match Catalog::new(self.directory).load(token) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                *self.chain = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn take_image(&mut self, pace: &Pace<'_>) -> Result<IndexPart> {
        self.control.enter(CheckpointStep::Index);
        self.control.check()?;
        let (around, name) = (self.around(), self.token.index_file());
        let kernel = &self.database.kernel;
        let replay_from = closed_tail(kernel, &around)?;
        around.wait_for_pins()?; // whoever allocated below has published by then
        let file = Watched { file: self.directory.create(&name)?, control: self.control, pace };
        let generation = random_bits() as u32;
        let mut participant = self.database.epoch.join();
        let size =
            kernel.index.write_image(&file, generation, &mut self.buffer, &mut participant, &|address, guard| {
                kernel.in_log(address, guard)
            })?;
        file.sync()?;
        let complete_at = closed_tail(kernel, &around)?;
        Ok(IndexPart {
            file: name,
            bytes: size.bytes,
            generation,
            buckets: size.buckets,
            overflow_buckets: size.overflow_buckets,
            generations: kernel.log.history().generations_below(complete_at),
            replay_from: if planted!(ReplaysFromTooLate) { complete_at } else { replay_from },
            complete_at,
        })
    }

    /// Has the log up to the cut kept, and makes it durable. Returns what a later increment can be based on.
    fn keep_log(&mut self, mut cut: Cut<'a, K, V>, manifest: &mut Manifest, pace: &Pace<'_>) -> Result<Option<Chain>> {
        let log = &self.database.kernel.log;
        let (start, end) = (cut.start, cut.end);
        let begin = self.hold.at();
        let mut pieces = Vec::new();
        let mut chain = None;
        let on_device;
        if manifest.kind == CheckpointKind::FoldOver {
            self.write_to(end, pace)?;
            on_device = end;
            // The log of a durable store begins without a record.
            if begin < end {
                pieces.push(Piece { from: log.geometry().block_start(begin), to: end, file: None });
            }
        } else {
            let base = self.base().cloned();
            let is_first = manifest.kind == CheckpointKind::Incremental && base.is_none();
            if is_first {
                manifest.kind = CheckpointKind::Snapshot;
            }
            let from = match &base {
                Some(base) if manifest.kind == CheckpointKind::Incremental => {
                    manifest.base = Some(base.token);
                    pieces.clone_from(&base.pieces);
                    base.end
                }
                // The log may have been written beyond the cut by now.
                _ => self.written().min(end),
            };
            if pieces.is_empty() && begin < from {
                pieces.push(Piece { from: log.geometry().block_start(begin), to: from, file: None });
            }
            on_device = from;
            if from < end {
                self.copy_log(from, end, pace)?;
                pieces.push(Piece { from, to: end, file: Some(self.token.log_file()) });
            }
            if is_first || manifest.kind == CheckpointKind::Incremental {
                // What is in the base is not changed in place any more, or the next increment would miss it.
                if !planted!(LeavesBaseMutable) {
                    cut.keep_below(end);
                }
                let (token, pieces) = (self.token, pieces.clone());
                chain = Some(Chain { token, place: self.directory.place(), end, pieces });
            }
        }
        drop(cut);
        pieces.retain(|piece| piece.to > begin);
        if let Some(first) = pieces.first_mut().filter(|first| first.file.is_none()) {
            first.from = first.from.max(log.geometry().block_start(begin));
        }
        self.control.enter(CheckpointStep::Sync);
        self.control.check()?;
        if !planted!(LeavesDeviceUnsynced) {
            log.make_durable_below(on_device, self.database.kernel.wait_limit(), || self.control.check())?;
        }
        let mut aborted = log.history().aborted_from(begin);
        if start < end {
            aborted.push(Aborted { from: start, to: end, stamp: stamp(manifest.version + 1) });
        }
        let durable = self.database.committer.is_some();
        // With a durability what is behind the cut counts too.
        let history = log.history();
        let generations = if durable { history.generations_up_to(end) } else { history.generations_below(end) };
        let buckets = self.buckets;
        manifest.log =
            Some(LogPart { begin, start, end, buckets, pieces, generations, aborted, closed: None, durable });
        Ok(chain)
    }

    /// The block boundary below which the device has everything.
    fn written(&self) -> Address {
        let log = &self.database.kernel.log;
        let flushed = log.addresses().flushed;
        if log.device().info().readable && flushed > Address::new(crate::allocator::FIRST) {
            flushed
        } else {
            Address::INVALID
        }
    }

    fn copy_log(&mut self, from: Address, to: Address, pace: &Pace<'_>) -> Result<()> {
        let file = self.directory.create(&self.token.log_file())?;
        let file = Watched { file, control: self.control, pace };
        let (mut participant, mut offset) = (self.database.epoch.join(), 0);
        let (mut number, binding) = (self.database.kernel.log.geometry().block_of(from), self.token.binding());
        let (limit, buffer) = (self.database.kernel.wait_limit(), std::mem::replace(&mut self.buffer, IoBuf::empty()));
        self.buffer = self.database.kernel.log.copy_blocks(&mut participant, (from, to), limit, buffer, |blocks| {
            for block in blocks.chunks_exact_mut(BLOCK_SIZE) {
                bind(block, number, binding);
                number += 1;
            }
            file.write_at(offset, blocks)?;
            offset += blocks.len() as u64;
            Ok(())
        })?;
        if planted!(SyncsManifestBeforeData) { Ok(()) } else { file.sync() }
    }

    /// Has the log written up to `end`, the cut, step by step.
    fn write_to(&self, end: Address, pace: &Pace<'_>) -> Result<()> {
        let log = &self.database.kernel.log;
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let (mut stall, mut seen) = (Stall::new(), Address::INVALID);
        let mut closed = log.addresses().read_only;
        loop {
            let flushed = log.addresses().flushed;
            if flushed >= end {
                return Ok(());
            }
            // No further ahead of the device than it takes to keep it busy.
            if closed < end && closed.get() < flushed.get() + AHEAD {
                pace.spend(STEP as usize, self.control)?;
                closed = Address::new(closed.get() + STEP).min(end);
                log.close_settled(closed);
                continue;
            }
            self.control.check()?;
            if flushed > seen {
                // As long as it goes on, it may take as long as there is to write.
                (seen, stall) = (flushed, Stall::new());
            }
            stall.prepare(&self.database.kernel, Retry::Room, &waker)?;
            if log.addresses().flushed == flushed {
                std::thread::park_timeout(NAP);
            }
        }
    }

    fn retain(&self, manifest: &Manifest) -> Result<()> {
        let Some(count) = self.options.keep_last else { return Ok(()) };
        let device = manifest.log.is_some().then(|| &**self.database.kernel.log.device());
        let catalog = Catalog::new(self.directory);
        catalog.keep_last(count, device)?;
        self.database.reclaim.note_checkpoints(self.directory.place(), &catalog.list()?);
        Ok(())
    }
}
