//! Reading entries: one, or a range of them.

use super::commit::CommitRecord;
use super::entry::{HEADER, Header, Kind, address_in, word_in};
use super::faster_log::Core;
use crate::address::Address;
use crate::allocator::{BLOCK_PAYLOAD, BLOCK_SIZE, FIRST};
use crate::epoch::Participant;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{AlignedBuf, IoBuf, load_bytes};
use crate::sync::{Arc, Ordering};
use std::ops::{Bound, RangeBounds};

/// Bytes of the log that a scan reads at a time.
const WINDOW: u64 = 1 << 20;
/// Bytes of blocks that are copied at a time.
const BUFFER: usize = 256 << 10;

/// Reads the log's bytes, wherever they are.
pub(super) struct Reader {
    core: Arc<Core>,
    participant: Participant,
    /// Bytes from `start` on, as they are on the device.
    window: Vec<u8>,
    start: Address,
    /// Bytes that were copied from memory.
    copied: Vec<u8>,
}

impl Reader {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { participant: core.epoch.join(), core, window: Vec::new(), start: Address::INVALID, copied: Vec::new() }
    }

    /// The data of the entry at `address`.
    pub(super) fn entry(&mut self, address: Address) -> Result<Vec<u8>> {
        let (kind, body) = self.checked(address)?;
        self.data(address, kind, body)
    }

    pub(super) fn entry_len(&mut self, address: Address) -> Result<u64> {
        let (kind, body) = self.checked(address)?;
        match kind {
            Kind::Last => word_in(&body, 1).ok_or_else(|| damaged(address)),
            _ => Ok(body.len() as u64),
        }
    }

    /// The first byte of the entry that begins the log at `begin`: a large one has parts before its place.
    pub(super) fn first_byte_of(&mut self, begin: Address) -> Result<Address> {
        if begin >= self.core.group.durable() {
            return Ok(begin);
        }
        let Ok(Some((Kind::Last, body))) = self.at(begin) else { return Ok(begin) };
        let mut first = begin;
        let mut previous = address_in(&body).ok_or_else(|| damaged(begin))?;
        while previous.is_valid() && previous < first {
            first = previous;
            let Some((_, body)) = self.at(previous)? else { return Err(damaged(previous)) };
            previous = address_in(&body).ok_or_else(|| damaged(previous))?;
        }
        Ok(first)
    }

    /// Kind and body of what begins at `address`, if it is an entry of the log.
    fn checked(&mut self, address: Address) -> Result<(Kind, Vec<u8>)> {
        let (begin, holes) = self.core.holes();
        let is_there = address >= begin.max(Address::new(FIRST))
            && address.get().is_multiple_of(8)
            && address < self.core.log.addresses().tail
            && CommitRecord::behind_hole(&holes, address).is_none();
        let found = if is_there { self.at(address)? } else { None };
        match found {
            Some((kind @ (Kind::Entry | Kind::Last), body)) => Ok((kind, body)),
            _ => Err(Error::new(ErrorKind::NotFound, "there is no entry at this address of the log")
                .with("address", address)
                .with("begin of the log", begin)
                .with("end of the log", self.core.log.addresses().tail)
                .help("use an address that append or a scan gave")),
        }
    }

    /// The data of an entry, whose last or only part has this body.
    fn data(&mut self, address: Address, kind: Kind, body: Vec<u8>) -> Result<Vec<u8>> {
        if kind != Kind::Last {
            return Ok(body);
        }
        let total = word_in(&body, 1).ok_or_else(|| damaged(address))?;
        let mut parts = Vec::new();
        let mut previous = address_in(&body).ok_or_else(|| damaged(address))?;
        let mut lower = address;
        let mut len = body.len() - Core::data_of(Kind::Last, body.len()).start;
        parts.push((Kind::Last, body));
        while previous.is_valid() {
            // Each is below the one after it, so the walk ends.
            if previous >= lower || len as u64 > total {
                return Err(damaged(address));
            }
            let Some((Kind::Part, body)) = self.at(previous)? else { return Err(damaged(previous)) };
            lower = previous;
            previous = address_in(&body).ok_or_else(|| damaged(lower))?;
            len += body.len().saturating_sub(Core::data_of(Kind::Part, body.len()).start);
            parts.push((Kind::Part, body));
        }
        if len as u64 != total {
            return Err(damaged(address));
        }
        let mut data = Vec::with_capacity(len);
        for (kind, body) in parts.iter().rev() {
            data.extend_from_slice(body.get(Core::data_of(*kind, body.len())).ok_or_else(|| damaged(address))?);
        }
        Ok(data)
    }

    /// Kind and body of what begins at `address`; `None` if nothing does. A body that does not fit its header is an error.
    fn at(&mut self, address: Address) -> Result<Option<(Kind, Vec<u8>)>> {
        let header = {
            let bytes = self.bytes(address, HEADER)?;
            Header::of_word(bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word)))
        };
        let Some(header) = header else { return Ok(None) };
        let (page, generation) = (self.core.log.geometry().page(), self.core.generation);
        let Some(kind) = header.kind().filter(|_| page.offset(address) + header.size() as u64 <= page.page_size())
        else {
            return Err(damaged(address));
        };
        let bytes = self.bytes(address, header.size())?;
        let body = bytes.get(HEADER..HEADER + header.len()).filter(|body| header.fits(body, address, generation));
        body.map(|body| Some((kind, body.to_vec()))).ok_or_else(|| damaged(address))
    }

    /// The `len` bytes at `address`, all on one page: from memory, or from the device by way of the window.
    fn bytes(&mut self, address: Address, len: usize) -> Result<&[u8]> {
        let end = address.get() + len as u64;
        if self.start > address || end > self.start.get() + self.window.len() as u64 {
            let size = len.next_multiple_of(8);
            let guard = self.participant.pin();
            if address >= self.core.log.view(&guard).head() {
                let words = self.core.log.words(address, size, &guard);
                self.copied.resize(size, 0);
                // Acquire: who finds a header finds the body that its writer put there before.
                let header = words[0].load(Ordering::Acquire);
                load_bytes(words, &mut self.copied);
                self.copied[..8].copy_from_slice(&header.to_le_bytes());
                return Ok(&self.copied[..len]);
            }
            drop(guard);
            self.fill(address, end)?;
        }
        let from = (address.get() - self.start.get()) as usize;
        self.window.get(from..from + len).ok_or_else(|| damaged(address))
    }

    /// Reads the blocks from that of `address` on, at least up to `end`, into the window; more if the last window was read to
    /// its end.
    fn fill(&mut self, address: Address, end: u64) -> Result<()> {
        let geometry = self.core.log.geometry();
        let from = geometry.block_start(address);
        let window_end = self.start.get() + self.window.len() as u64;
        let goes_on = !self.window.is_empty() && (self.start.get()..=window_end).contains(&from.get());
        let whole = |at: u64| {
            let last = geometry.block_of(Address::new(at - 1));
            geometry.start_of_block(last + 1)
        };
        let wanted = if goes_on { end.max(from.get() + WINDOW) } else { end };
        // Only what is on the device does not change any more.
        let to = whole(wanted).min(geometry.block_start(self.core.log.addresses().flushed)).max(whole(end));
        let mut window = std::mem::take(&mut self.window);
        window.clear();
        let mut number = geometry.block_of(from);
        // Who wants one entry does not pay for a whole buffer.
        let blocks = (to.get().saturating_sub(from.get()) as usize).div_ceil(BLOCK_PAYLOAD) + 1;
        let buffer = IoBuf::from(AlignedBuf::zeroed(BUFFER.min(blocks * BLOCK_SIZE)));
        let limit = self.core.config.wait_limit;
        self.core.log.copy_blocks(&mut self.participant, (from, to), limit, buffer, |blocks| {
            for block in blocks.chunks_exact(BLOCK_SIZE) {
                window.extend_from_slice(&block[..geometry.payload_of_block(number)]);
                number += 1;
            }
            Ok(())
        })?;
        (self.window, self.start) = (window, from);
        Ok(())
    }
}

fn damaged(address: Address) -> Error {
    Error::new(ErrorKind::Corrupt, "an entry of the log is damaged").with("log address", address)
}

/// Goes through the entries of a log, oldest first. See [`FasterLog::scan`](super::FasterLog::scan). As long as it is there, the
/// log's device stays open.
pub struct LogScan {
    reader: Reader,
    at: Address,
    /// Entries before it are passed over.
    from: Address,
    end: Address,
    uncommitted: bool,
    known: Known,
    failed: bool,
}

impl LogScan {
    pub(super) fn new(core: Arc<Core>, range: impl RangeBounds<Address>, uncommitted: bool) -> Self {
        let (begin, _) = core.holes();
        let behind = |address: Address| Address::new((address.get() + 1).min(Address::MAX.get()));
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(from) => behind(*from),
            Bound::Unbounded => begin,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => behind(*end),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => Address::MAX,
        };
        // Where an entry begins is known of the beginnings of pages, and of the log's own.
        let page = core.log.geometry().page();
        let at = page.start_of(page.page(from)).max(begin).max(Address::new(FIRST));
        let known = Known { end: Address::INVALID, whole: Address::INVALID };
        Self { reader: Reader::new(core), at, from, end, uncommitted, known, failed: false }
    }

    /// Where the scan goes on. It may be kept, and be the start of another.
    pub fn position(&self) -> Address {
        self.at.max(self.from)
    }

    /// The next entry. `None` means that there is none yet: the scan goes on when the log has grown.
    ///
    /// # Errors
    /// As for [`FasterLog::read_entry`](super::FasterLog::read_entry). A scan that failed is at its end.
    pub fn try_next(&mut self) -> Result<Option<(Address, Vec<u8>)>> {
        if self.failed {
            return Ok(None);
        }
        let result = self.step();
        self.failed = result.is_err();
        result
    }

    fn step(&mut self) -> Result<Option<(Address, Vec<u8>)>> {
        let geometry = self.reader.core.log.geometry();
        loop {
            if self.at >= self.known.end && !self.look_again() {
                return Ok(None);
            }
            let at = self.at;
            match self.reader.at(at) {
                Ok(Some((kind, body))) => {
                    self.at = Address::new(at.get() + (HEADER + body.len().next_multiple_of(8)) as u64);
                    if matches!(kind, Kind::Entry | Kind::Last) && at >= self.from {
                        return self.reader.data(at, kind, body).map(|data| Some((at, data)));
                    }
                }
                // Somebody may be filling it at this moment.
                Ok(None) if at >= self.known.whole => return Ok(None),
                Ok(None) => self.at = geometry.start_of_block(geometry.block_of(at) + 1),
                // It may have been given up since the last look.
                Err(_) if self.reader.core.holes().0 > at => self.known.end = Address::INVALID,
                Err(error) => return Err(error),
            }
        }
    }

    /// Finds out how far the scan can go from here without looking again; false if not at all.
    fn look_again(&mut self) -> bool {
        let core = &self.reader.core;
        let (begin, holes) = core.holes();
        let addresses = core.log.addresses();
        let limit = if self.uncommitted { addresses.tail } else { core.group.durable() };
        self.at = self.at.max(begin);
        while let Some(behind) = CommitRecord::behind_hole(&holes, self.at) {
            self.at = behind;
        }
        let next_hole = holes.iter().map(|(from, _)| Address::from_word(*from)).filter(|from| *from > self.at).min();
        let end = limit.min(self.end);
        self.known = Known { end: next_hole.map_or(end, |hole| hole.min(end)), whole: addresses.safe_read_only };
        self.at < self.known.end
    }
}

/// What a scan knows without looking again.
struct Known {
    /// Up to here nothing is in its way.
    end: Address,
    /// Below, every entry is filled.
    whole: Address,
}

impl Iterator for LogScan {
    type Item = Result<(Address, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.try_next().transpose()
    }
}

/// The entries of a log with their addresses. See [`FasterLog::scan_all`](super::FasterLog::scan_all).
pub struct Entries {
    scan: LogScan,
    failure: Option<Error>,
}

impl Entries {
    pub(super) const fn new(scan: LogScan) -> Self {
        Self { scan, failure: None }
    }

    /// Whether the entries ended because there were no more.
    ///
    /// # Errors
    /// Why they ended before.
    pub fn finish(self) -> Result<()> {
        self.failure.map_or(Ok(()), Err)
    }
}

impl Iterator for Entries {
    type Item = (Address, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        match self.scan.try_next() {
            Ok(entry) => entry,
            Err(failure) => {
                self.failure = Some(failure);
                None
            }
        }
    }
}
