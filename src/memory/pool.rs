//! Buffers for disk accesses, kept for the next one.

use super::AlignedBuf;
use crate::sync::{Arc, AtomicUsize, Mutex, Ordering};
use std::ops::{Deref, DerefMut};

/// Keeps up to a bound of buffers of one size for reuse. Larger ones are made on demand and not kept.
#[derive(Debug)]
pub(crate) struct BufferPool {
    buf_len: usize,
    kept_max: usize,
    /// Buffers that are out, of any size.
    out: AtomicUsize,
    kept: Mutex<Vec<AlignedBuf>>,
}

/// The buffer of a disk access: one of its own, or one that goes back to its pool when it is dropped.
#[derive(Debug)]
pub struct IoBuf {
    buf: AlignedBuf,
    home: Option<Arc<BufferPool>>,
}

impl BufferPool {
    /// A pool that keeps at most `kept_max` buffers of `buf_len` bytes.
    pub(crate) fn new(buf_len: usize, kept_max: usize) -> Arc<Self> {
        Arc::new(Self { buf_len, kept_max, out: AtomicUsize::new(0), kept: Mutex::new(Vec::new()) })
    }

    /// A buffer of at least `len` bytes. Its contents are whatever the last user left. If the system has no memory, it is
    /// empty: the access for which it is meant then [fails](crate::device::IoRequest::check) like any other.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> IoBuf {
        self.out.fetch_add(1, Ordering::Relaxed);
        let kept = if len > self.buf_len { None } else { self.kept.lock().pop() };
        let buf = kept.or_else(|| AlignedBuf::try_zeroed(len.max(self.buf_len)).ok());
        let buf = buf.unwrap_or(AlignedBuf::empty());
        IoBuf { buf, home: Some(Arc::clone(self)) }
    }

    /// True if at least as many buffers are out as the pool would keep: the time to finish accesses under way before
    /// starting more.
    pub(crate) fn is_strained(&self) -> bool {
        self.out.load(Ordering::Relaxed) >= self.kept_max
    }

    fn take_back(&self, buf: AlignedBuf) {
        self.out.fetch_sub(1, Ordering::Relaxed);
        if buf.len() == self.buf_len {
            let mut kept = self.kept.lock();
            if kept.len() < self.kept_max {
                kept.push(buf);
            }
        }
    }
}

impl IoBuf {
    /// A buffer of no bytes; allocates nothing.
    pub const fn empty() -> Self {
        Self { buf: AlignedBuf::empty(), home: None }
    }
}

impl From<AlignedBuf> for IoBuf {
    fn from(buf: AlignedBuf) -> Self {
        Self { buf, home: None }
    }
}

impl Deref for IoBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buf
    }
}

impl DerefMut for IoBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buf
    }
}

impl Drop for IoBuf {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.take_back(std::mem::replace(&mut self.buf, AlignedBuf::empty()));
        }
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;

    #[test]
    fn a_pool_keeps_up_to_its_bound_of_what_comes_back() {
        let pool = BufferPool::new(4096, 1);
        let (one, two, large) = (pool.take(1), pool.take(4096), pool.take(5000));
        assert_eq!((one.len(), large.len()), (4096, 5000));
        assert!(pool.is_strained());
        drop((one, two, large, IoBuf::from(AlignedBuf::zeroed(4096))));
        assert_eq!(pool.kept.lock().len(), 1);
        assert!(!pool.is_strained());
    }

    #[test]
    fn a_buffer_for_which_there_is_no_memory_is_empty_and_counts_until_it_comes_back() {
        let pool = BufferPool::new(isize::MAX as usize - AlignedBuf::ALIGN, 1);
        let refused = pool.take(1);
        assert!(refused.is_empty() && pool.is_strained());
        drop(refused);
        assert!(!pool.is_strained() && pool.kept.lock().is_empty());
    }
}
