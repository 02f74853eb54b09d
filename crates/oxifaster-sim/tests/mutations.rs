//! The simulator sees: each classic mistake is found within the seeds of the gate. Those of storage are planted by
//! wrappers; those within the library are compiled in with `--cfg oxifaster_mutate` (`cargo x mutations`).
#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test panics when it fails")]

use oxifaster_sim::program::{CheckpointProgram, StorageFlaw};
use oxifaster_sim::runner::{Failure, explore};
use std::sync::Mutex;

/// The gate looks at so many.
const SEEDS: u64 = 2_000;
const THREADS: usize = 2;

/// One mistake: what it is called, what it breaks, and the program with it on one seed.
struct Mistake {
    name: String,
    what: &'static str,
    look: Box<dyn Fn(u64) -> Option<Box<Failure>> + Send + Sync>,
}

/// The first seed that finds each mistake, as lines of a table.
fn table(mistakes: &[Mistake]) -> Vec<(String, bool)> {
    let (next, lines) = (Mutex::new(0..mistakes.len()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let Some(number) = next.lock().unwrap().next() else { break };
                    let Mistake { name, what, look } = &mistakes[number];
                    let found = (0..SEEDS).find_map(look);
                    let (seed, clause) = match &found {
                        Some(failure) => (failure.seed.to_string(), failure.violation.clause),
                        None => ("-".to_owned(), "NOT FOUND"),
                    };
                    let line = format!("| {name} | {what} | {seed} | {clause} |");
                    lines.lock().unwrap().push((number, line, found.is_some()));
                }
            });
        }
    });
    let mut lines = lines.into_inner().unwrap();
    lines.sort();
    println!("| mistake | what it breaks | seed that finds it | clause |\n|---|---|---|---|");
    lines.iter().for_each(|(_, line, _)| println!("{line}"));
    lines.into_iter().map(|(_, line, found)| (line, found)).collect()
}

fn assert_all_found(mistakes: &[Mistake]) {
    let missed: Vec<_> = table(mistakes).into_iter().filter(|(_, found)| !found).collect();
    assert!(missed.is_empty(), "not found within {SEEDS} seeds: {missed:#?}");
}

#[test]
fn storage_that_breaks_its_promises_is_found_out() {
    let mistake = |flaw: StorageFlaw| {
        let program = CheckpointProgram { flaw: Some(flaw), ..CheckpointProgram::default() };
        let look = Box::new(move |seed| explore(&program, seed).failure);
        Mistake { name: format!("{flaw:?}"), what: flaw.what(), look }
    };
    assert_all_found(&StorageFlaw::ALL.map(mistake));
}

#[cfg(oxifaster_mutate)]
#[test]
fn classic_mistakes_in_the_library_are_found() {
    use oxifaster::utility::Mutation;
    use oxifaster_sim::program::FasterLogProgram;
    let mistake = |mutation: &Mutation| {
        let mutation = *mutation;
        // A checkpoint syncs by itself; who commits again and again has small writes made durable one by one.
        let run = move |seed| match mutation {
            Mutation::CountsWriteThroughAsSync => explore(&FasterLogProgram::default(), seed),
            _ => explore(&CheckpointProgram::default(), seed),
        };
        let look = Box::new(move |seed| mutation.plant(|| run(seed)).failure);
        Mistake { name: format!("{mutation:?}"), what: mutation.what().trim(), look }
    };
    let mistakes: Vec<_> = Mutation::ALL.iter().map(mistake).collect();
    assert_all_found(&mistakes);
    let without = explore(&CheckpointProgram::default(), 0).failure;
    assert_eq!(without, None, "nothing is planted any more");
}
