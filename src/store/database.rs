//! What a store's sessions share.

#[cfg(not(oxifaster_loom))]
use super::compact::Reclaim;
use super::config::{FasterKvConfig, StoreSizes, index_bytes};
use super::durability::Committer;
use crate::address::Address;
use crate::allocator::{HybridLog, LogConfig, LogGeometry, LogState, Spare};
use crate::cache::ReadCache;
use crate::checkpoint::{CheckpointToken, Piece, SessionCut};
#[cfg(not(oxifaster_loom))]
use crate::compaction::config::CompactionConfig;
use crate::device::StorageDevice;
use crate::epoch::LightEpoch;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{GROWTH_HOLDER, Grower, MemIndex, tag_match_name};
use crate::kernel::{Kernel, LogRecords};
use crate::memory::{MemoryBudget, Reservation, pretouch};
use crate::operation::Account;
use crate::record::{self, Key, RecordLayout, Value};
use crate::stats::{StatsSnapshot, Tally};
use crate::sync::{Arc, AtomicBool, MonotonicU64, Mutex};
use crate::utility::planted;
use crate::utility::random_bits;

/// Sessions that ended and are kept for the next checkpoint, the newest ones.
const ENDED_MAX: usize = 1 << 16;

/// The version of a new store.
const FIRST_VERSION: u64 = 1;

/// The kernel, the epoch, and the books.
pub(crate) struct Database<K, V> {
    pub(crate) kernel: Kernel<K, V>,
    pub(crate) epoch: Arc<LightEpoch>,
    pub(crate) max_pending: usize,
    /// Bytes of the buffer that a checkpoint works with.
    pub(crate) checkpoint_buffer: usize,
    /// Bytes that a compaction may keep of what it has to look up.
    pub(crate) lookup_buffer: usize,
    /// What the next increment is to be based on; held by who takes a checkpoint.
    pub(crate) chain: Mutex<Option<Chain>>,
    #[cfg(not(oxifaster_loom))]
    pub(crate) compaction: CompactionConfig,
    /// See [`FasterKvConfig::with_index_shrinking`].
    #[cfg(not(oxifaster_loom))]
    pub(crate) index_shrinking: bool,
    /// Who needs which part of the log.
    #[cfg(not(oxifaster_loom))]
    pub(crate) reclaim: Arc<Reclaim>,
    /// Records below may have been in other chains before the index shrank.
    #[cfg(not(oxifaster_loom))]
    pub(crate) joined_below: MonotonicU64,
    /// Where the log ended when the store was opened.
    #[cfg(not(oxifaster_loom))]
    pub(crate) opened_at: Address,
    /// What lies below is in a checkpoint, and nothing of a later one does.
    pub(crate) checkpointed: MonotonicU64,
    /// Of a store with a durability.
    pub(crate) committer: Option<Arc<Committer>>,
    /// Commits for those who do not wait in a call.
    pub(super) commit_thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    /// Every operation heeds the locks of keys.
    pub(super) heeds_locks: AtomicBool,
    memory: Memory,
    sessions: Mutex<Sessions>,
}

/// The budget, and what the parts of the store have drawn from it.
pub(super) struct Memory {
    budget: MemoryBudget,
    _held: Vec<Reservation>,
    /// Follows the size of the log; held by who changes that.
    log: Mutex<Reservation>,
    /// Passed on to the index, which becomes larger.
    index: Option<Reservation>,
}

impl Memory {
    /// Draws what parts of these sizes take.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if that is more than the budget.
    pub(super) fn reserve(sizes: &StoreSizes) -> Result<Self> {
        let budget = MemoryBudget::new(sizes.budget);
        let index = Some(budget.reserve(GROWTH_HOLDER, index_bytes(sizes.index))?);
        let log = Mutex::new(budget.reserve("log", HybridLog::memory_bytes(sizes.geometry))?);
        let mut held = vec![budget.reserve("read buffers", sizes.read_buffers * sizes.read_buffer)?];
        // Held for good, though used while there is a checkpoint: it is not to fail for want of it.
        held.push(budget.reserve("checkpoint buffer", sizes.checkpoint_buffer)?);
        held.push(budget.reserve("compaction", sizes.lookup_buffer)?);
        if sizes.spares > 0 {
            held.push(budget.reserve("revivification", sizes.spares * Spare::KEPT_BYTES)?);
        }
        if let Some(cache) = sizes.read_cache {
            held.push(budget.reserve("read cache", HybridLog::memory_bytes(cache))?);
        }
        Ok(Self { budget, _held: held, log, index })
    }
}

/// A log of these sizes, whose new blocks carry `generation`.
pub(super) fn log_config(sizes: &StoreSizes, layout: RecordLayout, generation: u32) -> LogConfig {
    LogConfig {
        geometry: sizes.geometry,
        generation,
        record_size: layout.planned_size(),
        volatile: false,
        read_buffers: sizes.read_buffers,
        spares: sizes.spares,
    }
}

/// A number that no earlier log on the device has had, most likely.
pub(super) fn random_generation() -> u32 {
    random_bits() as u32
}

/// What a store begins with.
pub(super) struct Origin {
    /// The version of its first operations.
    pub(super) version: u64,
    /// Sessions that can be gone on with.
    pub(super) sessions: Vec<SessionCut>,
}

impl Origin {
    const fn new() -> Self {
        Self { version: FIRST_VERSION, sessions: Vec::new() }
    }
}

/// The newest of a row of a snapshot and increments to it.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) token: CheckpointToken,
    /// The directory it is in.
    pub(crate) place: String,
    /// The cut: records below are not changed in place any more.
    pub(crate) end: Address,
    pub(crate) pieces: Vec<Piece>,
}

/// The books of the sessions there are, and what remains of those that ended.
#[derive(Default)]
struct Sessions {
    live: Vec<Arc<Account>>,
    /// Those that ended since the last checkpoint, which is to tell how far they came.
    ended: Vec<Arc<Account>>,
    /// What they all did that are in neither list.
    tally: Tally,
    /// Sessions of a checkpoint that nobody has gone on with.
    recovered: Vec<SessionCut>,
    /// Numbers that sessions of a store with a durability were given.
    numbers: u64,
}

impl Sessions {
    /// A number that no session has that may still write.
    fn next_number(&mut self) -> u64 {
        loop {
            self.numbers += 1;
            let number = (self.numbers - 1) % record::Origin::SESSIONS_MAX + 1;
            // Futures of a session that ended may still be in flight.
            let mut others = self.live.iter().chain(&self.ended);
            if self.numbers <= record::Origin::SESSIONS_MAX || others.all(|account| account.number() != number) {
                return number;
            }
        }
    }
}

impl<K: Key, V: Value> Database<K, V> {
    /// An empty store.
    ///
    /// # Errors
    /// As for [`FasterKv::open`](super::FasterKv::open).
    pub(crate) fn open(config: &FasterKvConfig, device: Arc<dyn StorageDevice>) -> Result<Self> {
        config.durability.refuse("FasterKv::open")?;
        Self::open_at(config, device, |_, generation| LogState::empty(generation))
    }

    /// An empty store whose log begins in the state that `state` makes out of its sizes and its generation.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub(super) fn open_at(
        config: &FasterKvConfig,
        device: Arc<dyn StorageDevice>,
        state: impl FnOnce(LogGeometry, u32) -> LogState,
    ) -> Result<Self> {
        let layout = RecordLayout::of::<K, V>();
        let sizes = config.resolve(layout.planned_size())?;
        check_device(&*device)?;
        check_is_empty(config, &*device)?;
        let memory = Memory::reserve(&sizes)?;
        let epoch = LightEpoch::new();
        let index = MemIndex::new(sizes.index)?;
        let log_config = log_config(&sizes, layout, random_generation());
        let state = state(sizes.geometry, log_config.generation).at_or_behind(device.info().begin, sizes.geometry)?;
        let log = HybridLog::at(log_config, state, Arc::clone(&epoch), device)?;
        Self::of_parts(config, epoch, index, log, &sizes, memory, Origin::new())
    }

    /// A store of parts that were made for it.
    pub(super) fn of_parts(
        config: &FasterKvConfig,
        epoch: Arc<LightEpoch>,
        index: MemIndex,
        log: HybridLog,
        sizes: &StoreSizes,
        mut memory: Memory,
        origin: Origin,
    ) -> Result<Self> {
        let record_size = RecordLayout::of::<K, V>().planned_size();
        let cache = sizes.read_cache.map(|cache| ReadCache::new(cache, record_size, &epoch)).transpose()?;
        let kernel = Kernel::new(index, log, cache, origin.version, config.wait_limit).with_clock(config.clock.clone());
        if config.pretouch {
            let mut parts = kernel.index.memory();
            parts.push(kernel.log.memory());
            parts.extend(kernel.cache.as_ref().map(ReadCache::memory));
            pretouch(&parts)?;
        }
        if let Some(held) = memory.index.take() {
            let grower = Grower {
                records: Box::new(LogRecords::new(&kernel)),
                epoch: Arc::clone(&epoch),
                budget: memory.budget.clone(),
                automatic: config.index_growth,
                buckets_max: config.table_size_max.unwrap_or(u64::MAX),
                buckets_min: config.index(record_size).buckets,
            };
            kernel.index.let_grow(grower, held);
        }
        let sessions = Mutex::new(Sessions { recovered: origin.sessions, ..Sessions::default() });
        let (max_pending, chain, checkpoint_buffer) = (config.max_pending, Mutex::new(None), sizes.checkpoint_buffer);
        let (committer, commit_thread) = (None, Mutex::new(None));
        // Nothing, or all that was recovered.
        let checkpointed = MonotonicU64::new(kernel.log.safe_read_only().get());
        #[cfg(not(oxifaster_loom))]
        let (reclaim, opened_at) = (Reclaim::new(kernel.log.begin()), kernel.log.addresses().tail);
        Ok(Self {
            kernel,
            epoch,
            max_pending,
            checkpoint_buffer,
            lookup_buffer: sizes.lookup_buffer,
            chain,
            #[cfg(not(oxifaster_loom))]
            compaction: config.compaction,
            #[cfg(not(oxifaster_loom))]
            index_shrinking: config.index_shrinking,
            #[cfg(not(oxifaster_loom))]
            reclaim,
            #[cfg(not(oxifaster_loom))]
            joined_below: MonotonicU64::new(0),
            #[cfg(not(oxifaster_loom))]
            opened_at,
            checkpointed,
            committer,
            commit_thread,
            heeds_locks: AtomicBool::new(false),
            memory,
            sessions,
        })
    }

    /// Keeps what lies in the log from now on on the device.
    #[cfg(not(oxifaster_loom))]
    pub(crate) fn hold_log(&self) -> super::compact::Hold {
        self.reclaim.hold(|| self.kernel.log.begin())
    }

    /// Bytes of a record, on the average if they are of any length.
    pub(crate) fn record_size(&self) -> u64 {
        match const { RecordLayout::of::<K, V>().record_size() } {
            Some(size) => size as u64,
            None => self.kernel.typical_size.get(),
        }
    }

    /// Enters the book of a session that begins.
    pub(crate) fn enter(&self, account: Account) -> Arc<Account> {
        let mut sessions = self.sessions.lock();
        let account = if self.committer.is_some() { account.with_number(sessions.next_number()) } else { account };
        let account = Arc::new(account);
        sessions.live.push(Arc::clone(&account));
        account
    }

    /// Puts the book of a session that ends aside.
    pub(crate) fn leave(&self, account: &Arc<Account>) {
        let mut sessions = self.sessions.lock();
        if let Some(at) = sessions.live.iter().position(|live| Arc::ptr_eq(live, account)) {
            let ended = sessions.live.swap_remove(at);
            sessions.ended.push(ended);
            if sessions.ended.len() > ENDED_MAX {
                let forgotten = sessions.ended.remove(0);
                sessions.tally.add(&forgotten.counters);
            }
        }
    }

    /// Sessions of the recovered checkpoint that nobody has gone on with.
    pub(crate) fn recovered_sessions(&self) -> Vec<SessionCut> {
        self.sessions.lock().recovered.clone()
    }

    /// Hands a recovered session over; returns how far it had come.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none of this name.
    pub(crate) fn take_recovered(&self, guid: u128) -> Result<u64> {
        let mut sessions = self.sessions.lock();
        let Some(at) = sessions.recovered.iter().position(|session| session.guid == guid) else {
            return Err(Error::new(ErrorKind::NotFound, "there is no recovered session of this name to go on with")
                .with("guid", format_args!("{guid:032x}"))
                .help("take one from get_recovered_sessions; each can be gone on with once"));
        };
        Ok(sessions.recovered.swap_remove(at).serial)
    }

    /// That no session has this name.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if one has, or if one of a recovered checkpoint has and nobody has gone on with it.
    pub(crate) fn check_name(&self, guid: u128) -> Result<()> {
        let sessions = self.sessions.lock();
        let is_taken = sessions.live.iter().any(|account| account.guid == guid)
            || sessions.recovered.iter().any(|session| session.guid == guid);
        if !is_taken {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Config, "there is a session of this name")
            .with("guid", format_args!("{guid:032x}"))
            .help("go on with a recovered one by continue_session, or choose another name"))
    }

    pub(crate) fn for_each_account(&self, mut visit: impl FnMut(&Account)) {
        let sessions = self.sessions.lock();
        // Futures of a session that ended may still be in flight.
        sessions.live.iter().chain(&sessions.ended).for_each(|account| visit(account));
    }

    /// True while a batched call of any session is under way.
    pub(crate) fn is_any_in_batch(&self) -> bool {
        self.sessions.lock().live.iter().any(|account| account.is_in_batch())
    }

    /// How far every session had come before `version`, of which nobody of an earlier one is pinned any more.
    pub(crate) fn cut_sessions_before(&self, version: u64) -> Vec<SessionCut> {
        let sessions = self.sessions.lock();
        let cut = |account: &Arc<Account>| SessionCut { guid: account.guid, serial: account.cut_before(version) };
        let known = sessions.live.iter().chain(&sessions.ended).map(cut);
        let mut newest = std::collections::HashMap::new();
        for session in sessions.recovered.iter().copied().chain(known) {
            // A session that was ended and gone on with has two books; the later one counts further.
            let serial = newest.entry(session.guid).or_insert(session.serial);
            *serial = session.serial.max(*serial);
        }
        let short = u64::from(planted!(CutsSerialShort));
        newest.into_iter().map(|(guid, serial)| SessionCut { guid, serial: serial.saturating_sub(short) }).collect()
    }

    /// Forgets the sessions that ended, now that a checkpoint says all that can be said of them.
    pub(crate) fn forget_ended_before(&self, saved: &[SessionCut]) {
        let saved: std::collections::HashMap<u128, u64> = saved.iter().map(|cut| (cut.guid, cut.serial)).collect();
        let mut sessions = self.sessions.lock();
        let ended = std::mem::take(&mut sessions.ended);
        for account in ended {
            if saved.get(&account.guid).is_some_and(|serial| *serial >= account.serial()) {
                sessions.tally.add(&account.counters);
            } else {
                sessions.ended.push(account);
            }
        }
    }

    /// How many operations there were of the sessions that are known; it grows with each.
    pub(crate) fn operations(&self) -> u64 {
        let sessions = self.sessions.lock();
        sessions.live.iter().fold(0, |sum: u64, account| sum.wrapping_add(account.serial()))
    }

    /// What the log has drawn from the budget, for the one who changes its size; `None` if somebody does.
    pub(super) fn log_reservation(&self) -> Option<crate::sync::MutexGuard<'_, Reservation>> {
        self.memory.log.try_lock()
    }

    /// The memory budget of all parts.
    pub(crate) fn budget(&self) -> &MemoryBudget {
        &self.memory.budget
    }

    pub(crate) fn session_count(&self) -> usize {
        self.sessions.lock().live.len()
    }

    pub(crate) fn stats(&self) -> StatsSnapshot {
        let sessions = self.sessions.lock();
        let mut tally = sessions.tally;
        for session in sessions.live.iter().chain(&sessions.ended) {
            tally.add(&session.counters);
        }
        drop(sessions);
        StatsSnapshot {
            operations: tally.operations,
            read_hits: tally.read_hits,
            read_misses: tally.read_misses,
            device: self.kernel.log.counters().snapshot(),
            read_cache: self.kernel.cache.as_ref().map(ReadCache::stats),
            revivification: self.kernel.log.spare_stats(),
            memory: self.memory.budget.holders(),
            memory_budget: self.memory.budget.total(),
            tag_match: tag_match_name(),
        }
    }
}

impl<K, V> Drop for Database<K, V> {
    fn drop(&mut self) {
        #[cfg(not(oxifaster_loom))]
        self.close();
    }
}

/// Refuses a device that a log cannot use.
pub(super) fn check_device(device: &dyn StorageDevice) -> Result<()> {
    let info = device.info();
    if !info.sector_size.is_power_of_two() || info.sector_size > crate::allocator::BLOCK_SIZE {
        return Err(Error::new(ErrorKind::Config, "the device's sectors are larger than the log's blocks")
            .with("sector size", info.sector_size)
            .with("block size", crate::allocator::BLOCK_SIZE));
    }
    Ok(())
}

/// Refuses a device that a new log would damage.
fn check_is_empty(config: &FasterKvConfig, device: &dyn StorageDevice) -> Result<()> {
    let info = device.info();
    if info.extent > 0 && !config.overwrite {
        return Err(Error::new(ErrorKind::Config, "the device already holds data, which a new store would overwrite")
            .with("bytes there", info.extent)
            .help("use an empty directory or file, or say FasterKvConfig::with_overwrite(true)"));
    }
    Ok(())
}
