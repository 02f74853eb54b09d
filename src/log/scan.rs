//! Going through the entries of a log.

use super::commit::CommitRecord;
use super::entry::{HEADER, Header, Kind};
use super::log_core::Core;
use super::read::{Reader, damaged};
use crate::address::Address;
use crate::allocator::{FIRST, LiveBlocks, ReadLimits};
use crate::error::{Error, Result};
use crate::sync::Arc;
use std::ops::{Bound, RangeBounds};
use std::task::{Context, Poll};

/// Bytes of the buffers with which a scan reads ahead.
const BUFFERS: usize = 4 << 20;

/// Goes through the entries of a log, oldest first. See [`FasterLog::scan`](super::FasterLog::scan). As long as it is there, the
/// log's device stays open.
///
/// What is in memory is read there. What is on the device is read in large accesses, several of them ahead of the scan; with
/// these it takes up to 6 MiB.
pub struct LogScan {
    reader: Reader,
    window: Window,
    /// The data of the last entry, if it is not in the window.
    data: Vec<u8>,
    at: Address,
    /// Entries before it are passed over.
    from: Address,
    end: Address,
    uncommitted: bool,
    known: Known,
    failed: bool,
}

/// An entry and where it is, or why it cannot be read.
type Found = Result<(Address, Vec<u8>)>;

/// What a scan knows without looking again.
struct Known {
    /// Up to here nothing is in its way.
    end: Address,
    /// Below, every byte is as it will be; a block boundary.
    settled: Address,
    /// Below, every entry is filled.
    whole: Address,
}

/// Where the data of an entry is.
enum Place {
    Window { from: usize, len: usize },
    Own,
}

impl LogScan {
    pub(super) fn new(core: Arc<Core>, range: impl RangeBounds<Address>, uncommitted: bool) -> Self {
        let (begin, _) = core.holes();
        let behind = |address: Address| Address::new((address.get() + 1).min(Address::MAX.get()));
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(from) => behind(*from),
            Bound::Unbounded => begin,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => behind(*end),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => Address::MAX,
        };
        // Where an entry begins is known of the beginnings of pages, and of the log's own.
        let page = core.log.geometry().page();
        let at = page.start_of(page.page(from)).max(begin).max(Address::new(FIRST));
        Self { from, uncommitted, ..Self::starting_at(core, at, end) }
    }

    /// The durable entries from `at`, where one begins or the next block does, up to `end`.
    pub(super) fn starting_at(core: Arc<Core>, at: Address, end: Address) -> Self {
        let known = Known { end: Address::INVALID, settled: Address::INVALID, whole: Address::INVALID };
        Self {
            reader: Reader::new(core),
            window: Window::default(),
            data: Vec::new(),
            at,
            from: Address::INVALID,
            end,
            uncommitted: false,
            known,
            failed: false,
        }
    }

    /// Where the scan goes on. It may be kept, and be the start of another.
    pub fn position(&self) -> Address {
        self.at.max(self.from)
    }

    /// The next entry. `None` means that there is none yet: the scan goes on when the log has grown.
    ///
    /// # Errors
    /// As for [`FasterLog::read_entry`](super::FasterLog::read_entry). A scan that failed is at its end.
    pub fn try_next(&mut self) -> Result<Option<(Address, Vec<u8>)>> {
        Ok(self.next_entry()?.map(|(address, data)| (address, data.to_vec())))
    }

    /// [`try_next`](Self::try_next) without a copy of the data: for those who only look at it.
    ///
    /// # Errors
    /// As for `try_next`.
    pub fn next_entry(&mut self) -> Result<Option<(Address, &[u8])>> {
        if self.failed {
            return Ok(None);
        }
        match self.step() {
            Ok(None) => Ok(None),
            Ok(Some((address, Place::Own))) => Ok(Some((address, &self.data))),
            Ok(Some((address, Place::Window { from, len }))) => {
                Ok(self.window.bytes.get(from..from + len).map(|data| (address, data)))
            }
            Err(error) => {
                self.failed = true;
                Err(error)
            }
        }
    }

    /// The next entry as soon as there is one that is durable; `None` at the end of the range, and of a log that is complete. Until
    /// then `context` is woken when there may be one. Reads of the device are waited for in the call.
    ///
    /// # Errors
    /// As for [`try_next`](Self::try_next), and why nothing is committed any more if the log has failed.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Found>> {
        loop {
            match self.try_next() {
                Ok(None) => {}
                Ok(Some(entry)) => return Poll::Ready(Some(Ok(entry))),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            let core = &self.reader.core;
            if self.at >= self.end || self.failed || (core.is_complete() && self.at >= core.readable()) {
                return Poll::Ready(None);
            }
            match core.group.poll_growth(self.at, context.waker()) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    self.failed = true;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// [`poll_next`](Self::poll_next) as a future. Dropping it loses nothing.
    ///
    /// # Errors
    /// As for `poll_next`.
    pub async fn next_async(&mut self) -> Option<Found> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    fn step(&mut self) -> Result<Option<(Address, Place)>> {
        let geometry = self.reader.core.log.geometry();
        loop {
            if self.at >= self.known.end && !self.look_again() {
                return Ok(None);
            }
            let at = self.at;
            match self.find(at) {
                Ok(Some((kind, place, size))) => {
                    self.at = Address::new(at.get() + size as u64);
                    if matches!(kind, Kind::Entry | Kind::Last) && at >= self.from {
                        return self.whole(at, kind, place).map(|place| Some((at, place)));
                    }
                }
                // Somebody may be filling it at this moment.
                Ok(None) if at >= self.known.whole => return Ok(None),
                Ok(None) => self.at = geometry.start_of_block(geometry.block_of(at) + 1),
                // It may have been given up since the last look.
                Err(_) if self.reader.core.holes().0 > at => {
                    self.known.end = Address::INVALID;
                    self.window = Window::default();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What begins at `at`: its kind, where its body is, and the bytes it takes; `None` if nothing does.
    fn find(&mut self, at: Address) -> Result<Option<(Kind, Place, usize)>> {
        let (settled, Self { reader, window, data, .. }) = (self.known.settled, self);
        let (page, generation) = (reader.core.log.geometry().page(), reader.core.generation);
        if window.reach(reader, at, HEADER, settled)? {
            let Some(header) = window.header(at) else { return Ok(None) };
            let on_page = page.offset(at) + header.size() as u64 <= page.page_size();
            let kind = header.kind().filter(|_| on_page).ok_or_else(|| damaged(at))?;
            if window.reach(reader, at, header.size(), settled)? {
                let (from, len) = (window.offset(at) + HEADER, header.len());
                let body = window.bytes.get(from..from + len).filter(|body| header.fits(body, at, generation));
                return body
                    .map(|_| Some((kind, Place::Window { from, len }, header.size())))
                    .ok_or_else(|| damaged(at));
            }
        }
        let Some((kind, body)) = reader.at(at)? else { return Ok(None) };
        let size = HEADER + body.len().next_multiple_of(8);
        *data = body;
        Ok(Some((kind, Place::Own, size)))
    }

    /// The data of the entry at `at`, whose last or only part has its body in `place`.
    fn whole(&mut self, at: Address, kind: Kind, place: Place) -> Result<Place> {
        if kind != Kind::Last {
            return Ok(place);
        }
        let body = match place {
            Place::Own => std::mem::take(&mut self.data),
            Place::Window { from, len } => self.window.bytes.get(from..from + len).unwrap_or_default().to_vec(),
        };
        self.data = self.reader.data(at, kind, body)?;
        Ok(Place::Own)
    }

    /// Finds out how far the scan can go from here without looking again; false if not at all.
    fn look_again(&mut self) -> bool {
        let core = &self.reader.core;
        let (begin, holes) = core.holes();
        let (addresses, durable) = (core.log.addresses(), core.group.durable());
        let limit = if self.uncommitted { addresses.tail } else { durable };
        self.at = self.at.max(begin);
        while let Some(behind) = CommitRecord::behind_hole(&holes, self.at) {
            self.at = behind;
        }
        let next_hole = holes.iter().map(|(from, _)| Address::from_word(*from)).filter(|from| *from > self.at).min();
        let end = limit.min(self.end);
        self.known = Known {
            end: next_hole.map_or(end, |hole| hole.min(end)),
            settled: core.log.geometry().block_start(addresses.safe_read_only.max(durable)),
            whole: addresses.safe_read_only,
        };
        self.at < self.known.end
    }
}

impl Iterator for LogScan {
    type Item = Found;

    fn next(&mut self) -> Option<Self::Item> {
        self.try_next().transpose()
    }
}

/// A stretch of the log that is being gone through.
#[derive(Default)]
struct Window {
    bytes: Vec<u8>,
    /// Where its first byte lies.
    start: Address,
    blocks: Option<LiveBlocks>,
}

impl Window {
    fn end(&self) -> u64 {
        self.start.get() + self.bytes.len() as u64
    }

    fn offset(&self, at: Address) -> usize {
        (at.get() - self.start.get()) as usize
    }

    /// The header at `at`, which was reached.
    fn header(&self, at: Address) -> Option<Header> {
        let word = self.bytes.get(self.offset(at)..)?.first_chunk()?;
        Header::of_word(u64::from_le_bytes(*word))
    }

    /// Sees to it that the `len` bytes from `at` on are in the window; false if they do not lie below `settled`.
    #[inline]
    fn reach(&mut self, reader: &mut Reader, at: Address, len: usize, settled: Address) -> Result<bool> {
        let end = at.get() + len as u64;
        if end > settled.get() {
            return Ok(false);
        }
        if at < self.start || end > self.end() {
            self.move_to(reader, at, end, settled)?;
        }
        Ok(true)
    }

    #[cold]
    fn move_to(&mut self, reader: &mut Reader, at: Address, end: u64, settled: Address) -> Result<()> {
        let Reader { core, participant, .. } = reader;
        let geometry = core.log.geometry();
        let goes_on = self.blocks.is_some() && at >= self.start && at.get() <= self.end();
        let last = geometry.block_of(settled);
        if goes_on {
            let gone = self.offset(at);
            self.bytes.drain(..gone);
            self.start = at;
        } else {
            self.bytes.clear();
            self.start = geometry.block_start(at);
            let limits = ReadLimits { buffer_bytes: BUFFERS, wait: core.config.wait_limit };
            let mut blocks = LiveBlocks::new(&core.log, geometry.block_start(Address::MAX), limits)?.with_slow_start();
            blocks.go_to(geometry.block_of(at)..last)?;
            self.blocks = Some(blocks);
        }
        let Some(blocks) = &mut self.blocks else { return Ok(()) };
        blocks.extend_to(last);
        while self.start.get() + (self.bytes.len() as u64) < end && !blocks.is_over() {
            blocks.next(&core.log, participant, |_, payload| {
                self.bytes.extend_from_slice(payload);
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// The entries of a log with their addresses. See [`FasterLog::scan_all`](super::FasterLog::scan_all).
pub struct Entries {
    scan: LogScan,
    failure: Option<Error>,
}

impl Entries {
    pub(super) const fn new(scan: LogScan) -> Self {
        Self { scan, failure: None }
    }

    /// Whether the entries ended because there were no more.
    ///
    /// # Errors
    /// Why they ended before.
    pub fn finish(self) -> Result<()> {
        self.failure.map_or(Ok(()), Err)
    }
}

impl Iterator for Entries {
    type Item = (Address, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        match self.scan.try_next() {
            Ok(entry) => entry,
            Err(failure) => {
                self.failure = Some(failure);
                None
            }
        }
    }
}
