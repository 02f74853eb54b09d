//! `oxifaster checkpoint`: which states are there to come back to, and are they whole?
//!
//! ```text
//! options -> directory, log -> catalog, verify -> document -> table or JSON, exit code
//! ```
//!
//! 1. Nothing is changed: no file is made, removed or written.
//! 2. A file that cannot be used is in the report and makes the exit code 1.
//! 3. Standard output carries the report and nothing else.

mod document;
mod list;
mod moment;
mod options;
pub(crate) mod place;
mod progress;
mod recover_test;
mod verify;

use crate::failure::Failure;
pub(crate) use options::{AFTER_HELP, Command};

/// Runs a command on checkpoints; the result is the exit code.
pub(crate) fn execute(command: Command) -> Result<u8, Failure> {
    match command {
        Command::List(options) => list::execute(&options),
        Command::Verify(options) => verify::execute(&options),
        Command::RecoverTest(options) => recover_test::execute(&options),
    }
}

/// What the process exits with if a checkpoint is not what it should be.
const DEFECTIVE: u8 = 1;
