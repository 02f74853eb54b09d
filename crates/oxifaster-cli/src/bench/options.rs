//! What the user may ask for.

use super::checkpoints::{Kind, Wish};
use super::device::Device;
use super::issue::Api;
use super::lengths::{Values, parse_values};
use super::trace::TracePlan;
use super::workload::{Preference, Workload};
use crate::failure::Failure;
use crate::units::{parse_count, parse_size};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Under the options of `-h`.
pub(crate) const AFTER_HELP: &str =
    "With --help: examples, the workloads, what is checked, what counts as memory, exit codes.";

/// Under the options of `--help`; no line longer than 78 characters, so that terminals do not break it.
pub(crate) const AFTER_LONG_HELP: &str = "\
Examples:
  All workloads with 10 M records and 256 MiB of memory (some minutes):
      oxifaster bench
  A quick look:
      oxifaster bench --records 1M --seconds 1
  Random reads, one at a time: the latency of the disk:
      oxifaster bench --workload C --distribution uniform --depth 1
  Another disk; the directory is kept:
      oxifaster bench --dir /mnt/nvme/bench
  One call for 256 operations:
      oxifaster bench --batch 256
  Futures, up to 64 of them waiting for the disk:
      oxifaster bench --api async
  Reads by threads, to compare with those through io_uring:
      oxifaster bench --device threads
  Without a disk:
      oxifaster bench --device memory --records 1M
  Nothing but memory:
      oxifaster bench --device none --records 1M --memory 1GiB --batch 256
  What checkpoints cost, in memory:
      oxifaster bench --records 20M --value-size 8 --memory 4GiB \\
        --workload A --distribution zipfian --checkpoint snapshot --every 4
  Values of different lengths, in a store for values of any length:
      oxifaster bench --value-size lognormal:200,1.5 --records 1M
  The same, with the space of outgrown records used again:
      oxifaster bench --value-size lognormal:200,1.5 --revivification
  The requests of a real cache (see below):
      zstdcat cluster10.zst | head -n 10000000 | oxifaster bench --trace -
  For machines:
      oxifaster bench --json > result.json

Workloads (those of YCSB, the Yahoo! Cloud Serving Benchmark):
  A  50% read, 50% update
  B  95% read,  5% update
  C  100% read
  D  95% read of the latest keys, 5% insert
  F  50% read, 50% read-modify-write
  E, which scans ranges, is left out: a hash index keeps no order.

Sizes of values (--value-size):
  100, 1KiB                  all alike; of 8, 16, 24, 32, 64, 100, 128, 256,
                             512, 1024, 2048 and 4096 bytes the store knows it
  any:100                    all alike, in a store for values of any length
  uniform:16..4096           all lengths alike
  zipf:16..64KiB,0.9         the shorter the likelier, with a skew (0.99)
  lognormal:200,1.5          by the median, and the deviation of the logarithm
  lognormal:200,1.5,16..4KiB the same, within bounds (16 to 64 KiB)

Traces (--trace):
  Lines as in the public traces of Twitter's caches: timestamp, anonymized
  key, key size, value size, client id, operation, TTL. Plain, or compressed
  by zstd. Requests are played as fast as they can be, those for one key in
  their order. A cache evicts and forgets; the store keeps what it is given,
  so the hit rate is that of a cache without bounds, in which values end
  by the clock of the trace. Values are as long as it says, and keys at least:
    get, gets         read
    set               upsert
    add               insert
    replace           replace_if there is a value
    cas               read, then compare_exchange with what was read
    append, prepend   read, then compare_exchange with what it becomes
    delete            delete_if there is a value
    incr, decr        read-modify-write of the first 8 bytes, as a number

What is checked:
  Every value carries its key, a version and a checksum, and every read checks
  them. The exact versions of a sample of the keys are remembered, so that
  values which were overwritten before are noticed as well. At the end every
  key is read once more. One wrong, stale or missing value makes the exit code
  1, and the first ten are named.

What is measured:
  Latency counts from the beginning of an operation to its completion, the
  wait for the disk included. Percentiles are known to one per cent. With
  --api batch it is the time of the whole call that an operation went with.

What counts as memory:
  The budget covers the whole process: the benchmark sets aside what it takes
  itself and gives the rest to the store. The peak in the report is what the
  system says of the process. With --device memory the records themselves lie
  in memory too, outside of the budget; with --device none they lie in it.

Exit codes:
  0  all is well
  1  a wrong value, a line of a trace that is none, or the store failed
  2  wrong options
  130  stopped by Ctrl-C; what was measured until then is reported";

/// Operations of a thread in flight unless said otherwise.
const DEPTH: u64 = 64;
/// Operations of a batched call unless said otherwise.
const BATCH: u64 = 256;

/// Which keys are preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Distribution {
    /// A few keys get most operations, as in most applications
    Zipfian,
    /// All keys alike, the hardest case for a store larger than memory
    Uniform,
    /// One run with each
    Both,
}

/// Of which keys the exact version is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Verify {
    /// Of one key in sixteen, of fewer if there are more than two million
    Sample,
    /// Of every key, for 16 bytes of the memory budget each
    Every,
}

/// An entry of `--workload`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Workload(Workload),
    Load,
}

fn parse_choice(text: &str) -> Result<Choice, String> {
    if text.eq_ignore_ascii_case("load") {
        return Ok(Choice::Load);
    }
    let named = |workload: &&Workload| workload.letter().eq_ignore_ascii_case(text);
    let workload = Workload::ALL.iter().find(named).copied();
    workload.map(Choice::Workload).ok_or_else(|| format!("{text:?} is no workload: give A, B, C, D, F, or load alone"))
}

/// Options of `oxifaster bench`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Records to load
    #[arg(long, value_name = "COUNT", default_value = "10M", value_parser = parse_count)]
    records: u64,
    /// Size of a value: bytes, or a distribution such as uniform:16..4096, zipf:16..64KiB, lognormal:200,1.5
    /// (keys have 8 bytes)
    #[arg(long, value_name = "SIZE", default_value = "100", value_parser = parse_values)]
    value_size: Values,
    /// Memory budget of the whole process
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = parse_size)]
    memory: u64,
    /// Workloads to run, separated by commas; or load, to only load and verify
    /// [default: A,B,C,D,F, with --device none without D]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_choice)]
    workload: Vec<Choice>,
    /// Which keys are preferred (workload D always prefers the latest)
    #[arg(long, value_name = "NAME", default_value = "both")]
    distribution: Distribution,
    /// Skew of the zipfian and the latest distribution, between 0 and 1
    #[arg(long, value_name = "NUMBER", default_value_t = 0.99)]
    theta: f64,
    /// Length of each run
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    seconds: f64,
    /// Threads, each with a session of its own [default: one for each core]
    #[arg(long, value_name = "COUNT")]
    threads: Option<u64>,
    /// How the store is called [default: pending, but sync with --depth 1 and batch with --batch]
    #[arg(long, value_name = "NAME")]
    api: Option<Api>,
    /// Operations of a thread that may wait for the disk at the same time [default: 64, with --api sync 1]
    #[arg(long, value_name = "COUNT", value_parser = parse_count)]
    depth: Option<u64>,
    /// Operations of a batched call [default with --api batch: 256]
    #[arg(long, value_name = "COUNT", value_parser = parse_count)]
    batch: Option<u64>,
    /// Directory for the store, which must be empty or not exist, and is kept
    /// [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
    /// Where the store keeps what does not fit into its memory
    #[arg(long, value_name = "KIND", default_value = "file")]
    device: Device,
    /// Of which keys the exact version is remembered
    #[arg(long, value_name = "KEYS", default_value = "sample")]
    verify: Verify,
    /// Take checkpoints during the runs, and report what they cost
    #[arg(long, value_name = "KIND")]
    checkpoint: Option<Kind>,
    /// Seconds from the end of a checkpoint to the beginning of the next [default: 3]
    #[arg(long, value_name = "SECONDS", requires = "checkpoint")]
    every: Option<f64>,
    /// Bytes a second of a checkpoint while the runs go on; 0 for as fast as it can [default: that of the store]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, requires = "checkpoint")]
    checkpoint_rate: Option<u64>,
    /// At the end take checkpoints, give the store up, and measure how it comes back, with an image of the index and without
    #[arg(long)]
    recovery: bool,
    /// Have the store use the space of deleted and outgrown records again, and report how much of it
    #[arg(long)]
    revivification: bool,
    /// Replay the requests of a real cache instead: a file, or - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "records", "value_size", "workload", "distribution", "theta", "seconds", "api", "depth", "batch", "checkpoint",
        "recovery", "seed",
    ])]
    trace: Option<PathBuf>,
    /// Seed of the random numbers
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Print one JSON document to standard output and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

/// What will be done: options that make sense.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) records: u64,
    pub(crate) values: Values,
    pub(crate) memory: u64,
    pub(crate) runs: Vec<(Workload, Preference)>,
    pub(crate) theta: f64,
    pub(crate) duration: Duration,
    pub(crate) threads: usize,
    pub(crate) api: Api,
    pub(crate) depth: usize,
    /// Operations of a batched call; has no meaning for other calls.
    pub(crate) batch: usize,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) device: Device,
    pub(crate) verify: Verify,
    pub(crate) seed: u64,
    pub(crate) checkpoints: Option<Wish>,
    pub(crate) recovery: bool,
    pub(crate) revivification: bool,
}

impl Options {
    /// What will be done if a trace is to be replayed.
    pub(crate) fn trace_plan(&self) -> Result<Option<TracePlan>, Failure> {
        let Some(file) = &self.trace else { return Ok(None) };
        if self.device == Device::None {
            let what = "--device none needs to know how much memory the values take, and a trace does not say";
            return Err(Failure::usage(what, "give --device memory, or leave --device out"));
        }
        self.check_directory()?;
        Ok(Some(TracePlan {
            file: (file.as_path() != Path::new("-")).then(|| file.clone()),
            memory: self.memory,
            threads: self.threads()?,
            directory: self.dir.clone(),
            device: self.device,
            verify: self.verify,
            revivification: self.revivification,
            json: self.json,
        }))
    }

    fn threads(&self) -> Result<usize, Failure> {
        let cores = || std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        let threads = self.threads.unwrap_or_else(cores);
        within("--threads", threads, 1, 1 << 10)?;
        Ok(threads as usize)
    }

    fn check_directory(&self) -> Result<(), Failure> {
        if !self.device.has_files() && self.dir.is_some() {
            let what = format!("--device {} writes no files", self.device.name());
            return Err(Failure::usage(what, "leave --dir or --device out"));
        }
        Ok(())
    }

    /// Checks what the command line parser cannot.
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        if let (Values::AnyLength(_), Device::None) = (self.value_size, self.device) {
            let what = "--device none needs to know how much memory the values take, and they have any length";
            return Err(Failure::usage(
                what,
                "give --device memory, or --value-size a size that has a store of its own",
            ));
        }
        within("--records", self.records, 1, 1 << 40)?;
        let (api, depth, batch) = calls(self.api, self.depth, self.batch)?;
        let threads = self.threads()?;
        if !(self.theta > 0.0 && self.theta < 1.0) {
            let what = format!("--theta {} is not between 0 and 1, both excluded", self.theta);
            return Err(Failure::usage(what, "0.99 is usual; for no skew at all give --distribution uniform"));
        }
        if !(self.seconds > 0.0 && self.seconds <= 1e6) {
            let what = format!("--seconds {} is not a length for a run", self.seconds);
            return Err(Failure::usage(what, "give more than 0; to only load and verify give --workload load"));
        }
        self.check_directory()?;
        if self.recovery && !self.device.has_files() {
            let what = format!("--recovery reads files, and --device {} writes none", self.device.name());
            return Err(Failure::usage(what, "leave --recovery or --device out"));
        }
        let checkpoints = wish(self.checkpoint, self.every, self.checkpoint_rate, self.device)?;
        Ok(Plan {
            records: self.records,
            values: self.value_size,
            memory: self.memory,
            runs: super::workload::runs(&workloads(&self.workload, self.device)?, preferences(self.distribution)),
            theta: self.theta,
            duration: Duration::from_secs_f64(self.seconds),
            threads,
            api,
            depth: depth as usize,
            batch: batch as usize,
            directory: self.dir,
            device: self.device,
            verify: self.verify,
            seed: self.seed,
            checkpoints,
            recovery: self.recovery,
            revivification: self.revivification,
        })
    }
}

/// Seconds between two checkpoints unless said otherwise.
const EVERY: f64 = 3.0;

fn wish(kind: Option<Kind>, every: Option<f64>, rate: Option<u64>, device: Device) -> Result<Option<Wish>, Failure> {
    let Some(kind) = kind else { return Ok(None) };
    let every = every.unwrap_or(EVERY);
    if !(every > 0.0 && every <= 1e6) {
        let what = format!("--every {every} is no time between two checkpoints");
        return Err(Failure::usage(what, "give more than 0"));
    }
    if kind == Kind::FoldOver && device == Device::None {
        let what = "--checkpoint fold-over writes the log to its device, and --device none keeps nothing";
        return Err(Failure::usage(what, "give --checkpoint snapshot or another device"));
    }
    let rate = rate.map(|rate| (rate > 0).then_some(rate));
    Ok(Some(Wish { kind, every: Duration::from_secs_f64(every), rate }))
}

fn within(option: &str, value: u64, low: u64, high: u64) -> Result<(), Failure> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(Failure::usage(format!("{option} {value} is out of range"), format!("give a number from {low} to {high}")))
}

/// How the store is called, with how many operations in flight, and how many in a batched call.
fn calls(api: Option<Api>, depth: Option<u64>, batch: Option<u64>) -> Result<(Api, u64, u64), Failure> {
    within("--depth", depth.unwrap_or(DEPTH), 1, 1 << 16)?;
    within("--batch", batch.unwrap_or(BATCH), 1, 1 << 16)?;
    let api = match (api, depth, batch) {
        (Some(api), _, _) => api,
        (None, _, Some(_)) => Api::Batch,
        (None, Some(1), None) => Api::Sync,
        (None, _, None) => Api::Pending,
    };
    if let Some(batch) = batch.filter(|_| api != Api::Batch) {
        let what = format!("--batch {batch} does not go with --api {}", api.name());
        return Err(Failure::usage(what, "give --api batch, or leave --batch out"));
    }
    if let Some(depth) = depth.filter(|depth| api == Api::Sync && *depth > 1) {
        let what = format!("--depth {depth} does not go with --api sync, which does one operation after the other");
        return Err(Failure::usage(what, "give --api pending, batch or async, or leave --depth out"));
    }
    let depth = depth.unwrap_or(if api == Api::Sync { 1 } else { DEPTH });
    Ok((api, depth, batch.unwrap_or(BATCH)))
}

fn workloads(choices: &[Choice], device: Device) -> Result<Vec<Workload>, Failure> {
    // Nobody knows how much memory the inserts of a run will need.
    let grows = |workload: &Workload| device == Device::None && *workload == Workload::D;
    match choices {
        [] => return Ok(Workload::ALL.into_iter().filter(|workload| !grows(workload)).collect()),
        [Choice::Load] => return Ok(Vec::new()),
        _ => {}
    }
    if choices.iter().any(|choice| matches!(choice, Choice::Workload(workload) if grows(workload))) {
        let what = "--workload D inserts as long as it runs, which does not go with --device none";
        return Err(Failure::usage(what, "leave D out or give --device memory"));
    }
    let workload = |choice: &Choice| match choice {
        Choice::Workload(workload) => Some(*workload),
        Choice::Load => None,
    };
    choices.iter().map(workload).collect::<Option<_>>().ok_or_else(|| {
        Failure::usage(
            "--workload load stands alone, since every workload loads first",
            "give load or a list of letters",
        )
    })
}

fn preferences(distribution: Distribution) -> &'static [Preference] {
    match distribution {
        Distribution::Zipfian => &[Preference::Zipfian],
        Distribution::Uniform => &[Preference::Uniform],
        Distribution::Both => &[Preference::Zipfian, Preference::Uniform],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn the_long_help_fits_a_narrow_terminal() {
        assert!(AFTER_LONG_HELP.lines().all(|line| line.len() <= 78));
    }

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn plan(arguments: &[&str]) -> Result<Plan, Failure> {
        Line::try_parse_from([&["bench"], arguments].concat()).unwrap().options.plan()
    }

    #[test]
    fn the_defaults_are_ten_million_records_and_nine_runs() {
        let plan = plan(&[]).unwrap();
        assert_eq!((plan.records, plan.values, plan.memory), (10_000_000, Values::Fixed(100), 256 << 20));
        assert_eq!((plan.runs.len(), plan.duration, plan.depth), (9, Duration::from_secs(5), 64));
        assert!(plan.threads >= 1);
    }

    #[test]
    fn lists_units_and_load_are_understood() {
        let plan = plan(&["--workload", "c,A", "--value-size", "1KiB", "--distribution", "zipfian"]).unwrap();
        assert_eq!(plan.runs, [(Workload::C, Preference::Zipfian), (Workload::A, Preference::Zipfian)]);
        assert_eq!(plan.values, Values::Fixed(1024));
        assert!(super::tests::plan(&["--workload", "load"]).unwrap().runs.is_empty());
    }

    #[test]
    fn the_calls_follow_from_depth_and_batch_unless_they_are_named() {
        for (arguments, expected) in [
            (&[][..], (Api::Pending, 64)),
            (&["--depth", "8"], (Api::Pending, 8)),
            (&["--depth", "1"], (Api::Sync, 1)),
            (&["--api", "sync"], (Api::Sync, 1)),
            (&["--api", "pending", "--depth", "1"], (Api::Pending, 1)),
            (&["--api", "async"], (Api::Async, 64)),
            (&["--batch", "32"], (Api::Batch, 64)),
            (&["--batch", "32", "--depth", "1"], (Api::Batch, 1)),
        ] {
            let plan = plan(arguments).unwrap();
            assert_eq!((plan.api, plan.depth), expected, "{arguments:?}");
        }
        assert_eq!(plan(&["--batch", "32"]).unwrap().batch, 32);
        assert_eq!(plan(&["--api", "batch"]).unwrap().batch, 256);
    }

    #[test]
    fn a_device_that_keeps_nothing_is_spared_the_inserts_of_d() {
        let plan = plan(&["--device", "none"]).unwrap();
        assert_eq!(plan.runs.len(), 8);
        assert!(plan.runs.iter().all(|(workload, _)| *workload != Workload::D));
    }

    #[test]
    fn nonsense_is_refused_with_the_option_and_the_next_step() {
        for (arguments, option) in [
            (&["--value-size", "300", "--device", "none"][..], "--device none"),
            (&["--records", "0"], "--records"),
            (&["--threads", "0"], "--threads"),
            (&["--depth", "0"], "--depth"),
            (&["--theta", "1"], "--theta"),
            (&["--theta", "NaN"], "--theta"),
            (&["--seconds", "0"], "--seconds"),
            (&["--workload", "A,load"], "--workload"),
            (&["--device", "memory", "--dir", "x"], "--dir"),
            (&["--device", "none", "--dir", "x"], "--dir"),
            (&["--device", "none", "--workload", "A,D"], "--device none"),
            (&["--device", "memory", "--recovery"], "--recovery"),
            (&["--device", "none", "--checkpoint", "fold-over"], "--checkpoint fold-over"),
            (&["--checkpoint", "snapshot", "--every", "0"], "--every"),
            (&["--device", "none", "--value-size", "any:100"], "--device none"),
            (&["--batch", "0"], "--batch"),
            (&["--batch", "65537"], "--batch"),
            (&["--batch", "32", "--api", "async"], "--batch"),
            (&["--depth", "8", "--api", "sync"], "--depth"),
        ] {
            let failure = plan(arguments).unwrap_err();
            assert!(matches!(failure, Failure::Usage { .. }) && failure.to_string().contains(option), "{failure}");
        }
    }
}
