//! Reading entries one by one.

use super::commit::CommitRecord;
use super::entry::{HEADER, Header, Kind, address_in, word_in};
use super::log_core::Core;
use crate::address::Address;
use crate::allocator::{BLOCK_PAYLOAD, BLOCK_SIZE, FIRST};
use crate::epoch::Participant;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{AlignedBuf, IoBuf, load_bytes};
use crate::sync::{Arc, Ordering};

/// Bytes of blocks that are copied at a time.
const BUFFER: usize = 256 << 10;

/// Reads the log's bytes, wherever they are.
pub(super) struct Reader {
    pub(super) core: Arc<Core>,
    pub(super) participant: Participant,
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
            && address < self.core.readable()
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
    pub(super) fn data(&mut self, address: Address, kind: Kind, body: Vec<u8>) -> Result<Vec<u8>> {
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
    pub(super) fn at(&mut self, address: Address) -> Result<Option<(Kind, Vec<u8>)>> {
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

    /// Reads the blocks that hold what lies between `address` and `end`, which are on the device, into the window.
    fn fill(&mut self, address: Address, end: u64) -> Result<()> {
        let geometry = self.core.log.geometry();
        let from = geometry.block_start(address);
        let to = geometry.start_of_block(geometry.block_of(Address::new(end - 1)) + 1);
        let mut window = std::mem::take(&mut self.window);
        window.clear();
        let mut number = geometry.block_of(from);
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

pub(super) fn damaged(address: Address) -> Error {
    Error::new(ErrorKind::Corrupt, "an entry of the log is damaged").with("log address", address)
}
