//! `oxifaster log`: a durable log in a directory, from the command line and in pipes.
//!
//! 1. What only looks at a log opens it to be read: nothing is changed, and another process may be writing it.
//! 2. Standard output carries entries or the report and nothing else.
//! 3. A line of input is an entry, without its line feed; an entry is printed as a line.

mod append;
mod bench;
mod options;
mod raw;
mod read;

use crate::failure::Failure;
pub(crate) use options::{AFTER_HELP, Command};

/// Runs a command on a log; the result is the exit code.
pub(crate) fn execute(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Append(options) => append::execute(&options),
        Command::Tail(options) => read::tail(&options),
        Command::Scan(options) => read::scan(&options),
        Command::Verify(options) => read::verify(&options),
        Command::Truncate(options) => append::truncate(&options),
        Command::Bench(options) => bench::execute(&options),
    }
}
