//! `oxifaster space`: what it costs to have space given back, measured against what the machine can do without.
//!
//! ```text
//! overwrite   rounds of writing every key, without compaction and with it; then most keys are deleted
//! growth      inserts and reads while the index doubles, from 2^10 buckets on
//! rates       compaction and scans, from memory and from the disk, beside raw reads of the same files
//! ```
//!
//! 1. What is compared is measured in one run, on one machine, in turns.
//! 2. Every value that was written is looked at in the end: a fast store that loses records has measured nothing.

mod growth;
mod options;
mod overwrite;
mod place;
mod rates;
mod standstill;
mod times;

use crate::failure::Failure;
pub(crate) use options::{AFTER_HELP, Command};

/// Runs a measurement; the result is the exit code.
pub(crate) fn execute(command: Command) -> Result<u8, Failure> {
    let report = match command {
        Command::Overwrite(options) => overwrite::execute(&options)?,
        Command::Growth(options) => growth::execute(&options)?,
        Command::Rates(options) => rates::execute(&options)?,
    };
    crate::output::print_text(&report)?;
    Ok(0)
}

/// Calls a function with the value type of a size.
macro_rules! for_value_size {
    ($size:expr, $function:ident($($argument:expr),*)) => {
        match $size {
            104 => $function::<13>($($argument),*),
            1000 => $function::<125>($($argument),*),
            other => Err(crate::failure::Failure::usage(
                format!("there are no values of {other} bytes in this measurement"),
                "choose 104 or 1000",
            )),
        }
    };
}
use for_value_size;
