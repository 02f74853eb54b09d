//! Finds the records in the bytes of a log, block by block. Invariant R1 of [`crate::record`] says where they are.

use super::history::History;
use super::pieces::Pieces;
use crate::address::{Address, PageGeometry};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{RecordInfo, RecordLayout};

/// What is called with each record: its address, its header as invariant L9 wants it, and its bytes.
pub(super) type Visit<'v> = dyn FnMut(Address, RecordInfo, &[u8]) -> Result<()> + 'v;

/// Takes the blocks of a page in order, and hands on the records in them.
pub(crate) struct RecordWalker {
    layout: RecordLayout,
    page: PageGeometry,
    history: History,
    /// Where the next record begins, or the one that has begun.
    at: Address,
    /// The first bytes of a record whose rest is in the blocks to come.
    begun: Vec<u8>,
}

impl RecordWalker {
    pub(crate) fn new(pieces: &Pieces, layout: RecordLayout) -> Self {
        let page = pieces.geometry.page();
        Self { layout, page, history: pieces.history.clone(), at: Address::INVALID, begun: Vec::new() }
    }

    /// Goes on at `at`, where a record begins if there is any.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if a record has begun and its end never came.
    pub(crate) fn go_to(&mut self, at: Address) -> Result<()> {
        let cut_off = !self.begun.is_empty();
        self.begun.clear();
        let begun_at = std::mem::replace(&mut self.at, at);
        if cut_off { Err(self.nonsense("a record of the log is cut off", begun_at)) } else { Ok(()) }
    }

    /// Where the next record begins, or the one that has begun.
    pub(super) fn position(&self) -> Address {
        self.at
    }

    /// True if a record has begun whose end has not come yet.
    pub(super) fn has_begun(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Hands the records that end in the block at `start`, whose bytes are `payload`, to `visit`: each with its address, its
    /// header as invariant L9 wants it, and its bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if there is something that is no record, and what `visit` returns.
    pub(crate) fn feed(
        &mut self,
        start: Address,
        payload: &[u8],
        mut visit: impl FnMut(Address, RecordInfo, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut rest = payload;
        if self.begun.is_empty() {
            let skipped = self.at.get().saturating_sub(start.get());
            rest = rest.get(skipped as usize..).unwrap_or_default();
        } else {
            // What tells the size comes first, if it has not come yet.
            let head = self.layout.head_size().saturating_sub(self.begun.len());
            let size = match self.size_of(&self.begun)? {
                Some(size) => size,
                None => {
                    rest = self.go_on(rest, head);
                    let Some(size) = self.size_of(&self.begun)? else { return Ok(()) };
                    size
                }
            };
            let behind = self.go_on(rest, size.saturating_sub(self.begun.len()));
            if self.begun.len() < size {
                return Ok(());
            }
            let info = self.check(&self.begun)?;
            visit(self.at, info, &self.begun)?;
            self.begun.clear();
            self.step(size as u64);
            rest = behind;
        }
        while let Some(header) = rest.first_chunk() {
            if u64::from_le_bytes(*header) == 0 {
                // R1: nothing follows before the next block boundary.
                self.step(rest.len() as u64);
                return Ok(());
            }
            let size = self.size_of(rest)?;
            let Some((record, behind)) = size.and_then(|size| rest.split_at_checked(size)) else {
                self.begun.extend_from_slice(rest);
                return Ok(());
            };
            let size = record.len();
            let info = self.check(record)?;
            visit(self.at, info, record)?;
            self.step(size as u64);
            rest = behind;
        }
        Ok(())
    }

    /// True if a record has begun whose end is in the blocks to come.
    pub(crate) fn is_within_record(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Bytes of the record that begins here, which lies on one page; `None` if these are too few to tell. Records begin at words, so
    /// a header is never cut.
    #[inline]
    fn size_of(&self, bytes: &[u8]) -> Result<Option<usize>> {
        match self.layout.size_in(bytes) {
            Some(size) if size as u64 > self.page.rest(self.at) => {
                Err(self.nonsense("a record of the log reaches beyond its page", self.at))
            }
            size => Ok(size),
        }
    }

    /// Adds up to `len` bytes of `rest` to the record that has begun. Returns what is left.
    fn go_on<'r>(&mut self, rest: &'r [u8], len: usize) -> &'r [u8] {
        let (more, behind) = rest.split_at(rest.len().min(len));
        self.begun.extend_from_slice(more);
        behind
    }

    fn step(&mut self, len: u64) {
        self.at = Address::from_word(self.at.get() + len);
    }

    /// The header of the record at `at`, if it is one.
    #[inline]
    fn check(&self, record: &[u8]) -> Result<RecordInfo> {
        let info = RecordInfo::from_word(record.first_chunk().map_or(0, |header| u64::from_le_bytes(*header)));
        let is_nothing_to_look_into = info.is_present() && (info.is_mark() || info.is_invalid());
        if !is_nothing_to_look_into && self.layout.split(record).is_err() {
            return Err(self.nonsense("there is something in the log that is no record of this store", self.at));
        }
        Ok(if info.is_mark() { info } else { self.history.judged(self.at, info) })
    }

    #[cold]
    fn nonsense(&self, what: &'static str, at: Address) -> Error {
        Error::new(ErrorKind::Corrupt, what)
            .with("log address", at)
            .with("offset in page", self.page.offset(at))
            .with("record size", self.layout.record_size().map_or("any".to_owned(), |size| size.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::{Aborted, Generation, LogGeometry};
    use crate::device::MemoryDisk;
    use crate::sync::Arc;

    const LAYOUT: RecordLayout = RecordLayout::fixed(8, 8);

    fn pieces() -> Pieces {
        let generations = vec![Generation { from: Address::INVALID, generation: 1 }];
        let aborted = vec![Aborted { from: Address::new(64), to: Address::new(4096), stamp: 3 }];
        let geometry = LogGeometry::new(14, 4, 0.5).unwrap();
        Pieces::new(geometry, History::new(generations, aborted), Vec::new(), Arc::new(MemoryDisk::new())).unwrap()
    }

    fn record(key: u64, stamp: u16) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&RecordInfo::new(Address::new(64), stamp).word().to_le_bytes());
        bytes[8..16].copy_from_slice(&key.to_le_bytes());
        bytes
    }

    /// Address, key and validity of all records in `bytes`, which begin at `start` and come in blocks of `block` bytes.
    fn walk(start: u64, bytes: &[u8], block: usize) -> Result<Vec<(u64, u64, bool)>> {
        let pieces = pieces();
        let mut walker = RecordWalker::new(&pieces, LAYOUT);
        let mut found = Vec::new();
        walker.go_to(Address::new(start))?;
        for (index, payload) in bytes.chunks(block).enumerate() {
            walker.feed(Address::new(start + (index * block) as u64), payload, |at, info, record| {
                let key = u64::from_le_bytes(*record[8..].first_chunk().unwrap());
                found.push((at.get(), key, !info.is_invalid()));
                Ok(())
            })?;
        }
        walker.go_to(Address::new(start))?;
        Ok(found)
    }

    #[test]
    fn records_are_found_however_the_bytes_are_cut_into_blocks() {
        let bytes: Vec<u8> = (0..9).flat_map(|key| record(key, 0)).collect();
        let expected: Vec<_> = (0..9).map(|key| (64 + key * 24, key, true)).collect();
        for block in [8, 16, 24, 32, 40, 200, 216, 400] {
            assert_eq!(walk(64, &bytes, block).unwrap(), expected, "in blocks of {block}");
        }
    }

    #[test]
    fn zeros_lead_to_the_next_block() {
        let mut bytes = record(7, 0).to_vec();
        bytes.resize(80, 0);
        bytes.extend(record(8, 0));
        assert_eq!(walk(160, &bytes, 80).unwrap(), [(160, 7, true), (240, 8, true)]);
        assert_eq!(walk(160, &[0; 800], 80).unwrap(), []);
    }

    #[test]
    fn a_record_that_a_cut_left_out_is_handed_on_as_invalid() {
        let bytes: Vec<u8> = [record(1, 2), record(2, 3), record(3, 4)].concat();
        assert_eq!(walk(64, &bytes, 72).unwrap(), [(64, 1, true), (88, 2, false), (112, 3, true)]);
        assert_eq!(walk(4096, &bytes, 72).unwrap()[1], (4120, 2, true), "outside of the range");
    }

    #[test]
    fn what_is_no_record_is_named_with_its_address() {
        let mut bytes = [record(1, 0), record(2, 0)].concat();
        bytes[31] = 0; // the second one is no longer present, but not zero
        let error = walk(64, &bytes, 48).unwrap_err();
        assert_eq!((error.kind(), error.field("log address")), (ErrorKind::Corrupt, Some("0x58")), "{error}");
        let error = walk(64, &record(1, 0)[..16], 48).unwrap_err();
        assert_eq!((error.kind(), error.field("log address")), (ErrorKind::Corrupt, Some("0x40")), "{error}");
    }
}
