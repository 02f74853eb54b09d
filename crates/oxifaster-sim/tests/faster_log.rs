//! A durable log holds what it promises, whatever crashes and fails. `docs/testing.md` says how to look further.
#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test panics when it fails")]

use oxifaster_sim::program::{FasterLogProgram, StorageFlaw};
use oxifaster_sim::runner::{Counts, Verdict, explore};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const SEEDS: u64 = 60;

/// Looks at seeds on two threads.
fn explore_all(program: FasterLogProgram, seeds: u64) -> Counts {
    let (next, counts, failures) = (AtomicU64::new(0), Mutex::new(Counts::default()), Mutex::new(Vec::new()));
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds) {
            let verdict = explore(&program, seed);
            counts.lock().unwrap().add(verdict.counts);
            failures.lock().unwrap().extend(verdict.failure.map(|failure| failure.to_string()));
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
    assert_eq!(failures.into_inner().unwrap(), Vec::<String>::new());
    counts.into_inner().unwrap()
}

#[test]
fn some_dozen_seeds_keep_what_was_committed() {
    let counts = explore_all(FasterLogProgram::default(), SEEDS);
    let Counts { seeds, recoveries, faults, unasked, .. } = counts;
    assert!(seeds == SEEDS && recoveries > 2_000 && faults > 0, "{counts:?}");
    assert_eq!(unasked, 0, "what the clock moved may not repeat");
}

/// Every write, sync and truncation, six sets of survivors each, or all that there can be.
#[test]
fn every_crash_point_of_a_short_program_keeps_what_was_committed() {
    let counts = explore_all(FasterLogProgram { is_short: true, ..FasterLogProgram::default() }, 6);
    assert!(counts.crash_points > 200 && counts.recoveries > counts.crash_points * 4, "{counts:?}");
}

#[test]
fn one_seed_is_one_run_with_all_its_crashes() {
    for seed in 0..10 {
        let first = explore(&FasterLogProgram::default(), seed);
        assert_eq!(first, explore(&FasterLogProgram::default(), seed), "seed {seed}");
    }
}

/// A disk that breaks its promises is found out, each of its flaws within a few seeds.
#[test]
fn what_a_disk_only_pretends_to_do_is_found() {
    let flaws =
        [StorageFlaw::SkipsDiskSync, StorageFlaw::OverlooksFailedDiskSync, StorageFlaw::OverlooksFailedDiskWrite];
    for flaw in flaws {
        let program = FasterLogProgram { flaw: Some(flaw), is_short: false };
        let found = (0..200).find_map(|seed| {
            let Verdict { failure, .. } = explore(&program, seed);
            failure
        });
        assert!(found.is_some(), "{flaw:?} was not found");
    }
}
