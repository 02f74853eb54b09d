//! The oxifaster command.
#![forbid(unsafe_code)]

mod at_rest;
mod bar;
mod bench;
mod checkpoint;
mod failure;
mod log;
mod output;
mod plain;
mod space;
mod transfer;
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
    /// Print the value of a key
    #[command(after_help = plain::GET_HELP)]
    Get(plain::GetOptions),
    /// Give a key a value
    #[command(after_help = plain::PUT_HELP)]
    Put(plain::PutOptions),
    /// Delete a key
    #[command(after_help = plain::DEL_HELP)]
    Del(plain::DelOptions),
    /// Put keys and values from NDJSON or CSV into a store
    #[command(after_help = transfer::IMPORT_HELP)]
    Import(transfer::ImportOptions),
    /// Write all keys and values of a store as NDJSON or CSV
    #[command(after_help = transfer::EXPORT_HELP)]
    Export(transfer::ExportOptions),
    /// Measure and check a store on this machine
    ///
    /// Loads records into a fresh store, most of which do not fit into its memory, runs the YCSB workloads on every
    /// core, checks every value that is read, and reports throughput, latency, memory and disk.
    #[command(after_help = bench::AFTER_HELP, after_long_help = bench::AFTER_LONG_HELP)]
    Bench(bench::Options),
    /// Look at checkpoints: which there are, and whether they are whole
    #[command(subcommand, after_help = checkpoint::AFTER_HELP)]
    Checkpoint(checkpoint::Command),
    /// Show what a store is made of: its log, its records, its index
    #[command(after_help = at_rest::INSPECT_HELP)]
    Inspect(at_rest::InspectOptions),
    /// Print the keys and values of a store, or all records of its log
    #[command(after_help = at_rest::SCAN_HELP)]
    Scan(at_rest::ScanOptions),
    /// Give back the space of what a store has no use for any more
    #[command(after_help = at_rest::COMPACT_HELP)]
    Compact(at_rest::CompactOptions),
    /// Measure what it costs to have space given back: compaction, growth of the index, scans
    #[command(subcommand, after_help = space::AFTER_HELP)]
    Space(space::Command),
    /// Append to a durable log, follow it, look at it
    #[command(subcommand, after_help = log::AFTER_HELP)]
    Log(log::Command),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let outcome = match cli.command {
        Command::Get(options) => plain::get(&options),
        Command::Put(options) => plain::put(&options),
        Command::Del(options) => plain::del(&options),
        Command::Import(options) => transfer::import(&options),
        Command::Export(options) => transfer::export(&options),
        Command::Bench(options) => bench::execute(options),
        Command::Checkpoint(command) => checkpoint::execute(command),
        Command::Inspect(options) => at_rest::inspect(&options),
        Command::Scan(options) => at_rest::scan(&options),
        Command::Compact(options) => at_rest::compact(&options),
        Command::Space(command) => space::execute(command),
        Command::Log(command) => log::execute(command),
    };
    match outcome {
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
    eprintln!("{}; see `{} --help`", said.join(" "), command_line(std::env::args().skip(1)));
    ExitCode::from(2)
}

/// The command that the user meant, as far as its words go.
fn command_line(arguments: impl Iterator<Item = String>) -> String {
    let mut command = <Cli as clap::CommandFactory>::command();
    let mut line = "oxifaster".to_owned();
    for word in arguments {
        let Some(next) = command.find_subcommand(&word).cloned() else { break };
        line = format!("{line} {word}");
        command = next;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_that_is_named_is_that_of_the_command() {
        let line = |words: &str| command_line(words.split_whitespace().map(str::to_owned));
        assert_eq!(line(""), "oxifaster");
        assert_eq!(line("bench --depth 0"), "oxifaster bench");
        assert_eq!(line("checkpoint verify dir bench"), "oxifaster checkpoint verify");
        assert_eq!(line("chekpoint verify"), "oxifaster");
    }
}
