//! Buffers for disk accesses, kept for the next one.

use super::AlignedBuf;
use crate::sync::{AtomicUsize, Mutex, Ordering};

/// Keeps up to a bound of buffers of one size for reuse. Larger ones are made on demand and not kept.
#[derive(Debug)]
pub(crate) struct BufferPool {
    buf_len: usize,
    kept_max: usize,
    /// Buffers that are out, of any size.
    out: AtomicUsize,
    kept: Mutex<Vec<AlignedBuf>>,
}

impl BufferPool {
    /// A pool that keeps at most `kept_max` buffers of `buf_len` bytes.
    pub(crate) fn new(buf_len: usize, kept_max: usize) -> Self {
        Self { buf_len, kept_max, out: AtomicUsize::new(0), kept: Mutex::new(Vec::new()) }
    }

    /// A buffer of at least `len` bytes. Its contents are whatever the last user left.
    pub(crate) fn take(&self, len: usize) -> AlignedBuf {
        self.out.fetch_add(1, Ordering::Relaxed);
        if len > self.buf_len {
            return AlignedBuf::zeroed(len);
        }
        let kept = self.kept.lock().pop();
        kept.unwrap_or_else(|| AlignedBuf::zeroed(self.buf_len))
    }

    /// Takes a buffer back.
    pub(crate) fn give(&self, buf: AlignedBuf) {
        self.out.fetch_sub(1, Ordering::Relaxed);
        if buf.len() == self.buf_len {
            let mut kept = self.kept.lock();
            if kept.len() < self.kept_max {
                kept.push(buf);
            }
        }
    }

    /// Notes that `count` buffers will not come back.
    pub(crate) fn write_off(&self, count: usize) {
        self.out.fetch_sub(count, Ordering::Relaxed);
    }

    /// True if at least as many buffers are out as the pool would keep: the time to finish accesses under way before
    /// starting more.
    pub(crate) fn is_strained(&self) -> bool {
        self.out.load(Ordering::Relaxed) >= self.kept_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_keeps_up_to_its_bound() {
        let pool = BufferPool::new(4096, 1);
        let (one, two, large) = (pool.take(1), pool.take(4096), pool.take(5000));
        assert_eq!((one.len(), large.len()), (4096, 5000));
        assert!(pool.is_strained());
        pool.give(one);
        pool.give(two);
        pool.give(large);
        assert_eq!(pool.kept.lock().len(), 1);
        assert!(!pool.is_strained());
    }
}
