//! Checks blocks and keeps the report.

use super::BLOCK;
use super::report::{Defect, DefectKind, RecordCounts, VerifyProgress, VerifyReport};
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

/// Looks into blocks whose seal was checked: their number, their bytes, and whether they may be believed. What it finds
/// wrong it places within the block.
pub(super) trait Look {
    /// What a block must carry as its generation.
    fn generation(&self, block: u64) -> Option<u32>;

    /// Takes the next block.
    fn look(&mut self, block: u64, bytes: &[u8], is_sound: bool) -> Option<Defect>;
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

    pub(super) fn finish(self, records: RecordCounts) -> VerifyReport {
        VerifyReport { records, ..self.report }
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
        let (from, to) = (stretch.offset_of(stretch.first), stretch.offset_of(stretch.first + stretch.blocks));
        let mut chunks = Chunks::new(source, from, to);
        while let Some(chunk) = chunks.next()? {
            match chunk.bytes() {
                Ok(bytes) => self.blocks(stretch, &chunk, bytes, look),
                Err(error) => self.one_by_one(stretch, &mut chunks, &chunk, error, look)?,
            }
            self.done += chunk.len;
            (self.progress)(VerifyProgress::new(self.done, self.total, stretch.file));
            chunks.recycle(chunk);
        }
        Ok(())
    }

    fn blocks(&mut self, stretch: &Stretch<'_>, chunk: &Chunk, bytes: &[u8], look: &mut dyn Look) {
        let first = stretch.block_at(chunk.offset);
        let mut whole = 0;
        for (block, bytes) in (first..).zip(bytes.chunks_exact(BLOCK_SIZE)) {
            self.block(stretch, block, bytes, look);
            whole += 1;
        }
        let missing = chunk.len / BLOCK - whole;
        if missing > 0 {
            let what = "the bytes end here".to_owned();
            self.report.add(stretch.defect(first + whole, missing, DefectKind::Missing, what));
            (first + whole..).take(missing as usize).for_each(|block| drop(look.look(block, &[], false)));
        }
    }

    /// After the read of a chunk failed: as much of it as can be read.
    fn one_by_one(
        &mut self,
        stretch: &Stretch<'_>,
        chunks: &mut Chunks<'_>,
        chunk: &Chunk,
        error: &Error,
        look: &mut dyn Look,
    ) -> Result<()> {
        let first = stretch.block_at(chunk.offset);
        for block in first..first + chunk.len / BLOCK {
            // Whoever has failed for good is not asked again for each block.
            let again = if error.kind() == ErrorKind::DeviceFailed {
                None
            } else {
                Some(chunks.again(stretch.offset_of(block), BLOCK)?)
            };
            match again.as_ref().map_or(Err(error), Chunk::bytes) {
                Ok(bytes) if bytes.len() == BLOCK_SIZE => self.block(stretch, block, bytes, look),
                Ok(_) => self.unreadable(stretch, block, DefectKind::Missing, "the bytes end here".to_owned(), look),
                Err(error) => self.unreadable(stretch, block, DefectKind::Unreadable, error.to_string(), look),
            }
            again.into_iter().for_each(|chunk| chunks.recycle(chunk));
        }
        Ok(())
    }

    fn unreadable(&mut self, stretch: &Stretch<'_>, block: u64, kind: DefectKind, what: String, look: &mut dyn Look) {
        self.report.add(stretch.defect(block, 1, kind, what));
        look.look(block, &[], false);
    }

    fn block(&mut self, stretch: &Stretch<'_>, block: u64, bytes: &[u8], look: &mut dyn Look) {
        self.report.blocks += 1;
        self.report.bytes += BLOCK;
        // In a file of the log and on the device blocks carry the same numbers.
        let fault = fault(bytes, block, look.generation(block));
        let is_sound = fault.is_none();
        if let Some((kind, what)) = fault {
            self.report.add(stretch.defect(block, 1, kind, what));
        }
        if let Some(defect) = look.look(block, bytes, is_sound) {
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
