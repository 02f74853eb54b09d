//! Where blocks are read from: a file, or the device with reads ahead.

use crate::device::{CompletionQueue, CompletionSink, IoDone, IoRequest, StorageDevice, Token};
use crate::directory::DirectoryFile;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{AlignedBuf, IoBuf};
use crate::sync::Arc;
use std::collections::VecDeque;
use std::time::Duration;

/// Most bytes of a read: large enough that a disk is busy with reading and nothing else.
const CHUNK: u64 = 1 << 20;
/// Reads of the device that are under way at once.
const AHEAD: usize = 4;
/// How long a device may take for one read.
const PATIENCE: Duration = Duration::from_secs(60);

/// What can be read in order.
pub(super) enum Source<'a> {
    File(Box<dyn DirectoryFile>),
    Device(&'a dyn StorageDevice),
}

/// Bytes that were asked for, and how many came, or why none.
pub(super) struct Chunk {
    pub(super) offset: u64,
    pub(super) len: u64,
    buf: IoBuf,
    result: Result<usize>,
}

impl Chunk {
    pub(super) fn bytes(&self) -> Result<&[u8], &Error> {
        self.result.as_ref().map(|read| &self.buf[..(*read).min(self.len as usize)])
    }
}

/// Reads a range chunk by chunk, and single places of it again.
pub(super) struct Chunks<'s> {
    source: &'s Source<'s>,
    next: u64,
    end: u64,
    /// Bytes of a read and of a buffer.
    chunk: u64,
    queue: Arc<CompletionQueue>,
    /// In the order in which they will be taken.
    under_way: VecDeque<UnderWay>,
    token: Token,
    spare: Vec<IoBuf>,
}

struct UnderWay {
    token: Token,
    offset: u64,
    len: u64,
    done: Option<IoDone>,
}

impl<'s> Chunks<'s> {
    pub(super) fn new(source: &'s Source<'s>, offset: u64, end: u64) -> Self {
        Self {
            source,
            next: offset,
            end,
            chunk: CHUNK.min(end - offset),
            queue: CompletionQueue::new(),
            under_way: VecDeque::new(),
            token: 0,
            spare: Vec::new(),
        }
    }

    /// The next chunk, or nothing behind the last one.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if the device does not answer. A read that fails is in the chunk.
    pub(super) fn next(&mut self) -> Result<Option<Chunk>> {
        let ahead = if matches!(self.source, Source::File(_)) { 1 } else { AHEAD };
        while self.next < self.end && self.under_way.len() < ahead {
            let len = self.chunk.min(self.end - self.next);
            let read = self.begin(self.next, len);
            self.under_way.push_back(read);
            self.next += len;
        }
        match self.under_way.pop_front() {
            Some(read) => self.finish(read).map(Some),
            None => Ok(None),
        }
    }

    /// A part of a chunk once more, for itself.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub(super) fn again(&mut self, offset: u64, len: u64) -> Result<Chunk> {
        let read = self.begin(offset, len);
        self.finish(read)
    }

    /// Takes back a buffer.
    pub(super) fn recycle(&mut self, chunk: Chunk) {
        // A device that breaks its promise to bring the buffer back does not get it again.
        if chunk.buf.len() as u64 == self.chunk {
            self.spare.push(chunk.buf);
        }
    }

    fn begin(&mut self, offset: u64, len: u64) -> UnderWay {
        let fresh = || AlignedBuf::zeroed(self.chunk as usize).into();
        let mut buf = self.spare.pop().unwrap_or_else(fresh);
        self.token += 1;
        let done = match self.source {
            Source::File(file) => {
                let result = file.read_at(offset, &mut buf[..len as usize]);
                Some(IoDone { buf, result })
            }
            Source::Device(device) => {
                let sink = Arc::clone(&self.queue) as Arc<dyn CompletionSink>;
                device.submit(IoRequest::read(offset, len as usize, buf), sink, self.token);
                None
            }
        };
        UnderWay { token: self.token, offset, len, done }
    }

    fn finish(&mut self, mut read: UnderWay) -> Result<Chunk> {
        loop {
            if let Some(IoDone { buf, result }) = read.done {
                return Ok(Chunk { offset: read.offset, len: read.len, buf, result });
            }
            if let Source::Device(device) = self.source {
                device.poll();
            }
            let Some((token, done)) = self.queue.take_within(PATIENCE) else {
                return Err(Error::new(ErrorKind::Busy, "the device does not answer")
                    .with("device offset", read.offset)
                    .with("seconds", PATIENCE.as_secs())
                    .help("look after the disk and verify again"));
            };
            if token == read.token {
                read.done = Some(done);
            } else if let Some(other) = self.under_way.iter_mut().find(|other| other.token == token) {
                other.done = Some(done);
            }
        }
    }
}
