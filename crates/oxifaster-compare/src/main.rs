//! The same workloads, keys and threads on this store, on its peers, and on the bare machine.
//!
//! `README.md` says how to run it and what is fair about it.

mod charts;
mod disk;
mod distribution;
mod failure;
mod hash;
mod histogram;
mod log;
mod machine;
mod memory;
mod options;
mod probe;
mod random;
mod report;
mod summary;
mod table;
mod value;

use clap::Parser;
use failure::{Failure, Result};
use options::{Command, MemoryOptions, Options};
use report::Report;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(Options::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("oxifaster-compare: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Memory(options) => in_memory(&options.settled()),
        Command::Disk(options) => {
            let options = options.settled();
            let mut report = Report::begin("disk");
            let stolen = machine::stolen();
            let outcome = disk::campaign::run(&options, &mut report);
            conclude(report, stolen, &options.baseline, options.json.as_deref(), outcome)
        }
        Command::Log(options) => log::campaign::run(&options.settled()),
        Command::Charts(options) => charts::draw(&options.reports, &options.out),
        Command::Tables { reports, baseline } => {
            for path in reports {
                let report = Report::read(&path)?;
                let usual = if report.half == "disk" { options::DISK_BASELINE } else { options::MEMORY_BASELINE };
                print!("{}", table::of(&report, baseline.as_deref().unwrap_or(usual)));
            }
            Ok(())
        }
        Command::Trial { engine, keys, threads } => memory::trial::run(&engine, keys, threads),
        Command::Serve(options) => disk::serve::run(&options),
    }
}

fn in_memory(options: &MemoryOptions) -> Result<()> {
    if options.huge_heap && std::env::var_os(TUNABLES).is_none() {
        return again_on_huge_pages();
    }
    let mut report = Report::begin("memory");
    report.by_cpu_time = options.cpu_time;
    let stolen = machine::stolen();
    let outcome = memory::campaign::run(options, &mut report);
    conclude(report, stolen, &options.baseline, options.json.as_deref(), outcome)
}

const TUNABLES: &str = "GLIBC_TUNABLES";

/// The C library decides when the process starts whether its heap asks for huge pages, so the process starts once more.
fn again_on_huge_pages() -> Result<()> {
    let status = std::process::Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(TUNABLES, "glibc.malloc.hugetlb=1")
        .status()?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("the run on huge pages ended with {status}"))) }
}

/// Prints and keeps what there is, also of a run that failed on its way.
fn conclude(
    mut report: Report,
    stolen: (u64, u64),
    baseline: &str,
    json: Option<&Path>,
    outcome: Result<()>,
) -> Result<()> {
    let now = machine::stolen();
    report.stolen_share = (now.0 - stolen.0) as f64 / (now.1 - stolen.1).max(1) as f64;
    print!("{}", table::of(&report, baseline));
    if let Some(path) = json {
        report.write(path)?;
        eprintln!("written to {}", path.display());
    }
    outcome
}
