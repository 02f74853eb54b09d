//! Reads the records of a log that is in use: from memory where they are there, from the device with accesses ahead.
//!
//! Only what nobody changes any more is read: below `safe_read_only` (L2). A page that leaves memory while it is being read
//! is on the device by then (L4), and is read on from there.

use super::hybrid_log::HybridLog;
use super::pieces::{Piece, Pieces};
use super::pointers::FIRST;
use super::reader::{BlockReader, ReadLimits};
use super::walk::{RecordWalker, Visit};
use crate::address::Address;
use crate::epoch::{Guard, Participant};
use crate::error::Result;
use crate::memory::load_bytes;
use crate::record::RecordLayout;
use crate::sync::Arc;
use std::ops::Range;

/// Blocks that are copied out of memory under one pin.
const UNDER_ONE_PIN: u64 = 16;

/// Hands on the records of ranges of a log in use, each with its address, its header as invariant L9 wants it, and its bytes.
pub(crate) struct LiveReader {
    pieces: Arc<Pieces>,
    reader: BlockReader<Arc<Pieces>>,
    walker: RecordWalker,
    range: Range<Address>,
    /// Blocks that have not been looked at.
    left: Range<u64>,
    /// Blocks up to here are being read from the device.
    ahead: u64,
    end: Address,
    copied: Vec<u8>,
    bytes: u64,
    /// The first record behind the range that was met.
    behind: Option<Address>,
}

impl LiveReader {
    /// A reader for ranges of what is immutable at this moment.
    ///
    /// # Errors
    /// None with a log in order: its boundaries lie at blocks.
    pub(crate) fn new(log: &HybridLog, layout: RecordLayout, limits: ReadLimits) -> Result<Self> {
        let (geometry, end) = (log.geometry(), log.safe_read_only());
        let boundary = geometry.start_of_block(geometry.block_of(Address::new(end.get() - 1)) + 1);
        let piece = Piece { from: Address::INVALID, to: boundary, file: None };
        let pieces = Pieces::new(geometry, log.history().clone(), vec![piece], Arc::clone(log.device()))?;
        let pieces = Arc::new(pieces);
        Ok(Self {
            reader: BlockReader::new(Arc::clone(&pieces), limits),
            walker: RecordWalker::new(&pieces, layout),
            pieces,
            range: Address::INVALID..Address::INVALID,
            left: 0..0,
            ahead: 0,
            end,
            copied: Vec::new(),
            bytes: 0,
            behind: None,
        })
    }

    /// Ranges end at or below.
    pub(crate) fn end(&self) -> Address {
        self.end
    }

    /// Goes on with `range`, which begins where a record does, or may, and ends at or below [`end`](Self::end). Whatever was
    /// left of another one is given up.
    ///
    /// # Errors
    /// Those of accesses that were under way for the other range.
    pub(crate) fn go_to(&mut self, range: Range<Address>) -> Result<()> {
        self.reader.give_up_rest();
        while let Some(verified) = self.reader.next(|| None)? {
            self.reader.give_back(verified);
        }
        let geometry = self.pieces.geometry;
        let start = range.start.max(Address::new(FIRST));
        let _ = self.walker.go_to(start); // a record of the other range may have begun
        self.left = geometry.block_of(start)..geometry.block_of(start);
        if start < range.end {
            self.left.end = geometry.block_of(Address::new(range.end.get() - 1)) + 1;
        }
        self.ahead = self.left.start;
        self.range = start..range.end;
        self.behind = None;
        Ok(())
    }

    /// Bytes of blocks that were looked at.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where the next record of the range begins, if there is one; at its end the first one behind it.
    pub(crate) fn position(&self) -> Address {
        self.behind.unwrap_or(self.walker.position())
    }

    /// Hands the records of the next few blocks to `visit`. False if the range had ended.
    ///
    /// # Errors
    /// Those of the device; [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for what does not verify; those of `visit`.
    pub(crate) fn advance(
        &mut self,
        log: &HybridLog,
        participant: &mut Participant,
        visit: &mut Visit<'_>,
    ) -> Result<bool> {
        if self.left.is_empty() {
            // The last record may end behind the range.
            if !self.walker.has_begun() || self.walker.position() >= self.range.end {
                return Ok(false);
            }
            self.left.end += 1;
        }
        let geometry = self.pieces.geometry;
        if self.ahead <= self.left.start {
            let first = self.left.start;
            let page_end = (first / geometry.blocks_per_page() + 1) * geometry.blocks_per_page();
            let end = self.left.end.min(page_end).min(first + UNDER_ONE_PIN);
            if self.copy_from_memory(log, first..end, &participant.pin()) {
                return self.feed_copied(first..end, visit).map(|()| true);
            }
            let head = geometry.block_of(log.addresses().head);
            self.ahead = head.clamp(first + 1, self.left.end);
        }
        let mut more = Some(self.left.start..self.ahead).filter(|_| self.reader.is_idle());
        let Some(verified) = self.reader.next(|| more.take())? else {
            self.ahead = self.left.start;
            return Ok(!self.left.is_empty());
        };
        for (number, block) in verified.iter() {
            let payload = &block[..geometry.payload_of_block(number)];
            Self::feed((&mut self.walker, &mut self.behind), &self.range, &self.pieces, number, payload, visit)?;
        }
        self.left.start = verified.first + verified.blocks as u64;
        self.bytes += (verified.blocks * super::block::BLOCK_SIZE) as u64;
        self.reader.give_back(verified);
        Ok(true)
    }

    /// Copies blocks of one page if they are all in memory.
    fn copy_from_memory(&mut self, log: &HybridLog, blocks: Range<u64>, guard: &Guard<'_>) -> bool {
        let geometry = self.pieces.geometry;
        let start = geometry.start_of_block(blocks.start);
        if start.max(Address::new(FIRST)) < log.view(guard).head() {
            return false;
        }
        let last = blocks.end - 1;
        let len = geometry.start_of_block(last).get() as usize + geometry.payload_of_block(last) - start.get() as usize;
        self.copied.resize(len, 0);
        load_bytes(log.core.frames.words(start, len), &mut self.copied);
        true
    }

    fn feed_copied(&mut self, blocks: Range<u64>, visit: &mut Visit<'_>) -> Result<()> {
        let geometry = self.pieces.geometry;
        let mut rest = self.copied.as_slice();
        for number in blocks.clone() {
            let (payload, behind) = rest.split_at(geometry.payload_of_block(number).min(rest.len()));
            Self::feed((&mut self.walker, &mut self.behind), &self.range, &self.pieces, number, payload, visit)?;
            rest = behind;
        }
        self.left.start = blocks.end;
        self.ahead = blocks.end;
        self.bytes += (blocks.end - blocks.start) * super::block::BLOCK_SIZE as u64;
        Ok(())
    }

    /// Hands on the records that end in a block.
    fn feed(
        (walker, behind): (&mut RecordWalker, &mut Option<Address>),
        range: &Range<Address>,
        pieces: &Pieces,
        number: u64,
        payload: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let start = pieces.geometry.start_of_block(number);
        if number.is_multiple_of(pieces.geometry.blocks_per_page()) {
            walker.go_to(start.max(range.start).max(Address::new(FIRST)))?;
        }
        walker.feed(start, payload, |at, info, record| {
            if at < range.end {
                return visit(at, info, record);
            }
            behind.get_or_insert(at);
            Ok(())
        })
    }
}
