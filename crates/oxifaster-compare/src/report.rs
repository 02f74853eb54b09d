//! What a run leaves behind: everything that was measured, as JSON.

use crate::failure::{Failure, Result};
use crate::machine::{self, Machine};
use crate::memory::check::Losses;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    /// `memory` or `disk`.
    pub(crate) half: String,
    /// The command that was given.
    pub(crate) command: String,
    pub(crate) machine: Machine,
    /// The load before anything was started: what the machine was busy with beside the run.
    pub(crate) load_before: f64,
    /// The share of processor time that the host kept for others during the run.
    pub(crate) stolen_share: f64,
    /// Rates are per second of processor time, not of time.
    pub(crate) by_cpu_time: bool,
    pub(crate) engines: Vec<Engine>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) latencies: Vec<Latency>,
}

/// An engine in a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Engine {
    pub(crate) name: String,
    pub(crate) keys: u64,
    /// Bytes of memory that it may take, in the half that is larger than memory.
    pub(crate) memory_bytes: u64,
    /// Its set-up, in words.
    pub(crate) setup: String,
    pub(crate) load_seconds: f64,
    pub(crate) losses: Losses,
    /// Why it was left out, if it was.
    pub(crate) failure: Option<String>,
    /// Figures of its own: memory, bytes on disk.
    pub(crate) figures: Vec<(String, f64)>,
}

/// All repetitions of one measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) keys: u64,
    /// Cells of one group were measured next to each other.
    pub(crate) group: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) distribution: String,
    pub(crate) threads: usize,
    pub(crate) workload: String,
    pub(crate) contestant: String,
    /// Operations per second, one figure for each repetition, in their order.
    pub(crate) rates: Vec<f64>,
    /// Reads that found nothing or something else than they should have.
    pub(crate) wrong: u64,
    /// The machine's load after each repetition.
    pub(crate) loads: Vec<f64>,
    /// Further figures of this measurement, one for each repetition, such as device reads per operation.
    pub(crate) figures: Vec<(String, Vec<f64>)>,
    /// Why there are fewer repetitions than asked for, if there are.
    pub(crate) failure: Option<String>,
}

/// A distribution of latencies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) keys: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) distribution: String,
    pub(crate) threads: usize,
    pub(crate) workload: String,
    pub(crate) contestant: String,
    /// Nanoseconds, and the share of operations that took no longer.
    pub(crate) curve: Vec<(u64, f64)>,
}

impl Report {
    /// A report of a run that begins now.
    pub(crate) fn begin(half: &str) -> Self {
        let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
        Self {
            half: half.to_string(),
            command: format!("oxifaster-compare {command}"),
            machine: Machine::this(),
            load_before: machine::load(),
            stolen_share: 0.0,
            by_cpu_time: false,
            engines: Vec::new(),
            cells: Vec::new(),
            latencies: Vec::new(),
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(Failure::of("writing the report"))?;
        fs::write(path, text).map_err(Failure::of(format!("writing {}", path.display())))
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Failure::of(format!("reading {}", path.display())))?;
        serde_json::from_str(&text).map_err(Failure::of(format!("reading {}", path.display())))
    }
}
