//! What is compacted and what is durable without a checkpoint, at the crash points of some seeds. More of them:
//! `oxifaster-sim run --program compaction`, `--program durability`.
#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test panics when it fails")]

use oxifaster::directory::Directory;
use oxifaster::store::{CheckpointOptions, Durability, FasterKv, FasterKvConfig, Session};
use oxifaster_sim::program::{CompactionProgram, DurabilityProgram, ExpiryProgram, Pieces, Program};
use oxifaster_sim::runner::explore;
use oxifaster_sim::{Access, Cause, CrashPolicy, Latency, SimConfig, SimDisk, SimRng, SimWorld, When};
use std::time::Duration;

/// Recoveries of all seeds.
fn explore_all<P: Program>(program: &P, seeds: std::ops::Range<u64>) -> u64 {
    let mut recoveries = 0;
    for seed in seeds {
        let verdict = explore(program, seed);
        assert_eq!(verdict.failure, None, "seed {seed}");
        recoveries += verdict.counts.recoveries;
    }
    recoveries
}

#[test]
fn what_is_compacted_while_checkpoints_are_taken_is_there_after_every_crash() {
    let recoveries = explore_all(&<CompactionProgram>::default(), 0..40);
    assert!(recoveries > 2000, "{recoveries}");
}

#[test]
fn what_has_ended_does_not_come_back_after_a_crash() {
    let recoveries = explore_all(&ExpiryProgram::default(), 0..30);
    assert!(recoveries > 1500, "{recoveries}");
}

#[test]
fn what_was_reported_durable_is_there_after_every_crash() {
    let recoveries = explore_all(&<DurabilityProgram>::default(), 0..4);
    assert!(recoveries > 1000, "{recoveries}");
}

#[test]
fn records_of_any_length_are_compacted_as_well() {
    let recoveries = explore_all(&CompactionProgram::<Vec<u8>>::default(), 0..40);
    assert!(recoveries > 2000, "{recoveries}");
}

#[test]
fn values_larger_than_a_page_are_whole_after_every_crash() {
    let recoveries = explore_all(&DurabilityProgram::<Pieces>::default(), 0..4);
    assert!(recoveries > 1000, "{recoveries}");
}

type Store = FasterKv<u64, Vec<u8>, SimDisk>;

fn open(world: &SimWorld) -> Store {
    let config = FasterKvConfig::default()
        .with_log_memory_size(32 << 10)
        .with_page_size_bits(12)
        .with_table_size(16)
        .with_pretouch(false)
        .with_wait_limit(Duration::from_secs(5))
        .with_durability(Durability::EveryOperation);
    FasterKv::open_durable_in(&world.directory("checkpoints"), config, world.disk("log"), &|_| ()).unwrap().0
}

fn value(key: u64) -> Vec<u8> {
    vec![key as u8; (key * 977 % 3000) as usize]
}

/// How many keys are there, of those that were written in the order of their numbers.
fn keys(store: &Store) -> u64 {
    let mut session = store.start_session();
    let mut read = |key: u64| session.read(&key).unwrap();
    let count = (0..).take_while(|key| read(*key) == Some(value(*key))).count() as u64;
    assert!((count..count + 20).all(|key| read(key).is_none()), "no key is there without those before it");
    count
}

/// What a process has when its last sync has failed: some keys are durable, and some can only be read.
fn fail_a_sync(world: &SimWorld, rng: &mut SimRng) -> u64 {
    let store = open(world);
    let mut session = store.start_session();
    let durable = rng.below(8);
    let write = |session: &mut Session<u64, Vec<u8>>, keys: std::ops::Range<u64>| {
        keys.for_each(|key| session.upsert(key, value(key)).unwrap());
    };
    write(&mut session, 0..durable);
    session.set_waits_for_durable(false);
    write(&mut session, durable..durable + 1 + rng.below(6));
    world.fail(Access::DiskSync, When::From(1), Cause::Broken);
    session.wait_durable().unwrap_err();
    durable
}

/// The last sync of a process fails, and the process dies, but not the machine: what it wrote can be read, and no later sync covers it.
/// What the next process says to be durable is there when the power fails after that.
#[test]
fn what_a_failed_sync_left_is_durable_when_the_next_process_says_so() {
    let mut doubtful = 0;
    for seed in 0..60 {
        let (world, mut rng) =
            (SimWorld::with(seed, SimConfig::default().with_latency(Latency::None)), SimRng::new(seed));
        let durable = fail_a_sync(&world, &mut rng);
        let next = world.crash(CrashPolicy::Killed).restart();
        let store = open(&next);
        let mut there = keys(&store);
        assert!(there >= durable, "seed {seed}: {there} of {durable} keys are there");
        doubtful += there - durable;
        match seed % 3 {
            0 => drop(store.checkpoint_to(&next.directory("checkpoints"), &CheckpointOptions::default()).unwrap()),
            1 => {
                store.start_session().upsert(there, value(there)).unwrap();
                there += 1;
            }
            _ => {} // it is open, and that is all
        }
        for policy in CrashPolicy::ALL {
            let after = next.crash(policy).restart();
            assert!(!after.directory("checkpoints").names().unwrap().is_empty());
            assert_eq!(keys(&open(&after)), there, "seed {seed}, {policy}");
        }
    }
    assert!(doubtful > 60, "{doubtful}");
}
