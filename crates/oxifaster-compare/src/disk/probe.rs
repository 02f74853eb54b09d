//! What the disk allows: random reads of blocks, one at a time and many at a time, of the very files of this store.

use super::engine::{DiskEngine, DiskWorker, Mode, Op, Tally};
use crate::failure::{Failure, Result};
use crate::probe::direct::{DirectFiles, DirectReader};
use crate::probe::ring::RingReader;
use std::path::Path;

/// Files that blocks are read of.
pub(crate) struct Probe(DirectFiles);

impl Probe {
    /// Opens the files in `directory`, or makes one of `bytes` bytes if there are none.
    pub(crate) fn open(directory: &Path, bytes: u64) -> Result<Self> {
        Ok(Self(DirectFiles::open(directory, bytes).map_err(Failure::of("opening the files to be read"))?))
    }
}

/// Reads of one thread that are under way at the same time.
pub(crate) const DEPTH: usize = 64;

const MODES: &[Mode] =
    &[Mode { name: "probe depth 1", is_batch: false }, Mode { name: "probe depth 64", is_batch: true }];

impl DiskEngine for Probe {
    fn modes(&self) -> &'static [Mode] {
        MODES
    }

    fn worker(&self, mode: usize) -> Result<Box<dyn DiskWorker + '_>> {
        if MODES[mode].is_batch {
            let ring = RingReader::new(&self.0, DEPTH).map_err(Failure::of("making a ring"))?;
            return Ok(Box::new(Deep(ring)));
        }
        Ok(Box::new(Shallow(DirectReader::new(&self.0))))
    }

    fn describe(&self) -> String {
        format!("4 KiB blocks of {} files, {} MiB, direct I/O", self.0.len(), self.0.bytes() >> 20)
    }

    fn has_keys(&self) -> bool {
        false
    }
}

/// Counts every operation as a block at a random place: which one, the key decides.
struct Shallow<'a>(DirectReader<'a>);

impl DiskWorker for Shallow<'_> {
    fn run(&mut self, ops: &[Op], _: &mut Tally) -> Result<()> {
        for op in ops {
            self.0.read(op.key).map_err(Failure::of("reading a block"))?;
        }
        Ok(())
    }
}

struct Deep<'a>(RingReader<'a>);

impl DiskWorker for Deep<'_> {
    fn run(&mut self, ops: &[Op], _: &mut Tally) -> Result<()> {
        self.0.read_all(ops.iter().map(|op| op.key)).map_err(Failure::of("reading blocks"))
    }
}
