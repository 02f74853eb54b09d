//! The simulator's command.
#![forbid(unsafe_code)]

use clap::{Args, Parser, Subcommand};
use oxifaster_sim::runner::{Campaign, CrashPath, CrashStep, Failure, Observer, Subject, Summary};
use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Runs programs on simulated storage that crashes, tears, lies and reorders, from a seed
#[derive(Debug, Parser)]
#[command(name = "oxifaster-sim", version)]
#[command(after_help = "The exit code is 0 if nothing was found, 1 if something was, 2 if the command makes no sense.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look at a range of seeds
    Run {
        /// First seed, and the one behind the last: 0..1000
        #[arg(long, value_parser = parse_range)]
        seeds: Range<u64>,
        #[command(flatten)]
        choice: Choice,
    },
    /// Repeat what one seed did, with the crashes of a FAIL line
    Replay {
        /// The seed
        seed: u64,
        /// The program
        #[arg(long, value_parser = parse_program)]
        program: Subject,
        /// A crash: before which event, and what survives; give it again for a crash of the recovery
        #[arg(long = "crash", value_name = "EVENT:POLICY")]
        crashes: Vec<CrashStep>,
        /// List everything that happened
        #[arg(long)]
        events: bool,
    },
    /// Look at new seeds for a while
    Soak {
        /// For how long
        #[arg(long)]
        minutes: f64,
        /// The first seed; from the clock if not given
        #[arg(long)]
        from: Option<u64>,
        #[command(flatten)]
        choice: Choice,
    },
    /// List the programs
    Programs,
}

#[derive(Debug, Args)]
struct Choice {
    /// One program only
    #[arg(long, value_parser = parse_program)]
    program: Option<Subject>,
    /// Seeds at the same time
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run { seeds, choice } => campaign(seeds, None, choice),
        Command::Soak { minutes, from, choice } => {
            // Beyond any number of minutes that somebody can mean, there is no deadline.
            let length = Duration::try_from_secs_f64(minutes * 60.0).ok();
            let deadline = length.and_then(|length| Instant::now().checked_add(length));
            campaign(from.unwrap_or_else(seed_of_now)..u64::MAX, deadline, choice)
        }
        Command::Replay { seed, program, crashes, events } => replay(seed, program, CrashPath(crashes), events),
        Command::Programs => {
            Subject::ALL.iter().for_each(|subject| println!("{:10} {}", subject.name, subject.about));
            ExitCode::SUCCESS
        }
    }
}

fn campaign(seeds: Range<u64>, deadline: Option<Instant>, Choice { program, jobs }: Choice) -> ExitCode {
    let subjects = program.map_or_else(|| Subject::ALL.to_vec(), |program| vec![program]);
    let seed_limit = Duration::from_secs(300);
    println!("seeds from {}", seeds.start);
    let campaign = Campaign { subjects, from: seeds.start, to: seeds.end, deadline, jobs, seed_limit };
    let summary = campaign.run(&Printer);
    println!("{}", line(&summary));
    if summary.failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(seed: u64, program: Subject, path: CrashPath, lists_events: bool) -> ExitCode {
    let mut number = 0;
    let verdict = (program.replay)(seed, &path, &mut |world| {
        let trace = world.trace();
        println!("run {number}: {} events, shape {:016x}, full {:016x}", world.now(), trace.shape(), trace.full());
        if lists_events {
            world.events().iter().zip(world.first_event()..).for_each(|(what, event)| println!("  {event:5} {what}"));
        }
        if let Some(step) = path.0.get(number) {
            println!("crash {step}");
        }
        number += 1;
    });
    match verdict.failure {
        Some(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
        None => {
            println!("nothing was violated");
            ExitCode::SUCCESS
        }
    }
}

struct Printer;

impl Observer for Printer {
    fn failed(&self, failure: &Failure) {
        println!("{failure}");
    }

    fn hangs(&self, program: &'static str, seed: u64, since: Duration) {
        let replay = format!("oxifaster-sim replay {seed} --program {program}");
        println!("FAIL program={program} seed={seed} clause=\"hangs\" what=\"for {since:.0?}\" replay=\"{replay}\"");
        // Its thread cannot be ended in any other way.
        std::process::exit(1);
    }

    fn progress(&self, so_far: &Summary) {
        eprintln!("{}", line(so_far));
    }
}

fn line(Summary { counts, failures, elapsed }: &Summary) -> String {
    format!(
        "{} seeds, {} recoveries at {} crash points, {} events, {} faults: {failures} failures; {elapsed:.1?}, {} \
         accesses moved by the clock",
        counts.seeds, counts.recoveries, counts.crash_points, counts.events, counts.faults, counts.unasked,
    )
}

fn seed_of_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() << 20)
}

fn parse_program(name: &str) -> Result<Subject, String> {
    let known = || Subject::ALL.map(|subject| subject.name).join(", ");
    Subject::named(name).ok_or_else(|| format!("there is no program {name:?}, but {}", known()))
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let wrong =
        || format!("{text:?} is no range of seeds: give the first and the one behind the last, such as 0..1000");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let range = from.parse().map_err(|_| wrong())?..to.parse().map_err(|_| wrong())?;
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}
