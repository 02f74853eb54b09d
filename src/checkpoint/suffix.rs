//! The log behind a checkpoint: how far it goes, and how far it brings every session. Invariants W4 and W5 of
//! `store::durability`.
//!
//! ```text
//!   start ...... end ............. E       X  n
//!     | of the checkpoint | verified | torn | a note that says how far the log was durable
//!     +-- and, behind start, of the version after it: in the order of the log, record by record
//! ```

use super::report::{RecoveryPhase, RecoveryProgress, SuffixEnd, SuffixReport};
use super::{LogPart, Manifest, Piece, SessionCut, log_of};
use crate::address::Address;
use crate::allocator::{BLOCK_SIZE, FIRST, History, LogGeometry, Pieces, RecordWalker, Seal, note_in};
use crate::device::{IoChannel, IoRequest, SharedChannel, StorageDevice};
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::stamp;
use crate::memory::{AlignedBuf, IoBuf};
use crate::record::{Mark, Origin, RecordInfo, RecordLayout};
use crate::sync::Arc;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

/// Accesses under way at the same time.
const DEPTH: usize = 3;

/// What looking for the end of a log may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SuffixLimits {
    pub(crate) buffer_bytes: usize,
    /// How long to wait for one access.
    pub(crate) wait: Duration,
    /// Give up what lies behind damage.
    pub(crate) accept_damage: bool,
}

/// A checkpoint with what lies behind it in the log.
pub(crate) struct Suffix {
    /// The manifest of both.
    pub(crate) manifest: Manifest,
    /// What was found, if that is part of the store.
    pub(crate) report: Option<SuffixReport>,
    /// Bytes of the device that are part of the store, and of which nothing says that they are durable.
    pub(crate) uncertain: Range<u64>,
}

/// Looks for what lies behind a checkpoint in the log, if that is part of the store.
///
/// # Errors
/// [`ErrorKind::Corrupt`] with the place if something that was acknowledged, or that the checkpoint names, is damaged, or
/// something in the log is no record; those of the device.
pub(crate) fn with_suffix(
    manifest: &Manifest,
    layout: RecordLayout,
    device: &Arc<dyn StorageDevice>,
    limits: SuffixLimits,
    tell: &(dyn Fn(RecoveryProgress) + Sync),
) -> Result<Suffix> {
    let log = log_of(manifest, layout)?;
    if !log.durable {
        return Ok(Suffix { manifest: manifest.clone(), report: None, uncertain: 0..0 });
    }
    let geometry = LogGeometry::new(manifest.schema.page_bits, LogGeometry::MIN_FRAMES, 0.0)?;
    let history = History::new(log.generations.clone(), Vec::new());
    let pieces = Pieces::new(geometry, history, Vec::new(), Arc::clone(device))?;
    let mut search = Search::new(manifest, log, layout, &pieces, limits);
    search.run(tell)?;
    let (end, ended) = (search.end, search.ended);
    let bytes = geometry.device_offset(geometry.block_of(end)) - geometry.device_offset(geometry.block_of(log.end));
    let report = SuffixReport { from: log.end, end, records: search.records, bytes, ended };
    let offset = |at: Address| geometry.device_offset(geometry.block_of(at));
    let uncertain = offset(search.durable.min(end))..offset(end);
    Ok(Suffix { manifest: search.into_manifest(), report: Some(report), uncertain })
}

/// What is known of a session's changes.
enum Change {
    Introduced(Mark),
    Made(Origin, Address),
    /// By nobody in particular: a copy of an older record.
    Copied,
}

struct Search<'m> {
    manifest: &'m Manifest,
    log: &'m LogPart,
    pieces: &'m Pieces,
    walker: RecordWalker,
    limits: SuffixLimits,
    /// Who has which number at this place.
    numbers: HashMap<u64, u128>,
    serials: HashMap<u128, u64>,
    /// What lies between `end` and the block at hand: part of the store once a place follows at which no record is cut.
    behind: Vec<Change>,
    records: u64,
    /// Of the largest index under which chains were made.
    buckets: u64,
    /// Where the group ends that began last: what is part of the store does not end within it.
    group_end: Address,
    /// Known to be durable: the checkpoint, and what a note says (W4).
    durable: Address,
    end: Address,
    ended: SuffixEnd,
}

impl<'m> Search<'m> {
    fn new(
        manifest: &'m Manifest,
        log: &'m LogPart,
        layout: RecordLayout,
        pieces: &'m Pieces,
        limits: SuffixLimits,
    ) -> Self {
        Self {
            manifest,
            log,
            pieces,
            walker: RecordWalker::new(pieces, layout),
            limits,
            numbers: HashMap::new(),
            serials: manifest.sessions.iter().map(|session| (session.guid, session.serial)).collect(),
            behind: Vec::new(),
            records: 0,
            buckets: log.buckets,
            group_end: Address::INVALID,
            durable: log.end,
            end: log.end,
            ended: SuffixEnd::Nothing,
        }
    }

    /// Goes through the log from where the version after the checkpoint's begins.
    fn run(&mut self, tell: &(dyn Fn(RecoveryProgress) + Sync)) -> Result<()> {
        let (geometry, extent) = (self.pieces.geometry, self.pieces.device.info().extent);
        let blocks = geometry.block_of(self.log.start)..extent / BLOCK_SIZE as u64;
        let total = blocks.end.saturating_sub(blocks.start) * BLOCK_SIZE as u64;
        let mut reader = RawReader::new(&self.pieces.device, blocks.clone(), self.limits);
        let (mut broken, mut done) = (None, 0);
        let mut next = blocks.start;
        while let Some((first, buf, read)) = reader.next()? {
            for (number, block) in (first..).zip(buf[..read].chunks_exact(BLOCK_SIZE)) {
                next = number + 1;
                match broken {
                    None => broken = self.block(number, block)?,
                    Some(at) => self.look_behind(at, number, block)?,
                }
            }
            done += read as u64;
            tell(RecoveryProgress { phase: RecoveryPhase::Suffix, bytes_done: done, bytes_total: total });
            reader.give_back(buf);
            if self.ended == SuffixEnd::Damaged {
                return Ok(());
            }
        }
        if next < geometry.block_of(self.log.end) {
            return Err(self.missing(next));
        }
        Ok(())
    }

    /// Goes on through a block; its number if the log ends before it.
    fn block(&mut self, number: u64, block: &[u8]) -> Result<Option<u64>> {
        let geometry = self.pieces.geometry;
        let start = geometry.start_of_block(number);
        let (seal, expected) = (Seal::of(block, number), self.pieces.history.generation_at(start));
        if !seal.is_intact() || seal.generation != expected {
            if start < self.log.end {
                return Err(self.missing(number));
            }
            let is_nothing = block.iter().all(|byte| *byte == 0);
            self.ended = match (seal.is_intact(), is_nothing) {
                (true, _) => SuffixEnd::OtherHistory,
                (false, true) => SuffixEnd::Nothing,
                (false, false) => SuffixEnd::Torn,
            };
            return Ok(Some(number));
        }
        let payload = &block[..geometry.payload_of_block(number)];
        self.durable = self.durable.max(note_in(payload, expected, number).unwrap_or(Address::INVALID));
        if geometry.page().offset(start) == 0 || start == self.log.start {
            self.walker.go_to(start.max(Address::new(FIRST)))?;
        }
        let (behind, manifest, log, group_end) = (&mut self.behind, self.manifest, self.log, &mut self.group_end);
        self.walker.feed(start, payload, |at, info, record| {
            let change = change(manifest, log, at, info, record);
            if let Some(Change::Introduced(mark)) = &change
                && let Some(bytes) = mark.group_bytes()
            {
                // A group lies on one page.
                *group_end = Address::from_word(at.get() + bytes.min(geometry.page().page_size()));
                return Ok(());
            }
            behind.extend(change);
            Ok(())
        })?;
        let end = Address::from_word(start.get() + payload.len() as u64);
        if !self.walker.is_within_record() && end >= self.group_end {
            self.take_in(end)?;
        }
        Ok(None)
    }

    /// Everything up to `end` is part of the store.
    fn take_in(&mut self, end: Address) -> Result<()> {
        for change in std::mem::take(&mut self.behind) {
            match change {
                Change::Introduced(mark) => {
                    if let Some(buckets) = mark.buckets() {
                        // Something else than a power of two was written by nobody.
                        self.buckets = self.buckets.max(buckets.checked_next_power_of_two().unwrap_or(self.buckets));
                        continue;
                    }
                    self.numbers.insert(mark.session, mark.guid);
                    let serial = self.serials.entry(mark.guid).or_insert(mark.serial);
                    *serial = mark.serial.max(*serial);
                    continue;
                }
                Change::Made(origin, at) => {
                    let guid = self.numbers.get(&origin.session()).ok_or_else(|| {
                        Error::new(ErrorKind::Corrupt, "a record is of a session that the log does not know")
                            .with("log address", at)
                            .with("number of the session", origin.session())
                    })?;
                    let serial = self.serials.entry(*guid).or_insert(0);
                    *serial = origin.serial_after(*serial);
                }
                Change::Copied => {}
            }
            self.records += 1;
        }
        self.end = end.max(self.log.end);
        Ok(())
    }

    /// Looks for a note, in a block behind the one at which the log ends, that what is missing there was durable (W4).
    fn look_behind(&mut self, broken: u64, number: u64, block: &[u8]) -> Result<()> {
        let geometry = self.pieces.geometry;
        let (seal, expected) =
            (Seal::of(block, number), self.pieces.history.generation_at(geometry.start_of_block(number)));
        if !seal.is_intact() || seal.generation != expected {
            return Ok(());
        }
        let note = note_in(&block[..geometry.payload_of_block(number)], expected, number);
        let lost_from = geometry.start_of_block(broken);
        let Some(durable) = note.filter(|durable| *durable > lost_from) else { return Ok(()) };
        if self.limits.accept_damage {
            self.ended = SuffixEnd::Damaged;
            return Ok(());
        }
        Err(Error::new(ErrorKind::Corrupt, "a part of the log that was durable is damaged")
            .with("log address", lost_from)
            .with("device offset", geometry.device_offset(broken))
            .with("durable up to", durable)
            .help(
                "restore the device from a good copy, or open what lies before the damage with \
                 FasterKvConfig::with_damage_accepted(true)",
            ))
    }

    #[cold]
    fn missing(&self, number: u64) -> Error {
        let geometry = self.pieces.geometry;
        Error::new(ErrorKind::Corrupt, "a part of the log that a checkpoint names is missing or damaged")
            .with("log address", geometry.start_of_block(number))
            .with("device offset", geometry.device_offset(number))
            .with("checkpoint", self.manifest.token)
            .help("give the device that the checkpoint was made with, or restore it from a good copy")
    }

    /// The manifest of the state that was found.
    fn into_manifest(self) -> Manifest {
        let mut manifest = self.manifest.clone();
        manifest.sessions = self.serials.into_iter().map(|(guid, serial)| SessionCut { guid, serial }).collect();
        let end = self.end;
        if let Some(log) = &mut manifest.log {
            // What the cut left out is what came next.
            let own = stamp(manifest.version + 1);
            let (start, old_end) = (log.start, log.end);
            log.aborted.retain(|range| (range.from, range.to, range.stamp) != (start, old_end, own));
            if end > old_end {
                match log.pieces.last_mut() {
                    Some(last) if last.file.is_none() => last.to = end,
                    _ => log.pieces.push(Piece { from: old_end, to: end, file: None }),
                }
            }
            (log.start, log.end, log.buckets) = (end, end, self.buckets);
        }
        manifest
    }
}

/// What a record says of the time after the checkpoint; `None` if it is part of it, or never was part of the store.
fn change(manifest: &Manifest, log: &LogPart, at: Address, info: RecordInfo, record: &[u8]) -> Option<Change> {
    if info.is_mark() {
        return Mark::parse(record).map(Change::Introduced);
    }
    let is_of_checkpoint = at < log.end && info.version() == stamp(manifest.version);
    if info.is_invalid() || is_of_checkpoint {
        return None;
    }
    match Origin::in_record(record).filter(|origin| info.has_origin() && origin.session() != 0) {
        Some(origin) => Some(Change::Made(origin, at)),
        None => Some(Change::Copied),
    }
}

/// Reads blocks in order, whatever they hold.
struct RawReader {
    channel: Box<dyn IoChannel>,
    wait: Duration,
    blocks: Range<u64>,
    access_blocks: u64,
    /// First block of each access that was begun and not handed on, and what it brought.
    under_way: VecDeque<(u64, Option<(IoBuf, usize)>)>,
    spare: Vec<IoBuf>,
}

impl RawReader {
    fn new(device: &Arc<dyn StorageDevice>, blocks: Range<u64>, limits: SuffixLimits) -> Self {
        let access_blocks = (limits.buffer_bytes / DEPTH / BLOCK_SIZE).clamp(1, 256) as u64;
        let shared = || Box::new(SharedChannel::new(Arc::clone(device))) as Box<dyn IoChannel>;
        let channel = device.channel().unwrap_or_else(shared);
        Self { channel, wait: limits.wait, blocks, access_blocks, under_way: VecDeque::new(), spare: Vec::new() }
    }

    /// The number of the next block, a buffer that begins with it, and how many bytes of it there are.
    fn next(&mut self) -> Result<Option<(u64, IoBuf, usize)>> {
        while self.under_way.len() < DEPTH && !self.blocks.is_empty() {
            let first = self.blocks.start;
            let end = self.blocks.end.min(first + self.access_blocks);
            let buf = self.spare.pop();
            let buf = buf.unwrap_or_else(|| AlignedBuf::zeroed(self.access_blocks as usize * BLOCK_SIZE).into());
            let len = (end - first) as usize * BLOCK_SIZE;
            self.channel.submit(IoRequest::read(first * BLOCK_SIZE as u64, len, buf), first);
            self.under_way.push_back((first, None));
            self.blocks.start = end;
        }
        self.channel.flush();
        loop {
            match self.under_way.pop_front() {
                None => return Ok(None),
                Some((first, Some((buf, read)))) => return Ok(Some((first, buf, read))),
                Some(waits) => self.under_way.push_front(waits),
            }
            let (token, done) = self.channel.take_within(self.wait).ok_or_else(|| {
                Error::new(ErrorKind::DeviceFailed, "the device did not answer in time")
                    .with("milliseconds waited", self.wait.as_millis())
            })?;
            let read = done.result.map_err(|error| error.with("device offset", token * BLOCK_SIZE as u64))?;
            if let Some(access) = self.under_way.iter_mut().find(|(first, _)| *first == token) {
                access.1 = Some((done.buf, read));
            }
        }
    }

    fn give_back(&mut self, buf: IoBuf) {
        self.spare.push(buf);
    }
}
