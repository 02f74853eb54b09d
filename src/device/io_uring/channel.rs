//! A session's way to the files: a ring for its reads, the thread pool for everything else.

use super::ring::Access;
use super::rings::{ReadRing, Rings};
use crate::device::file::{FilePool, Next, Part, Reading};
use crate::device::{IoChannel, IoDone, IoOp, IoRequest, SharedChannel, Token};
use crate::error::{Error, ErrorKind};
use crate::memory::prefetch_bytes;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of a completion that are on their way to the cache before it is taken: of the longest read of a small record.
const AHEAD: usize = 8192;

/// Invariants I1 to I3 of [`super`].
pub(super) struct RingChannel {
    rings: Arc<Rings>,
    ring: Option<ReadRing>,
    /// Parts of reads that wait for a place in the ring.
    queued: VecDeque<(Reading, Part)>,
    ready: VecDeque<(Token, IoDone)>,
    pool: Arc<FilePool>,
    shared: SharedChannel<FilePool>,
}

impl RingChannel {
    pub(super) fn new(rings: Arc<Rings>, pool: Arc<FilePool>) -> Self {
        let shared = SharedChannel::new(Arc::clone(&pool));
        Self { rings, ring: None, queued: VecDeque::new(), ready: VecDeque::new(), pool, shared }
    }

    /// Does what a read needs next.
    fn go_on(&mut self, next: Next) {
        match next {
            Next::Done(token, done) => self.ready.push_back((token, done)),
            Next::Part(reading, part) => self.queued.push_back((reading, part)),
        }
    }

    /// Moves what waits into the ring, as far as there is room.
    fn fill(&mut self) {
        let Some(ring) = &mut self.ring else { return };
        while !ring.is_full() {
            let Some((mut reading, part)) = self.queued.pop_front() else { return };
            let Part { file, offset, bytes } = part;
            let access = Access { file, offset, buf: reading.lend_buf(), bytes, with: reading };
            if let Err(access) = ring.put(access) {
                let Access { file, offset, buf, bytes, with } = access;
                // Not to be: there is a place, and a part of a read is a part of its buffer.
                let refused = Err(io::Error::other("the ring does not take the read"));
                let next = with.land(self.pool.get_ref(), buf, Part { file, offset, bytes }, refused);
                return self.go_on(next);
            }
        }
    }

    /// Takes out what the kernel is done with.
    fn reap(&mut self) {
        while let Some((access, result)) = self.ring.as_mut().and_then(ReadRing::take) {
            let Access { file, offset, buf, bytes, with } = access;
            let next = with.land(self.pool.get_ref(), buf, Part { file, offset, bytes }, result.map_err(to_repeat));
            self.go_on(next);
        }
    }

    /// Hands everything to the kernel, and waits for a completion if `timeout` says how long.
    fn enter(&mut self, timeout: Option<Duration>) {
        self.fill();
        let Some(ring) = &mut self.ring else { return };
        let entered = match timeout {
            None => ring.start(),
            Some(timeout) => ring.wait(timeout),
        };
        if let Err(error) = entered {
            self.abandon_ring(error);
        }
    }

    /// The kernel does not serve the ring any more, which should not happen. What it has may never come back; what it has
    /// not is left to the pool.
    #[cold]
    fn abandon_ring(&mut self, error: io::Error) {
        let failure =
            Error::new(ErrorKind::DeviceFailed, "the kernel does not serve the ring of this session any more")
                .because(error)
                .help("set OXIFASTER_IO_URING=0 to do without rings");
        for reading in self.ring.take().into_iter().flat_map(|ring| self.rings.discard(ring)) {
            self.ready.push_back(reading.fail(failure.clone()));
        }
        for (reading, _) in self.queued.drain(..) {
            let (request, token) = reading.give_up();
            self.shared.submit(request, token);
        }
    }

    /// A completion that is there.
    fn take_ready(&mut self) -> Option<(Token, IoDone)> {
        if self.ready.is_empty() {
            self.reap();
            self.ready.front().into_iter().for_each(on_the_way);
        }
        let taken = self.ready.pop_front().or_else(|| self.shared.try_take());
        // The next comes to the cache while this one is worked on.
        self.ready.front().into_iter().for_each(on_the_way);
        self.release_ring();
        taken
    }

    /// Gives the ring back if nothing is in it and others may need it.
    fn release_ring(&mut self) {
        let is_idle = self.queued.is_empty() && self.ring.as_ref().is_some_and(|ring| ring.under_way() == 0);
        if is_idle
            && self.rings.are_scarce()
            && let Some(ring) = self.ring.take()
        {
            self.rings.give_back(ring);
        }
    }

    #[cfg(test)]
    pub(super) fn has_ring(&self) -> bool {
        self.ring.is_some()
    }

    fn is_reading(&self) -> bool {
        !self.queued.is_empty() || self.ring.as_ref().is_some_and(|ring| ring.under_way() > 0)
    }
}

/// The disk wrote to memory: all lines at once are faster in the cache than one after the other as they are looked at.
fn on_the_way((_, done): &(Token, IoDone)) {
    prefetch_bytes(&done.buf[..done.buf.len().min(AHEAD)]);
}

impl IoChannel for RingChannel {
    fn submit(&mut self, request: IoRequest, token: Token) {
        if request.op == IoOp::Read && self.ring.is_none() {
            self.ring = self.rings.borrow();
        }
        if request.op != IoOp::Read || self.ring.is_none() {
            return self.shared.submit(request, token);
        }
        let next = Reading::begin(self.pool.get_ref(), request, token);
        self.go_on(next);
    }

    fn flush(&mut self) {
        if self.is_reading() {
            self.enter(None);
        }
    }

    fn keep_busy(&mut self) {
        // Disks finish many reads at once and are then idle. Starting as many as are under way, again and again, has them
        // busy with the first one while the others are on their way, for a handful of system calls.
        if self.ring.as_ref().is_some_and(|ring| self.queued.len() > ring.under_way()) {
            self.enter(None);
        }
    }

    fn try_take(&mut self) -> Option<(Token, IoDone)> {
        if let Some(taken) = self.take_ready() {
            return Some(taken);
        }
        // The kernel may bring completions within the call only.
        self.flush();
        self.take_ready()
    }

    fn take_within(&mut self, timeout: Duration) -> Option<(Token, IoDone)> {
        let begin = Instant::now();
        loop {
            if let Some(taken) = self.take_ready() {
                return Some(taken);
            }
            let left = timeout.saturating_sub(begin.elapsed());
            // What the pool has may be finished earlier than what the ring has, and is then taken a little later.
            if !self.is_reading() {
                return self.shared.take_within(left);
            }
            if left.is_zero() {
                return None;
            }
            // What is queued is started by the call that waits.
            self.enter(Some(left));
        }
    }
}

impl Drop for RingChannel {
    fn drop(&mut self) {
        if let Some(ring) = self.ring.take() {
            self.rings.give_back(ring);
        }
    }
}

/// A read that the kernel dropped, because it is short of something or because the thread that started it is gone, is to
/// be made again.
pub(super) fn to_repeat(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::ECANCELED) => io::ErrorKind::Interrupted.into(),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_dropped_is_read_again_and_what_failed_has_failed() {
        for code in [libc::EAGAIN, libc::ECANCELED, libc::EINTR] {
            assert_eq!(to_repeat(io::Error::from_raw_os_error(code)).kind(), io::ErrorKind::Interrupted);
        }
        let failure = to_repeat(io::Error::from_raw_os_error(libc::EIO));
        assert_eq!(failure.raw_os_error(), Some(libc::EIO));
    }
}
