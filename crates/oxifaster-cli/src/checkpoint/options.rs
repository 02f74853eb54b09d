//! What the user may ask for.

use clap::{Args, Subcommand};
use oxifaster::checkpoint::CheckpointToken;
use std::path::PathBuf;

/// Under `oxifaster checkpoint --help`.
pub(crate) const AFTER_HELP: &str = "\
Examples:
  oxifaster checkpoint list /data/checkpoints
  oxifaster checkpoint verify /data/checkpoints --log /data/log
  oxifaster checkpoint recover-test /data/checkpoints --log /data/log";

/// Under `oxifaster checkpoint list --help`; no line longer than 78 characters.
const LIST_HELP: &str = "\
Examples:
  What is there to come back to:
      oxifaster checkpoint list /data/checkpoints
  The newest one, for a script:
      oxifaster checkpoint list /data/checkpoints --json |
          jq -r '.checkpoints[-1].checkpoint'

The newest checkpoint comes last. A checkpoint is whole if its manifest is
intact and its files are there in full; what is in them is looked at by
`oxifaster checkpoint verify`. Unclaimed files belong to a checkpoint that is
being taken, or was when the process ended.

Exit codes:
  0  every checkpoint is whole
  1  one is not, or the directory cannot be read
  2  wrong options";

/// Under `oxifaster checkpoint verify --help`; no line longer than 78 characters.
const VERIFY_HELP: &str = "\
Examples:
  The newest checkpoint, with the log that it belongs to:
      oxifaster checkpoint verify /data/checkpoints --log /data/log
  A certain one:
      oxifaster checkpoint verify /data/checkpoints --log /data/log \\
          --checkpoint 0123456789abcdef0123456789abcdef
  Only what is in the directory, such as after copying it:
      oxifaster checkpoint verify /data/checkpoints --files-only
  For machines:
      oxifaster checkpoint verify /data/checkpoints --log /data/log --json

What is checked:
  Every byte of the checkpoint: the manifest, and of every block of the log
  and of the index its checksum, its place and its generation; of the records
  of the log their headers. With the newest checkpoint comes that of the index
  which it would be recovered with, if that is one of its own. No store is
  opened and nothing is changed; a store may be using the log meanwhile.

Exit codes:
  0  everything that was asked for is sound
  1  something is not, or cannot be read
  2  wrong options";

/// Under `oxifaster checkpoint recover-test --help`; no line longer than 78
/// characters.
const RECOVER_TEST_HELP: &str = "\
Examples:
  The newest checkpoint, as a store would come back with it:
      oxifaster checkpoint recover-test /data/checkpoints --log /data/log
  A certain one, for a script:
      oxifaster checkpoint recover-test /data/checkpoints --log /data/log \\
          --checkpoint 0123456789abcdef0123456789abcdef --json |
          jq '.records, .seconds'

What is done:
  All that a recovery does, into memory: the index is loaded or made from the
  log, and the newest pages of the log are loaded. Of a durable store, with
  what came after the checkpoint in the log. Then it is given up. Nothing is
  written, and the store may be running meanwhile. It takes as much memory as
  the index, what the checkpoint has in files, and 64 MiB.

Exit codes:
  0  the checkpoint can be recovered
  1  it cannot, and the error says why and what to do
  2  wrong options";

/// What to do with checkpoints.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show which checkpoints a directory holds
    #[command(after_help = LIST_HELP)]
    List(ListOptions),
    /// Read and check every byte of a checkpoint, without opening a store
    #[command(after_help = VERIFY_HELP)]
    Verify(VerifyOptions),
    /// Recover a checkpoint into memory to see that it can be done
    #[command(after_help = RECOVER_TEST_HELP)]
    RecoverTest(RecoverTestOptions),
}

/// Options of `oxifaster checkpoint list`.
#[derive(Debug, Args)]
pub(crate) struct ListOptions {
    /// Directory of the checkpoints
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

/// Options of `oxifaster checkpoint verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyOptions {
    /// Directory of the checkpoints
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
    /// The log of the store: the directory or the file of its device
    #[arg(long, value_name = "PATH")]
    pub(super) log: Option<PathBuf>,
    /// Leave what lies on the log's device unchecked
    #[arg(long, conflicts_with = "log")]
    pub(super) files_only: bool,
    /// The checkpoint to verify [default: the newest]
    #[arg(long, value_name = "TOKEN", value_parser = parse_token)]
    pub(super) checkpoint: Option<CheckpointToken>,
    /// Verify every checkpoint
    #[arg(long, conflicts_with = "checkpoint")]
    pub(super) all: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

/// Options of `oxifaster checkpoint recover-test`.
#[derive(Debug, Args)]
pub(crate) struct RecoverTestOptions {
    /// Directory of the checkpoints
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
    /// The log of the store: the directory or the file of its device
    #[arg(long, value_name = "PATH")]
    pub(super) log: Option<PathBuf>,
    /// The checkpoint to recover [default: the newest]
    #[arg(long, value_name = "TOKEN", value_parser = parse_token)]
    pub(super) checkpoint: Option<CheckpointToken>,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

fn parse_token(text: &str) -> Result<CheckpointToken, String> {
    text.parse().map_err(|_| "give the 32 hexadecimal digits that `oxifaster checkpoint list` shows".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    #[test]
    fn the_help_fits_a_narrow_terminal() {
        let texts = [AFTER_HELP, LIST_HELP, VERIFY_HELP, RECOVER_TEST_HELP];
        assert!(texts.iter().flat_map(|text| text.lines()).all(|line| line.len() <= 78));
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        let token = "0123456789abcdef0123456789abcdef";
        let parse = |line: &str| Line::try_parse_from(line.split_whitespace());
        assert!(parse("x list dir --json").is_ok());
        assert!(parse(&format!("x verify dir --log path --checkpoint {token}")).is_ok());
        for wrong in [
            "x".to_owned(),
            "x list".to_owned(),
            "x verify dir --log path --files-only".to_owned(),
            format!("x verify dir --all --checkpoint {token}"),
            "x verify dir --checkpoint newest".to_owned(),
        ] {
            assert!(parse(&wrong).is_err(), "{wrong}");
        }
    }
}
