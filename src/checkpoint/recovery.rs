//! Coming back to the state of a checkpoint.
//!
//! ```text
//!   manifest --> index image, or none --> replay of what lies behind it --> log: newest pages into memory
//!                                         (all threads, any order)         pieces in files: memory, or copied to the device
//! ```
//!
//! Each step checks what it reads; the first that cannot go on ends the recovery with an error, and nothing was written
//! until then. Only an image of the index that is of no use is passed over: everything is in the log as well.

use super::file_name::binding_of;
use super::log_copy::{copy_to_device, same_on_device};
use super::report::{ImageUse, RecoveryPhase, RecoveryProgress, RecoveryReport};
use super::{CheckpointToken, IndexPart, LogPart, Manifest, Schema};
use crate::address::Address;
use crate::allocator::{
    BlockReader, FIRST, History, HybridLog, LogConfig, LogGeometry, LogState, Piece, PieceFile, Pieces, ReadLimits,
    Scan, Visitor,
};
use crate::device::{IoRequest, StorageDevice, access};
use crate::directory::Directory;
use crate::epoch::LightEpoch;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{ImageSource, IndexConfig, MemIndex, Replay, Rows};
use crate::record::{Mark, Origin, RecordInfo, RecordLayout};
use crate::sync::{Arc, AtomicU64, Ordering};
use crate::utility::planted;
use crate::utility::{KeyHash, crc32c};
use std::ops::Range;
use std::time::{Duration, Instant};

/// What a recovery may use.
#[derive(Clone, Copy)]
pub(crate) struct RecoveryLimits {
    /// Threads that read and replay.
    pub(crate) threads: usize,
    /// Bytes of all their buffers.
    pub(crate) buffer_bytes: usize,
    /// How long a thread waits for one access.
    pub(crate) wait: Duration,
    /// Whether the log's memory is taken from the system while its pages are read.
    pub(crate) pretouch: bool,
}

/// A recovery under way. Its steps are called in the order in which they stand here.
pub(crate) struct Recovery<'r> {
    directory: &'r dyn Directory,
    log: &'r LogPart,
    /// What blocks carry that are put back from files.
    put_back: u32,
    layout: RecordLayout,
    epoch: Arc<LightEpoch>,
    limits: RecoveryLimits,
    tell: &'r (dyn Fn(RecoveryProgress) + Sync),
    pieces: Pieces,
    report: RecoveryReport,
}

/// What a store of these records must be like to hold what the manifest describes.
///
/// # Errors
/// [`ErrorKind::Config`] if it holds no log, or one of other records.
pub(crate) fn log_of(manifest: &Manifest, layout: RecordLayout) -> Result<&LogPart> {
    let theirs = manifest.schema.layout();
    if theirs != layout {
        let size = |size: Option<usize>| size.map_or("any".to_owned(), |size| size.to_string());
        return Err(Error::new(ErrorKind::Config, "the checkpoint holds records of another layout")
            .with("token", manifest.token)
            .with("bytes of its keys", size(theirs.key_size()))
            .with("bytes of its values", size(theirs.value_size()))
            .with("bytes of the store's keys", size(layout.key_size()))
            .with("bytes of the store's values", size(layout.value_size()))
            .with("its values may end", theirs.expires())
            .with("the store's values may end", layout.expires())
            .help("recover it with the key and value types that it was made with"));
    }
    manifest.log.as_ref().ok_or_else(|| {
        Error::new(ErrorKind::Config, "the checkpoint holds an image of the index and no log")
            .with("token", manifest.token)
            .help("recover a checkpoint of the log; the image is used for it by itself")
    })
}

/// The log that a manifest describes, where it is.
///
/// # Errors
/// [`ErrorKind::NotFound`] or [`ErrorKind::Corrupt`] names the file that is missing or of no use.
pub(crate) fn open_pieces(
    directory: &dyn Directory,
    schema: Schema,
    log: &LogPart,
    device: Arc<dyn StorageDevice>,
) -> Result<Pieces> {
    let geometry = LogGeometry::new(schema.page_bits, LogGeometry::MIN_FRAMES, 0.0)?;
    let open = |piece: &super::Piece| -> Result<Piece> {
        let file = piece.file.as_ref().map(|name| -> Result<PieceFile> {
            let file = directory.open(name).map_err(|error| error.with("directory", directory.place()))?;
            Ok(PieceFile { name: name.clone(), binding: binding_of(name), file })
        });
        Ok(Piece { from: piece.from, to: piece.to, file: file.transpose()? })
    };
    let pieces = log.pieces.iter().map(open).collect::<Result<Vec<_>>>()?;
    let history = History::new(log.generations.clone(), log.aborted.clone());
    Pieces::new(geometry, history, pieces, device)
}

impl<'r> Recovery<'r> {
    /// Opens what the manifest names, and looks whether the device holds its part.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] or [`ErrorKind::Corrupt`] names what is missing; those of the directory and the device.
    pub(crate) fn begin(
        directory: &'r dyn Directory,
        manifest: &'r Manifest,
        layout: RecordLayout,
        device: Arc<dyn StorageDevice>,
        limits: RecoveryLimits,
        tell: &'r (dyn Fn(RecoveryProgress) + Sync),
    ) -> Result<Self> {
        let log = log_of(manifest, layout)?;
        let pieces = open_pieces(directory, manifest.schema, log, device)?;
        let report = RecoveryReport::new(manifest);
        let put_back = generation_of(manifest.token, log);
        let recovery =
            Self { directory, log, put_back, layout, epoch: LightEpoch::new(), limits, tell, pieces, report };
        recovery.probe()?;
        Ok(recovery)
    }

    /// The epoch of the store that is made.
    pub(crate) fn epoch(&self) -> &Arc<LightEpoch> {
        &self.epoch
    }

    /// Reads the first and the last block of every piece: a device or file that is not the right one is found out now,
    /// and not when a key is read one day.
    fn probe(&self) -> Result<()> {
        let mut blocks = Vec::new();
        for piece in self.pieces.iter() {
            let Range { start, end } = self.pieces.blocks(piece);
            let start = start.max(self.pieces.geometry.block_of(self.log.begin));
            blocks.extend([start..(start + 1).min(end), (end - 1).max(start)..end]);
        }
        let mut reader = BlockReader::new(&self.pieces, self.reader_limits());
        let mut blocks = blocks.into_iter();
        while let Some(verified) = reader.next(|| blocks.next())? {
            reader.give_back(verified);
        }
        Ok(())
    }

    fn reader_limits(&self) -> ReadLimits {
        ReadLimits { buffer_bytes: self.limits.buffer_bytes / self.limits.threads.max(1), wait: self.limits.wait }
    }

    /// The index: from the first of `images` that is of use and what the log holds behind it; or from all of the log, then
    /// with `buckets` buckets, at least as many as there were at the cut. It has `overflow_buckets` overflow buckets, or up to
    /// `overflow_max` if it needs them.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the index does not fit; [`ErrorKind::Corrupt`] names the block that does not verify; those of
    /// the directory and the device.
    pub(crate) fn index(
        &mut self,
        images: &[IndexPart],
        buckets: u64,
        overflow_buckets: u64,
        overflow_max: u64,
    ) -> Result<MemIndex> {
        let started = Instant::now();
        let mut found = None;
        for image in images {
            self.tell(RecoveryPhase::IndexImage, 0, image.bytes);
            match self.load_image(image, overflow_max) {
                Ok((index, lowest)) => {
                    self.tell(RecoveryPhase::IndexImage, image.bytes, image.bytes);
                    self.report.bytes_verified += image.bytes;
                    self.report.image = ImageUse::Used { file: image.file.clone() };
                    found = Some((index, image.replay_from, lowest));
                    break;
                }
                Err(error) => self.report.image = ImageUse::Unusable { file: image.file.clone(), error },
            }
        }
        self.report.times.image = started.elapsed();
        let anew = || MemIndex::new(IndexConfig { buckets, overflow_buckets: overflow_max });
        let index = match found {
            Some((index, from, _)) if self.replay(&index, from)? && index.stats().saturated_buckets > 0 => {
                // P2 of replay: since the image was taken the index has grown, which took its catch-alls apart, and shrunk again.
                if let ImageUse::Used { file } = &self.report.image {
                    let error =
                        Error::new(ErrorKind::Corrupt, "an image of the index is from before it shrank, and saturated");
                    self.report.image = ImageUse::Unusable { file: file.clone(), error };
                }
                drop(index);
                let index = anew()?;
                self.replay(&index, self.log.begin)?;
                index
            }
            Some((index, _, lowest)) => {
                if lowest < self.log.begin {
                    // What an image has of keys whose newer records are gone, tombstones that hid nothing any more: the older ones of the
                    // first block are in memory, and would be found. Not before the replay: a record of a key whose chain has one end must
                    // not begin another one.
                    index.forget_below(self.log.begin);
                }
                index
            }
            None => {
                let index = anew()?;
                self.replay(&index, self.log.begin)?;
                index
            }
        };
        let index = index.with_overflow_buckets(overflow_buckets)?;
        let IndexConfig { buckets, overflow_buckets } = index.config();
        (self.report.index_buckets, self.report.overflow_buckets) = (buckets, overflow_buckets);
        Ok(index)
    }

    fn load_image(&self, image: &IndexPart, overflow_max: u64) -> Result<(MemIndex, Address)> {
        let unfit = |what| Error::new(ErrorKind::Corrupt, what).with("file", &image.file);
        if image.complete_at > self.log.end && !planted!(UsesImageBeyondEnd) || image.replay_from > image.complete_at {
            return Err(unfit("an image of the index belongs to another log")
                .with("its end", image.complete_at)
                .with("the log's end", self.log.end));
        }
        if image.buckets < self.log.buckets {
            // P1 of replay: its entries stand for several chains each.
            return Err(unfit("an image of the index is smaller than the index was at the cut")
                .with("buckets", image.buckets)
                .with("buckets at the cut", self.log.buckets));
        }
        let file = self.directory.open(&image.file)?;
        let source = ImageSource {
            name: &image.file,
            file: &*file,
            generation: image.generation,
            buckets: image.buckets,
            overflow_buckets: image.overflow_buckets,
            bytes: image.bytes,
            complete_at: image.complete_at,
        };
        let size = IndexConfig { buckets: image.buckets, overflow_buckets: overflow_max.max(image.overflow_buckets) };
        MemIndex::load_image(size, &source, self.limits.buffer_bytes)
    }

    /// Makes `index` complete from what lies in the log from `from` on. True if the index may have been resized meanwhile.
    fn replay(&mut self, index: &MemIndex, from: Address) -> Result<bool> {
        let started = Instant::now();
        let has_gap = from < self.log.begin;
        let from = from.max(self.log.begin);
        let rebuilders = (0..self.limits.threads.max(1))
            .map(|_| Rebuilder {
                replay: Replay::new(index, self.epoch.join()),
                layout: self.layout,
                begin: self.log.begin,
                meets_resizing: false,
                rows: Rows::default(),
            })
            .collect();
        let (rebuilders, bytes): (Vec<Rebuilder<'_>>, _) = self.scan(RecoveryPhase::Replay, from, rebuilders)?;
        let meets_resizing = rebuilders.iter().any(|rebuilder| rebuilder.meets_resizing);
        let (mut rows, mut records) = (Rows::default(), 0);
        for rebuilder in rebuilders {
            records += rebuilder.replay.records();
            rows.append(rebuilder.rows);
        }
        let mut replay = Replay::new(index, self.epoch.join());
        rows.whole().try_for_each(|(hash, at)| replay.add(hash, at))?;
        replay.finish()?;
        self.report.records = records + replay.records();
        self.report.replay_from = from;
        self.report.bytes_verified += bytes;
        self.report.times.replay += started.elapsed();
        Ok(has_gap || meets_resizing)
    }

    fn scan<V: Visitor>(&self, phase: RecoveryPhase, from: Address, visitors: Vec<V>) -> Result<(Vec<V>, u64)> {
        let (done, total) = (AtomicU64::new(0), AtomicU64::new(0));
        let progress = |bytes: u64| {
            let done = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            self.tell(phase, done, total.load(Ordering::Relaxed));
        };
        let scan = self.scan_of(from, &progress);
        total.store(scan.bytes(), Ordering::Relaxed);
        self.tell(phase, 0, scan.bytes());
        Ok((scan.run(visitors)?, scan.bytes()))
    }

    fn scan_of<'s>(&'s self, from: Address, progress: &'s (dyn Fn(u64) + Sync)) -> Scan<'s> {
        let range = from.min(self.log.end)..self.log.end;
        Scan { pieces: &self.pieces, layout: self.layout, range, limits: self.reader_limits(), progress }
    }

    fn tell(&self, phase: RecoveryPhase, done: u64, total: u64) {
        (self.tell)(RecoveryProgress { phase, bytes_done: done, bytes_total: total });
    }

    /// The log, with its newest pages in memory, and what was found out.
    ///
    /// What lies in files and not on the device is left in memory if it fits, to be written when its pages are; otherwise it
    /// is copied to the device first. In both cases its blocks get a generation of the checkpoint, from the first on that the device
    /// does not have already: whenever this one is recovered they are the same. They replace others on the device which a younger checkpoint may count on:
    /// that one must not take them for its own. What is there already may be what an older one counts on, and stays so. What was closed
    /// before the cut is what its own life has written there, or would have: whoever counts on that life's blocks finds them.
    ///
    /// # Errors
    /// As for [`index`](Self::index).
    pub(crate) fn log(mut self, config: LogConfig) -> Result<(HybridLog, RecoveryReport)> {
        let geometry = config.geometry;
        self.pieces.geometry = geometry;
        // Memory begins with a whole block, also if the log begins within one.
        let head = geometry.oldest_in_memory(self.log.end).max(geometry.block_start(self.log.begin));
        let flushed = self.flushed_from(head);
        let mut has_same = false;
        let settled = self.log.closed.map_or(Address::INVALID, |closed| geometry.block_start(closed));
        let mut history = self.pieces.history.with_generation(self.log.end, Address::MAX, config.generation);
        for piece in self.pieces.iter().filter(|piece| piece.file.is_some()) {
            let same = match planted!(GivesUpSharedBlocks) {
                true => piece.from,
                false => same_on_device(&self.pieces, piece, self.reader_limits())?,
            };
            has_same |= same > piece.from;
            let kept = if planted!(GivesUpSharedBlocks) { same } else { same.max(settled) };
            let generation = if planted!(KeepsGeneration) { config.generation } else { self.put_back };
            history = history.with_generation(kept, piece.to, generation);
        }
        if has_same {
            // Nobody may have seen to it so far, and from now on it is counted on: once known by its generation, it is not put back.
            access(&*self.pieces.device, IoRequest::sync(), self.limits.wait)?;
        }
        if flushed == self.log.end {
            let started = Instant::now();
            self.report.bytes_copied = copy_to_device(&self.pieces, &history, self.reader_limits(), &|done, total| {
                self.tell(RecoveryPhase::Copy, done, total);
            })?;
            self.report.times.copy = started.elapsed();
        }
        let started = Instant::now();
        let state = LogState { begin: self.log.begin, head, flushed, end: self.log.end, history };
        let (done, total) = (AtomicU64::new(0), AtomicU64::new(0));
        let progress = |bytes: u64| {
            let done = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            self.tell(RecoveryPhase::Load, done, total.load(Ordering::Relaxed));
        };
        let scan = self.scan_of(head.max(self.log.begin), &progress);
        let bytes = scan.bytes();
        total.store(bytes, Ordering::Relaxed);
        self.tell(RecoveryPhase::Load, 0, bytes);
        let RecoveryLimits { threads, pretouch, .. } = self.limits;
        let log = HybridLog::recovered(config, state, Arc::clone(&self.epoch), &scan, threads.max(1), pretouch)?;
        let mut report = self.report;
        report.bytes_verified += bytes;
        report.times.load = started.elapsed();
        Ok((log, report))
    }

    /// From where on the log will still have to be written: from the first piece in a file, if no piece behind it is on the
    /// device and all that fits above `head`, and the log does not begin within a block of theirs (L1); otherwise nothing will.
    fn flushed_from(&self, head: Address) -> Address {
        let first = self.pieces.iter().find(|piece| piece.file.is_some()).map(|piece| piece.from);
        let all_in_files = |from: Address| self.pieces.iter().all(|piece| piece.from < from || piece.file.is_some());
        match first {
            Some(from) if from.max(Address::new(FIRST)) >= head.max(self.log.begin) && all_in_files(from) => {
                from.max(Address::new(FIRST))
            }
            _ => self.log.end,
        }
    }
}

/// The generation of blocks that are put back from files of the checkpoint `token`, none of those that the log had.
fn generation_of(token: CheckpointToken, log: &LogPart) -> u32 {
    let mut generation = crc32c(&token.get().to_le_bytes());
    while log.generations.iter().any(|known| known.generation == generation) {
        generation = generation.wrapping_add(1);
    }
    generation
}

/// Makes an index complete from the records of a log.
struct Rebuilder<'i> {
    replay: Replay<'i>,
    layout: RecordLayout,
    begin: Address,
    /// There was a mark of a table.
    meets_resizing: bool,
    rows: Rows,
}

impl Visitor for Rebuilder<'_> {
    fn wants_records(&self) -> bool {
        true
    }

    #[inline]
    fn record(&mut self, at: Address, info: RecordInfo, bytes: &[u8]) -> Result<()> {
        // P3 of replay, and what was never part of the store or is no part of the checkpoint.
        let is_end = info.previous() < self.begin || planted!(LeavesTombstonesOut);
        if info.is_invalid() || (info.is_tombstone() && is_end) {
            let mark = Mark::parse(bytes).filter(|_| info.is_mark());
            self.meets_resizing |= mark.is_some_and(|mark| mark.buckets().is_some());
            return Ok(());
        }
        let hash = KeyHash::of_bytes(self.layout.key_in(bytes));
        if info.has_origin() {
            // P4.
            match Origin::in_record(bytes) {
                Some(Origin::OF_PART) => {
                    self.rows.add_part(hash, at, info.previous());
                    return Ok(());
                }
                Some(Origin::OF_LAST) => self.rows.add_last(info.previous()),
                _ => {}
            }
        }
        self.replay.add(hash, at)
    }

    fn finish(&mut self) -> Result<()> {
        self.replay.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: RecordLayout = RecordLayout::fixed(8, 8);

    fn bytes(key: u64) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[8..16].copy_from_slice(&key.to_le_bytes());
        bytes
    }

    fn hash(key: u64) -> KeyHash {
        KeyHash::of_bytes(&key.to_le_bytes())
    }

    /// P3: one thread is about to saturate a chain with a record at 100; another one claims the last slot for its record at 120,
    /// and deletes the key again, which frees the slot. The chain of the catch-all must not end up behind that record.
    #[test]
    fn a_key_that_came_and_went_takes_no_other_with_it() {
        let index = MemIndex::new(IndexConfig { buckets: 1, overflow_buckets: 0 }).unwrap();
        let mut participant = LightEpoch::new().join();
        {
            let guard = participant.pin();
            for key in 0..7 {
                index.try_update(index.find(hash(key), &guard), Address::new(64 + 2 * key)).unwrap();
            }
            index.try_update(index.find(hash(8), &guard), Address::new(100)).unwrap();
            index.try_free(index.find(hash(6), &guard)).unwrap();
        }
        let mut rebuilder = Rebuilder {
            replay: Replay::new(&index, LightEpoch::new().join()),
            layout: LAYOUT,
            begin: Address::new(64),
            meets_resizing: false,
            rows: Rows::default(),
        };
        let live = |previous| RecordInfo::new(Address::new(previous), 0);
        let records = [
            (120, 6, live(0).with_tombstone()),
            (124, 6, live(32).with_tombstone()), // what it leads to was truncated
            (128, 0, live(64).with_tombstone()),
            (132, 1, live(66).invalidated()),
            (136, 2, live(68)),
        ];
        for (at, key, info) in records {
            rebuilder.record(Address::new(at), info, &bytes(key)).unwrap();
        }
        rebuilder.finish().unwrap();
        assert_eq!(rebuilder.replay.records(), 2);
        let guard = participant.pin();
        let heads = [8, 6, 0, 1, 2].map(|key| index.find(hash(key), &guard).address().get());
        assert_eq!(heads, [100, 100, 128, 66, 136]);
    }
}
