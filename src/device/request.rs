//! One access to a device: the request that owns its buffer, and what comes back.

use crate::error::{Error, ErrorKind, Result};
use crate::memory::{IoBuf, no_memory};

/// Names a request among those of its sink. The sink's owner chooses it.
pub type Token = u64;

/// No device ends later: file offsets are signed.
const OFFSET_MAX: u64 = i64::MAX as u64;

/// What an access does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IoOp {
    /// Fills the buffer's first `len` bytes from `offset` on.
    Read,
    /// Writes the buffer's first `len` bytes at `offset`.
    Write,
    /// Makes every completed write durable.
    Sync,
    /// Gives up everything below `offset`.
    TruncateBefore,
}

/// An access. It owns its buffer until the completion brings it back.
#[derive(Debug)]
pub struct IoRequest {
    /// What to do.
    pub op: IoOp,
    /// Where, in bytes from the start of the device.
    pub offset: u64,
    /// How many bytes of the buffer take part.
    pub len: usize,
    /// The memory that is read into or written from; empty for a sync or truncation.
    pub buf: IoBuf,
}

impl IoRequest {
    /// A read of `len` bytes at `offset` into `buf`.
    pub fn read(offset: u64, len: usize, buf: impl Into<IoBuf>) -> Self {
        Self { op: IoOp::Read, offset, len, buf: buf.into() }
    }

    /// A write of the first `len` bytes of `buf` at `offset`.
    pub fn write(offset: u64, len: usize, buf: impl Into<IoBuf>) -> Self {
        Self { op: IoOp::Write, offset, len, buf: buf.into() }
    }

    /// A sync of everything written.
    pub fn sync() -> Self {
        Self { op: IoOp::Sync, offset: 0, len: 0, buf: IoBuf::empty() }
    }

    /// Gives up everything below `offset`.
    pub fn truncate_before(offset: u64) -> Self {
        Self { op: IoOp::TruncateBefore, offset, len: 0, buf: IoBuf::empty() }
    }

    /// Clause C10 for a device with sectors of `sector_size` bytes: is this a request that can be carried out at all?
    ///
    /// A truncation may name any offset, since it may be lazy.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names what is wrong with the request. [`ErrorKind::Limit`] if it has no buffer at all, since
    /// the system had no memory for one.
    pub fn check(&self, sector_size: usize) -> Result<()> {
        if matches!(self.op, IoOp::Sync | IoOp::TruncateBefore) {
            return Ok(());
        }
        let sector_mask = sector_size as u64 - 1;
        if self.offset & sector_mask != 0 || self.len as u64 & sector_mask != 0 {
            return Err(self.wrong("an access that does not begin and end at sector boundaries", sector_size));
        }
        if !self.buf.is_empty() && self.buf.as_ptr().addr() as u64 & sector_mask != 0 {
            return Err(self.wrong("an access with a buffer that does not start at a sector boundary", sector_size));
        }
        if self.len > 0 && self.buf.is_empty() {
            return Err(no_memory(self.len));
        }
        if self.len > self.buf.len() {
            return Err(self.wrong("an access that is longer than its buffer", sector_size));
        }
        if self.offset.checked_add(self.len as u64).is_none_or(|end| end > OFFSET_MAX) {
            return Err(self.wrong("an access beyond the largest offset of a device", sector_size));
        }
        Ok(())
    }

    #[cold]
    fn wrong(&self, what: &'static str, sector_size: usize) -> Error {
        Error::new(ErrorKind::Config, what)
            .with("offset", self.offset)
            .with("length", self.len)
            .with("buffer", self.buf.len())
            .with("sector_size", sector_size)
    }

    /// The completion of this request with `result`.
    pub fn done(self, result: Result<usize>) -> IoDone {
        IoDone { buf: self.buf, result }
    }

    /// The completion of this request with an error.
    pub fn failed(self, error: Error) -> IoDone {
        self.done(Err(error))
    }
}

/// A finished access.
#[derive(Debug)]
pub struct IoDone {
    /// The request's buffer.
    pub buf: IoBuf,
    /// Bytes read or written, or why not.
    pub result: Result<usize>,
}
