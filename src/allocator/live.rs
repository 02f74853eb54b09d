//! Reads the records of a log that is in use. Only what nobody changes any more is read: below `safe_read_only` (L2).

use super::hybrid_log::HybridLog;
use super::live_blocks::LiveBlocks;
use super::pieces::Pieces;
use super::pointers::FIRST;
use super::reader::ReadLimits;
use super::walk::{RecordWalker, Visit};
use crate::address::Address;
use crate::epoch::Participant;
use crate::error::Result;
use crate::record::RecordLayout;
use crate::sync::Arc;
use std::ops::Range;

/// Hands on the records of ranges of a log in use, each with its address, its header as invariant L9 wants it, and its bytes.
pub(crate) struct LiveReader {
    pieces: Arc<Pieces>,
    blocks: LiveBlocks,
    walker: RecordWalker,
    range: Range<Address>,
    end: Address,
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
        let blocks = LiveBlocks::new(log, boundary, limits)?;
        let pieces = Arc::clone(blocks.pieces());
        Ok(Self {
            blocks,
            walker: RecordWalker::new(&pieces, layout),
            pieces,
            range: Address::INVALID..Address::INVALID,
            end,
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
        let geometry = self.pieces.geometry;
        let start = range.start.max(Address::new(FIRST));
        let _ = self.walker.go_to(start); // a record of the other range may have begun
        let mut blocks = geometry.block_of(start)..geometry.block_of(start);
        if start < range.end {
            blocks.end = geometry.block_of(Address::new(range.end.get() - 1)) + 1;
        }
        self.blocks.go_to(blocks)?;
        self.range = start..range.end;
        self.behind = None;
        Ok(())
    }

    /// Bytes of blocks that were looked at.
    pub(crate) fn bytes(&self) -> u64 {
        self.blocks.bytes()
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
        if self.blocks.is_over() {
            // The last record may end behind the range.
            if !self.walker.has_begun() || self.walker.position() >= self.range.end {
                return Ok(false);
            }
            self.blocks.extend_to(self.blocks.end() + 1);
        }
        let Self { blocks, walker, behind, range, pieces, .. } = self;
        blocks.next(log, participant, |number, payload| {
            Self::feed((&mut *walker, &mut *behind), range, pieces, number, payload, visit)
        })?;
        Ok(true)
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
