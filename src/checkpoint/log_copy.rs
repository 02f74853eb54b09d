//! Copying the parts of a log that are in files to its device.

use crate::allocator::{BLOCK_PAYLOAD, BLOCK_SIZE, BlockReader, Pieces, ReadLimits, Verified, seal};
use crate::device::{IoChannel, IoRequest, SharedChannel};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::AlignedBuf;
use crate::sync::Arc;
use std::time::{Duration, Instant};

/// Writes under way at the same time.
const WRITES_MAX: usize = 4;

/// Writes the blocks of all pieces that are in files to the places on the device that are theirs, with `generation`, and
/// makes them durable. Returns their bytes; `progress` is told of those so far and of all. Doing it again, after a crash in the middle
/// of it, does the same: the files are only read.
///
/// # Errors
/// [`ErrorKind::Corrupt`] if a block does not verify: what is on the device in its place is left alone. Those of the device
/// and the files.
pub(super) fn copy_to_device(
    pieces: &Pieces,
    generation: u32,
    limits: ReadLimits,
    progress: &dyn Fn(u64, u64),
) -> Result<u64> {
    let ranges: Vec<_> = pieces.iter().filter(|piece| piece.file.is_some()).map(|piece| pieces.blocks(piece)).collect();
    let total = ranges.iter().map(|range| (range.end - range.start) * BLOCK_SIZE as u64).sum();
    if total == 0 {
        return Ok(0);
    }
    let half = ReadLimits { buffer_bytes: limits.buffer_bytes / 2, ..limits };
    let mut reader = BlockReader::new(pieces, half);
    let mut writer = Writer { channel: SharedChannel::new(Arc::clone(&pieces.device)), wait: limits.wait };
    let (mut ranges, mut done) = (ranges.into_iter(), 0);
    while let Some(verified) = reader.next(|| ranges.next())? {
        writer.write(pieces, &verified, generation)?;
        done += (verified.blocks * BLOCK_SIZE) as u64;
        reader.give_back(verified);
        progress(done, total);
    }
    writer.finish()?;
    Ok(total)
}

struct Writer {
    channel: SharedChannel,
    wait: Duration,
}

impl Writer {
    fn write(&mut self, pieces: &Pieces, verified: &Verified, generation: u32) -> Result<()> {
        while self.channel.under_way() >= WRITES_MAX {
            self.land_one()?;
        }
        let mut buf = AlignedBuf::zeroed(verified.blocks * BLOCK_SIZE);
        for (sealed, (number, block)) in buf.chunks_exact_mut(BLOCK_SIZE).zip(verified.iter()) {
            sealed[..BLOCK_PAYLOAD].copy_from_slice(&block[..BLOCK_PAYLOAD]);
            seal(sealed, number, generation);
        }
        let offset = pieces.geometry.device_offset(verified.first);
        self.channel.submit(IoRequest::write(offset, buf.len(), buf), verified.blocks as u64);
        Ok(())
    }

    fn land_one(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            let left = self.wait.saturating_sub(started.elapsed());
            if let Some((blocks, done)) = self.channel.take_within(left) {
                let (written, wanted) = (done.result?, blocks as usize * BLOCK_SIZE);
                if written >= wanted {
                    return Ok(());
                }
                return Err(Error::new(ErrorKind::DeviceFailed, "the device wrote a part and called it done")
                    .with("bytes to write", wanted)
                    .with("bytes written", written));
            }
            if started.elapsed() >= self.wait {
                return Err(Error::new(ErrorKind::Busy, "the device does not answer")
                    .with("milliseconds waited", self.wait.as_millis()));
            }
        }
    }

    /// Waits for all writes, and makes them durable.
    fn finish(mut self) -> Result<()> {
        while self.channel.under_way() > 0 {
            self.land_one()?;
        }
        self.channel.submit(IoRequest::sync(), 0);
        self.land_one()
    }
}
