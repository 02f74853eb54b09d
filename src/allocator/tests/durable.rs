//! The durable prefix, group commit and truncation.

use super::{LIMIT, World, config};
use crate::address::Address;
use crate::allocator::group::{GroupCommit, GroupPolicy};
use crate::allocator::hybrid_log::HybridLog;
use crate::device::{FaultyDisk, IoOp, MemoryDisk};
use crate::epoch::LightEpoch;
use crate::error::ErrorKind;
use crate::sync::{Arc, AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

/// A log on a disk that fails when it is told to.
fn faulty() -> (World, crate::device::FaultPlan) {
    let (epoch, disk) = (LightEpoch::new(), MemoryDisk::new());
    let device = FaultyDisk::new(disk.clone());
    let plan = device.plan();
    let log = HybridLog::new(config(12, 8), Arc::clone(&epoch), Arc::new(device)).unwrap();
    (World { epoch, log, disk }, plan)
}

fn commit(world: &World) -> crate::Result<Address> {
    let cut = world.log.cut(LIMIT)?;
    world.log.want_durable(cut);
    world.log.wait_durable(cut, LIMIT, || Ok(()))?;
    Ok(cut)
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counting() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count(AtomicUsize::new(0)));
    (Arc::clone(&count), Waker::from(count))
}

#[test]
fn what_is_durable_ends_at_the_cut_and_grows_only_when_somebody_wants_it() {
    let (world, plan) = faulty();
    let mut participant = world.epoch.join();
    let first = world.append(&mut participant, 1, &[7u8; 100]);
    assert!(world.log.durable() <= first);
    let cut = commit(&world).unwrap();
    assert_eq!(world.log.durable(), cut);
    let second = world.append(&mut participant, 2, &[7u8; 100]);
    assert!(second >= cut, "a block that is durable is not written again");
    world.flush();
    assert_eq!(world.log.durable(), cut, "written is not durable");
    let syncs = plan.counts().syncs;
    commit(&world).unwrap();
    assert_eq!(plan.counts().syncs, syncs + 1);
    world.log.want_durable(cut);
    assert_eq!(plan.counts().syncs, syncs + 1, "what is durable is not synced again");
}

#[test]
fn a_failed_sync_is_final_and_every_waiter_is_told_why() {
    let (world, plan) = faulty();
    let mut participant = world.epoch.join();
    world.append(&mut participant, 1, &1u64);
    let durable = commit(&world).unwrap();
    plan.fail_nth(IoOp::Sync, 1, std::io::ErrorKind::Other);
    let second = world.append(&mut participant, 2, &2u64);
    for _ in 0..2 {
        let error = commit(&world).unwrap_err();
        assert_eq!(
            (error.kind(), error.field("durable up to")),
            (ErrorKind::DeviceFailed, Some(&*durable.to_string()))
        );
    }
    let (_, waker) = counting();
    assert!(matches!(world.log.poll_durable(second, &waker), Poll::Ready(Err(_))));
    assert_eq!(world.log.durable(), durable);
}

#[test]
fn a_failed_write_is_told_to_who_waits_and_may_be_tried_again() {
    let (world, plan) = faulty();
    let mut participant = world.epoch.join();
    plan.fail_nth(IoOp::Write, 1, std::io::ErrorKind::StorageFull);
    plan.pause_only(IoOp::Write);
    let address = world.append(&mut participant, 1, &1u64);
    let cut = world.log.cut(LIMIT).unwrap();
    world.log.want_durable(cut);
    let (count, waker) = counting();
    assert!(world.log.poll_durable(address, &waker).is_pending());
    plan.resume();
    world.until(|| (count.0.load(Ordering::SeqCst) == 1).then_some(()));
    let Poll::Ready(Err(_)) = world.log.poll_durable(address, &waker) else { panic!("the write failed") };
    world.log.retry_flush();
    world.log.wait_durable(cut, LIMIT, || Ok(())).unwrap();
}

#[test]
fn a_waker_is_woken_when_its_address_is_durable() {
    let (world, plan) = faulty();
    let mut participant = world.epoch.join();
    let first = world.append(&mut participant, 1, &1u64);
    let (count, waker) = counting();
    plan.pause_only(IoOp::Sync);
    let cut = world.log.cut(LIMIT).unwrap();
    let second = world.append(&mut participant, 1, &1u64);
    world.log.want_durable(cut);
    assert!(world.log.poll_durable(first, &waker).is_pending());
    let (later, later_waker) = counting();
    assert!(world.log.poll_durable(second, &later_waker).is_pending());
    assert!(plan.wait_until_held(1, LIMIT));
    assert_eq!(count.0.load(Ordering::SeqCst), 0);
    plan.resume();
    world.until(|| (count.0.load(Ordering::SeqCst) == 1).then_some(()));
    assert!(matches!(world.log.poll_durable(first, &waker), Poll::Ready(Ok(()))));
    assert_eq!(later.0.load(Ordering::SeqCst), 0, "nothing of it was wanted");
}

/// Threads that append and wait, with a group of their own each time if nothing is shared.
fn syncs_of(policy: GroupPolicy, threads: usize, rounds: u64) -> u64 {
    let (world, plan) = faulty();
    let group = GroupCommit::new(policy, world.log.durable());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut participant = world.epoch.join();
                for key in 0..rounds {
                    let address = world.append(&mut participant, key, &key);
                    group.wait(&world.log, address, LIMIT, || Ok(world.log.close_block())).unwrap();
                    assert!(world.log.durable() > address);
                }
            });
        }
    });
    plan.counts().syncs
}

#[test]
fn those_who_wait_at_the_same_time_share_a_sync() {
    let delay = GroupPolicy { delay: LIMIT, bytes: u64::MAX, waiters: 4 };
    assert_eq!(syncs_of(delay, 4, 20), 20, "a group begins with the fourth of four");
    assert_eq!(syncs_of(GroupPolicy::AT_ONCE, 1, 20), 20);
    assert!(syncs_of(GroupPolicy::AT_ONCE, 4, 50) <= 200);
}

#[test]
fn a_group_begins_after_its_delay_or_with_so_many_bytes() {
    let delay = GroupPolicy { delay: Duration::from_millis(5), bytes: u64::MAX, waiters: usize::MAX };
    assert_eq!(syncs_of(delay, 1, 3), 3);
    let bytes = GroupPolicy { delay: LIMIT, bytes: 1, waiters: usize::MAX };
    assert_eq!(syncs_of(bytes, 1, 3), 3);
}

#[test]
fn a_leader_who_cannot_make_a_cut_leaves_the_lead_to_others() {
    let (world, _) = faulty();
    let group = GroupCommit::new(GroupPolicy::AT_ONCE, world.log.durable());
    let address = world.append(&mut world.epoch.join(), 1, &1u64);
    let (count, waker) = counting();
    let refuse = || Err(crate::Error::new(ErrorKind::Limit, "a test"));
    assert!(group.poll(&world.log, address, true, &waker, || Ok(None)).is_pending());
    assert!(matches!(group.poll(&world.log, address, true, &waker, refuse), Poll::Ready(Err(_))));
    assert!(count.0.load(Ordering::SeqCst) > 0);
    assert!(matches!(
        group.poll(&world.log, address, true, &waker, || Ok(world.log.close_block())),
        Poll::Ready(Ok(()))
    ));
}

#[test]
fn a_log_is_truncated_up_to_what_is_written_and_reads_below_say_so() {
    let world = World::new(12);
    let mut participant = world.epoch.join();
    let places: Vec<Address> = (0..4_000).map(|key| world.append(&mut participant, key, &[key; 4])).collect();
    let flushed = world.flush();
    let refused = world.log.shift_begin(Address::new(flushed.get() + 8)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
    let before = world.disk.used_bytes();
    let begin = places[3_900];
    // A read that was under way when the log was truncated.
    let request = world.log.fetch_request(places[0], 56);
    assert!(world.log.shift_begin(begin).unwrap());
    assert!(!world.log.shift_begin(places[7]).unwrap(), "it only grows");
    assert_eq!(world.log.begin(), begin);
    assert_eq!(world.disk.used_bytes(), before, "what says where the log begins may not be durable yet");
    let pinned = participant.pin();
    world.log.give_back(begin);
    assert_eq!(world.disk.used_bytes(), before, "somebody may be looking");
    drop(pinned);
    world.log.help();
    assert!(world.disk.used_bytes() < before);
    assert!(world.log.truncation_failure().is_none());
    let done = world.submit(request);
    let answer = world.log.fetched(places[0], 56, done, |_| Ok(())).unwrap_err();
    assert_eq!((answer.kind(), answer.field("begin of the log")), (ErrorKind::NotFound, Some(&*begin.to_string())));
    assert_eq!(world.fetch::<[u64; 4]>(begin).unwrap().value, [3_900; 4]);
}

#[test]
fn a_truncation_that_the_device_refuses_is_kept_for_who_asks() {
    let (world, plan) = faulty();
    let address = world.append(&mut world.epoch.join(), 1, &1u64);
    commit(&world).unwrap();
    world.log.shift_begin(address).unwrap();
    plan.fail_nth(IoOp::TruncateBefore, 1, std::io::ErrorKind::Other);
    world.log.give_back(address);
    assert!(world.log.truncation_failure().is_some());
    world.log.give_back(address);
    assert!(world.log.truncation_failure().is_none());
}
