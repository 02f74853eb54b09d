//! Where the blocks of a log are: on its device, and in files beside it.
//!
//! ```text
//!   from          to = from        to = from        to
//!    |   device    |      file A    |     file B    |
//!    +-------------+----------------+---------------+---> addresses
//! ```
//!
//! A file holds the blocks of its piece in a row, the bytes that the device would hold, but for the seals: they are bound to
//! the file as well.

use super::block::BLOCK_SIZE;
use super::geometry::LogGeometry;
use super::history::History;
use crate::address::Address;
use crate::device::StorageDevice;
use crate::directory::DirectoryFile;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Arc;
use std::ops::Range;

/// A range of a log, and where it is kept.
pub(crate) struct Piece {
    /// Its first address, a block boundary.
    pub(crate) from: Address,
    /// The address behind it, a block boundary.
    pub(crate) to: Address,
    /// The file that holds it; `None` for the device.
    pub(crate) file: Option<PieceFile>,
}

/// A file with the blocks of a piece.
pub(crate) struct PieceFile {
    pub(crate) name: String,
    /// What its blocks are bound to.
    pub(crate) binding: u32,
    pub(crate) file: Box<dyn DirectoryFile>,
}

/// A log at rest: blocks in places, without a gap.
pub(crate) struct Pieces {
    pub(crate) geometry: LogGeometry,
    pub(crate) history: History,
    pub(crate) device: Arc<dyn StorageDevice>,
    pieces: Vec<Piece>,
}

impl Pieces {
    /// A log of these pieces, by ascending address, whose blocks carry what `history` says.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the pieces do not follow one another, or do not begin and end at blocks.
    pub(crate) fn new(
        geometry: LogGeometry,
        history: History,
        pieces: Vec<Piece>,
        device: Arc<dyn StorageDevice>,
    ) -> Result<Self> {
        let is_boundary = |address| geometry.block_start(address) == address;
        for (at, piece) in pieces.iter().enumerate() {
            let follows = at == 0 || pieces[at - 1].to == piece.from;
            if !follows || piece.from >= piece.to || !is_boundary(piece.from) || !is_boundary(piece.to) {
                return Err(Error::new(ErrorKind::Corrupt, "the pieces of a log do not make a whole")
                    .with("piece", at)
                    .with("from", piece.from)
                    .with("to", piece.to));
            }
        }
        Ok(Self { geometry, history, device, pieces })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter()
    }

    /// The numbers of a piece's blocks.
    pub(crate) fn blocks(&self, piece: &Piece) -> Range<u64> {
        self.geometry.block_of(piece.from)..self.geometry.block_of(piece.to)
    }

    /// The piece that holds a block.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if none does.
    pub(super) fn holding(&self, block: u64) -> Result<&Piece> {
        let behind = self.pieces.partition_point(|piece| self.blocks(piece).end <= block);
        self.pieces.get(behind).filter(|piece| self.blocks(piece).contains(&block)).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "no piece of the log holds a block that is needed")
                .with("block", block)
                .with("log address", self.geometry.start_of_block(block))
        })
    }

    /// What a block of `piece` carries as its generation.
    pub(super) fn generation(&self, piece: &Piece, block: u64) -> u32 {
        let binding = piece.file.as_ref().map_or(0, |file| file.binding);
        self.history.generation_at(self.geometry.start_of_block(block)) ^ binding
    }

    /// Adds to an error where a block lies.
    pub(super) fn locate(&self, error: Error, piece: &Piece, block: u64) -> Error {
        let error = error.with("log address", self.geometry.start_of_block(block));
        match &piece.file {
            None => error.with("device offset", self.geometry.device_offset(block)),
            Some(file) => error.with("file", &file.name).with("offset", self.offset_in_file(piece, block)),
        }
    }

    /// Where in its file a block of `piece` begins.
    pub(super) fn offset_in_file(&self, piece: &Piece, block: u64) -> u64 {
        (block - self.geometry.block_of(piece.from)) * BLOCK_SIZE as u64
    }
}
