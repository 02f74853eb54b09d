//! What is compacted and what is durable without a checkpoint, at the crash points of some seeds. More of them:
//! `oxifaster-sim run --program compaction`, `--program durability`.
#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test panics when it fails")]

use oxifaster_sim::program::{CompactionProgram, DurabilityProgram, ExpiryProgram, Pieces, Program};
use oxifaster_sim::runner::explore;

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
