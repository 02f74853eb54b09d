//! What of a disk survives a crash.

use super::*;
use oxifaster::directory::Directory;
use oxifaster_sim::{Access, Cause, CrashPolicy, Latency, SECTOR, SimConfig, When};
use std::collections::BTreeSet;

fn world() -> SimWorld {
    SimWorld::with(9, SimConfig::default().with_latency(Latency::None))
}

/// Whether a block is old, new, or a mix of whole sectors.
fn sectors_of(bytes: &[u8], old: u8, new: u8) -> Vec<bool> {
    assert_eq!(bytes.len(), BLOCK);
    let is_new = |sector: &[u8]| {
        let first = sector[0];
        assert!(first == old || first == new, "{first}");
        assert!(sector.iter().all(|byte| *byte == first), "a sector is written whole or not at all");
        first == new
    };
    bytes.chunks(SECTOR as usize).map(is_new).collect()
}

#[test]
fn what_was_not_synced_can_be_lost_and_what_was_synced_cannot() {
    let world = world();
    let disk = world.disk("log");
    write(&disk, 0, 1);
    sync(&disk);
    write(&disk, 0, 2);
    write(&disk, 1, 2);
    let lost = world.crash(CrashPolicy::LoseAll).restart();
    assert_eq!(read_log(&lost, 0), [1; BLOCK]);
    assert_eq!(lost.disk("log").info().extent, BLOCK as u64, "the length is lost as well");
    let kept = world.crash(CrashPolicy::KeepAll).restart();
    assert_eq!((read_log(&kept, 0), read_log(&kept, 1)), (vec![2; BLOCK], vec![2; BLOCK]));
    sync(&disk);
    for policy in CrashPolicy::ALL {
        let after = world.crash(policy).restart();
        assert_eq!((read_log(&after, 0), read_log(&after, 1)), (vec![2; BLOCK], vec![2; BLOCK]), "{policy}");
    }
}

#[test]
fn writes_are_torn_at_sectors() {
    let world = world();
    let disk = world.disk("log");
    write(&disk, 0, 1);
    sync(&disk);
    write(&disk, 0, 2);
    let torn = sectors_of(&read_log(&world.crash(CrashPolicy::Torn).restart(), 0), 1, 2);
    assert!(torn.contains(&true) && torn.contains(&false), "{torn:?}");
    // Each sector by itself: all 256 outcomes.
    let outcomes: BTreeSet<_> = world
        .crash_point()
        .all_crashes(8)
        .unwrap()
        .map(|crash| sectors_of(&read_log(&crash.restart(), 0), 1, 2))
        .collect();
    assert_eq!(outcomes.len(), 256);
}

#[test]
fn the_newest_write_may_survive_alone() {
    let world = world();
    let disk = world.disk("log");
    for block in 0..4 {
        write(&disk, block, 7);
    }
    let mut outcomes = BTreeSet::new();
    for seed in 0..100 {
        let image = world.crash(CrashPolicy::KeepAll).image;
        let again = SimWorld::restart(seed, world.config(), &image);
        let disk = again.disk("log");
        (0..4).for_each(|block| write(&disk, block, 8));
        let after = again.crash(CrashPolicy::Newest).restart();
        outcomes.insert((0..4).map(|block| read_log(&after, block)[0]).collect::<Vec<_>>());
    }
    let expected = [[7, 7, 7, 7], [7, 7, 7, 8], [7, 7, 8, 8], [7, 8, 8, 8], [8, 8, 8, 8]];
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_file_may_have_become_longer_without_its_bytes() {
    let world = world();
    write(&world.disk("log"), 2, 7);
    let lengths: BTreeSet<_> = world
        .crash_point()
        .all_crashes(9)
        .unwrap()
        .filter(|crash| crash.survivors.len() <= 1)
        .map(|crash| crash.image.disk("log").unwrap().len())
        .collect();
    // Nothing, or up to one of the sectors; with the length alone it ends where it would have, and holds zeros.
    assert!(
        lengths.contains(&0) && lengths.contains(&(2 * 4096 + 512)) && lengths.contains(&(3 * 4096)),
        "{lengths:?}"
    );
    let is_length_only = |crash: &oxifaster_sim::Crash| crash.survivors.to_string().ends_with("[len]");
    let hollow = world.crash_point().all_crashes(9).unwrap().find(is_length_only).unwrap();
    assert_eq!(read_log(&hollow.restart(), 2), [0; BLOCK]);
}

#[test]
fn a_sync_covers_what_had_completed_before_it_was_asked_for_and_no_more() {
    for seed in 0..200 {
        let world = SimWorld::with(seed, SimConfig::default().with_latency(Latency::Short));
        let (disk, queue) = (world.disk("log"), CompletionQueue::new());
        write(&disk, 0, 1);
        start(&disk, write_request(1, 1), &queue);
        let is_done_before = world.in_flight() == 0;
        sync(&disk);
        world.settle();
        let after = world.crash(CrashPolicy::LoseAll).restart();
        let kept = |block| !read_log(&after, block).is_empty();
        assert!(kept(0));
        assert_eq!(kept(1), is_done_before, "seed {seed}");
    }
}

#[test]
fn a_write_under_way_may_survive_in_part() {
    let world = SimWorld::with(3, SimConfig::default().with_latency(Latency::Uneven));
    let (disk, queue) = (world.disk("log"), CompletionQueue::new());
    write(&disk, 0, 1);
    sync(&disk);
    // The one that is still under way after it was submitted.
    let mut newest = 1;
    while world.in_flight() == 0 {
        newest += 1;
        start(&disk, write_request(0, newest), &queue);
    }
    let units = world.crash_point().uncertain();
    assert_eq!(units, 8 * usize::from(newest - 1));
    let torn = (0..20).any(|event| {
        let point = world.crash_points().nth(world.now() - event % 2).unwrap();
        let bytes = read_log(&point.crash(CrashPolicy::Torn).restart(), 0);
        bytes.contains(&newest) && !bytes.iter().all(|byte| *byte == newest)
    });
    assert!(torn);
    assert_ne!(read(&disk, 0)[0], 0);
}

#[test]
fn a_failed_sync_covers_nothing_and_what_it_was_to_cover_stays_uncertain() {
    let world = world();
    let disk = world.disk("log");
    write(&disk, 0, 1);
    world.fail(Access::DiskSync, When::Nth(1), Cause::Broken);
    run(&disk, IoRequest::sync()).result.unwrap_err();
    run(&disk, IoRequest::sync()).result.unwrap_err();
    assert_eq!(read(&disk, 0), [1; BLOCK], "who reads sees it all the same");
    assert!(world.crash(CrashPolicy::LoseAll).image.disk("log").unwrap().is_empty());
    assert_eq!(world.crash(CrashPolicy::KeepAll).image.disk("log").unwrap().len(), BLOCK as u64);
    // After a restart the disk is sound again.
    let after = world.crash(CrashPolicy::LoseAll).restart();
    write(&after.disk("log"), 0, 2);
    sync(&after.disk("log"));
}

#[test]
fn what_a_process_that_died_had_not_synced_is_there_and_can_be_lost_later() {
    let world = world();
    let (disk, directory) = (world.disk("log"), world.directory("dir"));
    write(&disk, 0, 1);
    sync(&disk);
    write(&disk, 0, 2);
    directory.create("a").unwrap().write_at(0, b"x").unwrap();
    let after = world.crash(CrashPolicy::Killed).restart();
    assert_eq!(read_log(&after, 0), [2; BLOCK]);
    assert_eq!(after.directory("dir").open("a").unwrap().len().unwrap(), 1);
    let lost = after.crash(CrashPolicy::LoseAll).restart();
    assert_eq!(read_log(&lost, 0), [1; BLOCK]);
    assert!(lost.directory("dir").names().unwrap().is_empty());
    // It is synced by whoever syncs next, also by another process.
    sync(&after.disk("log"));
    after.directory("dir").sync().unwrap();
    after.directory("dir").open("a").unwrap().sync().unwrap();
    let kept = after.crash(CrashPolicy::LoseAll).restart();
    assert_eq!(read_log(&kept, 0), [2; BLOCK]);
    assert_eq!(kept.directory("dir").open("a").unwrap().len().unwrap(), 1);
    assert_eq!(after.first_event(), world.now() + 1);
    assert_eq!(after.crash_points().count(), after.now() - after.first_event() + 1);
    assert!(after.crash_point_at(world.now()).is_none());
}

#[test]
fn what_a_failed_sync_was_to_cover_is_not_covered_by_the_next_process_either() {
    let world = world();
    write(&world.disk("log"), 0, 1);
    world.fail(Access::DiskSync, When::Nth(1), Cause::Broken);
    run(&world.disk("log"), IoRequest::sync()).result.unwrap_err();
    let after = world.crash(CrashPolicy::Killed).restart();
    write(&after.disk("log"), 1, 2);
    sync(&after.disk("log"));
    let lost = after.crash(CrashPolicy::LoseAll).restart();
    assert_eq!((read_log(&lost, 0), read_log(&lost, 1)), (vec![0; BLOCK], vec![2; BLOCK]));
}

#[test]
fn what_a_failed_sync_was_to_cover_does_not_come_back_over_a_later_write_that_is_durable() {
    let world = world();
    write(&world.disk("log"), 0, 1);
    write(&world.disk("log"), 1, 1);
    world.fail(Access::DiskSync, When::Nth(1), Cause::Broken);
    run(&world.disk("log"), IoRequest::sync()).result.unwrap_err();
    let after = world.crash(CrashPolicy::Killed).restart();
    write(&after.disk("log"), 0, 2);
    sync(&after.disk("log"));
    for policy in CrashPolicy::ALL {
        let last = after.crash(policy).restart();
        assert_eq!(read_log(&last, 0), [2; BLOCK], "{policy}");
    }
    let kept = after.crash(CrashPolicy::KeepAll).restart();
    assert_eq!((read_log(&kept, 0), read_log(&kept, 1)), (vec![2; BLOCK], vec![1; BLOCK]));
}

#[test]
fn a_write_under_way_when_the_process_dies_is_carried_out_or_not() {
    let (mut done, mut not_done) = (0, 0);
    for seed in 0..50 {
        let world = SimWorld::with(seed, SimConfig::default().with_latency(Latency::Uneven));
        let (disk, queue) = (world.disk("log"), CompletionQueue::new());
        start(&disk, write_request(0, 1), &queue);
        if world.in_flight() == 0 {
            continue;
        }
        let after = world.crash(CrashPolicy::Killed).restart();
        match read_log(&after, 0).as_slice() {
            [] => not_done += 1,
            bytes => done += usize::from(*bytes == [1; BLOCK]),
        }
        world.settle();
    }
    assert!(done > 5 && not_done > 5, "{done} {not_done}");
}

#[test]
fn a_truncation_may_be_undone_until_it_is_synced() {
    let world = world();
    let disk = world.disk("log");
    (0..4).for_each(|block| write(&disk, block, 1));
    sync(&disk);
    run(&disk, IoRequest::truncate_before(2 * BLOCK as u64)).result.unwrap();
    assert!(run(&disk, read_request(1)).result.is_err());
    assert_eq!(world.crash(CrashPolicy::LoseAll).image.disk("log").unwrap().begin(), 0);
    assert_eq!(world.crash(CrashPolicy::KeepAll).image.disk("log").unwrap().begin(), 2 * BLOCK as u64);
    sync(&disk);
    let after = world.crash(CrashPolicy::LoseAll).restart();
    assert!(run(&after.disk("log"), read_request(1)).result.is_err());
    assert_eq!(read_log(&after, 2), [1; BLOCK]);
}

#[test]
fn every_event_is_a_crash_point_and_each_shows_its_moment() {
    let world = world();
    let disk = world.disk("log");
    let mut expected = vec![0];
    for round in 1..=3 {
        write(&disk, 0, round);
        expected.extend([round - 1, round - 1]);
        sync(&disk);
        expected.push(round);
    }
    let found: Vec<u8> = world
        .crash_points()
        .map(|point| point.crash(CrashPolicy::LoseAll))
        .map(|crash| crash.image.disk("log").unwrap().to_vec().first().copied().unwrap_or(0))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(world.events().len(), world.now());
}

#[test]
fn the_survivors_can_be_named_and_chosen_again() {
    let world = world();
    write(&world.disk("log"), 0, 1);
    let crash = world.crash("subset:0x5".parse().unwrap());
    assert_eq!(crash.survivors.to_string(), "0[0,2]");
    assert_eq!(crash.image, world.crash(crash.policy).image);
    assert_ne!(crash.image.fingerprint(), world.crash(CrashPolicy::KeepAll).image.fingerprint());
}

#[test]
fn a_restarted_world_can_be_crashed_again() {
    let mut world = world();
    for round in 1..=5 {
        write(&world.disk("log"), u64::from(round), round);
        sync(&world.disk("log"));
        write(&world.disk("log"), 0, round);
        world = world.crash(CrashPolicy::Torn).restart();
        for synced in 1..=round {
            assert_eq!(read_log(&world, u64::from(synced)), vec![synced; BLOCK]);
        }
    }
}
