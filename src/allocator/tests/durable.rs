//! The durable prefix and truncation.

use super::{LIMIT, World, config};
use crate::address::Address;
use crate::allocator::block::BLOCK_SIZE;
use crate::allocator::hybrid_log::HybridLog;
use crate::device::{
    CompletionSink, DeviceInfo, FaultyDisk, IoDone, IoOp, IoRequest, MemoryDisk, StorageDevice, Token, access,
};
use crate::epoch::LightEpoch;
use crate::error::{Error, ErrorKind};
use crate::sync::{Arc, AtomicUsize, Mutex, Ordering};
use std::time::Duration;

/// A log on a disk that fails when it is told to.
fn faulty() -> (World, crate::device::FaultPlan) {
    let (epoch, disk) = (LightEpoch::new(), MemoryDisk::new());
    let device = FaultyDisk::new(disk.clone());
    let plan = device.plan();
    let log = HybridLog::new(config(12, 8), Arc::clone(&epoch), Arc::new(device)).unwrap();
    (World { epoch, log, disk }, plan)
}

#[test]
fn what_is_durable_grows_when_the_device_was_synced_and_not_before() {
    let (world, plan) = faulty();
    let mut participant = world.epoch.join();
    world.append(&mut participant, 1, &1u64);
    let written = world.flush();
    assert!(world.log.durable() < written, "written is not durable");
    world.append(&mut participant, 2, &2u64);
    let cut = world.log.cut(LIMIT).unwrap();
    plan.fail_nth(IoOp::Write, 1, std::io::ErrorKind::Other);
    assert!(world.log.make_durable_below(cut, LIMIT, || Ok(())).is_err());
    assert!(world.log.durable() < cut);
    world.log.retry_flush();
    world.log.make_durable_below(cut, LIMIT, || Ok(())).unwrap();
    assert_eq!(world.log.durable(), cut);
    plan.fail_nth(IoOp::Sync, 1, std::io::ErrorKind::Other);
    world.append(&mut participant, 3, &3u64);
    let later = world.log.cut(LIMIT).unwrap();
    assert!(world.log.make_durable_below(later, LIMIT, || Ok(())).is_err());
    assert_eq!(world.log.durable(), cut, "the sync failed");
}

#[test]
fn a_log_begins_at_most_where_it_is_written_and_gives_space_up_when_told_to() {
    let (world, plan) = faulty();
    let mut participant = world.epoch.join();
    let places: Vec<Address> = (0..4_000).map(|key| world.append(&mut participant, key, &[key; 4])).collect();
    let flushed = world.flush();
    let refused = world.log.shift_begin(Address::new(flushed.get() + 8)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
    let (before, begin) = (world.disk.used_bytes(), places[3_900]);
    assert!(world.log.shift_begin(begin).unwrap());
    assert!(!world.log.shift_begin(places[7]).unwrap(), "it only grows");
    assert_eq!(world.log.begin(), begin);
    assert_eq!(world.disk.used_bytes(), before, "somebody may be looking");
    plan.fail_nth(IoOp::TruncateBefore, 1, std::io::ErrorKind::Other);
    assert!(world.log.free_before(begin, LIMIT).is_err());
    world.log.free_before(begin, LIMIT).unwrap();
    assert!(world.disk.used_bytes() < before);
    assert_eq!(world.fetch::<[u64; 4]>(begin).unwrap().value, Some([3_900; 4]));
}

/// What a device does with a write that is to be durable at once.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Through {
    Takes,
    GivesBack,
    Fails,
    WritesAPart,
}

/// A disk that writes through, and counts it.
#[derive(Clone)]
struct ThroughDisk {
    disk: MemoryDisk,
    through: Arc<Mutex<Through>>,
    blocks: Arc<AtomicUsize>,
    syncs: Arc<AtomicUsize>,
}

impl ThroughDisk {
    /// Blocks that were written through, and syncs, since the last look.
    fn counts(&self) -> (usize, usize) {
        (self.blocks.swap(0, Ordering::Relaxed), self.syncs.swap(0, Ordering::Relaxed))
    }
}

impl StorageDevice for ThroughDisk {
    fn info(&self) -> DeviceInfo {
        self.disk.info()
    }

    fn submit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        self.syncs.fetch_add(usize::from(request.op == IoOp::Sync), Ordering::Relaxed);
        self.disk.submit(request, sink, token);
    }

    fn write_through(&self, request: IoRequest, limit: Duration) -> std::result::Result<IoDone, IoRequest> {
        match *self.through.lock() {
            Through::GivesBack => Err(request),
            Through::Fails => Ok(request.failed(Error::new(ErrorKind::DeviceFailed, "test"))),
            Through::WritesAPart => Ok(request.done(Ok(0))),
            Through::Takes => {
                self.blocks.fetch_add(request.len / BLOCK_SIZE, Ordering::Relaxed);
                Ok(access(&self.disk, request, limit).unwrap())
            }
        }
    }
}

fn through() -> (World, ThroughDisk) {
    let disk = MemoryDisk::new();
    let through = Arc::new(Mutex::new(Through::Takes));
    let device = ThroughDisk { disk: disk.clone(), through, blocks: Arc::default(), syncs: Arc::default() };
    let epoch = LightEpoch::new();
    let log = HybridLog::new(config(16, 8), Arc::clone(&epoch), Arc::new(device.clone())).unwrap();
    (World { epoch, log, disk }, device)
}

#[test]
fn a_small_write_behind_what_is_durable_is_written_through() {
    let (world, device) = through();
    let mut participant = world.epoch.join();
    let mut append = |count: u64| (0..count).map(|key| world.append(&mut participant, key, &key)).last().unwrap();
    append(1);
    assert_eq!(world.log.make_durable(LIMIT).unwrap(), world.log.durable());
    assert_eq!(device.counts(), (1, 0));
    let last = append(600);
    let end = world.log.make_durable(LIMIT).unwrap();
    assert_eq!((device.counts(), world.log.durable()), ((4, 0), end), "four blocks are small");
    world.evict_until(end);
    assert_eq!(world.fetch::<u64>(last).unwrap().value, Some(599), "it is on the disk");
    append(800);
    world.log.make_durable(LIMIT).unwrap();
    assert_eq!(device.counts(), (0, 1), "more are not");
    append(1);
    world.flush();
    append(1);
    world.log.make_durable(LIMIT).unwrap();
    assert_eq!(device.counts(), (0, 1), "what was written before is synced with it");
}

#[test]
fn a_write_that_is_given_back_is_written_and_synced_like_others() {
    let (world, device) = through();
    let mut participant = world.epoch.join();
    *device.through.lock() = Through::GivesBack;
    world.append(&mut participant, 1, &1u64);
    let end = world.log.make_durable(LIMIT).unwrap();
    assert_eq!((device.counts(), world.log.durable()), ((0, 1), end));
    *device.through.lock() = Through::Takes;
    world.append(&mut participant, 2, &2u64);
    world.log.make_durable(LIMIT).unwrap();
    assert_eq!(device.counts(), (1, 0));
}

#[test]
fn nothing_is_durable_by_a_write_through_that_failed_or_was_not_whole() {
    for failure in [Through::Fails, Through::WritesAPart] {
        let (world, device) = through();
        let mut participant = world.epoch.join();
        world.append(&mut participant, 1, &1u64);
        let before = world.log.make_durable(LIMIT).unwrap();
        *device.through.lock() = failure;
        world.append(&mut participant, 2, &2u64);
        assert_eq!(world.log.make_durable(LIMIT).unwrap_err().kind(), ErrorKind::DeviceFailed, "{failure:?}");
        assert_eq!((world.log.durable(), world.log.addresses().flushed), (before, before), "{failure:?}");
        *device.through.lock() = Through::Takes;
        world.log.retry_flush();
        assert!(world.log.make_durable(LIMIT).unwrap() > before);
    }
}

#[test]
fn what_somebody_may_be_changing_is_not_written_through() {
    let (world, device) = through();
    let mut participant = world.epoch.join();
    world.append(&mut participant, 1, &1u64);
    let mut other = world.epoch.join();
    let guard = other.pin();
    let cut = world.log.cut(LIMIT).unwrap();
    assert!(world.log.make_durable_below(cut, Duration::from_millis(20), || Ok(())).is_err());
    assert_eq!(device.counts(), (0, 0));
    drop(guard);
    world.log.make_durable_below(cut, LIMIT, || Ok(())).unwrap();
    assert_eq!(world.log.durable(), cut);
}
