//! The runner finds what is planted, says how to see it again, and finds nothing else.

use super::*;
use crate::program::{Effort, LogProgram, ManifestFlaw, ManifestProgram, Program, Stage, Violation};
use crate::{CrashPolicy, SimRng, SimWorld};
use oxifaster::directory::Directory;
use std::sync::Mutex;
use std::time::{Duration, Instant};

#[test]
fn the_protocol_of_manifests_holds_at_every_crash_point() {
    let mut counts = Counts::default();
    for seed in 0..20 {
        let verdict = explore(&ManifestProgram::default(), seed);
        assert_eq!(verdict.failure.map(|failure| failure.to_string()), None);
        counts.add(verdict.counts);
    }
    assert!(counts.recoveries > 10_000 && counts.crash_points > 1_000 && counts.faults > 5, "{counts:?}");
    assert_eq!(counts.unasked, 0);
}

#[test]
fn a_small_manifest_survives_every_crash_that_is_possible() {
    for seed in 0..10 {
        let Verdict { counts, failure } = explore(&ManifestProgram { is_small: true, flaw: None }, seed);
        assert_eq!(failure.map(|failure| failure.to_string()), None);
        assert_eq!(counts.exhausted, counts.crash_points, "{counts:?}");
        assert!(counts.recoveries > 100, "{counts:?}");
    }
}

#[test]
fn every_mistake_in_the_protocol_is_found_and_can_be_replayed() {
    for flaw in ManifestFlaw::ALL {
        let program = ManifestProgram { flaw: Some(flaw), is_small: false };
        let found = (0..200).find_map(|seed| explore(&program, seed).failure);
        let Some(failure) = found else { panic!("{flaw:?} was not found") };
        let mut worlds = 0;
        let again = replay(&program, failure.seed, &failure.path, &mut |_| worlds += 1);
        assert_eq!(again.failure.as_ref(), Some(&failure), "{flaw:?}");
        assert_eq!(worlds, failure.path.0.len() + 1);
        assert_eq!(replay(&ManifestProgram::default(), failure.seed, &failure.path, &mut |_| ()).failure, None);
    }
}

#[test]
fn a_store_on_a_disk_that_fails_and_lies_gives_right_values_or_errors() {
    let mut counts = Counts::default();
    for seed in 0..40 {
        let verdict = explore(&LogProgram, seed);
        assert_eq!(verdict.failure.map(|failure| failure.to_string()), None);
        counts.add(verdict.counts);
    }
    assert!(counts.faults > 1_000 && counts.events > 5_000, "{counts:?}");
    assert_eq!(counts.unasked, 0, "the store polls while it waits");
}

#[test]
fn one_seed_of_a_store_is_one_run() {
    let run = |seed| {
        let mut shape = 0;
        let verdict = replay(&LogProgram, seed, &CrashPath::default(), &mut |world| shape = world.trace().shape());
        (verdict, shape)
    };
    for seed in 0..10 {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(1).1, run(2).1);
}

/// Fails, panics, or goes on too long, as its seed says.
#[derive(Default)]
struct Nuisance;

impl Program for Nuisance {
    type Known = bool;
    type History = ();

    const NAME: &'static str = "nuisance";
    const ABOUT: &'static str = "fails";

    fn beginning(&self) -> bool {
        true
    }

    fn run(&self, world: &SimWorld, is_first: &bool, stage: Stage, _: &mut SimRng) -> Result<(), Violation> {
        assert_eq!(*is_first, stage.is_first());
        world.directory("dir").create("a").unwrap();
        match world.directory("dir").names() {
            Ok(names) if stage.0 == 2 => panic!("{} names", names.len()),
            _ => Ok(()),
        }
    }

    fn known_at(&self, (): &(), _: usize) -> bool {
        false
    }

    fn effort(&self) -> Effort {
        Effort { points_max: 10, units_max: 4, again_one_in: 1, depth_max: 2, ..Effort::EVERYTHING }
    }
}

#[test]
fn a_panic_is_a_violation_with_a_line_that_leads_to_it() {
    let failure = explore(&Nuisance, 17).failure.unwrap();
    let line = failure.to_string();
    assert!(line.starts_with("FAIL program=nuisance seed=17 clause=\"no panic\" survived=\"nothing\""), "{line}");
    let replayed = "replay=\"oxifaster-sim replay 17 --program nuisance --crash 0:subset:0x0 --crash 0:subset:0x0\"";
    assert!(line.ends_with(replayed) && line.contains("what=\"1 names\""), "{line}");
    let steps = line.split("--crash ").skip(1).map(|step| step.trim_end_matches('"').trim().parse().unwrap());
    let path = CrashPath(steps.collect());
    assert_eq!(path, failure.path);
    assert_eq!(replay(&Nuisance, 17, &path, &mut |_| ()).failure, Some(failure));
}

#[test]
fn a_replay_beyond_the_end_of_a_run_says_so() {
    let path = CrashPath(vec![CrashStep { event: 10_000, policy: CrashPolicy::Torn }]);
    let failure = replay(&Nuisance, 1, &path, &mut |_| ()).failure.unwrap();
    assert!(failure.violation.what.contains("ends before event 1"), "{failure}");
}

#[test]
fn crashes_are_read_as_they_are_written() {
    for policy in CrashPolicy::ALL.into_iter().chain([CrashPolicy::Subset(9)]) {
        let step = CrashStep { event: 137, policy };
        assert_eq!(step.to_string().parse(), Ok(step));
    }
    for wrong in ["", "137", "x:torn", "137:", "137:some", "-1:torn"] {
        assert!(wrong.parse::<CrashStep>().is_err(), "{wrong}");
    }
}

#[derive(Default)]
struct Heard {
    failed: Mutex<Vec<u64>>,
    hung: Mutex<Vec<u64>>,
}

impl Observer for Heard {
    fn failed(&self, failure: &Failure) {
        self.failed.lock().unwrap().push(failure.seed);
    }

    fn hangs(&self, _: &'static str, seed: u64, _: Duration) {
        self.hung.lock().unwrap().push(seed);
    }

    fn progress(&self, _: &Summary) {}
}

fn campaign(subject: Subject) -> Campaign {
    let seed_limit = Duration::from_secs(60);
    Campaign { subjects: vec![subject], from: 3, to: 9, deadline: None, jobs: 2, seed_limit }
}

fn subject(explore: fn(u64) -> Verdict) -> Subject {
    Subject { name: "test", explore, ..Subject::ALL[0] }
}

#[test]
fn a_campaign_looks_at_every_seed_once_and_tells_of_each_failure() {
    let heard = Heard::default();
    let summary = campaign(subject(|seed| match explore(&Nuisance, seed) {
        verdict if seed % 2 == 0 => verdict,
        verdict => Verdict { failure: None, ..verdict },
    }))
    .run(&heard);
    let mut failed = heard.failed.into_inner().unwrap();
    failed.sort_unstable();
    assert_eq!((failed, summary.failures, summary.counts.seeds), (vec![4, 6, 8], 3, 6));
}

#[test]
fn a_campaign_ends_when_its_time_is_over() {
    let soak = Campaign { to: u64::MAX, deadline: Some(Instant::now()), ..campaign(Subject::ALL[0]) };
    assert_eq!(soak.run(&Heard::default()).counts.seeds, 0);
}

#[test]
fn a_seed_that_hangs_is_told() {
    static RELEASED: Mutex<bool> = Mutex::new(false);
    struct Release(Heard);
    impl Observer for Release {
        fn failed(&self, _: &Failure) {}

        fn hangs(&self, program: &'static str, seed: u64, since: Duration) {
            self.0.hangs(program, seed, since);
            *RELEASED.lock().unwrap() = true;
        }

        fn progress(&self, _: &Summary) {}
    }
    let hang = |_| {
        while !*RELEASED.lock().unwrap() {
            std::thread::yield_now();
        }
        Verdict { counts: Counts::default(), failure: None }
    };
    let observer = Release(Heard::default());
    Campaign { to: 4, seed_limit: Duration::ZERO, ..campaign(subject(hang)) }.run(&observer);
    assert_eq!(observer.0.hung.into_inner().unwrap().first(), Some(&3));
}
