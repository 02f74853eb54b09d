//! Checks blocks and keeps the report.

use super::BLOCK;
use super::report::{Defect, DefectKind, LargeValueCounts, RecordCounts, VerifyProgress, VerifyReport};
use super::source::{Chunk, Chunks, Source};
use crate::allocator::{BLOCK_SIZE, Seal};
use crate::directory::Directory;
use crate::error::{Error, ErrorKind, Result};

/// Consecutive blocks of one place.
#[derive(Clone, Copy)]
pub(super) struct Stretch<'a> {
    /// The file they are in; `None` for the device.
    pub(super) file: Option<&'a str>,
    /// The number of the first one.
    pub(super) first: u64,
    pub(super) blocks: u64,
    /// The number of the block that would lie at offset 0.
    pub(super) base: u64,
}

impl Stretch<'_> {
    fn offset_of(&self, block: u64) -> u64 {
        (block - self.base) * BLOCK
    }

    fn block_at(&self, offset: u64) -> u64 {
        self.base + offset / BLOCK
    }

    fn defect(&self, block: u64, blocks: u64, kind: DefectKind, what: String) -> Defect {
        let file = self.file.map(str::to_owned);
        Defect { file, offset: self.offset_of(block), bytes: blocks * BLOCK, what, kind }
    }
}

/// Looks into the blocks of a stretch, in order.
pub(super) trait Look {
    /// What a block must carry as its generation.
    fn generation(&self, block: u64) -> Option<u32>;

    /// Takes a block whose seal is right. What is wrong with it nevertheless is placed within the block.
    fn look(&mut self, block: u64, bytes: &[u8]) -> Option<Defect>;

    /// These blocks could not be read, or must not be believed.
    fn lose(&mut self, first: u64, last: u64);

    /// After some blocks: looks at what they lead to.
    fn settle(&mut self, report: &mut VerifyReport) -> Result<()>;
}

pub(super) struct Inspection<'a> {
    report: VerifyReport,
    done: u64,
    total: u64,
    progress: &'a mut dyn FnMut(VerifyProgress<'_>),
}

impl<'a> Inspection<'a> {
    pub(super) fn new(report: VerifyReport, total: u64, progress: &'a mut dyn FnMut(VerifyProgress<'_>)) -> Self {
        Self { report, done: 0, total, progress }
    }

    pub(super) fn finish(self, records: RecordCounts, large_values: LargeValueCounts) -> VerifyReport {
        VerifyReport { records, large_values, ..self.report }
    }

    /// Bytes of a place that nobody can look at.
    pub(super) fn leave_out(&mut self, bytes: u64) {
        self.report.unchecked_bytes += bytes;
        self.done += bytes;
    }

    /// The file, if it can be opened. Bytes behind its end are a defect; missing ones will be found where they are missed.
    pub(super) fn open(&mut self, directory: &dyn Directory, name: &str, bytes: u64) -> Option<Source<'static>> {
        let opened = directory.open(name).and_then(|file| Ok((file.len()?, file)));
        match opened {
            Ok((length, file)) => {
                if length > bytes {
                    let what = format!("the file has {length} bytes instead of {bytes}");
                    let (file, extra) = (Some(name.to_owned()), length - bytes);
                    self.report.add(Defect { file, offset: bytes, bytes: extra, what, kind: DefectKind::File });
                }
                Some(Source::File(file))
            }
            Err(error) => {
                self.report.add(Defect { bytes, ..Defect::of_file(name.to_owned(), &error) });
                self.done += bytes;
                None
            }
        }
    }

    /// Checks every block of a stretch.
    pub(super) fn stretch(&mut self, stretch: &Stretch<'_>, source: &Source<'_>, look: &mut dyn Look) -> Result<()> {
        let end = stretch.first + stretch.blocks;
        let mut chunks = Chunks::new(source, stretch.offset_of(stretch.first), stretch.offset_of(end));
        while let Some(chunk) = chunks.next()? {
            let first = stretch.block_at(chunk.offset);
            let next = match chunk.bytes() {
                Ok(bytes) => self.blocks(stretch, first, bytes, look),
                Err(error) => self.one_by_one(stretch, &mut chunks, &chunk, error, look)?,
            };
            // Reads are short only where there is no more: what is missed is not asked for, however much it is.
            let is_short = next < first + chunk.len / BLOCK;
            if is_short {
                let what = "the bytes end here".to_owned();
                self.report.add(stretch.defect(next, end - next, DefectKind::Missing, what));
                look.lose(next, end - 1);
            }
            look.settle(&mut self.report)?;
            self.done += if is_short { stretch.offset_of(end) - chunk.offset } else { chunk.len };
            (self.progress)(VerifyProgress::new(self.done, self.total, stretch.file));
            if is_short {
                break;
            }
            chunks.recycle(chunk);
        }
        Ok(())
    }

    /// Checks the whole blocks among these bytes; returns the number of the one behind them.
    fn blocks(&mut self, stretch: &Stretch<'_>, first: u64, bytes: &[u8], look: &mut dyn Look) -> u64 {
        let mut next = first;
        for bytes in bytes.chunks_exact(BLOCK_SIZE) {
            self.block(stretch, next, bytes, look);
            next += 1;
        }
        next
    }

    /// After the read of a chunk failed: as much of it as can be read. Returns the number of the block behind that.
    fn one_by_one(
        &mut self,
        stretch: &Stretch<'_>,
        chunks: &mut Chunks<'_>,
        chunk: &Chunk,
        error: &Error,
        look: &mut dyn Look,
    ) -> Result<u64> {
        let first = stretch.block_at(chunk.offset);
        let blocks = chunk.len / BLOCK;
        if error.kind() == ErrorKind::DeviceFailed {
            // Whoever has failed for good is not asked again for each block.
            self.unreadable(stretch, first, blocks, error, look);
            return Ok(first + blocks);
        }
        for block in first..first + blocks {
            let again = chunks.again(stretch.offset_of(block), BLOCK)?;
            match again.bytes() {
                Ok(bytes) if bytes.len() < BLOCK_SIZE => return Ok(block),
                Ok(bytes) => self.block(stretch, block, bytes, look),
                Err(error) => self.unreadable(stretch, block, 1, error, look),
            }
            chunks.recycle(again);
        }
        Ok(first + blocks)
    }

    fn unreadable(&mut self, stretch: &Stretch<'_>, block: u64, blocks: u64, error: &Error, look: &mut dyn Look) {
        self.report.add(stretch.defect(block, blocks, DefectKind::Unreadable, error.to_string()));
        look.lose(block, block + blocks - 1);
    }

    fn block(&mut self, stretch: &Stretch<'_>, block: u64, bytes: &[u8], look: &mut dyn Look) {
        self.report.blocks += 1;
        self.report.bytes += BLOCK;
        // In a file of the log and on the device blocks carry the same numbers.
        if let Some((kind, what)) = fault(bytes, block, look.generation(block)) {
            self.report.add(stretch.defect(block, 1, kind, what));
            look.lose(block, block);
        } else if let Some(defect) = look.look(block, bytes) {
            let offset = stretch.offset_of(block) + defect.offset;
            self.report.add(Defect { file: stretch.file.map(str::to_owned), offset, ..defect });
        }
    }
}

/// What is wrong with a block, if anything is.
fn fault(block: &[u8], number: u64, generation: Option<u32>) -> Option<(DefectKind, String)> {
    let seal = Seal::of(block, number);
    if seal.is_intact() && Some(seal.generation) == generation {
        return None;
    }
    if block.iter().all(|byte| *byte == 0) {
        return Some((DefectKind::Zero, format!("block {number} was never written: it is all zeros")));
    }
    if !seal.is_intact() {
        let what = format!(
            "block {number} is damaged: checksum stored {:#010x}, computed {:#010x}",
            seal.stored, seal.computed
        );
        return Some((DefectKind::Damaged, what));
    }
    let expected = generation.map_or("none".to_owned(), |expected| format!("{expected:#010x}"));
    let what = format!(
        "block {number} belongs to another log: generation stored {:#010x}, expected {expected}",
        seal.generation
    );
    Some((DefectKind::Generation, what))
}
