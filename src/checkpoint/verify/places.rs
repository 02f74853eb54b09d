//! Reads what lies at an address, wherever the manifest says that it is.

use super::BLOCK;
use super::source::{Chunks, Source};
use crate::address::Address;
use crate::allocator::{BLOCK_PAYLOAD, BLOCK_SIZE, Seal};
use crate::checkpoint::block_map::BlockMap;
use crate::checkpoint::check::generation_at;
use crate::checkpoint::file_name::binding_of;
use crate::checkpoint::manifest::{LogPart, Piece};
use crate::device::StorageDevice;
use crate::directory::Directory;
use crate::error::Result;

/// Ranges of blocks that are remembered as lost. Who comes to others finds out again.
const LOST_MAX: usize = 1000;

/// The log of a checkpoint, piece by piece.
pub(super) struct Places<'a> {
    directory: &'a dyn Directory,
    device: Option<&'a dyn StorageDevice>,
    map: BlockMap,
    log: &'a LogPart,
    /// The piece that was read last, if it is in a file.
    open: Option<(usize, Source<'a>)>,
    /// Addresses of blocks that were found to be of no use, in order.
    lost: Vec<(u64, u64)>,
}

/// What came of a read.
pub(super) enum Read {
    Bytes(Vec<u8>),
    /// It lies on a device that was not given.
    Unchecked,
    /// Why it is of no use.
    Lost(String),
}

impl<'a> Places<'a> {
    pub(super) fn new(
        directory: &'a dyn Directory,
        device: Option<&'a dyn StorageDevice>,
        map: BlockMap,
        log: &'a LogPart,
    ) -> Self {
        Self { directory, device, map, log, open: None, lost: Vec::new() }
    }

    pub(super) const fn map(&self) -> BlockMap {
        self.map
    }

    /// What a block must carry as its generation, in a file with this binding.
    pub(super) fn generation(&self, block: u64, binding: u32) -> Option<u32> {
        generation_at(&self.log.generations, self.map.start_of(block)).map(|generation| generation ^ binding)
    }

    /// Blocks of which nothing can be used. They come in order.
    pub(super) fn lose(&mut self, first: u64, last: u64) {
        let (from, to) = (self.map.start_of(first).get(), self.end_of(last));
        let has_room = self.lost.len() < LOST_MAX;
        match self.lost.last_mut() {
            Some(lost) if lost.1 == from => lost.1 = to,
            _ if has_room => self.lost.push((from, to)),
            _ => {}
        }
    }

    /// Whether a part of these bytes is known to be lost.
    pub(super) fn is_lost(&self, at: u64, len: u64) -> bool {
        let behind = self.lost.partition_point(|lost| lost.1 <= at);
        self.lost.get(behind).is_some_and(|lost| lost.0 < at + len)
    }

    /// The file, or the device, and where in it this address is.
    pub(super) fn place_of(&self, at: Address) -> (Option<&'a str>, u64) {
        let Some(piece) = self.log.pieces.get(self.piece_of(at.get())) else { return (None, 0) };
        let block = self.map.block_of(at);
        let offset = (block - self.base(piece)) * BLOCK + at.get() - self.map.start_of(block).get();
        (piece.file.as_deref(), offset)
    }

    /// Reads `len` bytes at `at`, which lie on one page, and checks the blocks that they are in.
    ///
    /// # Errors
    /// [`Busy`](crate::ErrorKind::Busy) if the device does not answer.
    pub(super) fn read(&mut self, at: Address, len: usize) -> Result<Read> {
        let mut bytes = Vec::new();
        let (mut from, end) = (at.get(), at.get() + len as u64);
        while from < end {
            let piece = self.piece_of(from);
            let Some(to) = self.log.pieces.get(piece).map(|piece| piece.to.get().min(end)) else {
                return Ok(Read::Lost(format!("the log ends before address {end:#x}")));
            };
            match self.within(piece, from, to, &mut bytes)? {
                None => from = to,
                Some(other) => return Ok(other),
            }
        }
        Ok(Read::Bytes(bytes))
    }

    /// Appends the bytes from `from` to `to` of a piece, or says why not.
    fn within(&mut self, piece: usize, from: u64, to: u64, bytes: &mut Vec<u8>) -> Result<Option<Read>> {
        let Piece { file, .. } = &self.log.pieces[piece];
        let (base, binding) = (self.base(&self.log.pieces[piece]), file.as_deref().map_or(0, binding_of));
        let is_open = self.open.as_ref().is_some_and(|(open, _)| *open == piece);
        let source = match (file, self.device) {
            (Some(_), _) if is_open => self.open.take().map(|(_, source)| source),
            (Some(name), _) => match self.directory.open(name) {
                Ok(file) => Some(Source::File(file)),
                Err(error) => return Ok(Some(Read::Lost(error.to_string()))),
            },
            (None, device) => device.map(Source::Device),
        };
        let Some(source) = source else { return Ok(Some(Read::Unchecked)) };
        let (first, last) =
            (self.map.block_of(Address::from_word(from)), self.map.block_of(Address::from_word(to - 1)));
        let mut chunks = Chunks::new(&source, (first - base) * BLOCK, (last + 1 - base) * BLOCK);
        let mut next = first;
        while let Some(chunk) = chunks.next()? {
            let read = match chunk.bytes() {
                Ok(read) => read,
                Err(error) => return Ok(Some(Read::Lost(error.to_string()))),
            };
            for block in read.chunks_exact(BLOCK_SIZE) {
                let seal = Seal::of(block, next);
                if !seal.is_intact() || Some(seal.generation) != self.generation(next, binding) {
                    return Ok(Some(Read::Lost(format!("block {next} of the log is not the one that was written"))));
                }
                let start = self.map.start_of(next).get();
                let (skip, end) = (from.saturating_sub(start), to.min(start + self.map.len_of(next)) - start);
                bytes.extend_from_slice(&block[..BLOCK_PAYLOAD][skip as usize..end as usize]);
                next += 1;
            }
            if read.len() < chunk.len as usize {
                return Ok(Some(Read::Lost("the bytes end here".to_owned())));
            }
            chunks.recycle(chunk);
        }
        drop(chunks);
        self.open = file.is_some().then_some((piece, source));
        Ok(None)
    }

    /// The number of the piece that holds `at`, or of none.
    fn piece_of(&self, at: u64) -> usize {
        self.log.pieces.partition_point(|piece| piece.to.get() <= at)
    }

    /// The number of the block at offset 0 of where a piece is: in a file its blocks lie from the beginning on, on the device
    /// where their numbers say.
    fn base(&self, piece: &Piece) -> u64 {
        if piece.file.is_some() { self.map.block_of(piece.from) } else { 0 }
    }

    fn end_of(&self, block: u64) -> u64 {
        self.map.start_of(block).get() + self.map.len_of(block)
    }
}
