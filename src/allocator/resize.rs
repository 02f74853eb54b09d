//! How much of the ring is in use: what can be changed while the log is. Invariant L13 of [`crate::allocator`].
//!
//! ```text
//!  ring of the frames it was made with:   [ page | page | page | free | free | free | free | free ]
//!                                           oldest       tail    `-- given back to the system; the tail goes
//!                                                                    on into them, and what it leaves is given back
//! ```
//!
//! The ring stays as it is, so that a page keeps its place and who looks a record up pays nothing. Fewer pages are held at a
//! time, and a frame that holds none costs no memory.

use super::geometry::LogGeometry;
use super::hybrid_log::{HybridLog, LogCore};
use crate::error::Result;
use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering};

/// Frames in use, and how many pages of those are open to updates in place.
pub(super) struct Shares {
    frames: AtomicU64,
    mutable_pages: AtomicU64,
    /// The share that the mutable pages are, in the bits of a float.
    mutable_fraction: AtomicU64,
    /// Held by who opens a page, and by who gives the memory of a free frame back.
    opening: Mutex<()>,
}

impl Shares {
    /// All of it.
    pub(super) fn of(geometry: LogGeometry) -> Self {
        Self {
            frames: AtomicU64::new(geometry.frames()),
            mutable_pages: AtomicU64::new(geometry.mutable_pages()),
            mutable_fraction: AtomicU64::new(geometry.mutable_fraction().to_bits()),
            opening: Mutex::new(()),
        }
    }

    /// Pages that may be in memory.
    pub(super) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Acquire)
    }

    /// Pages open to updates in place, the one being filled included.
    pub(super) fn mutable_pages(&self) -> u64 {
        self.mutable_pages.load(Ordering::Acquire)
    }

    /// Nobody gives the memory of a frame back while the caller opens a page.
    pub(super) fn open(&self) -> MutexGuard<'_, ()> {
        self.opening.lock()
    }

    fn set(&self, frames: u64, fraction: f64) {
        self.mutable_fraction.store(fraction.to_bits(), Ordering::Release);
        self.mutable_pages.store(LogGeometry::mutable_pages_of(frames, fraction), Ordering::Release);
        self.frames.store(frames, Ordering::Release);
    }
}

impl HybridLog {
    /// Pages that may be in memory.
    pub(crate) fn frames_in_use(&self) -> u64 {
        self.core.shares.frames()
    }

    /// Has `frames` pages in memory at most from now on. What is beyond leaves as it is written: [`press`](Self::press) sees to it,
    /// and [`fits`](Self::fits) says when it has.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a number that the log's ring does not have, or with which it cannot work.
    pub(crate) fn set_frames(&self, frames: u64) -> Result<()> {
        let geometry = self.core.geometry;
        geometry.check_frames_in_use(frames)?;
        self.core.shares.set(frames, f64::from_bits(self.core.shares.mutable_fraction.load(Ordering::Acquire)));
        Ok(())
    }

    /// Has this share of the pages in memory be open to updates in place from now on.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for what is no share.
    pub(crate) fn set_mutable_fraction(&self, fraction: f64) -> Result<()> {
        LogGeometry::check_fraction(fraction)?;
        self.core.shares.set(self.core.shares.frames(), fraction);
        self.press();
        Ok(())
    }

    /// Moves the boundaries to where they belong with the sizes in force. Called while not pinned.
    pub(crate) fn press(&self) {
        let page = self.core.geometry.page();
        if self.core.readable {
            self.core.move_regions(page.page(self.core.tail.address()));
        }
        self.help();
    }

    /// Whether no more pages are in memory than may be.
    pub(crate) fn fits(&self) -> bool {
        let page = self.core.geometry.page();
        let oldest = page.page(self.core.pointers.safe_head());
        page.page(self.core.tail.address()).saturating_sub(oldest) < self.core.shares.frames()
    }

    /// Gives the memory of the frames that hold no page back to the system.
    pub(crate) fn discard_free(&self) {
        let (core, page) = (&self.core, self.core.geometry.page());
        let mut next = 0;
        loop {
            // Only for one frame at a time: somebody may want to open a page.
            let _open = core.shares.open();
            next = page.page(core.tail.address()).saturating_add(1).max(next);
            if next >= page.page(core.pointers.safe_head()) + core.geometry.frames() {
                return;
            }
            core.frames.discard(next);
            next += 1;
        }
    }
}

impl LogCore {
    /// Empties the frame of a page that is closed: for the next page, or for nobody.
    pub(super) fn empty_frame(self: &Arc<Self>, page: u64) {
        if self.shares.frames() == self.geometry.frames() || !self.frames.discard(page) {
            self.frames.wipe(page);
        }
    }
}
