//! What the command line says.

use crate::distribution::Distribution;
use crate::memory::engine::Workload;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// The same workloads, keys and threads on oxifaster, on its peers and on the bare machine.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything fits in memory: against maps, and against the bare index-and-log loop.
    Memory(MemoryOptions),
    /// Larger than memory: against stores on disk, and against the bare disk.
    Disk(DiskOptions),
    /// Durable logs without a store.
    Log(LogOptions),
    /// Draws reports as SVG.
    Charts(ChartOptions),
    /// Prints the tables of reports once more.
    Tables {
        /// Reports written by `--json`.
        reports: Vec<PathBuf>,
        /// The contestant that the others are divided by; without it, the usual one of the half.
        #[arg(long)]
        baseline: Option<String>,
    },
    /// Loads and checks one engine in memory, for a run that does not trust it.
    #[command(hide = true)]
    Trial { engine: String, keys: u64, threads: usize },
    /// One engine on disk, ordered about by a run through its standard input.
    #[command(hide = true)]
    Serve(ServeOptions),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct MemoryOptions {
    /// Keys of 8 bytes, with values of 8; several numbers make several parts.
    #[arg(long, value_delimiter = ',', default_values_t = [20_000_000])]
    pub(crate) keys: Vec<u64>,
    /// Numbers of threads.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    pub(crate) threads: Vec<usize>,
    /// Seconds of one repetition of one contestant.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) seconds: f64,
    /// Interleaved repetitions.
    #[arg(long, default_value_t = 5)]
    pub(crate) repetitions: usize,
    /// Engines by name; without it, all that were compiled in.
    #[arg(long, value_delimiter = ',')]
    pub(crate) engines: Vec<String>,
    /// Distributions of keys: uniform, zipf, zipf:0.8.
    #[arg(long, value_delimiter = ',', default_value = "uniform,zipf")]
    pub(crate) distributions: Vec<Distribution>,
    /// Workloads: read, rmw, upsert, mixed.
    #[arg(long, value_delimiter = ',', default_value = "read,rmw,upsert,mixed")]
    pub(crate) workloads: Vec<Workload>,
    /// The contestant that the others are divided by.
    #[arg(long, default_value = MEMORY_BASELINE)]
    pub(crate) baseline: String,
    /// Puts the heap on huge pages too, which helps the maps: the engines that ask for them themselves have them anyway.
    #[arg(long)]
    pub(crate) huge_heap: bool,
    /// Rates per second of the threads' processor time: for comparisons on a machine that has other things to do.
    #[arg(long)]
    pub(crate) cpu_time: bool,
    /// Leaves the distributions of latencies out.
    #[arg(long)]
    pub(crate) no_latency: bool,
    /// A smoke run of about a minute: few keys, short repetitions. Its figures mean nothing.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Writes everything that was measured to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

/// What the other contestants in memory are divided by.
pub(crate) const MEMORY_BASELINE: &str = "probe group";
/// What the other contestants on disk are divided by.
pub(crate) const DISK_BASELINE: &str = "oxifaster batch";

impl MemoryOptions {
    /// With `--quick` taken into account.
    pub(crate) fn settled(mut self) -> Self {
        if self.quick {
            self.keys = vec![1_000_000];
            self.seconds = 0.03;
            self.repetitions = self.repetitions.min(5);
        }
        self
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DiskOptions {
    /// Records with keys of 8 and values of 100 bytes.
    #[arg(long, default_value_t = 20_000_000)]
    pub(crate) keys: u64,
    /// Memory, in percent of the bytes of all keys and values; several numbers make several parts.
    #[arg(long, value_delimiter = ',', default_values_t = [10.0])]
    pub(crate) memory_shares: Vec<f64>,
    /// Numbers of threads.
    #[arg(long, value_delimiter = ',', default_values_t = [2])]
    pub(crate) threads: Vec<usize>,
    /// Seconds of one repetition of one contestant.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Seconds of running before the first repetition of each distribution, so that caches hold what they would.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) warm_up: f64,
    /// Interleaved repetitions.
    #[arg(long, default_value_t = 5)]
    pub(crate) repetitions: usize,
    /// Engines by name; without it, all that were compiled in.
    #[arg(long, value_delimiter = ',')]
    pub(crate) engines: Vec<String>,
    /// Distributions of keys: uniform, zipf, zipf:0.8.
    #[arg(long, value_delimiter = ',', default_value = "uniform,zipf")]
    pub(crate) distributions: Vec<Distribution>,
    /// YCSB workloads: a (half updates), b (5 % updates), c (reads), f (half read-modify-writes).
    #[arg(long, value_delimiter = ',', default_value = "c,b,a,f")]
    pub(crate) workloads: Vec<crate::disk::mix::Mix>,
    /// Operations of one batched call.
    #[arg(long, default_value_t = 256)]
    pub(crate) batch: usize,
    /// The contestant that the others are divided by.
    #[arg(long, default_value = DISK_BASELINE)]
    pub(crate) baseline: String,
    /// Where the engines keep their data, in directories of their own that are removed afterwards.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Seconds after which an engine that has not loaded is given up.
    #[arg(long, default_value_t = 1_800)]
    pub(crate) load_limit: u64,
    /// Runs without a memory cgroup even where there could be one: page cache is then not bounded.
    #[arg(long)]
    pub(crate) no_cgroup: bool,
    /// A smoke run of about a minute: few keys, short repetitions. Its figures mean nothing.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Writes everything that was measured to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

impl DiskOptions {
    /// With `--quick` taken into account.
    pub(crate) fn settled(mut self) -> Self {
        if self.quick {
            self.keys = 600_000;
            // Any less, and what some engines cannot do without would not fit.
            self.memory_shares = vec![50.0];
            self.seconds = 0.1;
            self.warm_up = 0.1;
            self.repetitions = self.repetitions.min(5);
            self.load_limit = 30;
        }
        self
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct LogOptions {
    /// Bytes of an entry; several numbers make several parts.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 256, 4096])]
    pub(crate) sizes: Vec<usize>,
    /// Seconds of one turn of one contestant.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) seconds: f64,
    /// Rounds in which every contestant has a turn.
    #[arg(long, default_value_t = 5)]
    pub(crate) repetitions: usize,
    /// Logs by name; without it, all that were compiled in.
    #[arg(long, value_delimiter = ',')]
    pub(crate) engines: Vec<String>,
    /// Where the logs are, in directories of their own that are removed afterwards.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// A smoke run of some seconds. Its figures mean nothing.
    #[arg(long)]
    pub(crate) quick: bool,
}

impl LogOptions {
    /// With `--quick` taken into account.
    pub(crate) fn settled(mut self) -> Self {
        if self.quick {
            self.seconds = 0.05;
            self.repetitions = 2;
        }
        self
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ServeOptions {
    pub(crate) engine: String,
    #[arg(long)]
    pub(crate) dir: PathBuf,
    #[arg(long)]
    pub(crate) keys: u64,
    #[arg(long)]
    pub(crate) memory: u64,
    #[arg(long)]
    pub(crate) batch: usize,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ChartOptions {
    /// Reports written by `--json`.
    pub(crate) reports: Vec<PathBuf>,
    /// The directory that gets the pictures.
    #[arg(long, default_value = "charts")]
    pub(crate) out: PathBuf,
}
