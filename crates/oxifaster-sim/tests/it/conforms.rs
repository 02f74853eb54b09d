//! Simulated storage keeps the contracts of devices and directories, as long as it is not told to break them.

use super::*;
use oxifaster::device::conformance::{check_device, check_sync_failure};
use oxifaster::directory::conformance;
use oxifaster_sim::{Access, Cause, CrashPolicy, Latency, SimConfig, When};
use std::cell::Cell;

/// Nobody polls in most of the suite, so that the clock moves it.
fn impatient(latency: Latency) -> SimConfig {
    SimConfig::default().with_latency(latency).with_patience(Duration::from_millis(2)).with_prompt_answers(false)
}

fn worlds(latency: Latency) -> impl Fn() -> SimWorld {
    let count = Cell::new(0);
    move || {
        count.set(count.get() + 1);
        SimWorld::with(count.get(), impatient(latency))
    }
}

#[test]
fn the_disk_whose_accesses_complete_at_once() {
    let make = worlds(Latency::None);
    check_device(|| make().disk("log"));
}

#[test]
fn the_disk_whose_accesses_overtake_each_other_a_little() {
    let make = worlds(Latency::Short);
    check_device(|| make().disk("log"));
}

#[test]
fn the_disk_whose_accesses_overtake_each_other_a_lot() {
    let make = worlds(Latency::Uneven);
    check_device(|| make().disk("log"));
}

#[test]
fn the_disk_that_answers_promptly_who_has_no_channel() {
    let make = worlds(Latency::Uneven);
    check_device(|| SimWorld::with(make().seed(), impatient(Latency::Uneven).with_prompt_answers(true)).disk("log"));
}

#[test]
fn a_failed_sync_of_the_disk_is_final() {
    for latency in [Latency::None, Latency::Short] {
        let world = SimWorld::with(1, impatient(latency));
        check_sync_failure(&world.disk("log"), || world.fail(Access::DiskSync, When::Nth(1), Cause::Broken));
    }
}

#[test]
fn the_directory() {
    let make = worlds(Latency::None);
    conformance::check_directory(|| make().directory("checkpoints"));
    let world = SimWorld::new(1);
    conformance::check_kept(|| world.directory("checkpoints"));
}

#[test]
fn the_directory_after_a_crash() {
    for policy in CrashPolicy::ALL {
        let world = std::cell::RefCell::new(SimWorld::new(5));
        conformance::check_kept(|| {
            let next = world.borrow().crash(policy).restart();
            world.replace(next.clone());
            next.directory("checkpoints")
        });
    }
}

#[test]
fn a_failed_sync_of_a_file_is_final() {
    let world = SimWorld::new(1);
    let directory = world.directory("checkpoints");
    conformance::check_sync_failure(&directory, || world.fail(Access::FileSync, When::Nth(1), Cause::Broken));
}
