//! Reads the records of a log that nobody uses, in their order.

use super::pieces::Pieces;
use super::pointers::FIRST;
use super::reader::{BlockReader, ReadLimits};
use super::walk::{RecordWalker, Visit};
use crate::address::Address;
use crate::error::Result;
use crate::record::RecordLayout;
use crate::sync::Arc;
use std::ops::Range;

/// Hands on the records of a range of a log at rest.
pub(crate) struct AtRestReader {
    pieces: Arc<Pieces>,
    reader: BlockReader<Arc<Pieces>>,
    walker: RecordWalker,
    start: Address,
    /// What has not been asked for yet.
    blocks: Option<Range<u64>>,
    begins: bool,
}

impl AtRestReader {
    /// `range` is from where a record begins to a block boundary.
    pub(crate) fn new(pieces: Pieces, layout: RecordLayout, range: Range<Address>, limits: ReadLimits) -> Self {
        let geometry = pieces.geometry;
        let pieces = Arc::new(pieces);
        let blocks = geometry.block_of(range.start)..geometry.block_of(range.end);
        Self {
            reader: BlockReader::new(Arc::clone(&pieces), limits),
            walker: RecordWalker::new(&pieces, layout),
            start: range.start.max(Address::new(FIRST)),
            blocks: Some(blocks).filter(|blocks| !blocks.is_empty()),
            begins: true,
            pieces,
        }
    }

    /// Hands the records of the next blocks to `visit`. False at the end.
    ///
    /// # Errors
    /// As for [`BlockReader::visit_next`], and those of `visit`.
    pub(crate) fn advance(&mut self, visit: &mut Visit<'_>) -> Result<bool> {
        let Self { blocks, reader, walker, begins, start: first, pieces, .. } = self;
        let geometry = pieces.geometry;
        let visited = reader.visit_next(
            || blocks.take(),
            |number, block| {
                let start = geometry.start_of_block(number);
                if std::mem::replace(begins, false) || number.is_multiple_of(geometry.blocks_per_page()) {
                    walker.go_to(start.max(*first))?;
                }
                let payload = &block[..geometry.payload_of_block(number)];
                walker.feed(start, payload, |at, info, record| visit(at, info, record))
            },
        )?;
        Ok(visited.is_some())
    }
}
