//! Many reads under way at the same time, by io_uring.
#![allow(unsafe_code)]

use super::direct::{BLOCK, DirectFiles};
use super::pages::Pages;
use io_uring::{IoUring, opcode, types};
use std::io;
use std::os::fd::AsRawFd;

/// A ring of its own, with a buffer for every read under way.
pub(crate) struct RingReader<'a> {
    files: &'a DirectFiles,
    /// Dropped before the buffers that the kernel reads into, and waited for before that in `drop`.
    ring: IoUring,
    buffers: Pages,
    free: Vec<usize>,
    depth: usize,
}

const BLOCK_WORDS: usize = BLOCK / 8;

impl<'a> RingReader<'a> {
    /// A ring of `depth` reads.
    pub(crate) fn new(files: &'a DirectFiles, depth: usize) -> io::Result<Self> {
        // One thread submits and reaps, and takes completions only when it asks for them.
        let ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(depth as u32)?;
        let buffers = Pages::zeroed(depth * BLOCK_WORDS)?;
        Ok(Self { files, ring, buffers, free: (0..depth).collect(), depth })
    }

    /// Reads the blocks that these numbers choose, keeping the ring full. Those of the end are left under way: the next
    /// call reaps them, as a caller would who always has more to ask for.
    pub(crate) fn read_all(&mut self, numbers: impl Iterator<Item = u64>) -> io::Result<()> {
        for number in numbers {
            if self.free.is_empty() {
                // A quarter of the ring at a time: few system calls, and never far from full.
                self.ring.submit_and_wait(self.depth / 4)?;
                self.reap()?;
            }
            let Some(buffer) = self.free.pop() else { return Err(io::Error::other("no read came back")) };
            let (file, offset) = self.files.block(number);
            let place = self.buffers.at(buffer * BLOCK_WORDS).cast_mut().cast::<u8>();
            let entry = opcode::Read::new(types::Fd(file.as_raw_fd()), place, BLOCK as u32)
                .offset(offset)
                .build()
                .user_data(buffer as u64);
            // SAFETY: P1; the buffer is a block of `buffers` that no other read under way has, and outlives the ring's
            // use of it, because `drop` waits.
            let pushed = unsafe { self.ring.submission().push(&entry) };
            pushed.map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn reap(&mut self) -> io::Result<()> {
        for entry in self.ring.completion() {
            self.free.push(entry.user_data() as usize);
            match entry.result() {
                code if code < 0 => return Err(io::Error::from_raw_os_error(-code)),
                read if read as usize != BLOCK => return Err(io::Error::other("a block was cut off")),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for RingReader<'_> {
    fn drop(&mut self) {
        while self.free.len() < self.depth && self.ring.submit_and_wait(self.depth - self.free.len()).is_ok() {
            // A read that failed is one that is over.
            let _ = self.reap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn what_the_ring_reads_is_what_is_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let files = DirectFiles::open(directory.path(), 2 << 20).unwrap();
        let Ok(mut ring) = RingReader::new(&files, 8) else { return };
        ring.read_all(0..8).unwrap();
        ring.ring.submit_and_wait(8).unwrap();
        ring.reap().unwrap();
        assert_eq!(ring.free.len(), 8);
        // Buffers are handed out from the last one on.
        for (number, buffer) in (0..8).zip((0..8).rev()) {
            let word = files.block(number).1 % (1 << 20) / 8;
            let read = ring.buffers[buffer * BLOCK_WORDS].load(Ordering::Relaxed);
            assert_eq!(read, crate::random::mix(word));
        }
        ring.read_all(0..1_000).unwrap();
    }
}
