//! Copying the parts of a log that are in files to its device.

use crate::address::Address;
use crate::allocator::{BLOCK_PAYLOAD, BLOCK_SIZE, BlockReader, History, Piece, Pieces, ReadLimits, Verified, seal};
use crate::device::{IoChannel, IoRequest, SharedChannel, access};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::AlignedBuf;
use crate::sync::Arc;
use std::time::{Duration, Instant};

/// Writes under way at the same time.
const WRITES_MAX: usize = 4;

/// How far the device has the blocks of `piece`, which is in a file, bit by bit: a block boundary. What another history of the
/// log, or a later state of it, left there ends it.
///
/// # Errors
/// Those of the device and the file, and [`ErrorKind::Corrupt`] if the device gives other bytes each time it is asked.
pub(super) fn same_on_device(pieces: &Pieces, piece: &Piece, limits: ReadLimits) -> Result<Address> {
    let half = ReadLimits { buffer_bytes: limits.buffer_bytes / 2, ..limits };
    let mut reader = BlockReader::new(pieces, half);
    let mut range = Some(pieces.blocks(piece));
    while let Some(verified) = reader.next(|| range.take())? {
        let (first, len) = (verified.first, verified.blocks * BLOCK_SIZE);
        let offset = pieces.geometry.device_offset(first);
        // The bytes there, fewer at the device's end.
        let read = || {
            let done = access(&*pieces.device, IoRequest::read(offset, len, AlignedBuf::zeroed(len)), limits.wait)?;
            done.result.map(|read| done.buf[..read.min(len)].to_vec())
        };
        let there = read()?;
        let same = verified.iter().zip(there.chunks_exact(BLOCK_SIZE)).take_while(|((_, block), other)| block == other);
        let same = same.count();
        if same < verified.blocks {
            // From here on the blocks on the device are given up, and with them whatever counts on them. One wrong read is no
            // reason for that.
            if read()? == there {
                return Ok(pieces.geometry.start_of_block(first + same as u64));
            }
            return Err(Error::new(ErrorKind::Corrupt, "the device gives other bytes each time it is read")
                .with("device offset", offset)
                .with("bytes", len)
                .help("try again, and check the device"));
        }
        reader.give_back(verified);
    }
    Ok(piece.to)
}

/// Writes the blocks of all pieces that are in files to the places on the device that are theirs, with the generations of
/// `history`, and makes them durable. Returns their bytes; `progress` is told of those so far and of all. Doing it again, after a crash in the middle
/// of it, does the same: the files are only read.
///
/// # Errors
/// [`ErrorKind::Corrupt`] if a block does not verify: what is on the device in its place is left alone. Those of the device
/// and the files.
pub(super) fn copy_to_device(
    pieces: &Pieces,
    history: &History,
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
        writer.write(pieces, &verified, history)?;
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
    fn write(&mut self, pieces: &Pieces, verified: &Verified, history: &History) -> Result<()> {
        while self.channel.under_way() >= WRITES_MAX {
            self.land_one()?;
        }
        let mut buf = AlignedBuf::zeroed(verified.blocks * BLOCK_SIZE);
        for (sealed, (number, block)) in buf.chunks_exact_mut(BLOCK_SIZE).zip(verified.iter()) {
            sealed[..BLOCK_PAYLOAD].copy_from_slice(&block[..BLOCK_PAYLOAD]);
            seal(sealed, number, history.generation_at(pieces.geometry.start_of_block(number)));
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
