//! What the user may ask for.

use crate::failure::Failure;
use crate::units::{parse_count, parse_size};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// Under `oxifaster import --help`; no line longer than 78 characters.
pub(crate) const IMPORT_HELP: &str = "\
Examples:
  oxifaster import /data/store people.ndjson
  zcat people.csv.gz | oxifaster import /data/store --format csv
  oxifaster import /data/store people.csv --on-error skip

NDJSON, an object in each line; key_base64 and value_base64 for bytes that are
not UTF-8:
  {\"key\":\"name\",\"value\":\"Ada\"}
  {\"key\":\"photo\",\"value_base64\":\"/9j/4AAQ\"}
CSV, with a first line that names the columns. The third is optional and says
what of a record is base64: key, value or both:
  key,value,base64
  name,\"Lovelace, Ada\",
  photo,/9j/4AAQ,value
Where all keys or all values have 1, 2, 4 or 8 bytes they are numbers.

DIR is what `oxifaster::Store::open` was given; the store is made if there is
none. A key that is there gets the new value. When the command ends everything
is durable.

An import that was interrupted goes on where it was if it is started again
with the same input, file or pipe: DIR/import.json says how far everything is
durable. Some of what lies behind that may be in the store as well, and is put
again, which changes nothing unless somebody else wrote it meanwhile.

Exit codes:
  0    everything is in the store
  1    something was skipped; or the input, the store or its device failed
  2    wrong options, or the directory holds something else
  130  stopped by Ctrl-C; start it again to go on";

/// Under `oxifaster export --help`.
pub(crate) const EXPORT_HELP: &str = "\
Examples:
  oxifaster export /data/store | head
  oxifaster export /data/store -o people.csv
  oxifaster export /data/store --format csv | gzip > people.csv.gz
  oxifaster export /data/store | LC_ALL=C sort > sorted.ndjson

Every key with its value, as `oxifaster import` reads them (see its help), in
the order of the log: that in which they were written last, not that of the
keys. The store is locked meanwhile, so it is one state of it. A file is there
when it is whole.

Exit codes:
  0  everything was written
  1  the output, the store or its device failed
  2  wrong options, or no such store";

/// The two ways to write entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A JSON object in each line
    Ndjson,
    /// Comma-separated values
    Csv,
}

impl Format {
    /// The one that was asked for, or that of the file's name, or NDJSON.
    pub(super) fn chosen(asked: Option<Self>, file: Option<&Path>) -> Self {
        let is_csv = |path: &Path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        asked.unwrap_or(if file.is_some_and(is_csv) { Self::Csv } else { Self::Ndjson })
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }
}

/// What to do with a record that cannot be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OnError {
    /// Say where it is and stop in front of it
    Stop,
    /// Say where it is and go on behind it
    Skip,
}

/// Options of `oxifaster import`.
#[derive(Debug, Args)]
pub(crate) struct ImportOptions {
    /// The directory of the store
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
    /// What to import; - or nothing for standard input
    pub(super) file: Option<PathBuf>,
    /// What it is written as [default: csv if the file is called so, else ndjson]
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<Format>,
    /// What to do with a record that cannot be imported
    #[arg(long, value_name = "WHAT", default_value = "stop")]
    pub(super) on_error: OnError,
    /// Records after which everything is made durable, and noted as such
    #[arg(long, value_name = "COUNT", default_value = "100k", value_parser = parse_count)]
    pub(super) commit_every: u64,
    /// Begin with the first record, whatever was interrupted
    #[arg(long)]
    pub(super) restart: bool,
    /// Bytes of every key of a store that is made: 8 or 16 [default: any length]
    #[arg(long, value_name = "BYTES")]
    pub(super) key_size: Option<usize>,
    /// Bytes of every value of a store that is made: 8 [default: any length]
    #[arg(long, value_name = "BYTES")]
    pub(super) value_size: Option<usize>,
    /// Memory for the store while it is open [default: as much as a store takes]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(super) memory: Option<u64>,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

impl ImportOptions {
    /// The file that is meant; `None` for standard input.
    pub(super) fn named(&self) -> Option<&Path> {
        self.file.as_deref().filter(|path| *path != Path::new("-"))
    }

    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.commit_every == 0 {
            return Err(Failure::usage("--commit-every 0 would never note how far it is", "give 1 or more"));
        }
        Ok(())
    }
}

/// Options of `oxifaster export`.
#[derive(Debug, Args)]
pub(crate) struct ExportOptions {
    /// The directory of the store
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
    /// Write to this file, and put it in the place of what was there when it is whole [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// What to write [default: csv if the file is called so, else ndjson]
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<Format>,
    /// Memory for the store while it is open [default: as much as a store takes]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(super) memory: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_fits_a_narrow_terminal() {
        assert!([IMPORT_HELP, EXPORT_HELP].iter().flat_map(|text| text.lines()).all(|line| line.len() <= 78));
    }

    #[test]
    fn the_format_follows_from_the_name_unless_it_is_told() {
        let chosen = |asked, name: &str| Format::chosen(asked, Some(Path::new(name)));
        assert_eq!(chosen(None, "a/b.CSV"), Format::Csv);
        assert_eq!((chosen(None, "csv"), chosen(None, "b.jsonl")), (Format::Ndjson, Format::Ndjson));
        assert_eq!(chosen(Some(Format::Ndjson), "b.csv"), Format::Ndjson);
        assert_eq!(Format::chosen(None, None), Format::Ndjson);
    }
}
