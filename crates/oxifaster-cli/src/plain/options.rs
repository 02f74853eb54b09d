//! What the user may ask for.

use super::form::Form;
use crate::units::parse_size;
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

/// Under `oxifaster get --help`; no line longer than 78 characters.
pub(crate) const GET_HELP: &str = "\
Examples:
  oxifaster get /data/store name
  oxifaster get /data/store photo -o photo.jpg
  oxifaster get /data/store 00ff --key-as hex --value-as base64

DIR is what `oxifaster::Store::open` was given. The value comes as its bytes,
with nothing added, unless standard output is a terminal: then a line ends.
Numbers, hexadecimal digits and base64 are lines. A store whose keys all have
1, 2, 4 or 8 bytes has numbers as keys; the same for values.

Exit codes:
  0  the key is there
  1  it is not
  2  wrong options, or no such store
  3  the store is in use, or failed";

/// Under `oxifaster put --help`.
pub(crate) const PUT_HELP: &str = "\
Examples:
  oxifaster put /data/store name Ada
  oxifaster put /data/store photo --file photo.jpg
  curl https://example.org | oxifaster put /data/store page
  oxifaster get /data/store a | oxifaster put /data/store b

Without a value, or with - for one, it is read from standard input to its end.
The store is made if there is none, for keys and values of any length. When
the command ends the value is durable.

A store does not say whether its keys are text, JSON or something else of any
length: give what the program that uses it expects.

Exit codes:
  0  done
  2  wrong options, or the directory holds something else
  3  the store is in use, or failed";

/// Under `oxifaster del --help`.
pub(crate) const DEL_HELP: &str = "\
Examples:
  oxifaster del /data/store name
  oxifaster del /data/store 00ff --key-as hex

Exit codes:
  0  the key was there, and is deleted
  1  it was not
  2  wrong options, or no such store
  3  the store is in use, or failed";

/// Which store, and how it is opened.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The directory of the store
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
    /// Memory for the store while it is open [default: as much as a store takes]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(super) memory: Option<u64>,
}

/// Options of `oxifaster get`.
#[derive(Debug, Args)]
pub(crate) struct GetOptions {
    #[command(flatten)]
    pub(super) place: Place,
    /// The key
    pub(super) key: OsString,
    /// What the key is written as
    #[arg(long, value_name = "FORM", default_value = "auto")]
    pub(super) key_as: Form,
    /// What the value is written as
    #[arg(long, value_name = "FORM", default_value = "auto")]
    pub(super) value_as: Form,
    /// Write the value to this file
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

/// Options of `oxifaster put`.
#[derive(Debug, Args)]
pub(crate) struct PutOptions {
    #[command(flatten)]
    pub(super) place: Place,
    /// The key
    pub(super) key: OsString,
    /// The value; - or nothing for standard input
    pub(super) value: Option<OsString>,
    /// Take the value from this file
    #[arg(short, long, value_name = "FILE", conflicts_with = "value")]
    pub(super) file: Option<PathBuf>,
    /// What the key is written as
    #[arg(long, value_name = "FORM", default_value = "auto")]
    pub(super) key_as: Form,
    /// What the value is written as
    #[arg(long, value_name = "FORM", default_value = "auto")]
    pub(super) value_as: Form,
}

/// Options of `oxifaster del`.
#[derive(Debug, Args)]
pub(crate) struct DelOptions {
    #[command(flatten)]
    pub(super) place: Place,
    /// The key
    pub(super) key: OsString,
    /// What the key is written as
    #[arg(long, value_name = "FORM", default_value = "auto")]
    pub(super) key_as: Form,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_fits_a_narrow_terminal() {
        assert!([GET_HELP, PUT_HELP, DEL_HELP].iter().flat_map(|text| text.lines()).all(|line| line.len() <= 78));
    }
}
