//! Checking a checkpoint without opening a store: every byte that a recovery would read.
//!
//! ```text
//!   manifest --> pieces ---> Source: a file, or the device with reads ahead --> chunks
//!                image                                                            |
//!                                      Inspection: each block's seal  <-----------+
//!                                          RecordWalk: each record's header
//!                                          LargeValues: from each root to its fragments
//!                                          VerifyReport: counts, defects by file and offset
//! ```
//!
//! Memory is bounded: a few chunks, and the manifest.

mod inspection;
mod large;
mod places;
mod report;
mod source;
mod walk;

use super::CheckpointToken;
use super::block_map::BlockMap;
use super::catalog::Catalog;
use super::file_name::binding_of;
use super::manifest::{IndexPart, LogPart, Manifest};
use crate::allocator::BLOCK_SIZE;
use crate::device::StorageDevice;
use crate::directory::Directory;
use crate::error::{ErrorKind, Result};
use inspection::{Inspection, Look, Stretch};
use large::LargeValues;
use places::Places;
use source::Source;
use walk::RecordWalk;

pub use report::{Defect, LargeValueCounts, RecordCounts, VerifyProgress, VerifyReport};

const BLOCK: u64 = BLOCK_SIZE as u64;

/// Reads and checks every byte of a checkpoint: its manifest, the image of the index, and the log in files and on the
/// `device`. Without a device, what lies there is counted as unchecked. `progress` is called after each chunk.
///
/// # Errors
/// [`ErrorKind::NotFound`] if there is no such checkpoint; [`ErrorKind::Busy`] if the device does not answer. Everything
/// that is wrong with the checkpoint, a file that cannot be read included, is in the report.
pub fn verify(
    directory: &dyn Directory,
    device: Option<&dyn StorageDevice>,
    token: CheckpointToken,
    progress: &mut dyn FnMut(VerifyProgress<'_>),
) -> Result<VerifyReport> {
    let manifest = match Catalog::new(directory).load(token) {
        Ok(manifest) => manifest,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(error),
        Err(error) => return Ok(VerifyReport::unreadable(token, &error)),
    };
    let mut inspection = Inspection::new(VerifyReport::new(token), total(&manifest), progress);
    let (mut records, mut large_values) = (RecordCounts::default(), LargeValueCounts::default());
    if let (Some(log), Some(map)) = (&manifest.log, BlockMap::new(manifest.schema.page_bits)) {
        let walk = RecordWalk::new(map, &manifest.schema, log);
        let places = Places::new(directory, device, map, log);
        let large = LargeValues::new(places, manifest.schema.layout(), log.begin);
        let mut look = LogLook { map, binding: 0, walk, large };
        verify_log(directory, device, log, &mut look, &mut inspection)?;
        (records, large_values) = (look.walk.counts(), look.large.counts());
    }
    if let Some(index) = &manifest.index {
        verify_index(directory, index, &mut inspection)?;
    }
    let mut report = inspection.finish(records, large_values);
    report.manifest = Some(manifest);
    Ok(report)
}

/// Bytes of all blocks that a manifest names.
fn total(manifest: &Manifest) -> u64 {
    let pieces = manifest.log.iter().flat_map(|log| &log.pieces);
    let blocks = BlockMap::new(manifest.schema.page_bits)
        .map_or(0, |map| pieces.map(|piece| map.blocks_between(piece.from, piece.to)).sum());
    blocks * BLOCK + manifest.index.as_ref().map_or(0, |index| index.bytes)
}

/// Blocks of the log hold records.
struct LogLook<'a> {
    map: BlockMap,
    /// Of the file that is looked at.
    binding: u32,
    walk: RecordWalk<'a>,
    large: LargeValues<'a>,
}

impl Look for LogLook<'_> {
    fn generation(&self, block: u64) -> Option<u32> {
        self.large.places.generation(block, self.binding)
    }

    fn look(&mut self, block: u64, bytes: &[u8]) -> Option<Defect> {
        self.walk.block(block, bytes)
    }

    fn lose(&mut self, first: u64, last: u64) {
        self.walk.lose(self.map.start_of(last).get() + self.map.len_of(last));
        self.large.places.lose(first, last);
    }

    fn settle(&mut self, report: &mut VerifyReport) -> Result<()> {
        self.large.follow(self.walk.take_roots(), report)
    }
}

/// Blocks of an image of the index all carry the same generation.
struct IndexLook(u32);

impl Look for IndexLook {
    fn generation(&self, _block: u64) -> Option<u32> {
        Some(self.0)
    }

    fn look(&mut self, _block: u64, _bytes: &[u8]) -> Option<Defect> {
        None
    }

    fn lose(&mut self, _first: u64, _last: u64) {}

    fn settle(&mut self, _report: &mut VerifyReport) -> Result<()> {
        Ok(())
    }
}

fn verify_log(
    directory: &dyn Directory,
    device: Option<&dyn StorageDevice>,
    log: &LogPart,
    look: &mut LogLook<'_>,
    inspection: &mut Inspection<'_>,
) -> Result<()> {
    for piece in &log.pieces {
        let file = piece.file.as_deref();
        look.binding = file.map_or(0, binding_of);
        let (first, blocks) = (look.map.block_of(piece.from), look.map.blocks_between(piece.from, piece.to));
        let source = match (file, device) {
            (Some(name), _) => inspection.open(directory, name, blocks * BLOCK),
            (None, Some(device)) => Some(Source::Device(device)),
            (None, None) => {
                inspection.leave_out(blocks * BLOCK);
                None
            }
        };
        match source {
            // In a file the blocks lie from its beginning on, on the device where their numbers say.
            Some(source) => {
                let stretch = Stretch { file, first, blocks, base: if file.is_some() { first } else { 0 } };
                inspection.stretch(&stretch, &source, look)?;
            }
            None if file.is_some() => look.lose(first, first + blocks - 1),
            None => look.walk.lose(piece.to.get()),
        }
    }
    Ok(())
}

fn verify_index(directory: &dyn Directory, index: &IndexPart, inspection: &mut Inspection<'_>) -> Result<()> {
    let Some(source) = inspection.open(directory, &index.file, index.bytes) else { return Ok(()) };
    let stretch = Stretch { file: Some(&index.file), first: 0, blocks: index.bytes / BLOCK, base: 0 };
    inspection.stretch(&stretch, &source, &mut IndexLook(index.generation))
}
