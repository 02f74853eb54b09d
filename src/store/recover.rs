//! A store that goes on where a checkpoint was made.

use super::config::{FasterKvConfig, StoreSizes, index_bytes};
use super::database::{Database, Memory, Origin, check_device, log_config, random_generation};
use super::faster_kv::FasterKv;
use crate::allocator::HybridLog;
use crate::checkpoint::{
    Catalog, IndexPart, Manifest, Recovery, RecoveryLimits, RecoveryProgress, RecoveryReport, log_of,
};
use crate::device::StorageDevice;
use crate::directory::Directory;
use crate::error::{Error, ErrorKind, Result};
use crate::index::IndexConfig;
use crate::record::{Key, RecordLayout, Value};
use crate::sync::Arc;
use crate::utility::planted;

/// With less, a thread's accesses to the device would be too small to be worth it.
const BUFFER_BYTES_PER_THREAD: usize = 1 << 16;

impl<K: Key, V: Value, D: StorageDevice> FasterKv<K, V, D> {
    /// The store in the state that `manifest` describes. The index comes from the first of `images` that is of use and the log
    /// behind it, or from all of the log: an image that cannot be used costs time, no key. `tell` is called now and then, from
    /// several threads.
    ///
    /// The configuration may be another one than that with which the checkpoint was made: more memory or less, another
    /// number of threads. The page size is that of the checkpoint if it is left open. The table of the index is that of the
    /// image, or at least as large as it was: it never becomes smaller, since that would bring chains together.
    ///
    /// Nothing is written to the directory. To the device, nothing is written that a whole checkpoint on it needs, unless
    /// this one is not the newest: then the blocks behind it belong to the store again, and the newer checkpoints are lost as
    /// soon as they are written. If parts of the log are in files and do not fit into memory, this is so from the beginning.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the checkpoint is of other keys or values or of another page size, or the memory budget is
    /// too small for its index, with the bytes that are needed, before anything is allocated or written; [`ErrorKind::Limit`] if the index has to be made from the log and does not fit;
    /// [`ErrorKind::NotFound`] or [`ErrorKind::Corrupt`] names the file or the part of the device that is missing or
    /// damaged; the errors of the directory and the device.
    pub fn recover_manifest(
        directory: &dyn Directory,
        manifest: &Manifest,
        images: &[IndexPart],
        config: FasterKvConfig,
        device: D,
        tell: &(dyn Fn(RecoveryProgress) + Sync),
    ) -> Result<(Self, RecoveryReport)> {
        config.durability.refuse("FasterKv::recover")?;
        let device = Arc::new(device);
        let erased = Arc::clone(&device) as Arc<dyn StorageDevice>;
        let Recovered { database, report } = recover(directory, manifest, images, &config, erased, tell)?;
        Ok((Self { database: Arc::new(database), device }, report))
    }
}

/// A store at rest, and what it took to make it.
pub(super) struct Recovered<K: Key, V: Value> {
    pub(super) database: Database<K, V>,
    pub(super) report: RecoveryReport,
}

pub(super) fn recover<K: Key, V: Value>(
    directory: &dyn Directory,
    manifest: &Manifest,
    images: &[IndexPart],
    config: &FasterKvConfig,
    device: Arc<dyn StorageDevice>,
    tell: &(dyn Fn(RecoveryProgress) + Sync),
) -> Result<Recovered<K, V>> {
    let layout = RecordLayout::of::<K, V>();
    let plan = Plan::new(config, manifest, images, layout)?;
    check_device(&*device)?;
    if !device.info().readable {
        return Err(Error::new(ErrorKind::Config, "the device keeps nothing, so there is nothing to recover")
            .help("give the device that the store was written to"));
    }
    let mut recovery = Recovery::begin(directory, manifest, layout, device, plan.limits(config), tell)?;
    let index =
        recovery.index(images, plan.buckets, plan.sizes.index.overflow_buckets, plan.sizes.overflow_buckets_max())?;
    let sizes = plan.resolve_log(layout, index.config())?;
    let memory = Memory::reserve(&sizes)?;
    let epoch = Arc::clone(recovery.epoch());
    let (log, mut report) = recovery.log(log_config(&sizes, layout, plan.generation))?;
    // Above every version that was given, also by a future that is given up now: the newest checkpoint is the one with the
    // highest version.
    let listing = Catalog::new(directory).list()?;
    let is_newer = |other: &&Manifest| other.version > manifest.version && other.log.is_some();
    report.newer = listing.checkpoints.iter().filter(is_newer).map(|newer| newer.token).collect();
    let highest = listing.highest_version().unwrap_or(0).max(manifest.version);
    let origin = Origin { version: highest + 1, sessions: manifest.sessions.clone() };
    let database = Database::of_parts(config, epoch, index, log, &sizes, memory, origin)?;
    database.reclaim.recover(database.kernel.log.begin(), directory.place(), &listing);
    database.reclaim.note_checkpoint(directory.place(), manifest.log.as_ref());
    Ok(Recovered { database, report })
}

/// What follows from the configuration and the manifest.
struct Plan {
    /// The configuration, with what the manifest decides in place of what it leaves open.
    config: FasterKvConfig,
    /// The sizes with the first image, or with an index that is made from the log.
    sizes: StoreSizes,
    /// Buckets of an index that is made from the log: as many as the first image has that may be of use.
    buckets: u64,
    generation: u32,
}

impl Plan {
    fn new(config: &FasterKvConfig, manifest: &Manifest, images: &[IndexPart], layout: RecordLayout) -> Result<Self> {
        let log = log_of(manifest, layout)?;
        config.check()?;
        let page_bits = manifest.schema.page_bits;
        if let Some(other) = config.page_size_bits.filter(|wanted| *wanted != page_bits) {
            return Err(Error::new(ErrorKind::Config, "the checkpoint has pages of another size")
                .with("token", manifest.token)
                .with("its page_size_bits", page_bits)
                .with("page_size_bits", other)
                .help("leave page_size_bits open, or set it to that of the checkpoint"));
        }
        let config = config.clone().with_page_size_bits(page_bits);
        let record_size = layout.planned_size();
        // Of those that are of no use for this log the sizes do not matter.
        let image = images.iter().find(|image| image.buckets.is_power_of_two() && image.buckets >= log.buckets);
        let wished = config.index(record_size).buckets.max(log.buckets);
        let buckets = image.map_or(wished, |image| image.buckets);
        let config = config.with_index_of(buckets);
        config.check()?;
        let index = config.index(record_size);
        let too_little = |index, error| too_little(&config, manifest, record_size, index, error);
        let sizes = config.resolve_around(record_size, index).map_err(|error| too_little(index, error))?;
        let overflow_buckets = image.map_or(0, |image| image.overflow_buckets).max(index.overflow_buckets);
        let loaded = IndexConfig { overflow_buckets, ..index };
        resolve_loaded(&config, record_size, loaded, index).map_err(|error| too_little(loaded, error))?;
        let newest = log.generations.last().map(|known| known.generation).filter(|_| planted!(KeepsGeneration));
        let generation = newest
            .into_iter()
            .chain(std::iter::repeat_with(random_generation))
            .find(|new| planted!(KeepsGeneration) || log.generations.iter().all(|known| known.generation != *new))
            .unwrap_or_default();
        Ok(Self { config, sizes, buckets, generation })
    }

    /// Recovery takes the memory that reads and writes of the store will take: there are none yet.
    fn limits(&self, config: &FasterKvConfig) -> RecoveryLimits {
        let page_bits = self.sizes.geometry.page().page_bits();
        let buffer_bytes = self.sizes.read_buffers * self.sizes.read_buffer + HybridLog::write_buffer_bytes(page_bits);
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let threads = config.recovery_threads.unwrap_or_else(cores).min(buffer_bytes / BUFFER_BYTES_PER_THREAD).max(1);
        RecoveryLimits { threads, buffer_bytes, wait: config.wait_limit, pretouch: config.pretouch }
    }

    /// The sizes around the index that there is now.
    fn resolve_log(&self, layout: RecordLayout, index: IndexConfig) -> Result<StoreSizes> {
        let config = self.config.with_index_of(index.buckets);
        resolve_loaded(&config, layout.planned_size(), index, self.sizes.index)
    }
}

/// The sizes around an index. If it takes more overflow buckets than `planned`, they are taken from the log's memory.
fn resolve_loaded(
    config: &FasterKvConfig,
    record_size: usize,
    index: IndexConfig,
    planned: IndexConfig,
) -> Result<StoreSizes> {
    let resolved = config.resolve_around(record_size, index);
    if resolved.is_ok() || index.overflow_buckets <= planned.overflow_buckets {
        return resolved;
    }
    FasterKvConfig { log_memory_size: None, ..config.clone() }.resolve_around(record_size, index)
}

/// That the memory which the configuration gives is enough for the index that the manifest asks for: nothing is allocated or written.
///
/// # Errors
/// [`ErrorKind::Config`] says how much is needed.
pub(super) fn check_memory<K: Key, V: Value>(
    config: &FasterKvConfig,
    manifest: &Manifest,
    images: &[IndexPart],
) -> Result<()> {
    Plan::new(config, manifest, images, RecordLayout::of::<K, V>()).map(drop)
}

/// What to say when the sizes do not come out even around this index: how much memory there has to be, if it is the index that takes it.
#[cold]
fn too_little(
    config: &FasterKvConfig,
    manifest: &Manifest,
    record_size: usize,
    index: IndexConfig,
    error: Error,
) -> Error {
    let Some(budget) = config.memory_budget else { return error };
    let fits = |bytes: u64, index| {
        let config = FasterKvConfig { memory_budget: Some(bytes), ..config.clone() };
        config.check().is_ok() && resolve_loaded(&config, record_size, index, config.index(record_size)).is_ok()
    };
    let without = IndexConfig { buckets: 1, overflow_buckets: 0 };
    let mut larger = std::iter::successors(Some(budget), |bytes| bytes.checked_mul(2)).take(40);
    let Some(mut enough) = larger.find(|bytes| fits(*bytes, index)).filter(|_| fits(budget, without)) else {
        return error;
    };
    let mut too_small = budget;
    while enough - too_small > 1 {
        let middle = too_small + (enough - too_small) / 2;
        *(if fits(middle, index) { &mut enough } else { &mut too_small }) = middle;
    }
    Error::new(
        ErrorKind::Config,
        "the memory budget is too small for the index, which does not become smaller once it has grown",
    )
    .with("token", manifest.token)
    .with("buckets of its index", index.buckets)
    .with("bytes of its index", index_bytes(index))
    .with("memory_budget", budget)
    .with("memory_budget needed", enough)
    .help("raise memory_budget to what is needed, or leave it open, so that it follows from the index")
}

#[cfg(test)]
mod tests;
