//! Reads the blocks of a log that is at rest: large accesses, several under way, every block verified.

use super::block::{BLOCK_SIZE, verify};
use super::pieces::{Piece, PieceFile, Pieces};
use crate::device::{IoChannel, IoDone, IoRequest, SharedChannel, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{AlignedBuf, IoBuf};
use crate::sync::Arc;
use std::collections::VecDeque;
use std::ops::{Deref, Range};
use std::time::{Duration, Instant};

/// Bytes of the largest access: from there on a device is as fast as it gets.
const ACCESS_MAX: usize = 1 << 20;
/// Accesses under way at the same time.
const DEPTH: usize = 4;

/// What a reader may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadLimits {
    /// Bytes of all its buffers. With less than a block for every access it takes that much.
    pub(crate) buffer_bytes: usize,
    /// How long it waits for one access.
    pub(crate) wait: Duration,
}

/// An access to the blocks from `first` on, which are in one piece.
struct Access {
    first: u64,
    blocks: usize,
    state: State,
}

enum State {
    /// The device has it.
    UnderWay(Token),
    /// The device is done with it, or the file was read.
    Arrived(IoDone),
}

/// Blocks that verify.
pub(crate) struct Verified {
    pub(crate) first: u64,
    pub(crate) blocks: usize,
    buf: IoBuf,
}

impl Verified {
    /// Every block, whole, with its number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        (self.first..).zip(self.buf.chunks_exact(BLOCK_SIZE).take(self.blocks))
    }
}

/// Reads ranges of blocks in the order in which they are asked for.
pub(crate) struct BlockReader<P> {
    pieces: P,
    channel: Box<dyn IoChannel>,
    wait: Duration,
    access_blocks: usize,
    /// What is left of the range that was asked for last.
    range: Range<u64>,
    accesses: VecDeque<Access>,
    next_token: Token,
    /// Buffers that came back.
    spare: Vec<IoBuf>,
}

impl<P: Deref<Target = Pieces>> BlockReader<P> {
    pub(crate) fn new(pieces: P, limits: ReadLimits) -> Self {
        let device = &pieces.device;
        let shared = || Box::new(SharedChannel::new(Arc::clone(device))) as Box<dyn IoChannel>;
        Self {
            channel: device.channel().unwrap_or_else(shared),
            pieces,
            wait: limits.wait,
            access_blocks: ((limits.buffer_bytes / DEPTH).min(ACCESS_MAX) / BLOCK_SIZE).max(1),
            range: 0..0,
            accesses: VecDeque::new(),
            next_token: 0,
            spare: Vec::new(),
        }
    }

    /// The next blocks, verified; `more` names the range to read when all others have been begun. The blocks of a range
    /// come in order.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] with the place of a block that is not there or does not verify, the error of the device or
    /// file, [`ErrorKind::Busy`] if the device does not answer.
    pub(crate) fn next(&mut self, more: impl FnMut() -> Option<Range<u64>>) -> Result<Option<Verified>> {
        let Some(read) = self.next_read(more)? else { return Ok(None) };
        self.hand_on(&read, |_, _| Ok(()))?;
        Ok(Some(read))
    }

    /// The same, each block handed to `visit` as soon as it was verified, while it is in the processor's cache. The numbers of the blocks.
    ///
    /// # Errors
    /// As for [`next`](Self::next), and those of `visit`. Blocks before the one that does not verify have been handed on.
    pub(crate) fn visit_next(
        &mut self,
        more: impl FnMut() -> Option<Range<u64>>,
        visit: impl FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<Option<Range<u64>>> {
        let Some(read) = self.next_read(more)? else { return Ok(None) };
        self.hand_on(&read, visit)?;
        let blocks = read.first..read.first + read.blocks as u64;
        self.give_back(read);
        Ok(Some(blocks))
    }

    /// The next blocks, not verified yet.
    fn next_read(&mut self, mut more: impl FnMut() -> Option<Range<u64>>) -> Result<Option<Verified>> {
        while self.accesses.len() < DEPTH {
            if self.range.is_empty() {
                match more() {
                    Some(range) => self.range = range,
                    None => break,
                }
            }
            self.begin_one()?;
        }
        self.channel.flush();
        let Some((first, blocks, done)) = self.arrived()? else { return Ok(None) };
        let piece = self.pieces.holding(first)?;
        let buf = self.filled(piece, first, blocks, done)?;
        Ok(Some(Verified { first, blocks, buf }))
    }

    /// Verifies the blocks of one piece one by one, and hands them on.
    fn hand_on(&self, read: &Verified, mut visit: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let piece = self.pieces.holding(read.first)?;
        for (number, block) in read.iter() {
            verify(block, number, self.pieces.generation(piece, number), "a block of the log does not verify")
                .map_err(|error| self.pieces.locate(error, piece, number))?;
            visit(number, block)?;
        }
        Ok(())
    }

    /// True if nothing is under way, and nothing is left of what was asked for.
    pub(crate) fn is_idle(&self) -> bool {
        self.accesses.is_empty() && self.range.is_empty()
    }

    /// Begins no further access for what was asked for.
    pub(crate) fn give_up_rest(&mut self) {
        self.range = 0..0;
    }

    /// Takes a buffer back for another access.
    pub(crate) fn give_back(&mut self, verified: Verified) {
        self.spare.push(verified.buf);
    }

    /// Begins the access to as many blocks from the start of the range as one access may take.
    fn begin_one(&mut self) -> Result<()> {
        let first = self.range.start;
        let piece = self.pieces.holding(first)?;
        let end = self.range.end.min(self.pieces.blocks(piece).end).min(first + self.access_blocks as u64);
        self.range.start = end;
        let blocks = (end - first) as usize;
        let buf = self.spare.pop().unwrap_or_else(|| AlignedBuf::zeroed(self.access_blocks * BLOCK_SIZE).into());
        let len = blocks * BLOCK_SIZE;
        let state = match &piece.file {
            Some(file) => State::Arrived(read_file(file, self.pieces.offset_in_file(piece, first), len, buf)),
            None => {
                let token = self.next_token;
                self.next_token += 1;
                let offset = self.pieces.geometry.device_offset(first);
                self.channel.submit(IoRequest::read(offset, len, buf), token);
                State::UnderWay(token)
            }
        };
        self.accesses.push_back(Access { first, blocks, state });
        Ok(())
    }

    /// First block and number of blocks of the oldest access, and what it brought, once it has.
    fn arrived(&mut self) -> Result<Option<(u64, usize, IoDone)>> {
        let started = Instant::now();
        while let Some(Access { first, blocks, state }) = self.accesses.pop_front() {
            let token = match state {
                State::Arrived(done) => return Ok(Some((first, blocks, done))),
                State::UnderWay(token) => token,
            };
            self.accesses.push_front(Access { first, blocks, state: State::UnderWay(token) });
            let left = self.wait.saturating_sub(started.elapsed());
            if let Some((token, done)) = self.channel.take_within(left) {
                let is_it = |access: &&mut Access| matches!(access.state, State::UnderWay(known) if known == token);
                if let Some(access) = self.accesses.iter_mut().find(is_it) {
                    access.state = State::Arrived(done);
                }
            } else if started.elapsed() >= self.wait {
                return Err(Error::new(ErrorKind::Busy, "the device does not answer")
                    .with("device offset", self.pieces.geometry.device_offset(first))
                    .with("milliseconds waited", self.wait.as_millis()));
            }
        }
        Ok(None)
    }

    /// The buffer of an access, if it brought all that was asked for.
    fn filled(&self, piece: &Piece, first: u64, blocks: usize, done: IoDone) -> Result<IoBuf> {
        let (wanted, what) = (blocks * BLOCK_SIZE, "the log's data is missing: it ends before the log does");
        let missing = |got: usize| {
            let error = Error::new(ErrorKind::Corrupt, what).with("bytes wanted", wanted).with("bytes there", got);
            error.help("give the device, and the directory, that the checkpoint was made with")
        };
        done.result
            .and_then(|got| if got < wanted || done.buf.len() < wanted { Err(missing(got)) } else { Ok(done.buf) })
            .map_err(|error| self.pieces.locate(error, piece, first))
    }
}

fn read_file(file: &PieceFile, offset: u64, len: usize, mut buf: IoBuf) -> IoDone {
    let result = file.file.read_at(offset, &mut buf[..len]);
    IoDone { buf, result }
}
