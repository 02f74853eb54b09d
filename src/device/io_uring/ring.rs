//! One pair of queues shared with the kernel, and what the kernel works on.
//!
//! * **U1** Memory whose address is in a queue entry belongs to a buffer that lies in a slot of the ring, from before the
//!   entry is made until its completion was taken. While it lies there nobody reads, writes, moves out or frees it: slots
//!   are private, and are emptied by [`Ring::take`] alone.
//! * **U2** The file that an entry names is kept open by the same slot.
//! * **U3** A ring that goes away first waits for the kernel. Slots that it waited for in vain are leaked: their buffers are
//!   never freed and never reused.
//! * **U4** The queues have one user at a time, since every method that touches them takes `&mut self`. A completion names
//!   its slot, and there are at most as many entries as the completion queue has places, so none is lost.
#![allow(unsafe_code)]

use crate::memory::IoBuf;
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, opcode, squeue};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

/// Accesses that the ring of a session has under way at most: the depth at which a disk of this size of machine gives all it has.
pub(super) const DEPTH: usize = 64;
/// How long a ring that goes away waits for the kernel.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);
/// Stands for no slot.
const NOBODY: u64 = u64::MAX;

/// A read of a part of a file into a part of a buffer, or a write from there, and what its owner wants to have back with it.
pub(super) struct Access<F, T> {
    pub(super) file: F,
    pub(super) offset: u64,
    pub(super) buf: IoBuf,
    pub(super) bytes: Range<usize>,
    pub(super) with: T,
}

/// Accesses `T` to files `F`.
pub(super) struct Ring<F, T> {
    queues: IoUring,
    slots: Vec<Option<Access<F, T>>>,
    free: Vec<usize>,
}

impl<F, T> Ring<F, T> {
    /// A ring of `depth` accesses that the kernel has agreed to serve, for whichever thread.
    ///
    /// # Errors
    /// Why it does not: it is too old, forbids rings to this process, or has no file descriptor or memory left.
    pub(super) fn new(depth: usize) -> io::Result<Self> {
        match IoUring::builder().dontfork().setup_coop_taskrun().setup_taskrun_flag().build(depth as u32) {
            // A kernel before 5.19 interrupts the thread for every completion, and works all the same.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                Self::around(IoUring::builder().dontfork().build(depth as u32)?, depth)
            }
            built => Self::around(built?, depth),
        }
    }

    /// A ring for one thread: the one that calls [`bind`](Self::bind). The kernel then works for it only when it asks.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub(super) fn for_one_thread(depth: usize) -> io::Result<Self> {
        let mut builder = IoUring::builder();
        match builder.dontfork().setup_r_disabled().setup_single_issuer().setup_defer_taskrun().build(depth as u32) {
            // A kernel before 6.1 does not know the difference.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Self::new(depth),
            built => Self::around(built?, depth),
        }
    }

    /// Makes this thread the one that uses a ring [`for_one_thread`](Self::for_one_thread).
    pub(super) fn bind(&self) -> io::Result<()> {
        match self.queues.submitter().register_enable_rings() {
            // It was made without that difference, and serves already.
            Err(error) if error.raw_os_error() == Some(libc::EBADFD) => Ok(()),
            bound => bound,
        }
    }

    fn around(queues: IoUring, depth: usize) -> io::Result<Self> {
        // Timeouts of waits, and completions that wait in the kernel while the queue is full.
        if !(queues.params().is_feature_ext_arg() && queues.params().is_feature_nodrop()) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self { queues, slots: (0..depth).map(|_| None).collect(), free: (0..depth).rev().collect() })
    }

    /// Sees whether reads and writes work, by asking, and whether waiting does, by doing so: a filter may let some calls through only.
    pub(super) fn prove(&mut self) -> io::Result<()> {
        let mut probe = Probe::new();
        self.queues.submitter().register_probe(&mut probe)?;
        if ![opcode::Read::CODE, opcode::Write::CODE, opcode::Nop::CODE].iter().all(|code| probe.is_supported(*code)) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.push(&opcode::Nop::new().build().user_data(NOBODY))?;
        self.wait(FAREWELL)?;
        match self.queues.completion().next() {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Accesses that were put in and not taken out.
    pub(super) fn under_way(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// True if no further access can be put in now.
    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        let mut submissions = self.queues.submission();
        // SAFETY: U1 and U2: an entry that names memory and a file was made from a slot that was just filled, and a no-op
        // names neither. U4: `&mut self` makes this the only user of the queue.
        unsafe { submissions.push(entry) }.map_err(|_| io::ErrorKind::WouldBlock.into())
    }

    /// Hands what was put in to the kernel, and gives it the occasion to bring what is finished if it asks for one.
    pub(super) fn start(&mut self) -> io::Result<()> {
        let submissions = self.queues.submission();
        let is_needed = !submissions.is_empty() || submissions.taskrun();
        drop(submissions);
        if is_needed { tolerate(self.queues.submit()) } else { Ok(()) }
    }

    /// Hands what was put in to the kernel, and waits for a completion. `Ok` also if none came within `timeout`.
    pub(super) fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec::from(timeout.min(Duration::from_secs(i32::MAX as u64)));
        tolerate(self.queues.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&timeout)))
    }

    /// An access that the kernel is done with, and how it went.
    pub(super) fn take(&mut self) -> Option<(Access<F, T>, io::Result<usize>)> {
        loop {
            let completion = self.queues.completion().next()?;
            let result = usize::try_from(completion.result())
                .map_err(|_| io::Error::from_raw_os_error(completion.result().saturating_neg()));
            let index = usize::try_from(completion.user_data()).unwrap_or(usize::MAX);
            if let Some(access) = self.vacate(index) {
                return Some((access, result));
            }
        }
    }

    fn vacate(&mut self, index: usize) -> Option<Access<F, T>> {
        let access = self.slots.get_mut(index)?.take()?;
        self.free.push(index);
        Some(access)
    }

    /// Gives the slots up to the kernel, for ever (U3). Returns what came with the accesses.
    pub(super) fn abandon(mut self) -> Vec<T> {
        self.leak()
    }

    fn leak(&mut self) -> Vec<T> {
        self.free.clear();
        let leak = |Access { file, buf, with, .. }| {
            std::mem::forget((file, buf));
            with
        };
        self.slots.drain(..).flatten().map(leak).collect()
    }

    /// Waits until the kernel is done with everything. If it is not within `patience`, the slots are given up to it, for ever
    /// (U3); false then, and the ring is of no more use.
    pub(super) fn drain(&mut self, patience: Duration) -> bool {
        let begin = Instant::now();
        while self.under_way() > 0 {
            let left = patience.saturating_sub(begin.elapsed());
            if left.is_zero() || self.wait(left).is_err() {
                self.leak();
                return false;
            }
            while self.take().is_some() {}
        }
        true
    }
}

impl<F: AsFd, T> Ring<F, T> {
    /// Puts a read into the queue; [`start`](Self::start) or [`wait`](Self::wait) hands it to the kernel. Gives it back
    /// if there is no place for it, or if its range is not one of its buffer.
    pub(super) fn put(&mut self, access: Access<F, T>) -> Result<(), Access<F, T>> {
        self.put_as(access, |fd, start, len, offset| opcode::Read::new(fd, start, len).offset(offset).build())
    }

    /// The same for a write that is durable when it is done.
    pub(super) fn put_through(&mut self, access: Access<F, T>) -> Result<(), Access<F, T>> {
        self.put_as(access, |fd, start, len, offset| {
            opcode::Write::new(fd, start, len).offset(offset).rw_flags(libc::RWF_DSYNC).build()
        })
    }

    fn put_as(
        &mut self,
        access: Access<F, T>,
        entry: impl FnOnce(Fd, *mut u8, u32, u64) -> squeue::Entry,
    ) -> Result<(), Access<F, T>> {
        let Ok(len) = u32::try_from(access.bytes.len()) else { return Err(access) };
        if access.buf.get(access.bytes.clone()).is_none() {
            return Err(access);
        }
        let Some(index) = self.free.pop() else { return Err(access) };
        let access = self.slots[index].insert(access);
        let start = access.buf[access.bytes.clone()].as_mut_ptr();
        let fd = Fd(access.file.as_fd().as_raw_fd());
        let entry = entry(fd, start, len, access.offset).user_data(index as u64);
        if self.push(&entry).is_err() {
            // Not to be: there are as many places in the queue as there are slots. The kernel knows nothing of it yet.
            return self.vacate(index).map_or(Ok(()), Err);
        }
        Ok(())
    }
}

impl<F, T> Drop for Ring<F, T> {
    fn drop(&mut self) {
        self.drain(FAREWELL);
    }
}

/// A wait that was interrupted or timed out, and a submission for which the kernel has no room at present, are to be
/// repeated: nothing is lost.
fn tolerate(entered: io::Result<usize>) -> io::Result<()> {
    match entered {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ENOMEM) => Ok(()),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::AlignedBuf;
    use std::io::Write;
    use std::sync::Arc;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A ring, unless this kernel has none to give.
    fn ring<F: AsFd>() -> Option<Ring<Arc<F>, usize>> {
        let made = Ring::new(DEPTH).and_then(|mut ring| ring.prove().map(|()| ring));
        made.ok()
    }

    fn access<F>(file: &Arc<F>, bytes: Range<usize>, with: usize) -> Access<Arc<F>, usize> {
        Access { file: Arc::clone(file), offset: 0, buf: AlignedBuf::zeroed(64).into(), bytes, with }
    }

    #[test]
    fn what_was_read_comes_back_in_the_part_of_the_buffer_that_was_named() {
        let Some(mut ring) = ring() else { return };
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 10]).unwrap();
        let file = Arc::new(file);
        assert!(ring.put(access(&file, 8..40, 5)).is_ok());
        assert!(ring.take().is_none(), "it was not started");
        let taken = loop {
            ring.wait(PATIENCE).unwrap();
            if let Some(taken) = ring.take() {
                break taken;
            }
        };
        let (Access { buf, with, .. }, read) = taken;
        assert_eq!((with, read.unwrap(), ring.under_way()), (5, 10, 0));
        assert_eq!((&buf[..8], &buf[8..18], &buf[18..]), (&[0; 8][..], &[7; 10][..], &[0; 46][..]));
    }

    #[test]
    fn a_range_outside_its_buffer_and_an_access_too_many_are_given_back() {
        let Some(mut ring) = ring() else { return };
        let file = Arc::new(tempfile::tempfile().unwrap());
        #[allow(clippy::reversed_empty_ranges, reason = "what must be refused")]
        for bytes in [60..65, 65..66, 9..8] {
            assert_eq!(ring.put(access(&file, bytes, 3)).unwrap_err().with, 3);
        }
        for with in 0..DEPTH {
            assert!(ring.put(access(&file, 0..64, with)).is_ok());
        }
        assert!(ring.is_full());
        assert_eq!(ring.put(access(&file, 0..64, DEPTH)).unwrap_err().with, DEPTH);
        assert!(ring.drain(PATIENCE));
        assert_eq!((ring.under_way(), Arc::strong_count(&file)), (0, 1));
    }

    #[test]
    fn what_the_kernel_does_not_finish_is_left_to_it_and_holds_nobody_up() {
        let Some(mut ring) = ring() else { return };
        let (reader, mut writer) = io::pipe().unwrap();
        let reader = Arc::new(reader);
        for with in 0..3 {
            assert!(ring.put(access(&reader, 0..64, with)).is_ok());
        }
        ring.start().unwrap();
        let begin = Instant::now();
        assert!(!ring.drain(Duration::from_millis(50)));
        assert_eq!(ring.under_way(), 0);
        drop(ring);
        assert!(begin.elapsed() < FAREWELL, "it is not waited for again");
        assert_eq!(Arc::strong_count(&reader), 4, "files and buffers are never given free");
        writer.write_all(&[1; 64]).unwrap();
    }

    #[test]
    fn an_abandoned_ring_tells_what_was_in_it() {
        let Some(mut ring) = ring() else { return };
        let (reader, _writer) = io::pipe().unwrap();
        let reader = Arc::new(reader);
        for with in [4, 6] {
            assert!(ring.put(access(&reader, 0..64, with)).is_ok());
        }
        ring.start().unwrap();
        let mut abandoned = ring.abandon();
        abandoned.sort_unstable();
        assert_eq!(abandoned, [4, 6]);
    }

    #[test]
    fn a_wait_for_nothing_ends_after_its_timeout() {
        let Some(mut ring) = ring::<std::fs::File>() else { return };
        let begin = Instant::now();
        ring.wait(Duration::from_millis(20)).unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(20));
        assert!(ring.take().is_none());
    }
}
