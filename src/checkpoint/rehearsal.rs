//! Recovering a checkpoint to see that it can be done: everything that a recovery does, into memory, and then nothing comes of it.

use super::report::{RecoveryProgress, RecoveryReport};
use super::suffix::{Suffix, SuffixLimits, with_suffix};
use super::{Catalog, Manifest, Recovery, RecoveryLimits, log_of};
use crate::address::Address;
use crate::allocator::{LogConfig, LogGeometry};
use crate::device::{CompletionSink, DeviceInfo, IoChannel, IoOp, IoRequest, StorageDevice, Token};
use crate::directory::Directory;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Arc;
use std::time::Duration;

/// What a rehearsal may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RehearsalLimits {
    /// Bytes of the log to be loaded, if it has as many. What a checkpoint has in files is loaded in any case.
    pub log_memory: u64,
    /// Threads that read.
    pub threads: usize,
    /// How long to wait for one access to the device.
    pub wait: Duration,
}

impl Default for RehearsalLimits {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Self { log_memory: 64 << 20, threads, wait: Duration::from_secs(30) }
    }
}

/// Bytes of the buffers of one thread.
const BUFFER_BYTES: usize = 1 << 20;

/// Recovers the checkpoint that `manifest` describes into memory, as a store would be recovered from it, and gives it up: of a
/// store with a durability, with what came after it in the log. Nothing is written, neither to `directory` nor to `device`; if the
/// device was opened to be read (`FileSystemDiskOptions::with_read_only`), the store may be running meanwhile. No key or value
/// type is needed.
///
/// # Errors
/// As for [`FasterKv::recover_manifest`](crate::store::FasterKv::recover_manifest) and
/// [`FasterKv::open_durable_in`](crate::store::FasterKv::open_durable_in).
pub fn rehearse(
    directory: &dyn Directory,
    manifest: &Manifest,
    device: Arc<dyn StorageDevice>,
    limits: RehearsalLimits,
    tell: &(dyn Fn(RecoveryProgress) + Sync),
) -> Result<RecoveryReport> {
    let schema = manifest.schema;
    let layout = schema.layout();
    log_of(manifest, layout)?;
    let images = Catalog::new(directory).index_for(manifest)?.images;
    let images: Vec<_> = images.into_iter().map(|image| image.part).collect();
    let device = Arc::new(ReadOnly(device)) as Arc<dyn StorageDevice>;
    let threads = limits.threads.max(1);
    let suffix_limits = SuffixLimits { buffer_bytes: BUFFER_BYTES * threads, wait: limits.wait, accept_damage: false };
    let Suffix { manifest: whole, report: suffix, .. } = with_suffix(manifest, layout, &device, suffix_limits, tell)?;
    let log = log_of(&whole, layout)?;
    let recovery_limits =
        RecoveryLimits { threads, buffer_bytes: BUFFER_BYTES * threads, wait: limits.wait, pretouch: false };
    let mut recovery = Recovery::begin(directory, &whole, layout, device, recovery_limits, tell)?;
    let index = recovery.index(&images, log.buckets, log.buckets / 8, log.buckets.max(64))?;
    let in_files = log.pieces.iter().find(|piece| piece.file.is_some()).map_or(log.end, |piece| piece.from);
    let config = LogConfig {
        geometry: geometry(schema.page_bits, limits.log_memory, in_files, log.end)?,
        generation: 0,
        record_size: layout.planned_size(),
        volatile: false,
        read_buffers: 1,
        spares: 0,
    };
    let (log, mut report) = recovery.log(config)?;
    drop((log, index));
    report.suffix = suffix;
    Ok(report)
}

/// As much of the log in memory as is wanted, and all from `in_files` on.
fn geometry(page_bits: u32, memory: u64, in_files: Address, end: Address) -> Result<LogGeometry> {
    let pages = |bytes: u64| bytes >> page_bits;
    let needed = pages(end.get()) - pages(in_files.get()) + 2;
    let frames = needed.max(pages(memory)).clamp(LogGeometry::MIN_FRAMES, LogGeometry::MAX_FRAMES);
    LogGeometry::new(page_bits, frames, 0.0)
}

/// A device that refuses to be changed.
struct ReadOnly(Arc<dyn StorageDevice>);

impl StorageDevice for ReadOnly {
    fn info(&self) -> DeviceInfo {
        self.0.info()
    }

    fn submit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        if request.op == IoOp::Read {
            return self.0.submit(request, sink, token);
        }
        if request.op == IoOp::Sync {
            return sink.complete(token, request.done(Ok(0))); // of what others have written, which is not for a rehearsal to do
        }
        let what = "a rehearsal of a recovery would have to write";
        sink.complete(token, request.failed(Error::new(ErrorKind::Unsupported, what)));
    }

    fn poll(&self) -> usize {
        self.0.poll()
    }

    fn channel(&self) -> Option<Box<dyn IoChannel>> {
        self.0.channel()
    }
}
