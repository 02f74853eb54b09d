//! One attempt at a checkpoint, from its begin to its manifest.

use super::control::{CheckpointStep, Control};
use super::cut::{Cut, closed_tail, wait_for_pins};
use super::options::{CheckpointOptions, CheckpointReport};
use crate::address::Address;
use crate::allocator::BLOCK_SIZE;
use crate::checkpoint::{
    Aborted, Catalog, CheckpointKind, CheckpointToken, IndexPart, LogPart, Manifest, Piece, Schema,
};
use crate::directory::{Directory, DirectoryFile};
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::stamp;
use crate::memory::AlignedBuf;
use crate::operation::{Environment, Retry, Stall};
use crate::record::{Key, Value};
use crate::store::database::{Chain, Database};
use crate::sync::MutexGuard;
use crate::utility::planted;
use crate::utility::{random_bits, unix_milliseconds};
use std::time::{Duration, Instant};

/// Bytes of the index's image that are written at once, at most.
const IMAGE_BUFFER: usize = 1 << 20;

/// A file whose writing is watched, and stopped if nobody wants it any more.
struct Watched<'a> {
    file: Box<dyn DirectoryFile>,
    control: &'a Control,
}

impl DirectoryFile for Watched<'_> {
    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.control.check()?;
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
        Ok(Self { database, directory, options, control, token, begun, buckets: 0, chain })
    }

    /// Takes the checkpoint. If that fails, removes what there is of it, as far as that is possible.
    pub(super) fn run(mut self) -> Result<CheckpointReport> {
        let outcome = self.take();
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

    fn take(&mut self) -> Result<CheckpointReport> {
        let wanted = self.options.kind;
        self.check_device(wanted)?;
        if wanted == CheckpointKind::Incremental && !planted!(BuildsOnRemovedBase) {
            self.forget_base_if_removed()?;
        }
        // Until the cut is made: an image of a smaller table than the log's would be of no use.
        let hold =
            self.database.kernel.index.hold(&mut self.database.epoch.join(), self.database.kernel.wait_limit())?;
        let index = if self.takes_image(wanted) { Some(self.take_image()?) } else { None };
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
            let cut = Cut::make(self.database, self.control)?;
            cut_took = began.elapsed();
            self.buckets = self.database.kernel.index.config().buckets;
            drop(hold);
            manifest.version = cut.version();
            manifest.sessions = cut.sessions.clone();
            self.control.enter(CheckpointStep::Log);
            next_chain = self.keep_log(cut, &mut manifest)?;
        }
        self.control.enter(CheckpointStep::Manifest);
        self.control.check()?;
        Catalog::new(self.directory).write(&manifest)?;
        // Only now: an increment to a checkpoint that is not there would be worth nothing.
        if let Some(chain) = next_chain {
            *self.chain = Some(chain);
        }
        self.database.forget_ended_before(&manifest.sessions);
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
        self.chain.as_ref().filter(|chain| chain.place == self.directory.place())
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

    fn take_image(&mut self) -> Result<IndexPart> {
        self.control.enter(CheckpointStep::Index);
        self.control.check()?;
        let (database, name) = (self.database, self.token.index_file());
        let replay_from = closed_tail(database, self.control)?;
        wait_for_pins(database, self.control)?; // whoever allocated below has published by then
        let file = Watched { file: self.directory.create(&name)?, control: self.control };
        let generation = random_bits() as u32;
        let wanted = database.kernel.index.image_bytes().unwrap_or(IMAGE_BUFFER);
        let mut buffer = AlignedBuf::zeroed(wanted.clamp(BLOCK_SIZE, IMAGE_BUFFER));
        let size = database.kernel.index.write_image(
            &file,
            generation,
            &mut buffer,
            &mut database.epoch.join(),
            &|address, guard| database.kernel.in_log(address, guard),
        )?;
        file.sync()?;
        let complete_at = closed_tail(database, self.control)?;
        Ok(IndexPart {
            file: name,
            bytes: size.bytes,
            generation,
            buckets: size.buckets,
            overflow_buckets: size.overflow_buckets,
            generations: database.kernel.log.history().generations_below(complete_at),
            replay_from: if planted!(ReplaysFromTooLate) { complete_at } else { replay_from },
            complete_at,
        })
    }

    /// Has the log up to the cut kept, and makes it durable. Returns what a later increment can be based on.
    fn keep_log(&mut self, cut: Cut<'_, K, V>, manifest: &mut Manifest) -> Result<Option<Chain>> {
        let log = &self.database.kernel.log;
        let (start, end) = (cut.start, cut.end);
        let begin = log.begin();
        let mut pieces = Vec::new();
        let mut chain = None;
        if manifest.kind == CheckpointKind::FoldOver {
            log.close_below(end);
            cut.wait_until(|| log.safe_read_only() >= end)?;
            drop(cut);
            self.wait_for_flush(end)?;
            pieces.push(Piece { from: Address::INVALID, to: end, file: None });
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
                _ if planted!(ClaimsUnwrittenLog) => end,
                _ => self.written().min(end),
            };
            if pieces.is_empty() && from.is_valid() {
                pieces.push(Piece { from: Address::INVALID, to: from, file: None });
            }
            if from < end {
                self.copy_log(from, end)?;
                pieces.push(Piece { from, to: end, file: Some(self.token.log_file()) });
            }
            if is_first || manifest.kind == CheckpointKind::Incremental {
                // What is in the base is not changed in place any more, or the next increment would miss it.
                if !planted!(LeavesBaseMutable) {
                    log.close_below(end);
                }
                let (token, pieces) = (self.token, pieces.clone());
                chain = Some(Chain { token, place: self.directory.place(), end, pieces });
            }
            drop(cut);
        }
        self.control.enter(CheckpointStep::Sync);
        self.control.check()?;
        if !planted!(LeavesDeviceUnsynced) {
            log.sync_device(self.database.kernel.wait_limit())?;
        }
        let mut aborted = log.history().aborted_from(begin);
        if start < end && !planted!(LeavesAbortedRangeOut) {
            aborted.push(Aborted { from: start, to: end, stamp: stamp(manifest.version + 1) });
        }
        let generations = log.history().generations_below(end);
        let buckets = self.buckets;
        manifest.log = Some(LogPart { begin, start, end, buckets, pieces, generations, aborted });
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

    fn copy_log(&self, from: Address, to: Address) -> Result<()> {
        let file = Watched { file: self.directory.create(&self.token.log_file())?, control: self.control };
        let (mut participant, mut offset) = (self.database.epoch.join(), 0);
        let limit = self.database.kernel.wait_limit();
        self.database.kernel.log.copy_blocks(&mut participant, (from, to), limit, |blocks| {
            file.write_at(offset, blocks)?;
            offset += blocks.len() as u64;
            Ok(())
        })?;
        file.sync()
    }

    fn wait_for_flush(&self, end: Address) -> Result<()> {
        let mut stall = Stall::new();
        let (log, mut seen) = (&self.database.kernel.log, Address::INVALID);
        loop {
            let flushed = log.addresses().flushed;
            if flushed >= end {
                return Ok(());
            }
            self.control.check()?;
            if flushed > seen {
                // As long as it goes on, it may take as long as there is to write.
                (seen, stall) = (flushed, Stall::new());
            }
            stall.wait(&self.database.kernel, Retry::Room)?;
        }
    }

    fn retain(&self, manifest: &Manifest) -> Result<()> {
        let Some(count) = self.options.keep_last else { return Ok(()) };
        let device = manifest.log.is_some().then(|| &**self.database.kernel.log.device());
        Catalog::new(self.directory).keep_last(count, device).map(drop)
    }
}
