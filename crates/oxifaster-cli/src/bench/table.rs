//! A report for people: what can be pasted into an issue.

use super::recovery::RecoveryReport;
use super::report::{
    DeviceReport, DiskReport, LatencyReport, MemoryReport, OptionsReport, Report, RevivificationReport, RunReport,
    VerificationReport,
};
use crate::units::{grouped, latency, rounded, size};
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use std::fmt::{self, Write};

/// What fits beside each other in a narrow terminal.
const COLUMNS_MAX: usize = 100;

/// The report as text.
pub(crate) fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) -> fmt::Result {
    let options = &report.options;
    writeln!(
        text,
        "oxifaster {}: {} records of {} + {} bytes, {} threads",
        report.oxifaster_version,
        grouped(options.records),
        options.key_bytes,
        options.value_sizes,
        options.threads,
    )?;
    calls(text, options)?;
    device(text, &report.device, options.device)?;
    writeln!(text)?;
    if !report.runs.is_empty() {
        writeln!(text, "{}\n", runs(report))?;
        legend(text, report)?;
        report.runs.iter().try_for_each(|run| checkpoints(text, run))?;
    }
    let load = &report.load;
    let rate = rounded(load.records_per_second);
    let data = size(load.data_bytes);
    writeln!(text, "load      {} records ({data}) in {:.1} s, {rate} records/s", grouped(load.records), load.seconds)?;
    revivification(text, report.revivification.as_ref())?;
    memory(text, &report.memory)?;
    disk(text, &report.disk, options.device)?;
    verification(text, &report.verification)?;
    report.recoveries.iter().try_for_each(|recovery| recovered(text, recovery))?;
    if report.interrupted {
        writeln!(text, "stopped   by Ctrl-C: the above was measured until then")?;
    }
    Ok(())
}

fn recovered(text: &mut String, recovery: &RecoveryReport) -> fmt::Result {
    let how = if recovery.with_image { "with an image of the index" } else { "from the log alone" };
    let (rate, bytes) = (rounded(recovery.records_per_second), size(recovery.bytes_per_second as u64));
    let [image, replay, copy, load] = recovery.parts_seconds;
    writeln!(text, "recovered {how} in {:.2} s: {bytes}/s verified, {rate} records/s replayed", recovery.seconds)?;
    writeln!(text, "          image {image:.2} s, replay {replay:.2} s, copy {copy:.2} s, load {load:.2} s")?;
    let disk = size(recovery.disk_bytes_per_second as u64);
    writeln!(text, "          {:.2} of the {disk}/s at which the disk gives the same files", recovery.disk_ratio)
}

fn calls(text: &mut String, options: &OptionsReport) -> fmt::Result {
    let (api, depth) = (options.api, options.depth);
    match options.batch {
        Some(batch) => {
            writeln!(text, "calls     {api}: {batch} operations each, up to {depth} reads of the device at a time")
        }
        None if depth == 1 => writeln!(text, "calls     {api}: one operation of a thread at a time"),
        None => writeln!(text, "calls     {api}: up to {depth} operations of a thread in flight"),
    }
}

/// What did the reads, if `asked` was asked for.
pub(super) fn device(text: &mut String, report: &DeviceReport, asked: &str) -> fmt::Result {
    let DeviceReport { used, why } = report;
    match (why, asked) {
        (None, _) => writeln!(text, "device    {used}"),
        (Some(why), "file") => writeln!(text, "device    {used}: {why}"),
        (Some(why), asked) => writeln!(text, "device    {used} instead of {asked}: {why}"),
    }
}

fn runs(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    let head = ["workload", "keys", "ops/s", "p50", "p99", "p99.9", "max", "in memory", "disk reads/s"];
    table.set_header(head);
    for run in &report.runs {
        let of =
            |pick: fn(&LatencyReport) -> u64| run.latency_ns.as_ref().map_or("-".to_owned(), |all| latency(pick(all)));
        table.add_row([
            run.workload.to_owned(),
            run.distribution.to_owned(),
            rounded(run.operations_per_second),
            of(|all| all.p50),
            of(|all| all.p99),
            of(|all| all.p99_9),
            of(|all| all.max),
            format!("{:.1}%", run.served_from_memory * 100.0),
            rounded(run.disk_reads_per_second),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What the checkpoints of a run cost it.
fn checkpoints(text: &mut String, run: &RunReport) -> fmt::Result {
    let Some(all) = &run.checkpoints else { return Ok(()) };
    writeln!(
        text,
        "{} {}: {} {} checkpoints of {:.2} s, {} to files, {:.2} s of processor time, cuts up to {:.0} us\n",
        run.workload,
        run.distribution,
        all.count,
        all.kind,
        all.seconds_mean,
        size(all.file_bytes),
        all.processor_seconds,
        all.cut_microseconds_max,
    )?;
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["", "ops/s", "ops per processor second", "p50", "p99", "p99.9"]);
    for (name, side) in [("without", &all.without), ("with", &all.with)] {
        let of = |pick: fn(&LatencyReport) -> u64| {
            side.latency_ns.as_ref().map_or("-".to_owned(), |latencies| latency(pick(latencies)))
        };
        table.add_row([
            name.to_owned(),
            rounded(side.operations_per_second),
            rounded(side.operations_per_processor_second),
            of(|all| all.p50),
            of(|all| all.p99),
            of(|all| all.p99_9),
        ]);
    }
    let (throughput, tail) = (all.throughput_ratio, all.p99_9_ratio);
    table.add_row(["ratio", &format!("{throughput:.2}"), "", "", "", &format!("{tail:.2}")]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(text, "{table}\n")
}

/// What the letters stand for, each once.
fn legend(text: &mut String, report: &Report) -> fmt::Result {
    for (index, run) in report.runs.iter().enumerate() {
        if report.runs[..index].iter().all(|earlier| earlier.workload != run.workload) {
            writeln!(text, "{}: {}", run.workload, run.mix)?;
        }
    }
    writeln!(text)
}

/// What became of the space of records, if it is used again.
pub(super) fn revivification(text: &mut String, report: Option<&RevivificationReport>) -> fmt::Result {
    let Some(report) = report else { return Ok(()) };
    let [in_place, freed, reused, dropped, free] =
        [report.in_place, report.freed, report.reused, report.dropped, report.free].map(grouped);
    writeln!(
        text,
        "space     {reused} records written into that of others, of {freed} freed; {in_place} revived in place"
    )?;
    writeln!(text, "          {dropped} given up, {free} free at the end")
}

/// What the process and the store held.
pub(super) fn memory(text: &mut String, memory: &MemoryReport) -> fmt::Result {
    let budget = size(memory.budget_bytes);
    match (memory.peak_resident_bytes, memory.within_budget) {
        (Some(peak), Some(true)) => {
            writeln!(text, "memory    {} at the peak, within the budget of {budget}", size(peak))?;
        }
        (Some(peak), Some(false)) => {
            writeln!(text, "memory    {} at the peak, MORE THAN the budget of {budget}", size(peak))?;
        }
        (Some(peak), None) => writeln!(text, "memory    {} at the peak, the memory device included", size(peak))?,
        (None, _) => writeln!(text, "memory    budget {budget}; this system does not tell the peak")?,
    }
    let mut line = format!("          store {}:", size(memory.store_budget_bytes));
    for (at, holder) in memory.holders.iter().enumerate() {
        let comma = if at + 1 < memory.holders.len() { "," } else { "" };
        let part = format!(" {} {}{comma}", holder.name, size(holder.bytes));
        if line.len() + part.len() > COLUMNS_MAX {
            writeln!(text, "{line}")?;
            line = " ".repeat(15);
        }
        line.push_str(&part);
    }
    writeln!(text, "{line}")
}

/// What lies on the disk, if there is one.
pub(super) fn disk(text: &mut String, disk: &DiskReport, device: &str) -> fmt::Result {
    let Some(directory) = &disk.directory else {
        return writeln!(text, "disk      none, with --device {device}");
    };
    let (used, read, written) = (size(disk.used_bytes), size(disk.read_bytes), size(disk.written_bytes));
    let fate = if disk.kept { "kept" } else { "removed" };
    writeln!(text, "disk      {used} used, {written} written, {read} read; {directory} ({fate})")?;
    if disk.in_memory {
        writeln!(text, "          that file system is kept in memory: name a disk with --dir to measure one")?;
    }
    Ok(())
}

fn verification(text: &mut String, verification: &VerificationReport) -> fmt::Result {
    writeln!(
        text,
        "checked   {} values, {} of them to the exact version ({} keys are followed)",
        grouped(verification.values_checked),
        grouped(verification.exact_versions_checked),
        grouped(verification.followed_keys),
    )?;
    let (keys, seconds) = (grouped(verification.keys_read), verification.seconds);
    match (verification.faults, verification.complete) {
        (0, true) => {
            writeln!(text, "verified  all {keys} keys at the end, in {seconds:.1} s: nothing wrong, stale or missing")
        }
        (0, false) if verification.keys_read == 0 => writeln!(text, "verified  not yet: the final pass had not begun"),
        (0, false) => {
            writeln!(text, "verified  {keys} keys at the end, not all: nothing wrong, stale or missing so far")
        }
        (faults, _) => {
            writeln!(text, "WRONG     {} values; the first {}:", grouped(faults), verification.first_faults.len())?;
            verification.first_faults.iter().try_for_each(|fault| {
                let (key, expected, found) = (fault.key, &fault.expected, &fault.found);
                writeln!(text, "          key {key}: expected {expected}, found {found} (during {})", fault.during)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;

    #[test]
    fn the_text_names_every_figure_a_reader_looks_for() {
        let text = render(&example());
        for part in [
            "10,000,000 records of 8 + 100 bytes, 2 threads",
            "calls     pending: up to 64 operations of a thread in flight",
            "device    uring\n",
            "A: 50% read, 50% update",
            "zipfian",
            "2.00 k",
            "75.0%",
            "2.50 M records/s",
            "250 MiB at the peak, within the budget of 256 MiB",
            "log 128 MiB",
            "1,000 records written into that of others, of 1,200 freed; 5 revived in place",
            "150 given up, 50 free at the end",
            "2 GiB used",
            "/data (kept)",
            "1,001 values, 70 of them to the exact version (8 keys are followed)",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
    }

    #[test]
    fn calls_are_described_and_a_device_that_was_not_asked_for_is_explained() {
        let mut report = example();
        report.options.batch = Some(256);
        report.options.api = "batch";
        report.device = DeviceReport { used: "threads", why: Some("io_uring is turned off".to_owned()) };
        let text = render(&report);
        assert!(text.contains("batch: 256 operations each, up to 64 reads of the device"), "{text}");
        assert!(text.contains("device    threads: io_uring is turned off"), "{text}");
        report.options.device = "uring";
        assert!(render(&report).contains("device    threads instead of uring: io_uring is turned off"));
        (report.options.api, report.options.depth, report.options.batch) = ("sync", 1, None);
        assert!(render(&report).contains("sync: one operation of a thread at a time"));
    }

    #[test]
    fn the_table_fits_a_narrow_terminal_and_explains_each_letter_once() {
        let mut report = example();
        let again = example().runs.remove(0);
        report.runs.push(again);
        let text = render(&report);
        assert_eq!(text.matches("A: 50% read, 50% update").count(), 1, "{text}");
        assert!(text.lines().filter(|line| line.starts_with('|')).all(|line| line.len() <= 96), "{text}");
    }

    #[test]
    fn faults_are_named_with_key_expectation_and_finding() {
        let text = render(&example());
        assert!(text.contains("WRONG     12 values; the first 2:"), "{text}");
        assert!(text.contains("key 77: expected version 2, found no value (during A zipfian)"), "{text}");
        assert!(!text.contains("nothing wrong"), "{text}");
    }

    #[test]
    fn a_peak_above_the_budget_and_an_unfinished_pass_are_not_glossed_over() {
        let mut report = example();
        report.memory.within_budget = Some(false);
        report.verification = VerificationReport { complete: false, ..VerificationReport::default() };
        report.interrupted = true;
        let text = render(&report);
        assert!(text.contains("MORE THAN the budget"), "{text}");
        assert!(text.contains("had not begun") && text.contains("Ctrl-C"), "{text}");
        report.verification.keys_read = 5;
        assert!(render(&report).contains("5 keys at the end, not all"));
    }
}
