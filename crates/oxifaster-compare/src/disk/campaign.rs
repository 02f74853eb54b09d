//! All measurements of a run on disk.

use super::child::{Engine, Place};
use super::mix::Mix;
use super::protocol::{Answer, Lap, Order, Run};
use super::roster::{self, NAMES};
use crate::distribution::Distribution;
use crate::failure::{Failure, Result};
use crate::histogram::Histogram;
use crate::machine;
use crate::memory::check::Losses;
use crate::options::DiskOptions;
use crate::report::{self, Cell, Latency, Report};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An engine that is loaded and takes part.
struct Entrant {
    name: &'static str,
    process: Engine,
    modes: Vec<String>,
}

/// Runs what the options say, and fills the report on the way.
pub(crate) fn run(options: &DiskOptions, report: &mut Report) -> Result<()> {
    let names = chosen(&options.engines)?;
    let root = Directory::new(options.dir.as_deref())?;
    for share in &options.memory_shares {
        let data = options.keys * roster::RECORD;
        let memory = (data as f64 * share / 100.0) as u64;
        let part = Part { options, memory, root: &root.0 };
        let mut entrants = Vec::new();
        for name in &names {
            entrants.extend(part.admit(name, report)?);
        }
        for distribution in &options.distributions {
            for threads in &options.threads {
                part.warm_up(&mut entrants, *distribution, *threads);
                for mix in &options.workloads {
                    eprintln!("{share} % of memory, {distribution}, {threads} threads: {}", mix.name());
                    part.repeat(&mut entrants, *distribution, *threads, *mix, report);
                }
            }
        }
        part.note_peaks(&entrants, report);
        drop(entrants);
        root.clear()?;
    }
    Ok(())
}

fn chosen(wanted: &[String]) -> Result<Vec<&'static str>> {
    if let Some(unknown) = wanted.iter().find(|wanted| !NAMES.contains(&wanted.as_str())) {
        return Err(Failure::new(format!("no engine `{unknown}`; there are {}", NAMES.join(", "))));
    }
    // In the order of the roster: the probe reads the files of the store before it.
    let takes_part = |name: &&&str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == **name);
    Ok(NAMES.iter().filter(takes_part).copied().collect())
}

/// The part of a run with one size of memory.
struct Part<'a> {
    options: &'a DiskOptions,
    memory: u64,
    root: &'a Path,
}

/// More than any engine has.
const MODES_MAX: usize = 16;

impl Part<'_> {
    /// Starts, loads and checks an engine; `None`, and a word in the report, if it is not fit to take part.
    fn admit(&self, name: &'static str, report: &mut Report) -> Result<Option<Entrant>> {
        eprintln!("{name}: loading {} keys with {} MiB of memory", self.options.keys, self.memory >> 20);
        // The probe reads the store's files if they are there.
        let own = if name == "probe" && self.root.join("oxifaster").exists() { "oxifaster" } else { name };
        let directory = self.root.join(own);
        fs::create_dir_all(&directory)?;
        let mut entry = report::Engine {
            name: name.to_string(),
            keys: self.options.keys,
            memory_bytes: self.memory,
            setup: String::new(),
            load_seconds: 0.0,
            losses: Losses::default(),
            failure: None,
            figures: Vec::new(),
        };
        let admitted = self.start(name, &directory, &mut entry);
        let admitted = match admitted {
            Ok(entrant) => Some(entrant),
            Err(failure) => {
                eprintln!("{name}: left out: {failure}");
                entry.failure = Some(failure.to_string());
                None
            }
        };
        if !entry.losses.is_none() {
            eprintln!("{name}: LOST {} keys and {} updates", entry.losses.keys, entry.losses.updates);
        }
        entry.figures.push(("bytes on disk".to_string(), occupied(&directory) as f64));
        report.engines.push(entry);
        Ok(admitted)
    }

    fn start(&self, name: &'static str, directory: &Path, entry: &mut report::Engine) -> Result<Entrant> {
        let options = self.options;
        let mut process = Engine::start(&Place {
            engine: name,
            directory,
            keys: options.keys,
            memory: self.memory,
            batch: options.batch,
            in_cgroup: !options.no_cgroup,
        })?;
        let limit = Duration::from_secs(options.load_limit);
        let modes = match process.ask(&Order::Load, limit)? {
            Answer::Loaded { seconds, setup, modes } => {
                entry.load_seconds = seconds;
                entry.setup = setup;
                modes
            }
            other => return Err(Failure::new(format!("answered {other:?} to the order to load"))),
        };
        let threads = options.threads.iter().copied().max().unwrap_or(1);
        match process.ask(&Order::Check { threads }, limit) {
            Ok(Answer::Checked(losses)) => entry.losses = losses,
            Ok(other) => return Err(Failure::new(format!("answered {other:?} to a check"))),
            // It takes part all the same: what it can do is measured, and what it cannot stands beside it.
            Err(failure) => {
                eprintln!("{name}: the check FAILED: {failure}");
                entry.setup.push_str(&format!("; CHECK FAILED: {failure}"));
            }
        }
        Ok(Entrant { name, process, modes })
    }

    fn warm_up(&self, entrants: &mut [Entrant], distribution: Distribution, threads: usize) {
        for entrant in entrants.iter_mut().filter(|entrant| entrant.name != "probe") {
            let mode = entrant.modes.len() - 1;
            // One that fails here fails in the repetitions too, where it is noted.
            let _ = self.lap(entrant, mode, distribution, threads, Mix::C, self.options.warm_up, 999);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "these are the parameters of a measurement")]
    fn lap(
        &self,
        entrant: &mut Entrant,
        mode: usize,
        distribution: Distribution,
        threads: usize,
        mix: Mix,
        seconds: f64,
        turn: u64,
    ) -> Result<Lap> {
        let distribution = match distribution {
            Distribution::Uniform => "uniform".to_string(),
            Distribution::Zipf(theta) => format!("zipf:{theta}"),
        };
        let run = Run { mode, distribution, mix, threads, seconds, turn };
        let limit = Duration::from_secs_f64(seconds * 4.0 + 60.0);
        match entrant.process.ask(&Order::Run(run), limit)? {
            Answer::Ran(lap) => Ok(lap),
            other => Err(Failure::new(format!("answered {other:?} to a measurement"))),
        }
    }

    /// Interleaved repetitions of one workload; each round begins with another contestant.
    fn repeat(
        &self,
        entrants: &mut [Entrant],
        distribution: Distribution,
        threads: usize,
        mix: Mix,
        report: &mut Report,
    ) {
        // The probe does one thing: reads at random places.
        let is_probe_cell = mix == Mix::C && distribution == Distribution::Uniform;
        let mut contestants = Vec::new();
        for (at, entrant) in entrants.iter().enumerate() {
            if entrant.name != "probe" || is_probe_cell {
                contestants.extend(entrant.modes.iter().enumerate().map(|(mode, name)| (at, mode, name.clone())));
            }
        }
        let cell = |name: &str| self.cell(name, distribution, threads, mix);
        let mut cells: Vec<(Cell, Histogram)> =
            contestants.iter().map(|(.., name)| (cell(name.as_str()), Histogram::default())).collect();
        for repetition in 0..self.options.repetitions {
            for step in 0..contestants.len() {
                let place = (step + repetition) % contestants.len();
                let (at, mode) = (contestants[place].0, contestants[place].1);
                let (cell, histogram) = &mut cells[place];
                // One that failed once is left alone: its process may be gone.
                if cell.failure.is_some() {
                    continue;
                }
                // The modes of an engine share its caches: none is to find what another has just read.
                let turn = (repetition * MODES_MAX + mode) as u64 + 1;
                match self.lap(&mut entrants[at], mode, distribution, threads, mix, self.options.seconds, turn) {
                    Ok(lap) => {
                        histogram.merge(&lap.latencies);
                        note(cell, lap);
                    }
                    Err(failure) => cell.failure = Some(failure.to_string()),
                }
            }
        }
        for (mut cell, histogram) in cells {
            if !histogram.is_empty() {
                for (name, share) in [("p50 us", 0.5), ("p99 us", 0.99), ("p99.9 us", 0.999)] {
                    cell.figures.push((name.to_string(), vec![histogram.quantile(share) as f64 / 1e3]));
                }
                report.latencies.push(latency(&cell, &histogram));
            }
            report.cells.push(cell);
        }
    }

    fn cell(&self, contestant: &str, distribution: Distribution, threads: usize, mix: Mix) -> Cell {
        Cell {
            keys: self.options.keys,
            group: 0,
            memory_bytes: self.memory,
            distribution: distribution.to_string(),
            threads,
            workload: mix.name().to_string(),
            contestant: contestant.to_string(),
            rates: Vec::new(),
            wrong: 0,
            loads: Vec::new(),
            figures: Vec::new(),
            failure: None,
        }
    }

    fn note_peaks(&self, entrants: &[Entrant], report: &mut Report) {
        for entrant in entrants {
            let is_it = |entry: &&mut report::Engine| entry.name == entrant.name && entry.memory_bytes == self.memory;
            if let (Some(peak), Some(entry)) = (entrant.process.peak(), report.engines.iter_mut().find(is_it)) {
                entry.figures.push(("peak of memory and page cache".to_string(), peak as f64));
            }
        }
    }
}

fn note(cell: &mut Cell, lap: Lap) {
    cell.rates.push(lap.rate);
    cell.wrong += lap.wrong;
    cell.loads.push(machine::load());
    for (name, figure) in lap.figures {
        match cell.figures.iter_mut().find(|(own, _)| *own == name) {
            Some((_, figures)) => figures.push(figure),
            None => cell.figures.push((name, vec![figure])),
        }
    }
}

fn latency(cell: &Cell, histogram: &Histogram) -> Latency {
    Latency {
        keys: cell.keys,
        memory_bytes: cell.memory_bytes,
        distribution: cell.distribution.clone(),
        threads: cell.threads,
        workload: cell.workload.clone(),
        contestant: cell.contestant.clone(),
        curve: histogram.curve(),
    }
}

/// Bytes that the files below a directory occupy.
fn occupied(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => occupied(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}

/// A directory of this run's own, which goes when the run ends.
struct Directory(PathBuf);

impl Directory {
    fn new(parent: Option<&Path>) -> Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let path = parent.join(format!("oxifaster-compare-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(Failure::of(format!("making {}", path.display())))?;
        Ok(Self(path))
    }

    fn clear(&self) -> Result<()> {
        for entry in fs::read_dir(&self.0)?.flatten() {
            fs::remove_dir_all(entry.path())?;
        }
        Ok(())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("could not remove {}: {error}", self.0.display());
        }
    }
}
