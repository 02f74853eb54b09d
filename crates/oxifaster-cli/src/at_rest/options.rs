//! What the user may ask for.

use crate::failure::Failure;
use crate::units::{parse_count, parse_size};
use clap::Args;
use oxifaster::checkpoint::CheckpointToken;
use std::path::PathBuf;

/// Under `oxifaster inspect --help`; no line longer than 78 characters.
pub(crate) const INSPECT_HELP: &str = "\
Examples:
  What a store is made of, by its newest checkpoint:
      oxifaster inspect /data/checkpoints --log /data/log
  Of a store that oxifaster::Store keeps in a directory:
      oxifaster inspect /data/store
  The same as a picture, and for machines:
      oxifaster inspect /data/checkpoints --log /data/log --svg store.svg
      oxifaster inspect /data/checkpoints --log /data/log --json

Every record of the log is read, and every key is kept in memory: about 100
bytes for each. Nothing is changed. The log must not be in use.

Exit codes:
  0  everything could be read
  1  something could not
  2  wrong options";

/// Under `oxifaster scan --help`.
pub(crate) const SCAN_HELP: &str = "\
Examples:
  Every key with its newest value:
      oxifaster scan /data/checkpoints --log /data/log
  The first ten records of the log, dead or alive:
      oxifaster scan /data/checkpoints --log /data/log --all --limit 10
  Of a store that oxifaster::Store keeps in a directory:
      oxifaster scan /data/store

One line for each record: address, key, value. Keys and values of 1, 2, 4 and
8 bytes are shown as numbers, others as hexadecimal digits. Keys come in the
order of the log; without --all every key is kept in memory. What came after
the checkpoint is not shown: of a durable store `oxifaster export` has that.

Exit codes:
  0  everything could be read
  1  something could not
  2  wrong options";

/// Under `oxifaster compact --help`.
pub(crate) const COMPACT_HELP: &str = "\
Examples:
  Give back the space of what is of no use:
      oxifaster compact /data/checkpoints --log /data/log
  Only until 60 % of the log is in use, with four threads:
      oxifaster compact /data/checkpoints --log /data/log \\
          --target 0.6 --threads 4

  A store that oxifaster::Store keeps in a directory:
      oxifaster compact /data/store

The newest checkpoint is recovered, compacted, and a new checkpoint is taken.
Once that is durable and was verified, the older ones are removed: they need
the space. A crash at any moment leaves the old state or the new one.

Exit codes:
  0  done
  1  it failed; the newest checkpoint is as it was
  2  wrong options";

/// Which checkpoint of which store.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// Directory of the checkpoints, or of a store of `oxifaster::Store`
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
    /// The log of the store: the directory or the file of its device [default: that of a store of `oxifaster::Store`]
    #[arg(long, value_name = "PATH")]
    pub(super) log: Option<PathBuf>,
}

impl Source {
    /// The directory of the checkpoints, and the log.
    pub(super) fn places(&self) -> Result<(PathBuf, PathBuf), Failure> {
        if let Some(log) = &self.log {
            return Ok((self.directory.clone(), log.clone()));
        }
        let (checkpoints, log) = crate::plain::parts(&self.directory);
        if checkpoints.is_dir() {
            return Ok((checkpoints, log));
        }
        let what = format!("{} is not the directory of a store of oxifaster::Store", self.directory.display());
        Err(Failure::usage(what, "name one, or a directory of checkpoints and with --log the log that they belong to"))
    }
}

/// Options of `oxifaster inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectOptions {
    #[command(flatten)]
    pub(super) source: Source,
    /// The checkpoint to look at [default: the newest]
    #[arg(long, value_name = "TOKEN", value_parser = parse_token)]
    pub(super) checkpoint: Option<CheckpointToken>,
    /// Draw a picture into this file
    #[arg(long, value_name = "FILE")]
    pub(super) svg: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

/// Options of `oxifaster scan`.
#[derive(Debug, Args)]
pub(crate) struct ScanOptions {
    #[command(flatten)]
    pub(super) source: Source,
    /// The checkpoint to look at [default: the newest]
    #[arg(long, value_name = "TOKEN", value_parser = parse_token)]
    pub(super) checkpoint: Option<CheckpointToken>,
    /// Every record of the log: superseded ones and deletions too
    #[arg(long)]
    pub(super) all: bool,
    /// Lines at most
    #[arg(long, value_name = "COUNT", value_parser = parse_count)]
    pub(super) limit: Option<u64>,
    /// Print a JSON document in each line
    #[arg(long)]
    pub(super) json: bool,
}

/// Options of `oxifaster compact`.
#[derive(Debug, Args)]
pub(crate) struct CompactOptions {
    #[command(flatten)]
    pub(super) source: Source,
    /// The share of the log that is to be in use [default: all of it]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub(super) target: Option<f64>,
    /// Threads that look at records
    #[arg(long, default_value_t = 1)]
    pub(super) threads: usize,
    /// Memory for the store while it is open
    #[arg(long, default_value = "256MiB", value_parser = parse_size)]
    pub(super) memory: u64,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

fn parse_token(text: &str) -> Result<CheckpointToken, String> {
    text.parse().map_err(|_| "give the 32 hexadecimal digits that `oxifaster checkpoint list` shows".to_owned())
}

fn parse_share(text: &str) -> Result<f64, String> {
    let wrong = || "give a number above 0 and at most 1, such as 0.6".to_owned();
    let share: f64 = text.parse().map_err(|_| wrong())?;
    if share > 0.0 && share <= 1.0 { Ok(share) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: CompactOptions,
    }

    #[test]
    fn the_help_fits_a_narrow_terminal() {
        let texts = [INSPECT_HELP, SCAN_HELP, COMPACT_HELP];
        assert!(texts.iter().flat_map(|text| text.lines()).all(|line| line.len() <= 78));
    }

    #[test]
    fn shares_that_make_no_sense_are_refused() {
        let parse = |line: &str| Line::try_parse_from(line.split_whitespace());
        assert_eq!(parse("x dir --log path --target 0.6").unwrap().options.target, Some(0.6));
        for wrong in ["x", "x dir --log path --target 0", "x dir --log path --target NaN", "x --log path"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
