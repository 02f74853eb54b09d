//! Handing parts of a range to threads.

use super::config::CompactionConfig;
use crate::address::{Address, PageGeometry};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use std::ops::Range;

/// How a range is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConcurrentCompactionConfig {
    /// Threads.
    pub num_threads: usize,
    /// Bytes of a part, `1 << part_bits`; a part begins and ends at multiples of that, or where the range does.
    pub part_bits: u32,
}

impl ConcurrentCompactionConfig {
    /// `num_threads` threads, and parts of a default page (32 MiB).
    pub const fn new(num_threads: usize) -> Self {
        Self { num_threads, part_bits: Address::DEFAULT_OFFSET_BITS }
    }

    /// Parts of `1 << bits` bytes, 12 to 30.
    #[must_use]
    pub const fn with_part_bits(mut self, bits: u32) -> Self {
        self.part_bits = bits;
        self
    }
}

/// Goes through a range of a log with several threads, a part at a time. Which thread gets which part is decided when it asks:
/// a slow part holds nobody up. With one thread it is a plain loop on the caller's own.
///
/// ```
/// use oxifaster::address::Address;
/// use oxifaster::compaction::{ConcurrentCompactionConfig, ConcurrentCompactor};
/// use std::sync::atomic::{AtomicU64, Ordering};
/// # fn main() -> oxifaster::Result<()> {
/// let compactor = ConcurrentCompactor::new(ConcurrentCompactionConfig::new(4).with_part_bits(12));
/// let bytes = AtomicU64::new(0);
/// let parts = compactor.compact_range(Address::new(64)..Address::new(10_000), |chunk| {
///     bytes.fetch_add(chunk.end.get() - chunk.start.get(), Ordering::Relaxed);
/// })?;
/// assert_eq!((parts, bytes.into_inner()), (3, 10_000 - 64));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ConcurrentCompactor {
    config: ConcurrentCompactionConfig,
}

/// Parts that nobody has taken.
pub(crate) struct Parts {
    range: Range<Address>,
    part_bits: u32,
    next: AtomicU64,
    stopped: AtomicBool,
}

impl Parts {
    pub(crate) fn new(range: Range<Address>, part_bits: u32) -> Self {
        let next = AtomicU64::new(range.start.get());
        Self { range, part_bits, next, stopped: AtomicBool::new(false) }
    }

    /// The lowest part that nobody has taken.
    pub(crate) fn take(&self) -> Option<Range<Address>> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let end = self.range.end.get();
        let behind = |start: u64| ((start >> self.part_bits) + 1) << self.part_bits;
        let take = |start: u64| (start < end).then(|| behind(start).min(end));
        let start = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(Address::new(start)..Address::new(behind(start).min(end)))
    }

    /// Hands out no more.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

impl ConcurrentCompactor {
    /// One that does as `config` says.
    pub const fn new(config: ConcurrentCompactionConfig) -> Self {
        Self { config }
    }

    /// Calls `work` with every part of `range`, from as many threads as there are, and returns how many parts there were.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there are no threads or too many, the parts have no proper size, or the range runs
    /// backwards.
    pub fn compact_range(&self, range: Range<Address>, work: impl Fn(Range<Address>) + Sync) -> Result<u64> {
        let counts = self.run(range, |parts| {
            let mut count = 0;
            while let Some(part) = parts.take() {
                work(part);
                count += 1;
            }
            Ok(count)
        })?;
        Ok(counts.into_iter().sum())
    }

    /// Runs `work` on every thread; each takes parts until there are none. Gives what they came to.
    ///
    /// # Errors
    /// As for [`compact_range`](Self::compact_range), and the first of any thread: the others stop then.
    pub(crate) fn run<T: Send>(
        &self,
        range: Range<Address>,
        work: impl Fn(&Parts) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        self.check(&range)?;
        let parts = Parts::new(range, self.config.part_bits);
        let work = |parts: &Parts| work(parts).inspect_err(|_| parts.stop());
        on_threads((0..self.config.num_threads).collect(), |_| work(&parts))
    }

    fn check(&self, range: &Range<Address>) -> Result<()> {
        let ConcurrentCompactionConfig { num_threads, part_bits } = self.config;
        let are_threads = (1..=CompactionConfig::THREADS_MAX).contains(&num_threads);
        if are_threads && PageGeometry::new(part_bits).is_some() && range.start <= range.end {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Config, "a range cannot be handed out to threads")
            .with("num_threads", num_threads)
            .with("part_bits", part_bits)
            .with("from", range.start)
            .with("to", range.end)
            .help("use 1 to 256 threads, parts of 12 to 30 bits, and a range that ends where it begins or later"))
    }
}

/// Calls `work` with each of `items`, each on a thread of its own; of one on the caller's. Gives what they came to.
///
/// # Errors
/// The first of any.
pub(crate) fn on_threads<I: Send, T: Send>(items: Vec<I>, work: impl Fn(I) -> Result<T> + Sync) -> Result<Vec<T>> {
    if items.len() <= 1 {
        return items.into_iter().map(work).collect();
    }
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = items.into_iter().map(|item| scope.spawn(move || work(item))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        let outcomes: Vec<Result<T>> = threads.into_iter().map(join).collect();
        outcomes.into_iter().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Mutex;

    #[test]
    fn every_address_is_handed_out_once_whatever_the_number_of_threads() {
        for threads in [1, 2, 5] {
            let compactor = ConcurrentCompactor::new(ConcurrentCompactionConfig::new(threads).with_part_bits(12));
            let parts = Mutex::new(Vec::new());
            let range = Address::new(4000)..Address::new(40 * 4096 + 8);
            let count =
                compactor.compact_range(range, |part| parts.lock().push((part.start.get(), part.end.get()))).unwrap();
            let mut parts = std::mem::take(&mut *parts.lock());
            parts.sort_unstable();
            assert_eq!((count, parts.len(), parts[0].0, parts[40].1), (41, 41, 4000, 40 * 4096 + 8));
            assert!(parts.windows(2).all(|pair| pair[0].1 == pair[1].0 && pair[0].1 % 4096 == 0));
        }
    }

    #[test]
    fn a_failure_of_one_thread_ends_the_others() {
        let compactor = ConcurrentCompactor::new(ConcurrentCompactionConfig::new(1).with_part_bits(12));
        let range = Address::new(0)..Address::new(1 << 30);
        let fails = |parts: &Parts| -> Result<()> {
            parts.take();
            Err(Error::new(ErrorKind::Io, "on purpose"))
        };
        assert_eq!(compactor.run(range.clone(), fails).unwrap_err().kind(), ErrorKind::Io);
        let backwards = compactor.compact_range(range.end..range.start, |_| ()).unwrap_err();
        assert_eq!(backwards.kind(), ErrorKind::Config);
        let nobody = ConcurrentCompactor::new(ConcurrentCompactionConfig::new(0)).compact_range(range, |_| ());
        assert_eq!(nobody.unwrap_err().field("num_threads"), Some("0"));
    }
}
