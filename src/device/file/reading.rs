//! A read that somebody else carries out, part by part: which part is next, and what its outcome means.

use super::files::Files;
use super::segment_file::SegmentFile;
use crate::device::{IoDone, IoRequest, Token};
use crate::error::{Error, Result};
use crate::memory::{AlignedBuf, IoBuf};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// A read under way. The same rules as for a read that blocks: holes give zeros, only the end of the device cuts it short.
#[derive(Debug)]
pub(in crate::device) struct Reading {
    request: IoRequest,
    token: Token,
    /// Bytes that will be reported.
    available: usize,
    /// Bytes that have to be there first.
    len: usize,
    filled: usize,
}

/// What a [`Reading`] needs next.
pub(in crate::device) enum Next {
    /// The bytes of this part.
    Part(Reading, Part),
    /// Nothing: it is finished.
    Done(Token, IoDone),
}

/// A read within one file.
#[derive(Debug)]
pub(in crate::device) struct Part {
    pub(in crate::device) file: Arc<SegmentFile>,
    /// Where in the file.
    pub(in crate::device) offset: u64,
    /// Which bytes of the buffer.
    pub(in crate::device) bytes: Range<usize>,
}

impl Reading {
    /// Begins the read that `request` asks for.
    pub(in crate::device) fn begin(files: &Files, request: IoRequest, token: Token) -> Next {
        let checked = request.check(AlignedBuf::ALIGN).and_then(|()| files.begin_read(request.offset, request.len));
        match checked {
            Ok((available, len)) => Self { request, token, available, len, filled: 0 }.next(files),
            Err(error) => Next::Done(token, request.failed(error)),
        }
    }

    /// Takes the buffer away, for as long as a part is being read into it.
    pub(in crate::device) fn lend_buf(&mut self) -> IoBuf {
        std::mem::replace(&mut self.request.buf, IoBuf::empty())
    }

    /// Ends the read with an error.
    pub(in crate::device) fn fail(self, error: Error) -> (Token, IoDone) {
        (self.token, self.request.failed(error))
    }

    /// The request of a read that somebody else will carry out from its beginning.
    pub(in crate::device) fn give_up(self) -> (IoRequest, Token) {
        (self.request, self.token)
    }

    /// Brings the buffer back with the outcome of a part.
    pub(in crate::device) fn land(mut self, files: &Files, buf: IoBuf, part: Part, outcome: io::Result<usize>) -> Next {
        self.request.buf = buf;
        let (read, ended) = match part.file.take_in(part.offset, outcome) {
            Ok(taken_in) => taken_in,
            Err(error) => return self.failed(error),
        };
        self.filled = part.bytes.end.min(part.bytes.start + read);
        if ended {
            self.fill_with_zeros(part.bytes.end);
        }
        self.next(files)
    }

    fn next(mut self, files: &Files) -> Next {
        loop {
            let at = self.request.offset + self.filled as u64;
            let Some(part) = files.parts(at, self.len - self.filled).next() else { return self.finish(files) };
            let bytes = self.filled..self.filled + part.bytes.len();
            match files.existing(part.segment) {
                Ok(Some(file)) => return Next::Part(self, Part { file, offset: part.offset, bytes }),
                Ok(None) => self.fill_with_zeros(bytes.end),
                Err(error) => return self.failed(error),
            }
        }
    }

    fn fill_with_zeros(&mut self, end: usize) {
        self.request.buf[self.filled..end].fill(0);
        self.filled = end;
    }

    fn finish(self, files: &Files) -> Next {
        // A truncation moves the beginning before it deletes: whoever still finds it below read no deleted zeros.
        let result: Result<usize> = files.check_not_truncated(self.request.offset).map(|()| self.available);
        Next::Done(self.token, self.request.done(result))
    }

    fn failed(self, error: Error) -> Next {
        let (token, done) = self.fail(error);
        Next::Done(token, done)
    }
}
