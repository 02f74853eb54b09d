//! How a store is set up: one number is enough, everything can be set.

use super::durability::Durability;
use crate::address::PageGeometry;
use crate::allocator::{BLOCK_PAYLOAD, BLOCK_SIZE, HybridLog, LogGeometry, Spare};
use crate::cache::ReadCacheConfig;
use crate::clock::{Clock, StoreClock};
#[cfg(not(oxifaster_loom))]
use crate::compaction::config::CompactionConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{IndexConfig, MemIndex};
use crate::record::Origin;
use crate::sync::Arc;
use std::time::Duration;

/// The set-up of a store.
///
/// The total memory budget is enough; how it is split over index, log and buffers follows from it and from the size of
/// the store's records. Each part can be set instead.
///
/// ```
/// use oxifaster::store::FasterKvConfig;
/// let config = FasterKvConfig::default().with_memory_budget(64 << 20).with_mutable_fraction(0.5);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FasterKvConfig {
    /// See [`with_table_size`](Self::with_table_size).
    pub table_size: Option<u64>,
    /// See [`with_table_size_max`](Self::with_table_size_max).
    pub table_size_max: Option<u64>,
    /// See [`with_index_growth`](Self::with_index_growth).
    pub index_growth: bool,
    /// See [`with_index_shrinking`](Self::with_index_shrinking).
    pub index_shrinking: bool,
    /// See [`with_log_memory_size`](Self::with_log_memory_size).
    pub log_memory_size: Option<u64>,
    /// See [`with_page_size_bits`](Self::with_page_size_bits).
    pub page_size_bits: Option<u32>,
    /// See [`with_mutable_fraction`](Self::with_mutable_fraction).
    pub mutable_fraction: f64,
    /// See [`with_memory_budget`](Self::with_memory_budget).
    pub memory_budget: Option<u64>,
    /// See [`with_read_cache`](Self::with_read_cache).
    pub read_cache: Option<ReadCacheConfig>,
    /// See [`with_max_pending`](Self::with_max_pending).
    pub max_pending: usize,
    /// See [`with_wait_limit`](Self::with_wait_limit).
    pub wait_limit: Duration,
    /// See [`with_recovery_threads`](Self::with_recovery_threads).
    pub recovery_threads: Option<usize>,
    /// See [`with_durability`](Self::with_durability).
    pub durability: Durability,
    /// See [`with_damage_accepted`](Self::with_damage_accepted).
    pub damage_accepted: bool,
    /// See [`with_overwrite`](Self::with_overwrite).
    pub overwrite: bool,
    /// See [`with_pretouch`](Self::with_pretouch).
    pub pretouch: bool,
    /// See [`with_revivification`](Self::with_revivification).
    pub revivification: bool,
    /// See [`with_clock`](Self::with_clock).
    pub clock: StoreClock,
    /// See [`with_compaction`](Self::with_compaction).
    #[cfg(not(oxifaster_loom))]
    pub compaction: CompactionConfig,
    /// See [`with_compaction_memory`](Self::with_compaction_memory).
    pub compaction_memory: Option<u64>,
}

const DEFAULT_BUDGET: u64 = 256 << 20;
/// Frames that the log's memory is divided into at least, when the page size is not set.
const FRAMES_AIMED_AT: u64 = 32;
/// Bytes of index per key when keys are spread over it loosely.
const INDEX_BYTES_PER_KEY: u64 = 12;
/// The index is given what it needs if the data is this many times the budget.
const DATA_TIMES_BUDGET: u64 = 32;

impl Default for FasterKvConfig {
    fn default() -> Self {
        Self {
            table_size: None,
            table_size_max: None,
            index_growth: true,
            index_shrinking: false,
            log_memory_size: None,
            page_size_bits: None,
            mutable_fraction: 0.9,
            memory_budget: None,
            read_cache: None,
            max_pending: 64,
            wait_limit: Duration::from_secs(30),
            recovery_threads: None,
            durability: Durability::None,
            damage_accepted: false,
            overwrite: false,
            pretouch: true,
            revivification: false,
            clock: StoreClock::default(),
            #[cfg(not(oxifaster_loom))]
            compaction: CompactionConfig::default(),
            compaction_memory: None,
        }
    }
}

impl FasterKvConfig {
    /// Buckets of the hash index, 64 bytes and 7 keys each; rounded up to a power of two. It [grows](Self::with_index_growth)
    /// when it is too small. If it cannot, the keys that it has no room for share chains: that costs device reads, never
    /// correctness or memory. `Default:` from the memory budget.
    #[must_use]
    pub fn with_table_size(mut self, buckets: u64) -> Self {
        self.table_size = Some(buckets);
        self
    }

    /// Buckets that the hash index may grow to by itself; rounded down to a power of two. The memory that this takes is set
    /// aside from the beginning: that of the last table and of the one before it, which are both there while one is split into
    /// the other. `Default:` no bound but the memory budget, of which nothing is set aside: the index grows into what is left
    /// of it, and if [`with_log_memory_size`](Self::with_log_memory_size) is not set, the log leaves nothing.
    #[must_use]
    pub fn with_table_size_max(mut self, buckets: u64) -> Self {
        self.table_size_max = Some(buckets);
        self
    }

    /// Whether the index grows by itself when it is too full, as far as the memory budget has room for the next table beside
    /// the one that is there. Sessions that insert keys do it, a little at a time. `Default:` true. Otherwise it grows only
    /// when it [is asked to](super::FasterKv::grow_index).
    #[must_use]
    pub fn with_index_growth(mut self, grows: bool) -> Self {
        self.index_growth = grows;
        self
    }

    /// Whether the index shrinks by itself after a compaction, if it has a sixteenth of the entries at which it would grow, or fewer: by
    /// halves, and to no fewer buckets than [`with_table_size`](Self::with_table_size) says. `Default:` false: it shrinks only
    /// when it [is asked to](super::FasterKv::shrink_index). With [revivification](Self::with_revivification) it never does.
    #[must_use]
    pub fn with_index_shrinking(mut self, shrinks: bool) -> Self {
        self.index_shrinking = shrinks;
        self
    }

    /// Bytes of the log that are kept in memory; rounded down to whole pages. `Default:` what the budget leaves.
    #[must_use]
    pub fn with_log_memory_size(mut self, bytes: u64) -> Self {
        self.log_memory_size = Some(bytes);
        self
    }

    /// Pages of the log have `1 << bits` bytes, 12 (4 KiB) to 30 (1 GiB). A record must fit on a page. `Default:` such
    /// that 32 or more pages are in memory, at most 25 (32 MiB).
    #[must_use]
    pub fn with_page_size_bits(mut self, bits: u32) -> Self {
        self.page_size_bits = Some(bits);
        self
    }

    /// The share of the log's memory that is updated in place, 0.0 to 1.0. With 0.0 only the page being filled is; with
    /// 1.0 all but the few pages that have to be on their way to the device. `Default:` 0.9.
    #[must_use]
    pub fn with_mutable_fraction(mut self, fraction: f64) -> Self {
        self.mutable_fraction = fraction;
        self
    }

    /// Bytes of memory for everything: index, log, buffers. `Default:` 256 MiB, or the sum of index and log if both are
    /// set.
    #[must_use]
    pub fn with_memory_budget(mut self, bytes: u64) -> Self {
        self.memory_budget = Some(bytes);
        self
    }

    /// Keeps copies of records that were read from the device in memory of their own, taken from the budget: for stores
    /// larger than memory that read some keys much more often than others. `Default:` none; memory then holds what was
    /// written last.
    #[must_use]
    pub fn with_read_cache(mut self, cache: ReadCacheConfig) -> Self {
        self.read_cache = Some(cache);
        self
    }

    /// Operations of one session that may wait for the device at the same time; beginning one more finishes one first. At
    /// least 1. `Default:` 64.
    #[must_use]
    pub fn with_max_pending(mut self, operations: usize) -> Self {
        self.max_pending = operations;
        self
    }

    /// How long a call waits for the device or for other sessions before it fails. `Default:` 30 seconds.
    #[must_use]
    pub fn with_wait_limit(mut self, limit: Duration) -> Self {
        self.wait_limit = limit;
        self
    }

    /// Threads that a store comes back by, from 1 to 1024; fewer if the memory has no buffers for so many. `Default:` one for each
    /// core.
    #[must_use]
    pub fn with_recovery_threads(mut self, threads: usize) -> Self {
        self.recovery_threads = Some(threads);
        self
    }

    /// When changes are safe without a checkpoint. A store with a durability is opened by
    /// [`FasterKv::open_durable`](super::FasterKv::open_durable). `Default:` [`Durability::None`].
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Opens a durable store of which something that was acknowledged is damaged, with what lies before the damage in its log.
    /// What lies behind it is lost. `Default:` false: opening it is an error that names the place.
    #[must_use]
    pub fn with_damage_accepted(mut self, accepted: bool) -> Self {
        self.damage_accepted = accepted;
        self
    }

    /// Lets a new store overwrite a device that already holds data. `Default:` false: opening it is refused.
    #[must_use]
    pub fn with_overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Takes the memory of index and log from the system when the store is opened, and not page by page as it is used.
    /// `Default:` true.
    ///
    /// It costs time at opening, because the system zeroes what it gives, on all cores: 10 milliseconds for 256 MiB and 40 for
    /// a gigabyte on two cores, but more than a second for a gigabyte that a virtual machine has to get from its host
    /// first. And the memory is taken whether or not there is data for it; otherwise memory in use grows with the data.
    ///
    /// In return no operation waits until the system has found and zeroed a page, the memory lies on huge pages from the
    /// start where the system has any to give, and if memory is short it is the opening that fails: with
    /// [`ErrorKind::Limit`] if the system refuses. (A system that promises more than it has, or a container whose limit is
    /// below the memory budget, does not refuse but ends the process, now or later.)
    #[must_use]
    pub fn with_pretouch(mut self, pretouch: bool) -> Self {
        self.pretouch = pretouch;
        self
    }

    /// Whether space of deleted and outgrown records is used again while it is in the part of the log that is changed in place, for
    /// stores that delete keys and insert others, or the same again. `Default:` false: such space comes back by compaction only.
    ///
    /// Takes a thirty-second of the memory budget, to know what is free. Every call that writes a record pays for it with some 100
    /// nanoseconds and locks that all share. Not with a [durability](Self::with_durability), with which nothing is changed in place.
    #[must_use]
    pub fn with_revivification(mut self, reuses: bool) -> Self {
        self.revivification = reuses;
        self
    }

    /// The clock by which [values end](crate::record::Expiring); a store whose values do not end never asks it. `Default:` that of the
    /// system, which moves on every few milliseconds.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = StoreClock::new(clock);
        self
    }

    /// How [`log_compact_until`](super::FasterKv::log_compact_until) works. `Default:` on one thread, without bounds.
    #[cfg(not(oxifaster_loom))]
    #[must_use]
    pub fn with_compaction(mut self, compaction: CompactionConfig) -> Self {
        self.compaction = compaction;
        self
    }

    /// Bytes of the memory budget for what a compaction has put off: records of which only the device can tell whether they are in use.
    /// All of the log is read for as many as fit, each with 12 bytes and its key (4 more if keys have any length). So where keys are overwritten in no
    /// order, and most of the log is on the device, an eighth of the budget is worth it, with larger
    /// [parts](CompactionConfig::with_max_part). 4096 to 2 GiB. `Default:` a thirty-second of the budget, but at most 64 MiB.
    #[must_use]
    pub fn with_compaction_memory(mut self, bytes: u64) -> Self {
        self.compaction_memory = Some(bytes);
        self
    }

    /// Turns wishes into sizes for records of `record_size` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names the field, its value and what would be accepted.
    pub(crate) fn resolve(&self, record_size: usize) -> Result<StoreSizes> {
        self.check()?;
        self.resolve_around(record_size, self.index(record_size))
    }

    /// The index that a new store gets.
    pub(super) fn index(&self, record_size: usize) -> IndexConfig {
        index_of(match self.table_size {
            Some(size) => size.next_power_of_two(),
            None => buckets_for(self.memory_budget.unwrap_or(DEFAULT_BUDGET), record_size as u64),
        })
    }

    /// The same wishes for a store that has an index of `buckets` buckets already. The budget is raised if it was not set.
    pub(super) fn with_index_of(&self, buckets: u64) -> Self {
        let index = index_bytes(index_of(buckets)) as u64;
        // With the log's memory set as well, the budget is what the parts take, as for a new store.
        let is_open = self.log_memory_size.is_none() && index > DEFAULT_BUDGET / 10 * 6;
        let needed = is_open.then_some((index / 6).saturating_mul(10));
        Self { table_size: Some(buckets), memory_budget: self.memory_budget.or(needed), ..self.clone() }
    }

    /// Whether each value makes sense by itself.
    pub(super) fn check(&self) -> Result<()> {
        self.durability.check()?;
        if self.revivification && self.durability.is_some() {
            return Err(Error::new(
                ErrorKind::Config,
                "a store with a durability changes nothing in place, and has no space to use again",
            )
            .with("durability", format_args!("{:?}", self.durability))
            .help("leave with_revivification away, and have the store compacted"));
        }
        #[cfg(not(oxifaster_loom))]
        self.compaction.check()?;
        if self.max_pending == 0 || self.max_pending > 1 << 16 {
            return Err(out_of_range("max_pending", self.max_pending as u64, 1, 1 << 16));
        }
        for (field, value, smallest, largest) in [
            ("recovery_threads", self.recovery_threads.map(|threads| threads as u64), 1, 1024),
            ("table_size", self.table_size, 1, 1 << 40),
            ("table_size_max", self.table_size_max, 1, 1 << 40),
            ("compaction_memory", self.compaction_memory, 4096, 1 << 31),
        ] {
            if let Some(value) = value.filter(|value| !(smallest..=largest).contains(value)) {
                return Err(out_of_range(field, value, smallest, largest));
            }
        }
        if let Some(page_bits) = self.page_size_bits {
            LogGeometry::new(page_bits, LogGeometry::MIN_FRAMES, self.mutable_fraction)?;
        }
        let budget = self.memory_budget.unwrap_or(DEFAULT_BUDGET);
        if !(MIN_BUDGET..=1 << 46).contains(&budget) {
            return Err(out_of_range("memory_budget", budget, MIN_BUDGET, 1 << 46));
        }
        Ok(())
    }

    /// Bytes of memory for an index that is now of this size.
    fn bytes_set_aside(&self, index: IndexConfig) -> usize {
        let largest = self.table_size_max.map_or(0, |size| 1 << size.max(1).ilog2());
        let mut both = index_bytes(index);
        let mut table = index;
        while table.buckets < largest {
            let next = IndexConfig { buckets: table.buckets * 2, overflow_buckets: table.overflow_buckets * 2 };
            both = index_bytes(table).saturating_add(index_bytes(next));
            table = next;
        }
        both
    }

    /// The sizes of the other parts, around an index of this size.
    pub(super) fn resolve_around(&self, record_size: usize, index: IndexConfig) -> Result<StoreSizes> {
        let budget = self.memory_budget.unwrap_or(DEFAULT_BUDGET);
        let read_buffer = record_size.div_ceil(BLOCK_PAYLOAD) * BLOCK_SIZE + BLOCK_SIZE;
        let read_buffers = (budget as usize / 32 / read_buffer).clamp(4, 4096);
        let read_cache = self.read_cache.map(|cache| cache.geometry(record_size)).transpose()?;
        let cache_bytes = read_cache.map_or(0, HybridLog::memory_bytes);
        let checkpoint_buffer = checkpoint_buffer_for(budget);
        let lookup_buffer = self.compaction_memory.map_or_else(|| lookup_buffer_for(budget), |bytes| bytes as usize);
        let spares = if self.revivification { spares_for(budget) } else { 0 };
        let spare_bytes = spares * Spare::KEPT_BYTES;
        let buffers = read_buffers * read_buffer + checkpoint_buffer + lookup_buffer + spare_bytes;
        let other = self.bytes_set_aside(index) + cache_bytes + buffers;
        let left = budget.saturating_sub(other as u64);
        let wished = self.log_memory_size.unwrap_or(left);
        let page_bits = self.page_size_bits.unwrap_or_else(|| page_bits_for(wished, record_size));
        let log_memory = match self.log_memory_size {
            Some(bytes) => bytes,
            None => left.saturating_sub(HybridLog::write_buffer_bytes(page_bits) as u64),
        };
        let frames = log_memory.checked_shr(page_bits).unwrap_or(0);
        if frames < LogGeometry::MIN_FRAMES && self.log_memory_size.is_none() {
            return Err(Error::new(ErrorKind::Config, "the memory budget leaves too little room for the log")
                .with("memory_budget", budget)
                .with("taken by index, buffers and read cache", other)
                .with("pages of the log that fit", frames)
                .with("page_size_bits", page_bits)
                .help(
                    "raise memory_budget, or lower table_size, page_size_bits, compaction_memory or the read cache's mem_size",
                ));
        }
        let geometry = LogGeometry::new(page_bits, frames, self.mutable_fraction)?;
        let record_size = record_size + if self.durability.is_some() { Origin::SIZE } else { 0 };
        let largest = geometry.page().page_size() - 64;
        if record_size as u64 > largest {
            return Err(Error::new(ErrorKind::Config, "a record does not fit on a page of the log")
                .with("record size", record_size)
                .with("largest", largest)
                .with("page_size_bits", page_bits)
                .help("raise page_size_bits, or the memory budget from which it is derived"));
        }
        let needed = other + HybridLog::memory_bytes(geometry);
        let budget = match (self.memory_budget, self.table_size, self.log_memory_size) {
            (None, Some(_), _) | (None, _, Some(_)) => (needed as u64).max(budget),
            _ => budget,
        };
        if needed as u64 > budget {
            return Err(Error::new(ErrorKind::Config, "the memory budget is less than its parts take")
                .with("memory_budget", budget)
                .with("taken by the log (log_memory_size) and its write buffers", HybridLog::memory_bytes(geometry))
                .with("taken by the index (table_size, table_size_max)", self.bytes_set_aside(index))
                .with("taken by read buffers", read_buffers * read_buffer)
                .with("taken by the read cache", cache_bytes)
                .with("taken by the buffers for checkpoints and compactions", checkpoint_buffer + lookup_buffer)
                .with("taken by revivification", spare_bytes)
                .help("raise memory_budget, or lower log_memory_size, table_size or compaction_memory"));
        }
        let budget = budget as usize;
        Ok(StoreSizes {
            index,
            geometry,
            read_cache,
            read_buffers,
            read_buffer,
            checkpoint_buffer,
            lookup_buffer,
            spares,
            budget,
        })
    }
}

/// The sizes of a store's parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoreSizes {
    pub(crate) index: IndexConfig,
    pub(crate) geometry: LogGeometry,
    pub(crate) read_cache: Option<LogGeometry>,
    pub(crate) read_buffers: usize,
    pub(crate) read_buffer: usize,
    pub(crate) checkpoint_buffer: usize,
    /// Bytes that a compaction keeps of what it has to look up.
    pub(crate) lookup_buffer: usize,
    /// Spaces of records that are kept to be used again, at most.
    pub(crate) spares: usize,
    pub(crate) budget: usize,
}

/// The smallest budget: an index of a few buckets, and a log of a few of the smallest pages.
const MIN_BUDGET: u64 = 256 << 10;

/// Bytes of the buffer that a checkpoint works with: large enough for the device, small enough that to fill it does not take
/// a processor away for long.
fn checkpoint_buffer_for(budget: u64) -> usize {
    (budget as usize / 64 / BLOCK_SIZE * BLOCK_SIZE).clamp(BLOCK_SIZE, 64 * BLOCK_SIZE)
}

/// Bytes that a compaction keeps of records that it has to look up: the more of them, the longer are the accesses.
fn lookup_buffer_for(budget: u64) -> usize {
    (budget as usize / 32).min(64 << 20)
}

/// Spaces of records that are kept to be used again, at most.
fn spares_for(budget: u64) -> usize {
    budget as usize / 32 / Spare::KEPT_BYTES
}

fn out_of_range(field: &'static str, value: u64, smallest: u64, largest: u64) -> Error {
    Error::new(ErrorKind::Config, "a value is out of range")
        .with("field", field)
        .with("value", value)
        .with("smallest", smallest)
        .with("largest", largest)
}

impl StoreSizes {
    /// How many overflow buckets the index can have if nothing but the smallest log is to be in memory with it.
    pub(super) fn overflow_buckets_max(&self) -> u64 {
        let table = MemIndex::bytes(self.index.buckets, 0);
        let page_bits = self.geometry.page().page_bits();
        let log = ((LogGeometry::MIN_FRAMES as usize) << page_bits) + HybridLog::write_buffer_bytes(page_bits);
        let cache = self.read_cache.map_or(0, HybridLog::memory_bytes);
        let buffers = self.read_buffers * self.read_buffer + self.checkpoint_buffer + self.lookup_buffer;
        let other = table + log + cache + buffers + self.spares * Spare::KEPT_BYTES;
        let left = self.budget.saturating_sub(other) / MemIndex::bytes(1, 0);
        self.index.overflow_buckets.max(left as u64)
    }
}

/// An index of `buckets` buckets, and an eighth of that for the chains of those that are full.
fn index_of(buckets: u64) -> IndexConfig {
    IndexConfig { buckets, overflow_buckets: buckets / 8 }
}

/// Bytes of memory an index takes.
pub(super) fn index_bytes(index: IndexConfig) -> usize {
    MemIndex::bytes(index.buckets, index.overflow_buckets)
}

/// Buckets for a budget: enough for data many times the budget, but at most six tenths of it.
fn buckets_for(budget: u64, record_size: u64) -> u64 {
    let wanted = DATA_TIMES_BUDGET.saturating_mul(budget) / record_size * INDEX_BYTES_PER_KEY;
    let bytes = wanted.min(budget / 10 * 6);
    let mut buckets = 1;
    while (index_bytes(index_of(buckets * 2)) as u64) <= bytes {
        buckets *= 2;
    }
    buckets
}

fn page_bits_for(log_memory: u64, record_size: usize) -> u32 {
    let even = (log_memory / FRAMES_AIMED_AT).max(1).ilog2();
    let fitting = (record_size as u64 + 64).next_power_of_two().ilog2();
    even.clamp(PageGeometry::MIN_BITS, 25).max(fitting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_budget_is_split_without_exceeding_it() {
        for shift in 18..34 {
            for record_size in [16, 24, 128, 1040, 4120] {
                let budget = (1u64 << shift) + 12_345;
                let sizes = FasterKvConfig::default().with_memory_budget(budget).resolve(record_size).unwrap();
                let taken = index_bytes(sizes.index)
                    + sizes.read_buffers * sizes.read_buffer
                    + HybridLog::memory_bytes(sizes.geometry);
                assert!(taken as u64 <= budget, "{budget} {record_size}: {taken} {sizes:?}");
                assert!(taken as u64 >= budget / 10 * 6, "{budget} {record_size}: only {taken} of it used, {sizes:?}");
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let config = FasterKvConfig::default;
        let field = |config: FasterKvConfig| config.resolve(24).unwrap_err().to_string();
        assert!(field(config().with_table_size(0)).contains("table_size"));
        assert!(field(config().with_table_size(u64::MAX)).contains("table_size"));
        assert!(field(config().with_page_size_bits(64)).contains("page"));
        assert!(field(config().with_page_size_bits(11)).contains("page_size_bits"));
        assert!(field(config().with_mutable_fraction(1.5)).contains("mutable_fraction"));
        assert!(field(config().with_log_memory_size(0)).contains("log_memory_size"));
        assert!(field(config().with_memory_budget(1)).contains("memory_budget"));
        assert!(field(config().with_memory_budget(u64::MAX)).contains("memory_budget"));
        assert!(field(config().with_max_pending(0)).contains("max_pending"));
        assert!(field(config().with_compaction_memory(1)).contains("compaction_memory"));
        let parts = config().with_memory_budget(1 << 20).with_compaction_memory(1 << 20);
        assert!(field(parts).contains("compaction_memory"));
        assert!(field(config().with_recovery_threads(0)).contains("recovery_threads"));
        assert!(field(config().with_memory_budget(1 << 20).with_table_size(1 << 20)).contains("table_size"));
        let durable = config().with_revivification(true).with_durability(Durability::EveryOperation);
        assert!(field(durable).contains("with_revivification"));
        let parts = config().with_memory_budget(1 << 18).with_log_memory_size(1 << 20);
        assert!(field(parts).contains("log_memory_size"));
        let large = config().with_page_size_bits(12).with_log_memory_size(1 << 20).resolve(5000).unwrap_err();
        assert_eq!(large.field("record size"), Some("5000"));
    }

    #[test]
    fn sizes_that_are_set_are_taken_as_they_are() {
        let config =
            FasterKvConfig::default().with_table_size(1000).with_log_memory_size(1 << 20).with_page_size_bits(16);
        let sizes = config.resolve(24).unwrap();
        assert_eq!((sizes.index.buckets, sizes.geometry.frames()), (1024, 16));
    }
}
