//! The report of a replay for people.

use super::report::Report;
use crate::bench::table;
use crate::units::{grouped, latency, rounded, size};
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use std::fmt::{self, Write};

/// The report as text.
pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) -> fmt::Result {
    let trace = &report.trace;
    writeln!(text, "oxifaster {}: trace {}, {} threads", report.oxifaster_version, trace.name, report.threads)?;
    writeln!(text, "calls     sync: one operation of a thread at a time, all of a key by the same thread")?;
    table::device(text, &report.device, report.device_asked)?;
    writeln!(text, "\n{}\n", operations(report))?;
    let (rate, seconds, span) = (rounded(report.requests_per_second), report.seconds, grouped(trace.span_seconds));
    let requests = grouped(report.requests);
    writeln!(text, "replayed  {requests} requests in {seconds:.1} s, {rate}/s, of {span} s by the trace's clock")?;
    if let Some(hit_rate) = report.hit_rate {
        writeln!(text, "hits      {:.2}% of {} gets", hit_rate * 100.0, grouped(report.gets))?;
    }
    let (read, written) = (size(report.bytes_read), size(report.bytes_written));
    writeln!(text, "values    {read} read, {written} written; some {} keys at the end", grouped(report.keys))?;
    if report.too_large > 0 {
        let refused = grouped(report.too_large);
        writeln!(text, "TOO LARGE {refused} requests: their records do not fit on a page, which grows with --memory")?;
    }
    if report.writes_with_ttl > 0 {
        let writes = grouped(report.writes_with_ttl);
        writeln!(text, "TTL       {writes} writes brought a time to live; values end by the trace's clock")?;
    }
    table::revivification(text, report.revivification.as_ref())?;
    table::memory(text, &report.memory)?;
    table::disk(text, &report.disk, report.device_asked)?;
    verification(text, report)?;
    if let Some(first) = &trace.first_malformed {
        let lines = grouped(trace.malformed_lines);
        writeln!(text, "MALFORMED {lines} lines were left out; the first, line {}: {}", first.line, first.what)?;
        writeln!(text, "          a line is: timestamp, key, key size, value size, client id, operation, TTL")?;
    }
    if report.interrupted {
        writeln!(text, "stopped   by Ctrl-C: the above was measured until then")?;
    }
    Ok(())
}

fn operations(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["operation", "requests", "successful", "p50", "p99", "p99.9", "max"]);
    let all = report.latency_ns.iter().map(|latencies| ("all", report.requests, None, latencies));
    let each = report
        .by_operation
        .iter()
        .map(|(name, operation)| (*name, operation.requests, Some(operation.successful), &operation.latency_ns));
    for (name, requests, successful, latencies) in each.chain(all) {
        table.add_row([
            name.to_owned(),
            grouped(requests),
            successful.map_or(String::new(), |count| format!("{:.1}%", count as f64 * 100.0 / requests.max(1) as f64)),
            latency(latencies.p50),
            latency(latencies.p99),
            latency(latencies.p99_9),
            latency(latencies.max),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn verification(text: &mut String, report: &Report) -> fmt::Result {
    let verification = &report.verification;
    let (checked, keys) = (grouped(verification.answers_checked), grouped(verification.followed_keys));
    if verification.faults == 0 {
        return writeln!(text, "checked   {checked} answers against a model of {keys} keys: nothing wrong");
    }
    let faults = grouped(verification.faults);
    writeln!(text, "WRONG     {faults} of {checked} answers; the first {}:", verification.first_faults.len())?;
    verification.first_faults.iter().try_for_each(|fault| {
        let (line, operation) = (fault.line, fault.operation);
        writeln!(text, "          line {line}, {operation}: expected {}, found {}", fault.expected, fault.found)
    })
}
