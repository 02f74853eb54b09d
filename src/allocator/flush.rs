//! Writing immutable pages to the device, and the contiguous prefix that is there. Invariants L2, L4 and L8 of
//! [`crate::allocator`].
//!
//! [`FlushQueue`] decides: it is a plain value that is told what became immutable and what finished, and says what to
//! write next and how far the device holds everything. The log around it does: copies blocks out of the frames, submits
//! them, and passes completions on.

use super::block::{BLOCK_PAYLOAD, BLOCK_SIZE};
use super::geometry::LogGeometry;
use super::hybrid_log::LogCore;
use crate::address::Address;
use crate::device::{CompletionSink, IoDone, IoRequest, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Arc;
use crate::utility::planted;
use std::collections::VecDeque;

/// Blocks of one write: large enough for the device, small enough that copying them does not hold an operation up. Blocks have headers, so
/// pages of a power of two are a little more than a power of two blocks: one more here, and no write is left that has two blocks.
const CHUNK_BLOCKS: u64 = 65;
/// Writes under way at the same time: those that keep a disk busy, and one that is copied and sealed meanwhile.
pub(super) const WRITES_MAX: usize = 5;
/// Blocks of the largest write that a thread makes durable by itself: with more, the disk takes longer than waking somebody does.
const THROUGH_BLOCKS: u64 = 4;
/// Bytes of the largest write.
pub(super) const CHUNK_BYTES: usize = CHUNK_BLOCKS as usize * BLOCK_SIZE;

/// One write: the addresses it covers, all on one page, from a block boundary on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) token: Token,
    start: Address,
    end: Address,
}

impl Chunk {
    fn blocks(self) -> usize {
        ((self.end.get() - self.start.get()) as usize).div_ceil(BLOCK_PAYLOAD)
    }

    /// A device is not to report a part as success; if one does, nothing is concluded from it.
    /// Everything below is written when this is.
    pub(super) fn end(self) -> Address {
        self.end
    }

    fn check_written(self, written: usize) -> Result<()> {
        let bytes = self.blocks() * BLOCK_SIZE;
        if written >= bytes {
            return Ok(());
        }
        Err(Error::new(ErrorKind::DeviceFailed, "the device wrote a part and called it done")
            .with("log address", self.start)
            .with("bytes to write", bytes)
            .with("bytes written", written))
    }
}

/// What is being written, in address order.
#[derive(Debug)]
pub(super) struct FlushQueue {
    geometry: LogGeometry,
    /// Everything below is on the device.
    prefix: Address,
    /// Everything below is on the device or being written.
    issued: Address,
    /// Writes from `prefix` on; true once finished.
    writes: VecDeque<(Chunk, bool)>,
    unfinished: usize,
    next_token: Token,
    failure: Option<Error>,
    /// A thread is taking chunks and submitting them; nobody else needs to.
    pumping: bool,
    /// A thread keeps the next write for itself, for a moment.
    kept: bool,
}

impl FlushQueue {
    /// A queue for a log of which everything below `written`, a block boundary, is on the device.
    pub(super) fn new(geometry: LogGeometry, written: Address) -> Self {
        Self {
            geometry,
            prefix: written,
            issued: written,
            writes: VecDeque::new(),
            unfinished: 0,
            next_token: 0,
            failure: None,
            pumping: false,
            kept: false,
        }
    }

    /// The next write, given that everything below `immutable` may be written. Only whole blocks are: an empty log's gap
    /// before its first record is not a block, and to write it on its own would move all that follows.
    fn next(&mut self, immutable: Address) -> Option<Chunk> {
        let immutable = self.geometry.block_start(immutable);
        if self.kept || self.failure.is_some() || self.unfinished >= WRITES_MAX || self.issued >= immutable {
            return None;
        }
        let page = self.geometry.page();
        let start = self.issued;
        let page_end = page.start_of(page.page(start) + 1);
        let whole = Address::new(start.get() + CHUNK_BLOCKS * BLOCK_PAYLOAD as u64);
        let chunk = Chunk { token: self.next_token, start, end: whole.min(page_end).min(immutable) };
        self.next_token += 1;
        self.issued = chunk.end;
        self.unfinished += 1;
        self.writes.push_back((chunk, false));
        Some(chunk)
    }

    /// Keeps the next write for the calling thread, if it is a small one that ends at `end`, and everything before it was written and
    /// lies below `durable`.
    pub(super) fn keep(&mut self, end: Address, durable: Address) -> bool {
        let page = self.geometry.page();
        let is_settled = self.issued <= durable || planted!(CountsWriteThroughAsSync);
        let is_next = !self.kept && self.failure.is_none() && is_settled;
        let is_small = end > self.issued && end.get() - self.issued.get() <= THROUGH_BLOCKS * BLOCK_PAYLOAD as u64;
        let is_one = page.start_of(page.page(self.issued) + 1) >= end;
        self.kept |= is_next && is_small && is_one;
        is_next && self.kept
    }

    /// The write that was kept; `None` if it may not be made yet. It is not kept any more.
    pub(super) fn take_kept(&mut self, end: Address, immutable: Address) -> Option<Chunk> {
        self.let_go();
        if immutable < end { None } else { self.next(end) }
    }

    /// Whoever is next may make the write that was kept.
    pub(super) fn let_go(&mut self) {
        self.kept = false;
    }

    /// Notes the end of a write. Returns how far the device now holds everything.
    fn finish(&mut self, token: Token, result: Result<usize>) -> Address {
        if let Some((chunk, finished)) = self.writes.iter_mut().find(|(chunk, _)| chunk.token == token) {
            self.unfinished -= 1;
            match result.and_then(|written| chunk.check_written(written)) {
                Ok(()) => *finished = true,
                Err(_) if planted!(SwallowsFailedWrite) => *finished = true,
                Err(error) => self.failure = Some(self.failure.take().unwrap_or(error)),
            }
        }
        while let Some((chunk, finished)) = self.writes.front()
            && (*finished || (planted!(CountsUnfinishedWrites) && self.writes.iter().any(|(_, finished)| *finished)))
        {
            self.prefix = chunk.end;
            self.writes.pop_front();
        }
        self.prefix
    }

    /// True while a write is under way.
    pub(super) fn is_writing(&self) -> bool {
        self.unfinished > 0
    }

    /// The first failure, once no write is under way any more.
    fn settled_failure(&self) -> Option<&Error> {
        self.failure.as_ref().filter(|_| self.unfinished == 0)
    }

    /// Forgets a settled failure, so that everything from the prefix on is written again.
    fn retry(&mut self) {
        if self.settled_failure().is_some() {
            self.failure = None;
            self.writes.clear();
            self.issued = self.prefix;
        }
    }
}

impl LogCore {
    /// Starts as many writes as may be under way. Called wherever one of the reasons not to start one may have gone.
    pub(super) fn pump(self: &Arc<Self>) {
        if self.volatile {
            // Nobody waits for what is not going to be written.
            self.pointers.advance_flushed(self.pointers.safe_read_only());
            return self.shift_head();
        }
        let mut taken = false;
        while let Some(chunk) = self.next_chunk(&mut taken) {
            let request = self.write_request(chunk);
            // A device may complete within this call: that calls `pump` again, which sees `pumping` and leaves.
            self.device.submit(request, Arc::clone(self) as Arc<dyn CompletionSink>, chunk.token);
        }
    }

    /// The next chunk for the one thread that pumps; `taken` says whether this thread is the one.
    fn next_chunk(&self, taken: &mut bool) -> Option<Chunk> {
        let mut queue = self.flush.lock();
        if queue.pumping && !*taken {
            return None;
        }
        let next = queue.next(self.pointers.safe_read_only());
        *taken = next.is_some();
        queue.pumping = *taken;
        next
    }

    /// Copies a chunk out of its frame into sealed blocks.
    pub(super) fn write_request(&self, chunk: Chunk) -> IoRequest {
        self.counters.writes.add(1);
        self.counters.written_bytes.add((chunk.blocks() * BLOCK_SIZE) as u64);
        let first = self.geometry.block_of(chunk.start);
        let len = (chunk.end.get() - chunk.start.get()) as usize;
        let blocks = chunk.blocks();
        let mut buf = self.write_pool.take(blocks * BLOCK_SIZE);
        if buf.is_empty() {
            // No memory: the device refuses what has no buffer, and that is a write that failed.
            return IoRequest::write(self.geometry.device_offset(first), blocks * BLOCK_SIZE, buf);
        }
        // L4: not flushed, hence not below head; L2: immutable. The words are those of `chunk` and stay so.
        self.seal_blocks(chunk.start, len, &mut buf[..blocks * BLOCK_SIZE]);
        IoRequest::write(self.geometry.device_offset(first), blocks * BLOCK_SIZE, buf)
    }

    /// Why writing stopped, once it has come to rest.
    pub(super) fn flush_failure(&self) -> Option<Error> {
        self.flush.lock().settled_failure().cloned()
    }

    /// Writes again what could not be written.
    pub(super) fn retry_flush(self: &Arc<Self>) {
        self.flush.lock().retry();
        self.pump();
    }
}

impl CompletionSink for LogCore {
    fn complete(&self, token: Token, done: IoDone) {
        drop(done.buf); // for the next write
        let result = done.result.inspect_err(|_| self.counters.write_failures.add(1));
        let flushed = self.flush.lock().finish(token, result);
        if let Some(core) = self.this.upgrade() {
            self.pointers.advance_flushed(flushed);
            core.shift_head();
            core.pump();
            // Emptying frames here keeps that work off the threads that operate on the store.
            core.epoch.drain();
            core.tell_progress();
            core.begin_syncs(flushed);
        }
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;

    fn queue() -> FlushQueue {
        FlushQueue::new(LogGeometry::new(20, 4, 0.5).unwrap(), Address::INVALID)
    }

    fn take_all(queue: &mut FlushQueue, immutable: u64) -> Vec<Chunk> {
        std::iter::from_fn(|| queue.next(Address::new(immutable))).collect()
    }

    #[test]
    fn writes_cover_everything_once_in_order_and_stay_on_their_page() {
        let mut queue = queue();
        let (mut at, immutable) = (0, 3 << 20);
        while at < immutable {
            for chunk in take_all(&mut queue, immutable) {
                assert_eq!(chunk.start.get(), at);
                assert_eq!(chunk.start.get() >> 20, (chunk.end.get() - 1) >> 20);
                at = chunk.end.get();
                queue.finish(chunk.token, Ok(usize::MAX));
            }
        }
        assert_eq!((at, queue.prefix.get(), queue.writes.len()), (immutable, immutable, 0));
    }

    #[test]
    fn the_gap_before_the_first_record_is_not_written_on_its_own() {
        let mut queue = queue();
        assert!(take_all(&mut queue, super::super::pointers::FIRST).is_empty());
        let chunks = take_all(&mut queue, 3 * BLOCK_PAYLOAD as u64 + 8);
        assert_eq!((chunks[0].start, chunks[0].end.get()), (Address::INVALID, 3 * BLOCK_PAYLOAD as u64));
    }

    #[test]
    fn only_contiguous_progress_counts() {
        let mut queue = queue();
        let chunks = take_all(&mut queue, 2 << 20);
        assert_eq!(chunks.len(), WRITES_MAX);
        assert_eq!(queue.finish(chunks[1].token, Ok(usize::MAX)), Address::INVALID);
        assert_eq!(queue.finish(chunks[0].token, Ok(usize::MAX)), chunks[1].end);
    }

    #[test]
    fn a_part_that_is_called_done_is_written_again() {
        let mut queue = queue();
        let chunk = take_all(&mut queue, 1 << 20)[0];
        let whole = chunk.blocks() * BLOCK_SIZE;
        assert_eq!(queue.finish(chunk.token, Ok(whole - 1)), Address::INVALID);
        assert!(queue.failure.is_some());
        let mut queue = self::queue();
        let chunk = take_all(&mut queue, 1 << 20)[0];
        assert_eq!(queue.finish(chunk.token, Ok(whole)), chunk.end);
    }

    #[test]
    fn a_failed_write_stops_the_prefix_until_it_is_written_again() {
        let mut queue = queue();
        let chunks = take_all(&mut queue, 1 << 20);
        let broken = Error::new(ErrorKind::Io, "test");
        queue.finish(chunks[0].token, Ok(usize::MAX));
        queue.finish(chunks[1].token, Err(broken));
        assert!(queue.settled_failure().is_none(), "two are still under way");
        assert_eq!(queue.finish(chunks[2].token, Ok(usize::MAX)), chunks[0].end);
        queue.finish(chunks[3].token, Ok(usize::MAX));
        assert!(queue.settled_failure().is_some());
        assert!(take_all(&mut queue, 1 << 20).is_empty(), "nothing is written past a failure");
        queue.retry();
        let again = take_all(&mut queue, 1 << 20);
        assert_eq!(again[0].start, chunks[0].end);
        for chunk in &again {
            queue.finish(chunk.token, Ok(usize::MAX));
        }
        assert_eq!(queue.prefix, again.last().unwrap().end);
    }

    #[test]
    fn a_cut_at_a_block_boundary_is_written_up_to_there_and_on_from_there() {
        let mut queue = queue();
        let cut = 3 * BLOCK_PAYLOAD as u64;
        let first = take_all(&mut queue, cut);
        assert_eq!((first.len(), first[0].end.get()), (1, cut));
        assert_eq!(queue.finish(first[0].token, Ok(usize::MAX)).get(), cut);
        assert_eq!(take_all(&mut queue, 1 << 20)[0].start.get(), cut);
    }
}
