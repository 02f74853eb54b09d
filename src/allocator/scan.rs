//! Goes through a log at rest, or a part of it, with several threads.
//!
//! A thread takes a group of whole pages at a time, the youngest first: who rebuilds an index then meets most keys first in
//! their newest record.

use super::pieces::Pieces;
use super::pointers::FIRST;
use super::reader::{BlockReader, ReadLimits};
use super::walk::RecordWalker;
use crate::address::Address;
use crate::error::Result;
use crate::record::{RecordInfo, RecordLayout};
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use std::ops::Range;

/// Bytes of the pages that a thread takes at a time, at least: several accesses of full size.
const GROUP_BYTES: u64 = 4 << 20;

/// One thread's part in a scan.
pub(crate) trait Visitor: Send {
    /// Whether [`record`](Self::record) is to be called.
    fn wants_records(&self) -> bool;

    /// Bytes of the log, of one block. Those of a page come in order, and before the records that end in them.
    ///
    /// # Errors
    /// Ends the scan.
    fn block(&mut self, _at: Address, _payload: &[u8]) -> Result<()> {
        Ok(())
    }

    /// A record, with the header as it is to be seen and the bytes as they are.
    ///
    /// # Errors
    /// Ends the scan.
    fn record(&mut self, at: Address, info: RecordInfo, bytes: &[u8]) -> Result<()>;

    /// No more comes.
    ///
    /// # Errors
    /// Ends the scan.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What is to be scanned, and how.
pub(crate) struct Scan<'p> {
    pub(crate) pieces: &'p Pieces,
    pub(crate) layout: RecordLayout,
    /// From where a record begins to a block boundary.
    pub(crate) range: Range<Address>,
    /// For every thread.
    pub(crate) limits: ReadLimits,
    /// Called now and then with a number of bytes that have been read and verified since.
    pub(crate) progress: &'p (dyn Fn(u64) + Sync),
}

/// Which pages are still to be taken, by whom, and whether anybody wants to go on.
struct Pages {
    blocks: Range<u64>,
    per_group: u64,
    first_group: u64,
    /// Groups that nobody has taken yet.
    left: AtomicU64,
    stopped: AtomicBool,
}

impl Pages {
    fn new(scan: &Scan<'_>) -> Self {
        let geometry = scan.pieces.geometry;
        let pages = (GROUP_BYTES / geometry.page().page_size()).max(1);
        let per_group = pages * geometry.blocks_per_page();
        let blocks = geometry.block_of(scan.range.start)..geometry.block_of(scan.range.end);
        let first_group = blocks.start / per_group;
        let groups = if scan.range.is_empty() { 0 } else { blocks.end.div_ceil(per_group) - first_group };
        Self { blocks, per_group, first_group, left: AtomicU64::new(groups), stopped: AtomicBool::new(false) }
    }

    /// The blocks of the youngest pages that nobody has taken.
    fn take(&self) -> Option<Range<u64>> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).ok()?;
        let first = (self.first_group + left - 1) * self.per_group;
        Some(first.max(self.blocks.start)..(first + self.per_group).min(self.blocks.end))
    }
}

impl Scan<'_> {
    /// Bytes of the blocks in the range.
    pub(crate) fn bytes(&self) -> u64 {
        let geometry = self.pieces.geometry;
        geometry.device_offset(geometry.block_of(self.range.end))
            - geometry.device_offset(geometry.block_of(self.range.start))
    }

    /// Runs with a thread for every visitor, and gives the visitors back.
    ///
    /// # Errors
    /// The first that any thread met: of the reader, of the walk over the records, or of a visitor.
    pub(crate) fn run<V: Visitor>(&self, mut visitors: Vec<V>) -> Result<Vec<V>> {
        let pages = Pages::new(self);
        let results: Vec<Result<()>> = if let [visitor] = visitors.as_mut_slice() {
            vec![self.work(&pages, visitor)]
        } else {
            std::thread::scope(|scope| {
                let workers: Vec<_> =
                    visitors.iter_mut().map(|visitor| scope.spawn(|| self.work(&pages, visitor))).collect();
                workers
                    .into_iter()
                    .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                    .collect()
            })
        };
        results.into_iter().collect::<Result<Vec<()>>>()?;
        Ok(visitors)
    }

    fn work(&self, pages: &Pages, visitor: &mut impl Visitor) -> Result<()> {
        let result = self.read(pages, visitor).and_then(|()| visitor.finish());
        if result.is_err() {
            pages.stopped.store(true, Ordering::Relaxed);
        }
        result
    }

    fn read(&self, pages: &Pages, visitor: &mut impl Visitor) -> Result<()> {
        let mut reader = BlockReader::new(self.pieces, self.limits);
        let mut walker = RecordWalker::new(self.pieces, self.layout);
        let mut expected = None;
        let mut visit = |number, block: &[u8]| {
            let begins = expected.replace(number + 1) != Some(number);
            self.visit(number, block, begins, &mut walker, visitor)
        };
        while let Some(blocks) = reader.visit_next(|| pages.take(), &mut visit)? {
            (self.progress)((blocks.end - blocks.start) * super::block::BLOCK_SIZE as u64);
        }
        walker.go_to(Address::INVALID)
    }

    /// One block; `begins` if it does not follow the one before.
    fn visit(
        &self,
        number: u64,
        block: &[u8],
        begins: bool,
        walker: &mut RecordWalker,
        visitor: &mut impl Visitor,
    ) -> Result<()> {
        let geometry = self.pieces.geometry;
        let start = geometry.start_of_block(number);
        let payload = &block[..geometry.payload_of_block(number)];
        visitor.block(start, payload)?;
        if !visitor.wants_records() {
            return Ok(());
        }
        if begins || number.is_multiple_of(geometry.blocks_per_page()) {
            walker.go_to(start.max(self.range.start).max(Address::new(FIRST)))?;
        }
        walker.feed(start, payload, |at, info, record| visitor.record(at, info, record))
    }
}
