//! What a run and its engines' processes say to each other: lines of JSON.

use super::mix::Mix;
use crate::histogram::Histogram;
use crate::memory::check::Losses;
use serde::{Deserialize, Serialize};

/// What an engine is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Opens, puts in all keys, waits until the background is quiet.
    Load,
    /// Checks that nothing is lost.
    Check { threads: usize },
    /// One measurement.
    Run(Run),
}

/// One measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) mode: usize,
    /// As the command line has it.
    pub(crate) distribution: String,
    pub(crate) mix: Mix,
    pub(crate) threads: usize,
    pub(crate) seconds: f64,
    /// A number that differs from run to run: it seeds the keys and is what updates write.
    pub(crate) turn: u64,
}

/// What an engine says when it has done it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Answer {
    Loaded { seconds: f64, setup: String, modes: Vec<String> },
    Checked(Losses),
    Ran(Lap),
    Failed(String),
}

/// What came of a measurement.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Lap {
    /// Operations per second of all threads together.
    pub(crate) rate: f64,
    pub(crate) operations: u64,
    pub(crate) wrong: u64,
    pub(crate) latencies: Histogram,
    pub(crate) figures: Vec<(String, f64)>,
}
