//! From options to an exit code.

use super::campaign::{Campaign, FINAL_DEPTH, Ledger, Store};
use super::device::{AllInMemory, Device};
use super::directory::Directory;
use super::issue::Api;
use super::lengths::Values;
use super::memory::Division;
use super::options::{Options, Plan};
use super::progress::Progress;
use super::raw;
use super::recovery::{self, RecoveryReport};
use super::report::{
    DeviceReport, DiskReport, LoadReport, MemoryReport, OptionsReport, Report, RevivificationReport, RunReport,
    VerificationReport,
};
use super::signal::{INTERRUPTED, Interrupt};
use super::value::Content;
use super::{table, trace};
use crate::failure::Failure;
use crate::units::size;
use oxifaster::stats::StatsSnapshot;
use oxifaster::store::FasterKvConfig;
use std::io::Write;

/// What a record takes on the disk beside key and value: its header, padding, and checksums of the blocks.
const RECORD_OVERHEAD: u64 = 24;

/// Runs the benchmark and prints its report; the result is the exit code.
pub(crate) fn execute(options: Options) -> Result<u8, Failure> {
    if let Some(plan) = options.trace_plan()? {
        return trace::execute(&plan);
    }
    let json = options.json;
    let plan = options.plan()?;
    let interrupt = Interrupt::listen()?;
    let directory = prepare(&plan, &interrupt)?;
    let report = with_values(&plan, directory.as_ref(), &interrupt, &Progress::new(!json))?;
    if let Some(directory) = directory {
        directory.close()?;
    }
    print(&report, json)?;
    Ok(exit_code(&report))
}

/// The place for the store's files, if it has any.
fn prepare(plan: &Plan, interrupt: &Interrupt) -> Result<Option<Directory>, Failure> {
    if !plan.device.has_files() && plan.checkpoints.is_none() {
        return Ok(None);
    }
    let directory = match &plan.directory {
        Some(path) => Directory::named(path)?,
        None => Directory::temporary(interrupt)?,
    };
    directory.require_space(plan.records.saturating_mul(8 + plan.values.mean() as u64 + RECORD_OVERHEAD))?;
    Ok(Some(directory))
}

/// Picks the code that was compiled for the size of the values, or that for values of any length.
fn with_values(
    plan: &Plan,
    directory: Option<&Directory>,
    interrupt: &Interrupt,
    progress: &Progress,
) -> Result<Report, Failure> {
    macro_rules! sizes {
        ($($size:literal)*) => {
            match plan.values {
                Values::AnyLength(lengths) => measure::<Vec<u8>>(lengths, plan, directory, interrupt, progress),
                $(Values::Fixed($size) => measure::<[u8; $size]>((), plan, directory, interrupt, progress),)*
                Values::Fixed(other) => {
                    Err(Failure::usage(format!("values of {other} bytes are not supported"), "see --value-size in --help"))
                }
            }
        };
    }
    sizes!(8 16 24 32 64 100 128 256 512 1024 2048 4096)
}

fn measure<V: Content>(
    shape: V::Shape,
    plan: &Plan,
    directory: Option<&Directory>,
    interrupt: &Interrupt,
    progress: &Progress,
) -> Result<Report, Failure> {
    let ledger = Ledger::new(plan);
    let (device, used) = plan.device.open(directory, plan.api)?;
    let (config, division) = configure::<V>(plan)?;
    let store: Store<V> = Store::open(config.clone(), device)?;
    let checkpoints = directory.map(|directory| directory.path().join("checkpoints"));
    let mut campaign =
        Campaign::new(&store, shape, plan, &ledger, interrupt, progress).with_checkpoints_in(checkpoints);
    let (load, loaded) = campaign.load()?;
    let mut runs = Vec::new();
    for (workload, preference) in &plan.runs {
        if loaded && !interrupt.is_raised() {
            runs.push(campaign.run(*workload, *preference)?);
        }
    }
    let verification = if loaded && !interrupt.is_raised() { campaign.verify()? } else { campaign.verification() };
    let (peak, stats) = (campaign.peak(), store.stats());
    let recoveries = match directory.filter(|_| plan.recovery && !interrupt.is_raised()) {
        Some(directory) => recoveries(plan, directory, config, store)?,
        None => Vec::new(),
    };
    let found = Found { device: used, load, runs, verification, recoveries, peak, stats };
    Ok(found.report(plan, division, directory, interrupt))
}

/// Takes checkpoints of the store, gives it up, and comes back to each.
fn recoveries<V: Content>(
    plan: &Plan,
    directory: &Directory,
    config: FasterKvConfig,
    store: Store<V>,
) -> Result<Vec<RecoveryReport>, Failure> {
    let path = directory.path().join("recovery");
    let tokens = recovery::prepare(&store, &path)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // While the store is still there, and after the last recovery: a system that is given memory may take its time to give it
    // back, which would be measured with the next recovery.
    let before = raw::sequential_rate(directory.path(), cores)?;
    drop(store);
    let mut reports = Vec::new();
    for token in tokens {
        let (device, _) = plan.device.open(Some(directory), plan.api)?;
        reports.push(recovery::recover::<V>(&path, token, config.clone(), device)?);
    }
    let disk = before.max(raw::sequential_rate(directory.path(), cores)?);
    reports.iter_mut().for_each(|report| report.compare_with(disk));
    Ok(reports)
}

/// Divides the memory between the benchmark and the store.
fn configure<V: Content>(plan: &Plan) -> Result<(FasterKvConfig, Division), Failure> {
    // A batched call has as many accesses under way as the store allows a session; the others bound themselves.
    let (pending, collected) = match plan.api {
        Api::Batch => (plan.depth, plan.batch),
        _ => (plan.depth.max(FINAL_DEPTH), 0),
    };
    let division =
        Division::new(plan.memory, plan.threads as u64, (pending + collected) as u64, plan.values.mean() as u64);
    let config = FasterKvConfig::default()
        .with_memory_budget(division.store())
        .with_max_pending(pending)
        .with_revivification(plan.revivification);
    if plan.device != Device::None {
        division.check()?;
        return Ok((config, division));
    }
    let need = AllInMemory::new::<V>(plan.records);
    if division.store() < need.bytes {
        let (records, bytes) = (plan.records, size(need.bytes));
        let what = format!("--device none keeps nothing, and {records} records take {bytes} of memory");
        let memory = division.budget_for(need.bytes) >> 20;
        return Err(Failure::usage(what, format!("give at least --memory {memory}MiB or lower --records")));
    }
    Ok((config.with_table_size(need.buckets), division))
}

/// What was found, before it is put into a report.
struct Found {
    device: DeviceReport,
    load: LoadReport,
    runs: Vec<RunReport>,
    verification: VerificationReport,
    recoveries: Vec<RecoveryReport>,
    peak: Option<u64>,
    stats: StatsSnapshot,
}

impl Found {
    fn report(self, plan: &Plan, division: Division, directory: Option<&Directory>, interrupt: &Interrupt) -> Report {
        let (peak, stats) = (self.peak, self.stats);
        // The memory device holds the records outside of the budget, so there is nothing to compare.
        let comparable = peak.filter(|_| plan.device != Device::Memory);
        Report {
            schema: Report::SCHEMA,
            oxifaster_version: env!("CARGO_PKG_VERSION"),
            options: OptionsReport {
                records: plan.records,
                key_bytes: size_of::<u64>() as u64,
                value_bytes: plan.values.mean() as u64,
                value_sizes: plan.values.to_string(),
                threads: plan.threads as u64,
                api: plan.api.name(),
                depth: plan.depth as u64,
                batch: (plan.api == Api::Batch).then_some(plan.batch as u64),
                theta: plan.theta,
                seconds_per_run: plan.duration.as_secs_f64(),
                seed: plan.seed,
                device: plan.device.name(),
            },
            device: self.device,
            load: self.load,
            runs: self.runs,
            verification: self.verification,
            recoveries: self.recoveries,
            revivification: stats.revivification.map(RevivificationReport::from),
            memory: MemoryReport::new(&stats, division, peak, comparable),
            disk: DiskReport::new(&stats, directory),
            interrupted: interrupt.is_raised(),
        }
    }
}

fn print(report: &Report, json: bool) -> Result<(), Failure> {
    let text = if json {
        serde_json::to_string_pretty(report)
            .map_err(|error| Failure::System { what: "writing the report".to_owned(), source: error.into() })?
            + "\n"
    } else {
        table::render(report)
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(source) => Err(Failure::System { what: "writing the report".to_owned(), source }),
        Ok(()) => Ok(()),
    }
}

fn exit_code(report: &Report) -> u8 {
    match report {
        _ if report.verification.faults > 0 => 1,
        _ if report.interrupted => INTERRUPTED,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;

    #[test]
    fn wrong_data_outranks_an_interrupt() {
        let mut report = example();
        report.interrupted = true;
        assert_eq!(exit_code(&report), 1);
        report.verification.faults = 0;
        assert_eq!(exit_code(&report), INTERRUPTED);
        report.interrupted = false;
        assert_eq!(exit_code(&report), 0);
    }
}
