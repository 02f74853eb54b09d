//! What the user may ask for.

use crate::units::{parse_count, parse_size};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Under `oxifaster space --help`.
pub(crate) const AFTER_HELP: &str = "\
Examples:
  oxifaster space overwrite
  oxifaster space overwrite --data 256MiB --memory 128MiB --order random
  oxifaster space overwrite --data 256MiB --memory 128MiB --order random --compaction-memory 16MiB --max-part 0.2
  oxifaster space growth
  oxifaster space rates --value-size 104";

/// A measurement.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Overwrite everything again and again, without compaction and with it, then delete most of it
    Overwrite(OverwriteOptions),
    /// Have the index grow while keys are inserted and read
    Growth(GrowthOptions),
    /// Compact and scan, from memory and from the disk
    Rates(RatesOptions),
}

/// In which order keys are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Order {
    /// Every round in another order that has nothing to do with the one before
    Random,
    /// In the order of the keys
    Sequential,
}

#[derive(Debug, Args)]
pub(crate) struct OverwriteOptions {
    /// Bytes of the records that there are
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = parse_size)]
    pub(super) data: u64,
    /// Size of a value: 104 or 1000 bytes (keys have 8 bytes)
    #[arg(long, value_name = "SIZE", default_value = "104", value_parser = parse_size)]
    pub(super) value_size: u64,
    /// Memory budget of the store
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_size)]
    pub(super) memory: u64,
    /// Bytes of it for what a compaction has put off [default: a thirty-second, at most 64 MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(super) compaction_memory: Option<u64>,
    /// The share of the log that is compacted at a time at most
    #[arg(long, value_name = "SHARE", default_value_t = 0.0625)]
    pub(super) max_part: f64,
    /// Rounds in which every key is overwritten, with compaction
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    pub(super) rounds: u64,
    /// Rounds without compaction, to compare with; they leave all they write on the disk until they are over
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    pub(super) rounds_without: u64,
    /// In which order keys are written
    #[arg(long, value_name = "ORDER", default_value = "sequential")]
    pub(super) order: Order,
    /// Threads that write
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    pub(super) threads: u64,
    /// Threads that compact
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    pub(super) compaction_threads: usize,
    /// Seconds that the disk may take to be given back after most is deleted
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(super) give_back_within: u64,
    /// The share of the log that is to be in use
    #[arg(long, value_name = "SHARE", default_value_t = 0.7)]
    pub(super) target: f64,
    /// Directory for the store, which must be empty or not exist [default: a temporary one]
    #[arg(long, value_name = "DIRECTORY")]
    pub(super) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct GrowthOptions {
    /// Keys to insert
    #[arg(long, value_name = "COUNT", default_value = "80M", value_parser = parse_count)]
    pub(super) keys: u64,
    /// The index begins with 2 to this number of buckets
    #[arg(long, value_name = "BITS", default_value_t = 10)]
    pub(super) from_bits: u32,
    /// And ends with this
    #[arg(long, value_name = "BITS", default_value_t = 24)]
    pub(super) to_bits: u32,
    /// Keys in a batch of reads; 1 for single reads
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub(super) batch: usize,
    /// Threads that read
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub(super) readers: u64,
    /// Threads that insert
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub(super) writers: u64,
}

#[derive(Debug, Args)]
pub(crate) struct RatesOptions {
    /// Bytes of the records that there are
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_size)]
    pub(super) data: u64,
    /// Size of a value: 104 or 1000 bytes (keys have 8 bytes)
    #[arg(long, value_name = "SIZE", default_value = "104", value_parser = parse_size)]
    pub(super) value_size: u64,
    /// The share of the keys that is overwritten before the log is compacted
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    pub(super) overwritten: f64,
    /// In which order keys are overwritten
    #[arg(long, value_name = "ORDER", default_value = "sequential")]
    pub(super) order: Order,
    /// Times that everything is measured
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    pub(super) repetitions: usize,
    /// Directory for the store, which must be empty or not exist [default: a temporary one]
    #[arg(long, value_name = "DIRECTORY")]
    pub(super) dir: Option<PathBuf>,
}
