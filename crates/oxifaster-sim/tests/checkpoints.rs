//! Checkpoints of a store hold what they promise, whatever crashes and fails. `docs/testing.md` says how to look further.
#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test panics when it fails")]

use oxifaster_sim::program::{AnyLength, CheckpointProgram, CheckpointProgramOf, Taking};
use oxifaster_sim::runner::{Campaign, Counts, Failure, Observer, Subject, Summary, explore};
use std::sync::Mutex;
use std::time::Duration;

const SEEDS: u64 = 2_000;

#[derive(Default)]
struct Failures(Mutex<Vec<String>>);

impl Observer for Failures {
    fn failed(&self, failure: &Failure) {
        eprintln!("{failure}");
        self.0.lock().unwrap().push(failure.to_string());
    }

    fn hangs(&self, program: &'static str, seed: u64, since: Duration) {
        eprintln!("FAIL program={program} seed={seed} clause=\"hangs\" what=\"for {since:.0?}\"");
        std::process::exit(1);
    }

    fn progress(&self, so_far: &Summary) {
        eprintln!("{so_far:?}");
    }
}

#[test]
fn two_thousand_seeds_lose_nothing_that_was_reported() {
    let (subject, failures) = (Subject::named("checkpoint").unwrap(), Failures::default());
    let seed_limit = Duration::from_secs(120);
    let campaign = Campaign { subjects: vec![subject], from: 0, to: SEEDS, deadline: None, jobs: 2, seed_limit };
    let Counts { seeds, recoveries, faults, unasked, .. } = campaign.run(&failures).counts;
    assert_eq!(failures.0.into_inner().unwrap(), Vec::<String>::new());
    assert!(seeds == SEEDS && recoveries > 100_000 && faults > 10_000, "{seeds} {recoveries} {faults}");
    assert_eq!(unasked, 0, "what the clock moved may not repeat");
}

#[test]
fn records_of_any_length_are_not_lost_either() {
    let mut counts = Counts::default();
    for seed in 0..100 {
        let verdict = explore(&CheckpointProgramOf::<AnyLength>::default(), seed);
        assert_eq!(verdict.failure.map(|failure| failure.to_string()), None);
        counts.add(verdict.counts);
    }
    assert!(counts.recoveries > 2_000 && counts.faults > 200, "{counts:?}");
}

/// Five kinds of checkpoints, 200 operations, every write, sync, rename and removal, six sets of survivors each.
#[test]
fn every_crash_point_of_every_kind_of_checkpoint_leads_back_to_what_was_reported() {
    for kind in Taking::ALL {
        let program = CheckpointProgram { only: Some(kind), ..CheckpointProgram::default() };
        let mut counts = Counts::default();
        for seed in 0..3 {
            let verdict = explore(&program, seed);
            assert_eq!(verdict.failure.map(|failure| failure.to_string()), None, "{kind:?}");
            counts.add(verdict.counts);
        }
        let Counts { recoveries, crash_points, .. } = counts;
        assert!(crash_points > 200 && recoveries > crash_points * 5, "{kind:?}: {counts:?}");
    }
}

/// The store draws tokens and generations of its own, so that its bytes differ; what it does does not.
#[test]
fn one_seed_is_one_run_with_all_its_crashes() {
    for seed in 0..40 {
        let first = explore(&CheckpointProgram::default(), seed);
        assert_eq!(first, explore(&CheckpointProgram::default(), seed), "seed {seed}");
    }
}
