//! What a store's sessions share.

use super::config::{FasterKvConfig, index_bytes};
use crate::allocator::{HybridLog, LogConfig};
use crate::device::StorageDevice;
use crate::epoch::LightEpoch;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{MemIndex, tag_match_name};
use crate::kernel::Kernel;
use crate::memory::{MemoryBudget, Reservation, pretouch};
use crate::record::{Key, RecordLayout, Value};
use crate::stats::{SessionCounters, StatsSnapshot, Tally};
use crate::sync::{Arc, Mutex};
use std::hash::{BuildHasher, RandomState};

/// The kernel, the epoch, and the books.
pub(crate) struct Database<K, V> {
    pub(crate) kernel: Kernel<K, V>,
    pub(crate) epoch: Arc<LightEpoch>,
    pub(crate) max_pending: usize,
    budget: MemoryBudget,
    _held: [Reservation; 3],
    sessions: Mutex<Sessions>,
}

/// Counters of the sessions there are, and the sums of those that ended.
#[derive(Default)]
struct Sessions {
    live: Vec<Arc<SessionCounters>>,
    ended: Tally,
}

impl<K: Key, V: Value> Database<K, V> {
    pub(crate) fn open(config: &FasterKvConfig, device: Arc<dyn StorageDevice>) -> Result<Self> {
        let layout = RecordLayout::of::<K, V>();
        let sizes = config.resolve(layout.record_size())?;
        check_device(config, &*device)?;
        let budget = MemoryBudget::new(sizes.budget);
        let held = [
            budget.reserve("index", index_bytes(sizes.index))?,
            budget.reserve("log", HybridLog::memory_bytes(sizes.geometry))?,
            budget.reserve("read buffers", sizes.read_buffers * sizes.read_buffer)?,
        ];
        let epoch = LightEpoch::new();
        let log = LogConfig {
            geometry: sizes.geometry,
            generation: RandomState::new().hash_one("generation") as u32,
            record_size: layout.record_size(),
            read_buffers: sizes.read_buffers,
        };
        let log = HybridLog::new(log, Arc::clone(&epoch), device)?;
        let kernel = Kernel::new(MemIndex::new(sizes.index)?, log, config.wait_limit);
        if config.pretouch {
            let [table, overflow] = kernel.index.memory();
            pretouch(&[table, overflow, kernel.log.memory()])?;
        }
        let sessions = Mutex::new(Sessions::default());
        Ok(Self { kernel, epoch, max_pending: config.max_pending, budget, _held: held, sessions })
    }

    /// Counters for a session that begins.
    pub(crate) fn enter(&self) -> Arc<SessionCounters> {
        let counters = Arc::<SessionCounters>::default();
        self.sessions.lock().live.push(Arc::clone(&counters));
        counters
    }

    /// Keeps the sums of a session that ends.
    pub(crate) fn leave(&self, counters: &Arc<SessionCounters>) {
        let mut sessions = self.sessions.lock();
        if let Some(at) = sessions.live.iter().position(|live| Arc::ptr_eq(live, counters)) {
            sessions.live.swap_remove(at);
            sessions.ended.add(counters);
        }
    }

    pub(crate) fn session_count(&self) -> usize {
        self.sessions.lock().live.len()
    }

    pub(crate) fn stats(&self) -> StatsSnapshot {
        let sessions = self.sessions.lock();
        let mut tally = sessions.ended;
        for session in &sessions.live {
            tally.add(session);
        }
        drop(sessions);
        StatsSnapshot {
            operations: tally.operations,
            read_hits: tally.read_hits,
            read_misses: tally.read_misses,
            device: self.kernel.log.counters().snapshot(),
            memory: self.budget.holders(),
            memory_budget: self.budget.total(),
            tag_match: tag_match_name(),
        }
    }
}

/// Refuses a device that a new log would damage or cannot use.
fn check_device(config: &FasterKvConfig, device: &dyn StorageDevice) -> Result<()> {
    let info = device.info();
    if !info.sector_size.is_power_of_two() || info.sector_size > crate::allocator::BLOCK_SIZE {
        return Err(Error::new(ErrorKind::Config, "the device's sectors are larger than the log's blocks")
            .with("sector size", info.sector_size)
            .with("block size", crate::allocator::BLOCK_SIZE));
    }
    if info.extent > 0 && !config.overwrite {
        return Err(Error::new(ErrorKind::Config, "the device already holds data, which a new store would overwrite")
            .with("bytes there", info.extent)
            .help("use an empty directory or file, or say FasterKvConfig::with_overwrite(true)"));
    }
    Ok(())
}
