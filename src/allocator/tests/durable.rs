//! The durable prefix and truncation.

use super::{LIMIT, World, config};
use crate::address::Address;
use crate::allocator::hybrid_log::HybridLog;
use crate::device::{FaultyDisk, IoOp, MemoryDisk};
use crate::epoch::LightEpoch;
use crate::error::ErrorKind;
use crate::sync::Arc;

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
