//! All measurements of a run in memory.

use super::check;
use super::engine::{MemoryEngine, Workload};
use super::race::Race;
use super::roster;
use super::stream::{CHUNK, KeyStream};
use super::trial;
use crate::distribution::Distribution;
use crate::failure::{Failure, Result};
use crate::machine;
use crate::options::MemoryOptions;
use crate::report::{Cell, Engine, Latency, Report};
use std::time::{Duration, Instant};

/// An engine that is loaded and takes part.
struct Entrant {
    name: &'static str,
    engine: Box<dyn MemoryEngine>,
}

/// Runs what the options say, and fills the report on the way.
pub(crate) fn run(options: &MemoryOptions, report: &mut Report) -> Result<()> {
    let names = chosen(&options.engines)?;
    for keys in &options.keys {
        if *keys == 0 || *keys >= 1 << 32 {
            return Err(Failure::new(format!("{keys} keys: a value has 32 bits for its key, so 1 to 2^32 - 1")));
        }
        // The engine of the baseline lives through all groups: a ratio is of figures measured next to each other.
        let base = names.iter().find(|name| options.baseline.starts_with(**name)).copied();
        let base = base.map(|name| admit(name, *keys, options, report)).transpose()?.flatten();
        for (group, members) in groups(&names, base.as_ref().map(|entrant| entrant.name), *keys).iter().enumerate() {
            let mut entrants: Vec<Entrant> = Vec::new();
            for name in members {
                entrants.extend(admit(name, *keys, options, report)?);
            }
            let all: Vec<&Entrant> = base.iter().chain(&entrants).collect();
            measure(&all, *keys, group, options, report)?;
        }
    }
    Ok(())
}

fn chosen(wanted: &[String]) -> Result<Vec<&'static str>> {
    if wanted.is_empty() {
        return Ok(roster::NAMES.to_vec());
    }
    let find = |wanted: &String| {
        let found = roster::NAMES.iter().find(|name| *name == wanted).copied();
        found.ok_or_else(|| Failure::new(format!("no engine `{wanted}`; there are {}", roster::NAMES.join(", "))))
    };
    wanted.iter().map(find).collect()
}

/// The engines beside the baseline's in as few groups as memory allows to live at the same time.
fn groups(names: &[&'static str], base: Option<&str>, keys: u64) -> Vec<Vec<&'static str>> {
    let room = machine::available_bytes() / 20 * 17;
    let mut groups: Vec<(u64, Vec<&'static str>)> = vec![(0, Vec::new())];
    for name in names.iter().copied().filter(|name| Some(*name) != base) {
        let bytes = roster::bytes_per_key(name) * keys;
        match groups.last_mut().filter(|group| group.0 == 0 || group.0 + bytes <= room) {
            Some(group) => {
                group.0 += bytes;
                group.1.push(name);
            }
            None => groups.push((bytes, vec![name])),
        }
    }
    groups.into_iter().map(|(_, members)| members).collect()
}

/// Loads and checks an engine; `None`, and a word in the report, if it is not fit to take part.
fn admit(name: &'static str, keys: u64, options: &MemoryOptions, report: &mut Report) -> Result<Option<Entrant>> {
    let threads = options.threads.iter().copied().max().unwrap_or(1);
    eprintln!("{name}: loading {keys} keys");
    let mut entry = Engine {
        name: name.to_string(),
        keys,
        memory_bytes: 0,
        setup: String::new(),
        load_seconds: 0.0,
        losses: check::Losses::default(),
        failure: None,
        figures: Vec::new(),
    };
    let admitted = if name == "published" { try_out(name, keys, threads, options) } else { Ok(()) };
    let admitted = admitted.and_then(|()| {
        let (before, begun) = (machine::resident(), Instant::now());
        let mut engine = roster::engine(name, keys)?;
        engine.load(keys, threads)?;
        entry.load_seconds = begun.elapsed().as_secs_f64();
        entry.losses = check::losses(&*engine, keys, threads)?;
        let after = machine::resident();
        let figure = |name: &str, before: u64, after: u64| (name.to_string(), after.saturating_sub(before) as f64);
        entry.figures.push(figure("memory bytes", before.0, after.0));
        entry.figures.push(figure("bytes on huge pages", before.1, after.1));
        entry.setup = engine.describe();
        Ok(Entrant { name, engine })
    });
    let admitted = match admitted {
        Ok(entrant) => Some(entrant),
        Err(failure) => {
            eprintln!("{name}: left out, it {failure}");
            entry.failure = Some(failure.to_string());
            None
        }
    };
    if !entry.losses.is_none() {
        eprintln!("{name}: LOST {} keys and {} updates", entry.losses.keys, entry.losses.updates);
    }
    report.engines.push(entry);
    Ok(admitted)
}

/// An engine that is known to crash shows in a process of its own that it does not, with the same number of keys.
fn try_out(name: &str, keys: u64, threads: usize, options: &MemoryOptions) -> Result<()> {
    let limit = Duration::from_secs(if options.quick { 20 } else { 300 });
    trial::of(name, keys, threads, limit).map(drop)
}

/// All cells of one group.
fn measure(entrants: &[&Entrant], keys: u64, group: usize, options: &MemoryOptions, report: &mut Report) -> Result<()> {
    for distribution in &options.distributions {
        for threads in &options.threads {
            let streams = KeyStream::draw(*distribution, keys, *threads);
            let place = Place { keys, group, distribution: *distribution, streams: &streams };
            for workload in &options.workloads {
                eprintln!("{keys} keys, {distribution}, {threads} threads: {}", workload.name());
                place.repeat(entrants, *workload, options, report);
            }
            if !options.no_latency {
                place.time(entrants, options, report);
            }
        }
    }
    Ok(())
}

/// What the measurements of one call of `measure` have in common.
struct Place<'a> {
    keys: u64,
    group: usize,
    distribution: Distribution,
    streams: &'a [KeyStream],
}

/// Modes of all entrants.
fn contestants<'a>(entrants: &[&'a Entrant]) -> Vec<(&'static str, usize, &'a dyn MemoryEngine)> {
    let modes = |entrant: &&'a Entrant| {
        let engine: &'a dyn MemoryEngine = &*entrant.engine;
        engine.modes().iter().enumerate().map(move |(mode, name)| (*name, mode, engine))
    };
    entrants.iter().flat_map(modes).collect()
}

impl Place<'_> {
    /// Interleaved repetitions of one workload: every contestant once, then all of them again. Each round begins with
    /// another one, so that nobody always runs behind the same neighbour.
    fn repeat(&self, entrants: &[&Entrant], workload: Workload, options: &MemoryOptions, report: &mut Report) {
        let contestants = contestants(entrants);
        let mut cells: Vec<Cell> = contestants.iter().map(|(name, ..)| self.cell(name, workload)).collect();
        for repetition in 0..options.repetitions {
            for step in 0..contestants.len() {
                let at = (step + repetition) % contestants.len();
                let (_, mode, engine) = contestants[at];
                let time = Duration::from_secs_f64(options.seconds);
                let turn = repetition as u64 + 1;
                let (streams, by_cpu_time) = (self.streams, options.cpu_time);
                let race = Race { engine, mode, workload, streams, time, by_cpu_time, turn };
                match race.run() {
                    Ok(lap) => {
                        cells[at].rates.push(lap.rate);
                        cells[at].wrong += lap.wrong;
                        cells[at].loads.push(machine::load());
                    }
                    Err(failure) => cells[at].failure = Some(failure.to_string()),
                }
            }
        }
        report.cells.extend(cells);
    }

    fn cell(&self, contestant: &str, workload: Workload) -> Cell {
        Cell {
            keys: self.keys,
            group: self.group,
            memory_bytes: 0,
            distribution: self.distribution.to_string(),
            threads: self.streams.len(),
            workload: workload.name().to_string(),
            contestant: contestant.to_string(),
            rates: Vec::new(),
            wrong: 0,
            loads: Vec::new(),
            figures: Vec::new(),
            failure: None,
        }
    }

    /// The latencies of reads, once for each contestant.
    fn time(&self, entrants: &[&Entrant], options: &MemoryOptions, report: &mut Report) {
        for (name, mode, engine) in contestants(entrants) {
            let is_batch = name.ends_with("batch") || name.ends_with("group");
            let time = Duration::from_secs_f64(options.seconds);
            let (workload, streams, by_cpu_time) = (Workload::Read, self.streams, options.cpu_time);
            let race = Race { engine, mode, workload, streams, time, by_cpu_time, turn: 1 };
            if let Ok(histogram) = race.latency(if is_batch { CHUNK } else { 1 }) {
                report.latencies.push(Latency {
                    keys: self.keys,
                    memory_bytes: 0,
                    distribution: self.distribution.to_string(),
                    threads: self.streams.len(),
                    workload: Workload::Read.name().to_string(),
                    contestant: name.to_string(),
                    curve: histogram.curve(),
                });
            }
        }
    }
}
