//! How far a table is to which another one is moved.

use crate::sync::{Arc, AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Work that is handed out in pieces, by number, and counted when it is done.
#[derive(Default)]
pub(super) struct Pieces {
    next: AtomicU64,
    done: AtomicU64,
}

impl Pieces {
    /// The number of a piece that nobody else has, of `all`.
    pub(super) fn take(&self, all: u64) -> Option<u64> {
        // A look first, so that the number stays near `all` however many ask when there is nothing left.
        if self.next.load(Ordering::Relaxed) >= all {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < all).then_some(number)
    }

    /// Counts one as done; true for the last of `all`, who has what all others did behind it.
    pub(super) fn finish(&self, all: u64) -> bool {
        self.done.fetch_add(1, Ordering::AcqRel) + 1 == all
    }

    /// How many are done.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    /// Begins anew. Nobody takes part any more.
    pub(super) fn reset(&self) {
        self.next.store(0, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
    }
}

/// How far a table is.
pub(in crate::index) struct Progress {
    /// Nobody looks at the table before it any more (W5).
    over: Arc<AtomicBool>,
    /// The rank of the table before it.
    before: AtomicUsize,
    /// Pieces of its memory that were taken from the system.
    pub(super) populated: Arc<Pieces>,
    /// A thread of its own takes them, as long as it can.
    pub(super) has_populator: Arc<AtomicBool>,
    /// It cannot: the system refused.
    pub(super) is_refused: Arc<AtomicBool>,
    /// Of the smaller table: buckets whose chains were split into this one, or merged in it, by whoever did it. The numbers are those
    /// that nobody had a reason to begin with.
    pub(super) moved: Pieces,
    /// Pieces of the table before whose memory was given back.
    pub(super) released: Pieces,
}

impl Progress {
    /// Of a table that began empty.
    pub(in crate::index) fn whole() -> Self {
        Self::with(true)
    }

    /// Of a table that is to be filled.
    pub(in crate::index) fn none() -> Self {
        Self::with(false)
    }

    fn with(over: bool) -> Self {
        let pieces = Pieces::default;
        let over = Arc::new(AtomicBool::new(over));
        let flag = || Arc::new(AtomicBool::new(false));
        let (populated, has_populator, is_refused) = (Arc::default(), flag(), flag());
        let before = AtomicUsize::new(0);
        Self { over, before, populated, has_populator, is_refused, moved: pieces(), released: pieces() }
    }

    /// Begins anew: the table is to be filled from the one of rank `before`.
    pub(in crate::index) fn begin(&self, before: usize) {
        [&*self.populated, &self.moved, &self.released].into_iter().for_each(Pieces::reset);
        self.before.store(before, Ordering::Relaxed);
        self.over.store(false, Ordering::Release);
    }

    /// The rank of the table before.
    pub(super) fn before(&self) -> usize {
        self.before.load(Ordering::Relaxed)
    }

    /// True if all chains are complete, and were so when this thread was pinned.
    #[inline]
    pub(in crate::index) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Has [`is_over`](Self::is_over) become true.
    pub(super) fn settle(&self) -> impl FnOnce() + Send + 'static {
        let over = Arc::clone(&self.over);
        move || over.store(true, Ordering::Release)
    }
}
