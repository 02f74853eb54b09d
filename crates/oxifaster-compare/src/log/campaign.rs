//! All contestants on all courses, in turns.

use super::engine::{LogEngine, ROSTER};
use super::race::{self, Course};
use crate::failure::{Failure, Result};
use crate::machine::{self, Machine};
use crate::options::LogOptions;
use crate::summary::Summary;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The figures of a contestant, one for each round; or why there are none.
type Figures = Result<Vec<f64>>;

/// Measures, and prints tables.
pub(crate) fn run(options: &LogOptions) -> Result<()> {
    let known = |name: &&String| !ROSTER.iter().any(|(other, _)| other == name);
    if let Some(name) = options.engines.iter().find(known) {
        let names: Vec<&str> = ROSTER.iter().map(|(name, _)| *name).collect();
        return Err(Failure::new(format!("there is no log {name:?}; there are {names:?}")));
    }
    let machine = Machine::this();
    println!(
        "{}, {} cores, Linux {}; load {:.2} before the run\n",
        machine.processor,
        machine.cores,
        machine.kernel,
        machine::load()
    );
    for size in &options.sizes {
        for &(threads, is_batch) in &[(2, true), (1, false)] {
            let course = Course { size: *size, threads, is_batch };
            let time = Duration::from_secs_f64(options.seconds);
            let figures = rounds(options, &|engine, place| race::append(engine, course, time, place));
            let how = if is_batch { "batches of 64" } else { "a call for each" };
            let title = format!("{size} B, {threads} appending, {how}: million entries/s, durable every 10 ms");
            print!("{}", table(&title, &figures, 1e6));
        }
    }
    let figures = rounds(options, &|engine, _| race::commit(engine));
    print!("{}", table("one entry of 64 B and a wait for it: microseconds, the median of 200", &figures, 1.0));
    Ok(())
}

fn rounds(options: &LogOptions, turn: &dyn Fn(&dyn LogEngine, &Path) -> Result<f64>) -> Vec<(&'static str, Figures)> {
    let wanted = |name: &str| options.engines.is_empty() || options.engines.iter().any(|other| other == name);
    let mut all: Vec<_> =
        ROSTER.iter().filter(|(name, _)| wanted(name)).map(|(name, _)| (*name, Ok(Vec::new()))).collect();
    for round in 0..options.repetitions {
        for at in 0..all.len() {
            let at = (at + round) % all.len();
            let (name, figures) = &mut all[at];
            let Ok(known) = figures else { continue };
            match one(options, name, turn) {
                Ok(figure) => known.push(figure),
                Err(failure) => *figures = Err(failure),
            }
        }
    }
    all
}

/// One turn in an empty directory.
fn one(options: &LogOptions, name: &str, turn: &dyn Fn(&dyn LogEngine, &Path) -> Result<f64>) -> Result<f64> {
    let place: PathBuf = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let place = place.join(format!("oxifaster-compare-log-{}", std::process::id()));
    std::fs::create_dir_all(&place)?;
    let open = ROSTER.iter().find(|(other, _)| *other == name).map(|(_, open)| open);
    let outcome = open.ok_or_else(|| Failure::new("no such log")).and_then(|open| turn(&*open(&place)?, &place));
    std::fs::remove_dir_all(&place)?;
    outcome
}

fn table(title: &str, all: &[(&'static str, Figures)], unit: f64) -> String {
    let mut text =
        format!("**{title}**\n\n| log | min | median | max | oxifaster / it, median |\n|---|---|---|---|---|\n");
    let ours = all.iter().find(|(name, _)| *name == "oxifaster").and_then(|(_, figures)| figures.as_ref().ok());
    for (name, figures) in all {
        let row = match figures {
            Ok(figures) => Summary::of(figures).map_or_else(String::new, |summary| {
                let ratio = ours.and_then(|ours| Summary::of_ratios(ours, figures));
                let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{:.2}", ratio.median));
                let [min, median, max] = [summary.min, summary.median, summary.max].map(|figure| figure / unit);
                format!("{min:.3} | **{median:.3}** | {max:.3} | {ratio}")
            }),
            Err(failure) => format!("FAILED: {failure} | | |"),
        };
        let _ = writeln!(text, "| {name} | {row} |");
    }
    text.push('\n');
    text
}
