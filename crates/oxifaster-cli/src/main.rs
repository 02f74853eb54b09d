//! The oxifaster command.
#![forbid(unsafe_code)]

mod bench;
mod failure;
mod units;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Tools for oxifaster, a concurrent key-value store larger than memory.
#[derive(Debug, Parser)]
#[command(name = "oxifaster", version, propagate_version = true)]
#[command(
    after_help = "Begin with `oxifaster bench`: how fast is the store on this machine, and is every value right?"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure and check a store on this machine
    ///
    /// Loads records into a fresh store, most of which do not fit into its memory, runs the YCSB workloads on every
    /// core, checks every value that is read, and reports throughput, latency, memory and disk.
    #[command(after_help = bench::AFTER_HELP, after_long_help = bench::AFTER_LONG_HELP)]
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let Command::Bench(options) = cli.command;
    match bench::execute(options) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Prints help where it was asked for, and otherwise one line that says what is wrong and what to do next.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Whoever closes the output early has read enough.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return ExitCode::from(2);
    }
    let text = error.to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let said: Vec<&str> =
        lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more")).collect();
    eprintln!("{}; see `oxifaster bench --help`", said.join(" "));
    ExitCode::from(2)
}
