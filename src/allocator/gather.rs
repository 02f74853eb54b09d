//! Reads records from all over the device: in the order of their places, neighbours in one access, every block verified once.

use super::block::{BLOCK_PAYLOAD, BLOCK_SIZE, verify};
use super::hybrid_log::HybridLog;
use super::reader::ReadLimits;
use crate::address::Address;
use crate::device::{IoChannel, IoDone, IoRequest, SharedChannel, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{AlignedBuf, IoBuf};
use crate::record::RecordLayout;
use crate::sync::Arc;
use std::iter::Peekable;
use std::ops::Range;

/// Accesses under way at the same time, at most.
const DEPTH: usize = 64;
/// Blocks between two that are wanted which are read rather than begin another access: a device that gives 2 GB or 80,000 random blocks
/// a second takes as long for them.
const GAP: u64 = 6;
/// Blocks of the largest access.
const RUN: u64 = 32;

/// What is called with the number of each place that was asked for, and the bytes of the record there, whose header is as L9 wants it;
/// or with the record's length, if it is longer than what was asked for.
pub(crate) type Gathered<'v> = dyn FnMut(usize, std::result::Result<&[u8], usize>) -> Result<()> + 'v;

/// Where a record lies, and how many bytes to ask for: all of it, where every record has the same length.
pub(crate) type Place = (Address, usize);

/// Reads records of a log in use, which nobody gives up meanwhile.
pub(crate) struct Gather {
    /// Made when it is first needed.
    channel: Option<Box<dyn IoChannel>>,
    limits: ReadLimits,
    next_token: Token,
    /// Buffers that came back: new ones would be zeroed by the system each time. With those under way they keep to the limit.
    spare: Vec<IoBuf>,
}

/// One access: the places that it serves, the first of which has this number, and its blocks.
struct Run {
    token: Token,
    first: usize,
    places: Vec<Place>,
    blocks: Range<u64>,
}

impl Gather {
    /// One with so large buffers at most, that waits so long for an access.
    pub(crate) const fn new(limits: ReadLimits) -> Self {
        Self { channel: None, limits, next_token: 0, spare: Vec::new() }
    }

    /// Reads the records at `places`, which ascend, and hands each to `visit`, in any order.
    ///
    /// # Errors
    /// The device's; [`ErrorKind::Corrupt`] for what does not verify; [`ErrorKind::DeviceFailed`] if the device does not answer;
    /// those of `visit`. What was under way is of no use to anybody then.
    pub(crate) fn read(
        &mut self,
        log: &HybridLog,
        places: impl Iterator<Item = Place>,
        layout: RecordLayout,
        visit: &mut Gathered<'_>,
    ) -> Result<()> {
        let mut places = places.peekable();
        let channel = self.channel.get_or_insert_with(|| {
            let device = log.device();
            device.channel().unwrap_or_else(|| Box::new(SharedChannel::new(Arc::clone(device))))
        });
        let limits = self.limits;
        let (mut under_way, mut bytes, mut next): (Vec<Run>, _, _) = (Vec::new(), 0, 0);
        loop {
            while under_way.len() < DEPTH
                && (bytes < limits.buffer_bytes || bytes == 0)
                && let Some(run) = Run::from(log, &mut places, next, self.next_token)
            {
                self.next_token += 1;
                run.begin(
                    log,
                    &mut **channel,
                    take_spare(&mut self.spare, run.bytes(), limits.buffer_bytes.saturating_sub(bytes)),
                );
                next += run.places.len();
                bytes += run.bytes();
                under_way.push(run);
            }
            if under_way.is_empty() {
                return Ok(());
            }
            channel.flush();
            let Some((token, done)) = channel.take_within(limits.wait) else {
                return Err(Error::new(ErrorKind::DeviceFailed, "the device did not answer in time")
                    .with("milliseconds waited", limits.wait.as_millis()));
            };
            // What comes for another call, which failed, is of no interest.
            let Some(at) = under_way.iter().position(|run| run.token == token) else { continue };
            let run = under_way.swap_remove(at);
            bytes -= run.bytes();
            let buf = run.finish(log, layout, done, visit)?;
            if bytes + bytes_of(&self.spare) < limits.buffer_bytes {
                self.spare.push(buf);
            }
        }
    }
}

/// A buffer of `bytes`. If it has to be a new one, those that are spare make room for it when there is `room` for so many bytes.
fn take_spare(spare: &mut Vec<IoBuf>, bytes: usize, room: usize) -> IoBuf {
    if let Some(at) = spare.iter().position(|buf| buf.len() == bytes) {
        return spare.swap_remove(at);
    }
    if bytes_of(spare) + bytes > room {
        spare.clear();
    }
    AlignedBuf::zeroed(bytes).into()
}

fn bytes_of(spare: &[IoBuf]) -> usize {
    spare.iter().map(|buf| buf.len()).sum()
}

impl Run {
    /// The access to the next place, whose number is `first`, and to those behind it that are near.
    fn from<I: Iterator<Item = Place>>(
        log: &HybridLog,
        places: &mut Peekable<I>,
        first: usize,
        token: Token,
    ) -> Option<Self> {
        let blocks_of = |(at, len): Place| log.blocks_of(at, len);
        let place = places.next()?;
        let (mut blocks, mut together) = (blocks_of(place), vec![place]);
        while let Some(more) = places.peek().map(|place| blocks_of(*place))
            && more.start <= blocks.end + GAP
            && more.end - blocks.start <= RUN
        {
            blocks.end = more.end.max(blocks.end);
            together.extend(places.next());
        }
        Some(Self { token, first, places: together, blocks })
    }

    fn begin(&self, log: &HybridLog, channel: &mut dyn IoChannel, buf: IoBuf) {
        log.count_read(self.bytes());
        let offset = log.geometry().device_offset(self.blocks.start);
        channel.submit(IoRequest::read(offset, self.bytes(), buf), self.token);
        channel.keep_busy();
    }

    fn bytes(&self) -> usize {
        (self.blocks.end - self.blocks.start) as usize * BLOCK_SIZE
    }

    /// Gives the buffer back.
    fn finish(self, log: &HybridLog, layout: RecordLayout, done: IoDone, visit: &mut Gathered<'_>) -> Result<IoBuf> {
        let (wanted, mut buf) = (self.bytes(), done.buf);
        let got = done.result?;
        if got < wanted || buf.len() < wanted {
            return Err(Error::new(ErrorKind::Corrupt, "the device ends before the record does")
                .with("device offset", log.geometry().device_offset(self.blocks.start))
                .with("bytes wanted", wanted)
                .with("bytes there", got));
        }
        // Blocks below are verified, and their payloads lie in a row from the buffer's beginning on.
        let mut verified = self.blocks.start;
        for (number, (at, len)) in (self.first..).zip(self.places.iter().copied()) {
            // Behind the record there may be blocks of another generation: only what it needs is looked at.
            let head = layout.record_size().unwrap_or(layout.head_size().min(len));
            self.verify(log, (at, head), &mut verified, &mut buf)?;
            let skip = log.geometry().page().offset(at) as usize % BLOCK_PAYLOAD;
            let first = log.blocks_of(at, head).start - self.blocks.start;
            let start = first as usize * BLOCK_PAYLOAD + skip;
            let size = match layout.record_size() {
                Some(size) => size,
                None => layout.size_in(&buf[start..start + head]).unwrap_or(usize::MAX),
            };
            if size > log.geometry().page().rest(at) as usize {
                return Err(Error::new(ErrorKind::Corrupt, "a record of the log reaches beyond its page")
                    .with("log address", at)
                    .with("record size", size));
            }
            if size > len {
                visit(number, Err(size))?;
                continue;
            }
            self.verify(log, (at, size), &mut verified, &mut buf)?;
            let record = &mut buf[start..start + size];
            log.judge(at, record);
            visit(number, Ok(record))?;
        }
        Ok(buf)
    }

    /// Verifies the blocks of a place that were not yet, and closes the gaps between their payloads.
    fn verify(&self, log: &HybridLog, (at, len): Place, verified: &mut u64, buf: &mut [u8]) -> Result<()> {
        let blocks = log.blocks_of(at, len);
        if blocks.end <= *verified {
            return Ok(());
        }
        let generation = log.history().generation_at(at);
        for number in (*verified).max(blocks.start)..blocks.end {
            let index = (number - self.blocks.start) as usize;
            let block = index * BLOCK_SIZE..(index + 1) * BLOCK_SIZE;
            verify(&buf[block], number, generation, "a block of the log does not verify").map_err(|error| {
                error.with("device offset", log.geometry().device_offset(number)).with("log address", at)
            })?;
            if index > 0 {
                buf.copy_within(index * BLOCK_SIZE..index * BLOCK_SIZE + BLOCK_PAYLOAD, index * BLOCK_PAYLOAD);
            }
        }
        *verified = (*verified).max(blocks.end);
        Ok(())
    }
}
