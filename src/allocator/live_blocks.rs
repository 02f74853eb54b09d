//! Reads the blocks of a log that is in use: from memory where they are there, from the device with accesses ahead.
//!
//! Only what nobody changes any more may be asked for. A page that leaves memory while it is being read is on the device by
//! then (L4), and is read on from there.

use super::block::BLOCK_SIZE;
use super::hybrid_log::HybridLog;
use super::pieces::{Piece, Pieces};
use super::pointers::FIRST;
use super::reader::{BlockReader, ReadLimits};
use crate::address::Address;
use crate::epoch::{Guard, Participant};
use crate::error::Result;
use crate::memory::load_bytes;
use crate::sync::Arc;
use std::ops::Range;

/// Blocks that are copied out of memory under one pin.
const UNDER_ONE_PIN: u64 = 16;
/// Blocks that a slow start asks the device for, before it asks for more and more.
const SLOW_START: u64 = 16;

/// Hands on blocks of a log in use, in order.
pub(crate) struct LiveBlocks {
    pieces: Arc<Pieces>,
    limits: ReadLimits,
    /// There once something was read from the device.
    reader: Option<BlockReader<Arc<Pieces>>>,
    /// Blocks that have not been handed on.
    left: Range<u64>,
    /// Blocks up to here are being read from the device.
    ahead: u64,
    /// Blocks that the device is asked for at a time.
    burst: u64,
    copied: Vec<u8>,
    bytes: u64,
}

impl LiveBlocks {
    /// For blocks below `end`, a block boundary.
    ///
    /// # Errors
    /// None with a log in order: its boundaries lie at blocks.
    pub(crate) fn new(log: &HybridLog, end: Address, limits: ReadLimits) -> Result<Self> {
        let piece = Piece { from: Address::INVALID, to: end, file: None };
        let pieces = Pieces::new(log.geometry(), log.history().clone(), vec![piece], Arc::clone(log.device()))?;
        Ok(Self {
            pieces: Arc::new(pieces),
            limits,
            reader: None,
            left: 0..0,
            ahead: 0,
            burst: u64::MAX,
            copied: Vec::new(),
            bytes: 0,
        })
    }

    /// Asks the device for little at first: for those who may want one record only.
    pub(crate) fn with_slow_start(mut self) -> Self {
        self.burst = SLOW_START;
        self
    }

    pub(super) fn pieces(&self) -> &Arc<Pieces> {
        &self.pieces
    }

    /// Bytes of blocks that were handed on.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Goes on with `blocks`. Whatever was left of others is given up.
    ///
    /// # Errors
    /// Those of accesses that were under way for the others.
    pub(crate) fn go_to(&mut self, blocks: Range<u64>) -> Result<()> {
        if let Some(reader) = &mut self.reader {
            reader.give_up_rest();
            while let Some(verified) = reader.next(|| None)? {
                reader.give_back(verified);
            }
        }
        self.ahead = blocks.start;
        self.left = blocks;
        Ok(())
    }

    /// Goes on up to block number `end`, if that was not said before.
    pub(crate) fn extend_to(&mut self, end: u64) {
        self.left.end = self.left.end.max(end);
    }

    /// The number behind the last block that was asked for.
    pub(super) fn end(&self) -> u64 {
        self.left.end
    }

    /// True if all blocks that were asked for have been handed on.
    pub(crate) fn is_over(&self) -> bool {
        self.left.is_empty()
    }

    /// Hands the next few blocks to `visit`, each with its number and what it holds of the log.
    ///
    /// # Errors
    /// Those of the device; [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for what does not verify; those of `visit`.
    pub(crate) fn next(
        &mut self,
        log: &HybridLog,
        participant: &mut Participant,
        mut visit: impl FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        if self.left.is_empty() {
            return Ok(());
        }
        let geometry = self.pieces.geometry;
        if self.ahead <= self.left.start {
            let first = self.left.start;
            let page_end = (first / geometry.blocks_per_page() + 1) * geometry.blocks_per_page();
            let end = self.left.end.min(page_end).min(first.saturating_add(UNDER_ONE_PIN));
            if self.copy_from_memory(log, first..end, &participant.pin()) {
                let mut rest = self.copied.as_slice();
                for number in first..end {
                    let (payload, behind) = rest.split_at(geometry.payload_of_block(number).min(rest.len()));
                    visit(number, payload)?;
                    rest = behind;
                }
                (self.left.start, self.ahead) = (end, end);
                self.bytes += (end - first) * BLOCK_SIZE as u64;
                return Ok(());
            }
            let head = geometry.block_of(log.addresses().head);
            self.ahead = head.min(first.saturating_add(self.burst)).clamp(first + 1, self.left.end);
            self.burst = self.burst.saturating_mul(4);
        }
        let reader = self.reader.get_or_insert_with(|| BlockReader::new(Arc::clone(&self.pieces), self.limits));
        let mut more = Some(self.left.start..self.ahead).filter(|_| reader.is_idle());
        let visit = |number, block: &[u8]| visit(number, &block[..geometry.payload_of_block(number)]);
        let Some(blocks) = reader.visit_next(|| more.take(), visit)? else {
            self.ahead = self.left.start;
            return Ok(());
        };
        self.left.start = blocks.end;
        self.bytes += (blocks.end - blocks.start) * BLOCK_SIZE as u64;
        Ok(())
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
}
