//! What the user may ask for.

use crate::failure::Failure;
use clap::{Args, Subcommand};
use oxifaster::address::Address;
use oxifaster::device::{FileSystemDisk, FileSystemDiskOptions};
use oxifaster::log::{FasterLog, FasterLogConfig};
use std::path::{Path, PathBuf};

/// Under `oxifaster log --help`.
pub(crate) const AFTER_HELP: &str = "\
Examples:
  seq 1 1000000 | oxifaster log append /data/log
  oxifaster log tail /data/log --follow
  oxifaster log scan /data/log --addresses | head
  oxifaster log verify /data/log";

const APPEND_HELP: &str = "\
Examples:
  seq 1 1000000 | oxifaster log append /data/log
  oxifaster log append /data/log --each < events.txt

Every line of the input becomes an entry. Entries are durable within ten
milliseconds; the command ends when all of them are. The log is made if there
is none.

Exit codes:
  0  every line is durable
  1  the log or its device failed: the message says how many lines are durable
  2  wrong options, or the directory holds something else";

const TAIL_HELP: &str = "\
Examples:
  oxifaster log tail /data/log -n 3
  oxifaster log tail /data/log --follow

The last entries, and with --follow those that are committed from now on, also
by another process.";

const SCAN_HELP: &str = "\
Examples:
  oxifaster log scan /data/log | wc -l
  oxifaster log scan /data/log --addresses --limit 10
  oxifaster log scan /data/log --from 0x3fe00

Every committed entry, oldest first, a line each.";

const VERIFY_HELP: &str = "\
Examples:
  oxifaster log verify /data/log
  oxifaster log verify /data/log --json

Reads every byte from the first entry to the end and checks it.

Exit codes:
  0  the log is whole
  1  it is damaged, or cannot be read
  2  wrong options, or the directory holds something else";

const TRUNCATE_HELP: &str = "\
Examples:
  Give up everything before an entry, and give its space back:
      oxifaster log truncate /data/log --before 0x3fe00
  Give up an entry and everything behind it:
      oxifaster log truncate /data/log --from 0x3fe00

Addresses are those that `oxifaster log scan --addresses` shows.";

const BENCH_HELP: &str = "\
Examples:
  oxifaster log bench /data/new --size 64 --appenders 2
  oxifaster log bench /data/new --size 4096 --seconds 10

Appends for some seconds with a commit every ten milliseconds, then waits for
commits one by one, then scans all of it; and beside it what the same files
take without a log. The directory must be empty, and is emptied again.";

/// What to do with a log.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Append every line of the standard input
    #[command(after_help = APPEND_HELP)]
    Append(AppendOptions),
    /// Print the last entries, and follow the log
    #[command(after_help = TAIL_HELP)]
    Tail(TailOptions),
    /// Print all entries
    #[command(after_help = SCAN_HELP)]
    Scan(ScanOptions),
    /// Read and check every byte
    #[command(after_help = VERIFY_HELP)]
    Verify(VerifyOptions),
    /// Give up entries at one end
    #[command(after_help = TRUNCATE_HELP)]
    Truncate(TruncateOptions),
    /// Measure a log on this disk
    #[command(after_help = BENCH_HELP)]
    Bench(BenchOptions),
}

/// Options of `oxifaster log append`.
#[derive(Debug, Args)]
pub(crate) struct AppendOptions {
    /// The directory of the log
    pub(super) directory: PathBuf,
    /// Wait for each entry to be durable before the next is read
    #[arg(long)]
    pub(super) each: bool,
}

/// Options of `oxifaster log tail`.
#[derive(Debug, Args)]
pub(crate) struct TailOptions {
    /// The directory of the log
    pub(super) directory: PathBuf,
    /// Print this many of the last entries
    #[arg(short = 'n', long, default_value_t = 10, value_name = "NUMBER")]
    pub(super) lines: usize,
    /// Go on with entries as they are committed, until interrupted
    #[arg(short, long)]
    pub(super) follow: bool,
}

/// Options of `oxifaster log scan`.
#[derive(Debug, Args)]
pub(crate) struct ScanOptions {
    /// The directory of the log
    pub(super) directory: PathBuf,
    /// Print the address of each entry before it
    #[arg(long)]
    pub(super) addresses: bool,
    /// Begin with the first entry at or behind this address
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(super) from: Option<Address>,
    /// Print so many entries at most
    #[arg(long, value_name = "NUMBER")]
    pub(super) limit: Option<u64>,
}

/// Options of `oxifaster log verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyOptions {
    /// The directory of the log
    pub(super) directory: PathBuf,
    /// Print a report for machines
    #[arg(long)]
    pub(super) json: bool,
}

/// Options of `oxifaster log truncate`.
#[derive(Debug, Args)]
pub(crate) struct TruncateOptions {
    /// The directory of the log
    pub(super) directory: PathBuf,
    /// Give up everything before this address
    #[arg(long, value_name = "ADDRESS", value_parser = address, required_unless_present = "from", conflicts_with = "from")]
    pub(super) before: Option<Address>,
    /// Give up the entry at this address, and everything behind it
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(super) from: Option<Address>,
}

/// Options of `oxifaster log bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchOptions {
    /// An empty directory, or one to be made
    pub(super) directory: PathBuf,
    /// Bytes of an entry
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    pub(super) size: u32,
    /// Threads that append
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) appenders: u32,
    /// How long to append
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(super) seconds: u32,
    /// Append through the log itself, a call each, and not by an appender of every thread's own
    #[arg(long)]
    pub(super) single: bool,
}

fn address(text: &str) -> Result<Address, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let number = number.ok().filter(|number| *number <= Address::MAX.get());
    number.map(Address::new).ok_or_else(|| "give an address as `oxifaster log scan --addresses` shows it".to_owned())
}

/// Opens the log to be changed; it is made if there is none, but not among files of something else.
pub(super) fn open(directory: &Path) -> Result<FasterLog, Failure> {
    let is_device = directory.join("LOCK").exists();
    let is_empty = std::fs::read_dir(directory).map_or(true, |mut entries| entries.next().is_none());
    if !is_device && !is_empty {
        return Err(Failure::usage(
            format!("the directory {} holds other files and no log", directory.display()),
            "name the directory of a log, an empty one, or one that does not exist",
        ));
    }
    Ok(FasterLog::open(FasterLogConfig::default(), FileSystemDisk::open(directory)?)?)
}

/// Opens the log to be read, as far as it is now.
pub(super) fn open_to_read(directory: &Path) -> oxifaster::Result<FasterLog> {
    let device = FileSystemDiskOptions::new().with_read_only(true).open(directory)?;
    FasterLog::open_read_only(FasterLogConfig::default(), device)
}
