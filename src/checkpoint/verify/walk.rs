//! From record to record through the blocks of a log.

use super::large::Met;
use super::report::{Defect, DefectKind, RecordCounts};
use crate::address::Address;
use crate::allocator::BLOCK_PAYLOAD;
use crate::checkpoint::block_map::BlockMap;
use crate::checkpoint::manifest::{Aborted, LogPart, Schema};
use crate::record::{RecordInfo, RecordLayout};

/// Counts records and looks at their headers. Blocks come in order; what could not be read costs the rest of its page,
/// because only there a record is known to begin.
pub(super) struct RecordWalk<'a> {
    map: BlockMap,
    layout: RecordLayout,
    aborted: &'a [Aborted],
    /// Where the next header could be, as a number: it may be one beyond the last address.
    next: u64,
    /// The header there, if it was the last word of its block and the size is told by the next one.
    held: Option<u64>,
    counts: RecordCounts,
    /// Roots of large values that nobody has taken yet.
    roots: Vec<Met>,
}

/// A header that no record can have.
#[derive(Debug, PartialEq, Eq)]
struct Misfit {
    address: u64,
    header: u64,
    rule: &'static str,
}

impl<'a> RecordWalk<'a> {
    pub(super) fn new(map: BlockMap, schema: &Schema, log: &'a LogPart) -> Self {
        let (layout, next) = (schema.layout(), log.begin.get());
        Self {
            map,
            layout,
            aborted: &log.aborted,
            next,
            held: None,
            counts: RecordCounts::default(),
            roots: Vec::new(),
        }
    }

    pub(super) fn counts(&self) -> RecordCounts {
        self.counts
    }

    /// The roots of large values that were met since.
    pub(super) fn take_roots(&mut self) -> impl Iterator<Item = Met> {
        self.roots.drain(..)
    }

    /// What lies below `to` and was not walked yet could not be read.
    pub(super) fn lose(&mut self, to: u64) {
        if self.next < to {
            self.held = None;
            self.next = self.map.page_end(Address::from_word(to - 1));
        }
    }

    /// Goes on through block `number`. What is wrong is told by where it lies in the block.
    pub(super) fn block(&mut self, number: u64, block: &[u8]) -> Option<Defect> {
        let start = self.map.start_of(number);
        let (payload, padding) = block[..BLOCK_PAYLOAD].split_at(self.map.len_of(number) as usize);
        let misfit = self.records(start.get(), payload).err();
        if let Some(misfit) = misfit {
            self.next = self.map.page_end(start);
            let Misfit { address, header, rule } = misfit;
            let what = format!("no record begins at address {address:#x}: {rule} (header {header:#018x})");
            return Some(Defect {
                file: None,
                offset: address.saturating_sub(start.get()),
                bytes: 8,
                what,
                kind: DefectKind::Record,
            });
        }
        let at = padding.iter().position(|byte| *byte != 0)?;
        let what = "bytes beyond the end of a page are not zero".to_owned();
        Some(Defect { file: None, offset: (payload.len() + at) as u64, bytes: 1, what, kind: DefectKind::Padding })
    }

    fn records(&mut self, start: u64, payload: &[u8]) -> Result<(), Misfit> {
        let end = start + payload.len() as u64;
        let word_at = |at: u64| {
            let from = at.checked_sub(start)? as usize;
            payload.get(from..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
        };
        while self.next < end {
            let Some(header) = self.held.take().or_else(|| word_at(self.next)) else { break };
            if header == 0 {
                self.next = end;
                break;
            }
            let address = self.next;
            let misfit = |rule| Misfit { address, header, rule };
            let Some(size) = self.size_of(header, word_at(self.next + 8)) else {
                if self.map.page_offset(Address::from_word(self.next)) + 8 >= self.map.page_size() {
                    return Err(misfit("it would reach beyond its page"));
                }
                self.held = Some(header);
                break;
            };
            self.record(header, size).map_err(misfit)?;
            self.next += size;
        }
        Ok(())
    }

    /// Bytes of the record that begins with these two words; `None` if the second one is needed and not there.
    fn size_of(&self, header: u64, second: Option<u64>) -> Option<u64> {
        let mut head = [0; 16];
        head[..8].copy_from_slice(&header.to_le_bytes());
        head[8..].copy_from_slice(&second.unwrap_or_default().to_le_bytes());
        let told = if second.is_some() { 16 } else { 8 };
        self.layout.size_in(&head[..told]).map(|size| size as u64)
    }

    fn record(&mut self, header: u64, size: u64) -> Result<(), &'static str> {
        let (info, address) = (RecordInfo::from_word(header), Address::from_word(self.next));
        if !info.is_possible() {
            return Err("this is no header");
        }
        if self.map.page_offset(address) + size > self.map.page_size() {
            return Err("it would reach beyond its page");
        }
        if info.is_mark() {
            return Ok(());
        }
        let has_large = self.layout.value_size().is_none();
        if info.is_invalid() {
            let is_fragment = has_large && info.is_fragment();
            *(if is_fragment { &mut self.counts.fragments } else { &mut self.counts.invalid }) += 1;
            return Ok(());
        }
        if info.previous() >= address {
            return Err("the record before it in its chain is not older");
        }
        if self.is_aborted(address, info.version()) {
            self.counts.aborted += 1;
        } else if info.is_tombstone() {
            self.counts.tombstones += 1;
        } else {
            self.counts.values += 1;
            if has_large && info.is_large() {
                self.roots.push(Met { at: address, size });
            }
        }
        Ok(())
    }

    fn is_aborted(&self, address: Address, stamp: u16) -> bool {
        let behind = self.aborted.partition_point(|range| range.from <= address);
        self.aborted[..behind].last().is_some_and(|range| address < range.to && range.stamp == stamp)
    }
}
