//! The hybrid log: the face of this folder.

use super::block::{BLOCK_PAYLOAD, BLOCK_SIZE};
use super::flush::{CHUNK_BYTES, FlushQueue, WRITES_MAX};
use super::frames::FrameRing;
use super::geometry::LogGeometry;
use super::history::History;
use super::pointers::{FIRST, LogAddresses, LogPointers};
use super::resize::Shares;
use super::spare::Spares;
use super::state::LogState;
use super::syncing::Plan;
use super::tail::{Reserved, Tail};
use super::view::{LogHandle, LogView};
use crate::address::Address;
use crate::device::StorageDevice;
use crate::epoch::{Guard, LightEpoch};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{BufferPool, Words};
use crate::record::RecordRef;
use crate::stats::LogCounters;
use crate::sync::{Arc, AtomicBool, AtomicU64, Backoff, MonotonicU64, Mutex, Ordering, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

/// What a log is made of.
pub(crate) struct LogConfig {
    /// Its sizes.
    pub(crate) geometry: LogGeometry,
    /// Tells this log's blocks from those of another that used the device before.
    pub(crate) generation: u32,
    /// Bytes of the records that are read back one at a time.
    pub(crate) record_size: usize,
    /// Nothing is written: what leaves memory is gone, and it leaves only when it is told to.
    pub(crate) volatile: bool,
    /// Read buffers kept for reuse, and the number from which sessions finish reads before they start more.
    pub(crate) read_buffers: usize,
    /// Spaces of records that are kept to be used again, at most; none: no space ever is.
    pub(crate) spares: usize,
}

/// The log's shared parts. Completions and epoch actions hold it weakly: the log lives as long as its owner.
pub(super) struct LogCore {
    pub(super) this: Weak<LogCore>,
    pub(super) geometry: LogGeometry,
    pub(super) history: History,
    pub(super) pointers: LogPointers,
    pub(super) tail: Tail,
    pub(super) frames: FrameRing,
    pub(super) shares: Shares,
    pub(super) flush: Mutex<FlushQueue>,
    /// Everything below was written and synced.
    pub(super) durable: MonotonicU64,
    pub(super) syncs: Plan,
    /// How far head is to go; it follows the flushed prefix there.
    pub(super) head_wanted: MonotonicU64,
    /// Only what is urgent opens a page that begins at or above.
    room_until: AtomicU64,
    pub(super) epoch: Arc<LightEpoch>,
    pub(super) device: Arc<dyn StorageDevice>,
    /// Who wants to be told when a write is finished, frames come free or there is room again.
    pub(super) waiting: Mutex<Vec<Waker>>,
    pub(super) write_pool: Arc<BufferPool>,
    pub(super) counters: LogCounters,
    pub(super) volatile: bool,
    pub(super) spares: Option<Spares>,
    read_pool: Arc<BufferPool>,
    pub(super) readable: bool,
}

/// A log of records: its young end in memory, its old part on a device.
pub(crate) struct HybridLog {
    pub(super) core: Arc<LogCore>,
    /// Who goes last waits for the writes that are under way.
    is_owner: bool,
}

/// What a request for space got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Allocation {
    /// Space at this address. The caller fills it before it unpins.
    At(Address),
    /// No frame is free yet. The caller unpins, helps, and tries again.
    NoRoom,
}

impl HybridLog {
    /// An empty log that writes to `device`.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the system does not give the memory.
    pub(crate) fn new(config: LogConfig, epoch: Arc<LightEpoch>, device: Arc<dyn StorageDevice>) -> Result<Self> {
        let state = LogState::empty(config.generation);
        Self::at(config, state, epoch, device)
    }

    /// A log in `state`, with nothing in its frames yet.
    pub(crate) fn at(
        config: LogConfig,
        state: LogState,
        epoch: Arc<LightEpoch>,
        device: Arc<dyn StorageDevice>,
    ) -> Result<Self> {
        let geometry = config.geometry;
        let read_len = config.record_size.div_ceil(BLOCK_PAYLOAD) * BLOCK_SIZE + BLOCK_SIZE;
        let frames = FrameRing::new(geometry)?;
        let core = Arc::new_cyclic(|this| LogCore {
            this: this.clone(),
            geometry,
            pointers: LogPointers::at(&state),
            tail: Tail::new(geometry.page(), state.end),
            frames,
            shares: Shares::of(geometry),
            flush: Mutex::new(FlushQueue::new(geometry, state.written())),
            durable: MonotonicU64::new(state.flushed.get()),
            syncs: Plan::new(),
            head_wanted: MonotonicU64::new(state.head.get()),
            room_until: AtomicU64::new(u64::MAX),
            history: state.history,
            waiting: Mutex::new(Vec::new()),
            epoch,
            volatile: config.volatile,
            spares: (config.spares > 0).then(|| Spares::new(config.spares)),
            readable: device.info().readable,
            device,
            write_pool: BufferPool::new(Self::write_buffer_len(geometry.page().page_bits()), WRITES_MAX),
            read_pool: BufferPool::new(read_len, config.read_buffers),
            counters: LogCounters::default(),
        });
        Ok(Self { core, is_owner: true })
    }

    /// Bytes of one write buffer: a whole page, or as much of it as is written at once.
    fn write_buffer_len(page_bits: u32) -> usize {
        ((1usize << page_bits).div_ceil(BLOCK_PAYLOAD) * BLOCK_SIZE).min(CHUNK_BYTES)
    }

    /// Bytes of memory that the write buffers of a log with pages of `1 << page_bits` bytes take.
    pub(crate) fn write_buffer_bytes(page_bits: u32) -> usize {
        WRITES_MAX * Self::write_buffer_len(page_bits)
    }

    /// Bytes of memory that a log takes besides its read buffers.
    pub(crate) fn memory_bytes(geometry: LogGeometry) -> usize {
        geometry.memory_bytes() as usize + Self::write_buffer_bytes(geometry.page().page_bits())
    }

    pub(crate) fn geometry(&self) -> LogGeometry {
        self.core.geometry
    }

    /// The memory of its frames.
    pub(crate) fn memory(&self) -> &Words {
        self.core.frames.memory()
    }

    /// Which generations its blocks carry, and which records were left out by a cut.
    pub(crate) fn history(&self) -> &History {
        &self.core.history
    }

    pub(crate) fn read_pool(&self) -> &Arc<BufferPool> {
        &self.core.read_pool
    }

    pub(crate) fn counters(&self) -> &LogCounters {
        &self.core.counters
    }

    /// Counts a read that is being made.
    pub(crate) fn count_read(&self, bytes: usize) {
        self.core.counters.reads.add(1);
        self.core.counters.read_bytes.add(bytes as u64);
    }

    pub(crate) fn device(&self) -> &Arc<dyn StorageDevice> {
        &self.core.device
    }

    /// All region boundaries at this moment.
    pub(crate) fn addresses(&self) -> LogAddresses {
        self.core.pointers.snapshot(|| self.core.tail.address())
    }

    /// The address below which everything lies that was appended before this call. (The tail of [`addresses`](Self::addresses) may
    /// be beyond, while a page is being turned, and step back.) Waits for the thread that turns it.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if that takes longer than `limit`.
    pub(crate) fn tail_at_rest(&self, limit: Duration) -> Result<Address> {
        let (mut backoff, mut since) = (Backoff::new(), None);
        loop {
            if let Some(tail) = self.core.tail.address_at_rest() {
                return Ok(tail);
            }
            if backoff.is_slow() {
                let waited = since.get_or_insert_with(Instant::now).elapsed();
                if waited >= limit {
                    return Err(Error::new(ErrorKind::Busy, "a page of the log took too long to turn")
                        .with("milliseconds waited", waited.as_millis())
                        .help("look for a thread that is never given the processor, or raise FasterKvConfig::with_wait_limit"));
                }
            }
            backoff.wait();
        }
    }

    #[inline]
    pub(crate) fn begin(&self) -> Address {
        self.core.pointers.begin()
    }

    /// Below, nobody changes a record ever again.
    #[inline]
    pub(crate) fn safe_read_only(&self) -> Address {
        self.core.pointers.safe_read_only()
    }

    /// Below, nobody changes a record any more, or until it is [thawed](Self::thaw_to): no record at all if updates in place are
    /// forbidden.
    #[inline]
    pub(crate) fn immutable_below(&self) -> Address {
        let forbidden = self.core.pointers.are_updates_forbidden();
        if forbidden { Address::MAX } else { self.core.pointers.immutable_below() }
    }

    /// Who is pinned may change records in place from here on (L2).
    #[inline]
    pub(crate) fn mutable_from(&self) -> Address {
        self.core.pointers.mutable_from()
    }

    /// Has every record stay as it is from the moment it is published: whoever writes appends. To be called before anybody
    /// writes.
    pub(crate) fn forbid_updates(&self) {
        self.core.pointers.forbid_updates();
    }

    /// The record of `size` bytes at `address`, which the caller was given by [`allocate`](Self::allocate) while pinned by
    /// `guard`.
    #[inline]
    pub(crate) fn space<'g>(&'g self, address: Address, size: usize, _guard: &'g Guard<'_>) -> RecordRef<'g> {
        RecordRef::new(self.core.frames.words(address, size))
    }

    /// The words of the `size` bytes at `address`, under the same conditions as for [`space`](Self::space).
    #[inline]
    pub(crate) fn words<'g>(&'g self, address: Address, size: usize, _guard: &'g Guard<'_>) -> &'g [AtomicU64] {
        self.core.frames.words(address, size)
    }

    /// What is in memory, for as long as this pin lasts.
    #[inline(always)]
    pub(crate) fn view<'g>(&'g self, _guard: &'g Guard<'_>) -> LogView<'g> {
        LogView { core: &self.core }
    }

    /// The log for somebody who goes before its owner does.
    pub(crate) fn share(&self) -> Self {
        Self { core: Arc::clone(&self.core), is_owner: false }
    }

    /// A look at the log for somebody who goes before it does.
    pub(crate) fn handle(&self) -> LogHandle {
        LogHandle(Arc::clone(&self.core))
    }

    /// Bytes of the largest record that a page has room for.
    pub(crate) fn record_size_max(&self) -> usize {
        (self.core.geometry.page().page_size() - FIRST) as usize
    }

    /// Space for `size` bytes, at most [`record_size_max`](Self::record_size_max), at the tail.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if memory is full and the device keeps nothing; when the log cannot grow any more.
    #[inline]
    pub(crate) fn allocate(&self, size: usize, _guard: &Guard<'_>) -> Result<Allocation> {
        self.core.allocate(size)
    }

    /// The same for what makes room: no bound of [`keep_room`](Self::keep_room) holds it up.
    ///
    /// # Errors
    /// As for `allocate`.
    pub(crate) fn allocate_urgent(&self, size: usize, _guard: &Guard<'_>) -> Result<Allocation> {
        self.core.allocate_urgent(size)
    }

    /// Has those who append wait at the end of the first page at or above `until`, except for what is urgent. Nobody waits if it is
    /// [`Address::MAX`].
    pub(crate) fn keep_room(&self, until: Address) {
        let until = if until == Address::MAX { u64::MAX } else { until.get() };
        let before = self.core.room_until.swap(until, Ordering::Relaxed);
        if until > before {
            self.core.tell_progress();
        }
    }

    /// Lets those who append go on by so many bytes more, if they are to wait at all.
    pub(crate) fn extend_room(&self, bytes: u64) {
        let extend = |until: u64| (bytes > 0 && until != u64::MAX).then(|| until.saturating_add(bytes));
        // Somebody may have let all go meanwhile: then that is how it is.
        if self.core.room_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, extend).is_ok() {
            self.core.tell_progress();
        }
    }

    /// Whether those who append wait, or will when the page at the tail is full.
    pub(crate) fn is_held_up(&self) -> bool {
        let page = self.core.geometry.page();
        page.start_of(page.page(self.core.tail.address())).get() >= self.core.room_until.load(Ordering::Relaxed)
    }

    /// Does what can be done for those who wait, and returns at once: runs safe epoch actions, reaps completions, starts
    /// writes. Called while not pinned.
    pub(crate) fn help(&self) {
        self.core.epoch.drain();
        self.core.device.poll();
        self.core.pump();
    }

    /// A flag that is set when everybody has left who is pinned at this moment, by whoever [helps](Self::help).
    pub(crate) fn when_pins_end(&self) -> Arc<AtomicBool> {
        let have_left = Arc::new(AtomicBool::new(false));
        let action = Arc::clone(&have_left);
        self.core.epoch.bump(move || action.store(true, Ordering::Release));
        have_left
    }

    /// Has `waker` woken when a write is finished, frames come free or there is room again for those who are held up, once.
    pub(crate) fn wake_on_progress(&self, waker: &Waker) {
        let mut waiting = self.core.waiting.lock();
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }

    /// True while a write is under way.
    pub(crate) fn is_writing(&self) -> bool {
        self.core.flush.lock().is_writing()
    }

    /// Why writing has stopped, if it has and nothing is under way that could change it.
    pub(crate) fn flush_failure(&self) -> Option<Error> {
        self.core.flush_failure()
    }

    /// Writes again what could not be written.
    pub(crate) fn retry_flush(&self) {
        self.core.retry_flush();
    }

    /// Makes everything that is in the log at this moment immutable, and has it written. Returns the address up to which,
    /// or `None` if the tail is just moving and the call is to be repeated.
    pub(crate) fn close_tail(&self) -> Option<Address> {
        let closed = self.close_block()?;
        self.close_below(closed);
        Some(closed)
    }

    /// Moves the tail to a block boundary, and returns it: what comes later shares no block with what is there. `None` if the
    /// tail is just moving and the call is to be repeated.
    pub(crate) fn close_block(&self) -> Option<Address> {
        self.close_block_from().map(|(_, to)| to)
    }

    /// The same, with the place where the tail was: what lies between is the caller's.
    pub(super) fn close_block_from(&self) -> Option<(Address, Address)> {
        self.core.tail.close_block(|offset| self.core.geometry.block_boundary(offset))
    }

    /// Makes everything below `address` immutable, and has it written, if the device keeps anything.
    pub(crate) fn close_below(&self, address: Address) {
        self.core.shift_read_only(address);
    }

    /// Has everything below `address` served from the device, as soon as it is there.
    pub(crate) fn evict_until(&self, address: Address) {
        self.core.want_head(address);
    }
}

impl LogCore {
    /// See [`HybridLog::allocate`].
    #[inline]
    pub(super) fn allocate(self: &Arc<Self>, size: usize) -> Result<Allocation> {
        match self.tail.reserve(size as u64) {
            Reserved::At(address) => Ok(Allocation::At(address)),
            Reserved::Full => Ok(Allocation::NoRoom),
            Reserved::MustTurn { page, offset } => {
                if self.geometry.page().start_of(page).get() >= self.room_until.load(Ordering::Relaxed) {
                    self.tail.give_back(page, offset);
                    return Ok(Allocation::NoRoom);
                }
                self.turn_page(page, offset, size as u64)
            }
        }
    }

    /// See [`HybridLog::allocate_urgent`].
    pub(super) fn allocate_urgent(self: &Arc<Self>, size: usize) -> Result<Allocation> {
        match self.tail.reserve(size as u64) {
            Reserved::At(address) => Ok(Allocation::At(address)),
            Reserved::Full => Ok(Allocation::NoRoom),
            Reserved::MustTurn { page, offset } => self.turn_page(page, offset, size as u64),
        }
    }

    /// Opens the page after `page` if a frame is free, for the one thread that was told to (L6).
    #[cold]
    fn turn_page(self: &Arc<Self>, page: u64, offset: u64, size: u64) -> Result<Allocation> {
        let core = self;
        let (next, geometry, open) = (page + 1, core.geometry, core.shares.open());
        let first_held = geometry.page().page(core.pointers.safe_head());
        if next >= first_held + core.shares.frames() || next >= core.tail.pages() {
            core.tail.give_back(page, offset);
            if !core.readable && !core.volatile {
                return Err(Error::new(ErrorKind::Limit, "the log's memory is full and its device keeps nothing")
                    .with("log memory", geometry.memory_bytes())
                    .help("give the store more memory, or a device that can be read back, such as FileSystemDisk"));
            }
            if next >= core.tail.pages() {
                return Err(Error::new(ErrorKind::Limit, "the log has used up its addresses")
                    .with("pages", core.tail.pages())
                    .with("page size", geometry.page().page_size())
                    .help("open a new store with larger pages"));
            }
            return Ok(Allocation::NoRoom);
        }
        core.frames.come_round(first_held);
        let address = core.tail.turn(next, size);
        drop(open);
        if core.readable || core.volatile {
            self.move_regions(next);
        }
        Ok(Allocation::At(address))
    }

    /// Moves the boundaries after `page` was opened: keeps the mutable part at its size, and a frame coming free for the
    /// page after.
    pub(super) fn move_regions(self: &Arc<Self>, page: u64) {
        let geometry = self.geometry;
        if let Some(read_only) = (page + 1).checked_sub(self.shares.mutable_pages()) {
            self.shift_read_only(geometry.page().start_of(read_only).max(Address::new(FIRST)));
        }
        if self.volatile {
            return;
        }
        if let Some(head) = (page + 2).checked_sub(self.shares.frames()) {
            self.want_head(geometry.page().start_of(head).max(Address::new(FIRST)));
        }
    }
}

/// How long a log that goes away waits for its writes to come to rest.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);

/// Waits, within bounds, until no write is under way, so that whoever drops a store can open its device again.
impl Drop for HybridLog {
    fn drop(&mut self) {
        if !self.is_owner {
            return;
        }
        self.core.epoch.drain();
        let (started, mut backoff) = (Instant::now(), Backoff::new());
        while Arc::strong_count(&self.core) > 1 && started.elapsed() < SETTLE_LIMIT {
            self.core.device.poll();
            backoff.wait();
        }
    }
}
