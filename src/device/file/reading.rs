//! A read that somebody else carries out, part by part: which part is next, and what its outcome means.

use super::files::Files;
use super::segment_file::SegmentFile;
use crate::device::{IoDone, IoRequest, Token};
use crate::error::{Error, Result};
use crate::memory::{AlignedBuf, IoBuf};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// More than one system call reads.
const PART_MAX: usize = 1 << 30;

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
            let bytes = self.filled..self.filled + part.bytes.len().min(PART_MAX);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::BlockingDevice;
    use crate::error::ErrorKind;
    use std::fs::File;

    const SECTOR: usize = AlignedBuf::ALIGN;

    /// Two segments of four sectors that hold ones, a segment without a file, and one of which the first sector holds ones.
    fn files(directory: &tempfile::TempDir) -> Files {
        let lock = File::create(directory.path().join("LOCK")).unwrap();
        let files = Files::in_directory(directory.path(), 4 * SECTOR as u64, false, lock).unwrap();
        files.write_at(0, &[1; 8 * SECTOR]).unwrap();
        files.write_at(12 * SECTOR as u64, &[1; SECTOR]).unwrap();
        files
    }

    fn begin(files: &Files, sector: u64, sectors: usize) -> Next {
        let mut buf = AlignedBuf::zeroed(sectors * SECTOR);
        buf.fill(9);
        Reading::begin(files, IoRequest::read(sector * SECTOR as u64, sectors * SECTOR, buf), 3)
    }

    /// Plays the kernel: of each part it fills as much as `outcome` says with ones.
    fn carry_out(files: &Files, mut next: Next, mut outcome: impl FnMut(&Part) -> io::Result<usize>) -> IoDone {
        loop {
            let (mut reading, part) = match next {
                Next::Part(reading, part) => (reading, part),
                Next::Done(token, done) => {
                    assert_eq!(token, 3);
                    return done;
                }
            };
            let mut buf = reading.lend_buf();
            let outcome = outcome(&part);
            if let Ok(read) = &outcome {
                buf[part.bytes.clone()][..*read].fill(1);
            }
            next = reading.land(files, buf, part, outcome);
        }
    }

    #[test]
    fn parts_follow_the_segments_and_holes_are_zeros() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(&directory);
        let mut parts = Vec::new();
        let done = carry_out(&files, begin(&files, 2, 20), |part| {
            parts.push((part.offset as usize / SECTOR, part.bytes.start / SECTOR..part.bytes.end / SECTOR));
            Ok(part.bytes.len())
        });
        assert_eq!(parts, [(2, 0..2), (0, 2..6), (0, 10..11)]);
        assert_eq!(done.result.unwrap(), 11 * SECTOR);
        let expected = |sector| u8::from(!(6..10).contains(&sector));
        assert!(
            (0..11).all(|sector| done.buf[sector * SECTOR..][..SECTOR].iter().all(|byte| *byte == expected(sector)))
        );
    }

    #[test]
    fn a_part_that_comes_in_pieces_or_is_interrupted_is_read_on_from_there() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(&directory);
        let mut asked = Vec::new();
        let done = carry_out(&files, begin(&files, 0, 3), |part| {
            asked.push(part.offset);
            if asked.len() % 2 == 1 { Err(io::ErrorKind::Interrupted.into()) } else { Ok(5000.min(part.bytes.len())) }
        });
        assert_eq!(asked, [0, 0, 5000, 5000, 10_000, 10_000]);
        assert_eq!(done.result.unwrap(), 3 * SECTOR);
        assert!(done.buf.iter().all(|byte| *byte == 1));
    }

    #[test]
    fn a_file_that_ends_early_goes_on_with_zeros() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(&directory);
        let done = carry_out(&files, begin(&files, 4, 2), |part| Ok(if part.bytes.start == 0 { 100 } else { 0 }));
        assert_eq!(done.result.unwrap(), 2 * SECTOR);
        assert!(done.buf[..100].iter().all(|byte| *byte == 1) && done.buf[100..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn an_error_names_the_file_and_the_buffer_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(&directory);
        let done = carry_out(&files, begin(&files, 5, 2), |_| Err(io::Error::other("scratched")));
        let error = done.result.unwrap_err();
        assert_eq!((error.kind(), error.field("offset"), done.buf.len()), (ErrorKind::Io, Some("4096"), 2 * SECTOR));
        assert!(error.field("file").is_some_and(|file| file.ends_with("log.000001")), "{error}");
    }

    #[test]
    fn what_was_truncated_meanwhile_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(&directory);
        let done = carry_out(&files, begin(&files, 0, 2), |part| {
            files.truncate_before(8 * SECTOR as u64).unwrap();
            Ok(part.bytes.len())
        });
        assert_eq!((done.result.unwrap_err().kind(), done.buf.len()), (ErrorKind::Io, 2 * SECTOR));
    }
}
