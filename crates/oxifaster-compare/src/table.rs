//! Tables in Markdown: readable in a terminal, and ready for a document.

use crate::report::{Cell, Engine, Report};
use crate::summary::Summary;
use std::fmt::Write;

/// All tables of a report, with ratios to `baseline`.
pub(crate) fn of(report: &Report, baseline: &str) -> String {
    let mut text = head(report);
    text.push_str(&engines(&report.engines));
    let mut done: Vec<Part> = Vec::new();
    for part in report.cells.iter().map(Part::of) {
        if !done.contains(&part) {
            text.push_str(&cells(report, &part, baseline));
            done.push(part);
        }
    }
    text
}

/// What the cells of one table have in common.
#[derive(PartialEq)]
struct Part {
    keys: u64,
    memory_bytes: u64,
    distribution: String,
    threads: usize,
}

impl Part {
    fn of(cell: &Cell) -> Self {
        let Cell { keys, memory_bytes, threads, .. } = *cell;
        Self { keys, memory_bytes, distribution: cell.distribution.clone(), threads }
    }
}

fn head(report: &Report) -> String {
    let machine = &report.machine;
    let gibibytes = machine.memory_bytes as f64 / f64::from(1 << 30);
    format!(
        "`{}`\n\n{}, {} cores, {gibibytes:.0} GiB, Linux {}, huge pages `{}`; load {:.2} before the run, {:.1} % of the \
         processor time kept by the host during it.\n\n",
        report.command,
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.huge_pages,
        report.load_before,
        report.stolen_share * 100.0
    )
}

fn engines(engines: &[Engine]) -> String {
    let mut text =
        String::from("| engine | keys | load s | lost keys | lost updates | set-up |\n|---|---|---|---|---|---|\n");
    for engine in engines {
        let figures = engine.figures.iter().map(|(name, figure)| format!("; {name} {}", short(*figure)));
        let figures: String = figures.collect();
        let setup =
            engine.failure.as_ref().map_or_else(|| engine.setup.clone(), |failure| format!("LEFT OUT: {failure}"));
        let (name, keys, losses) = (&engine.name, engine.keys, engine.losses);
        let seconds = engine.load_seconds;
        let row = (losses.keys, losses.updates);
        let _ = writeln!(text, "| {name} | {keys} | {seconds:.1} | {} | {} | {setup}{figures} |", row.0, row.1);
    }
    text.push('\n');
    text
}

fn cells(report: &Report, part: &Part, baseline: &str) -> String {
    let threads = if part.threads == 1 { "1 thread".to_string() } else { format!("{} threads", part.threads) };
    let mut text = format!("**{} keys, {}, {threads}", part.keys, part.distribution);
    if part.memory_bytes > 0 {
        let _ = write!(text, ", {:.0} MiB of memory", part.memory_bytes as f64 / f64::from(1 << 20));
    }
    let _ = write!(
        text,
        "**, million operations per second{}; ratio to {baseline} in the same round\n\n\
         | workload | contestant | min | median | max | ratio (min to max) | wrong | load | notes |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        if report.by_cpu_time { " of processor time" } else { "" }
    );
    let mut shown: Vec<(&str, &str)> = Vec::new();
    for cell in report.cells.iter().filter(|cell| Part::of(cell) == *part) {
        // The baseline runs again in every group; once is enough to be shown.
        if !shown.contains(&(&cell.workload, &cell.contestant)) {
            shown.push((&cell.workload, &cell.contestant));
            text.push_str(&row(report, cell, baseline));
        }
    }
    text.push('\n');
    text
}

fn row(report: &Report, cell: &Cell, baseline: &str) -> String {
    let base = report.cells.iter().find(|base| {
        base.contestant == baseline
            && Part::of(base) == Part::of(cell)
            && (base.group, &base.workload) == (cell.group, &cell.workload)
    });
    let million = |figure: f64| {
        if figure < 9_950_000.0 { format!("{:.3}", figure / 1e6) } else { format!("{:.1}", figure / 1e6) }
    };
    let rates = Summary::of(&cell.rates).map_or_else(
        || "- | - | -".to_string(),
        |rates| format!("{} | **{}** | {}", million(rates.min), million(rates.median), million(rates.max)),
    );
    let ratio = base.and_then(|base| Summary::of_ratios(&cell.rates, &base.rates)).map_or_else(
        || "-".to_string(),
        |ratio| format!("**{:.2}** ({:.2} to {:.2})", ratio.median, ratio.min, ratio.max),
    );
    let load = Summary::of(&cell.loads).map_or_else(|| "-".to_string(), |load| format!("{:.1}", load.median));
    let medians = cell.figures.iter().filter_map(|(name, figures)| Some((name, Summary::of(figures)?.median)));
    let mut notes: Vec<String> = medians.map(|(name, figure)| format!("{name} {}", short(figure))).collect();
    notes.extend(cell.failure.iter().map(|failure| format!("FAILED: {failure}")));
    let (workload, contestant, wrong) = (&cell.workload, &cell.contestant, cell.wrong);
    format!("| {workload} | {contestant} | {rates} | {ratio} | {wrong} | {load} | {} |\n", notes.join("; "))
}

/// A figure with three digits that say something.
fn short(figure: f64) -> String {
    let units = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let (scale, unit) = units.into_iter().find(|(scale, _)| figure >= *scale).unwrap_or((1.0, ""));
    let scaled = figure / scale;
    match scaled {
        _ if scaled == 0.0 => "0".to_string(),
        _ if scaled >= 100.0 => format!("{scaled:.0}{unit}"),
        _ if scaled >= 10.0 => format!("{scaled:.1}{unit}"),
        _ => format!("{scaled:.2}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Report;

    fn cell(contestant: &str, group: usize, rates: &[f64]) -> Cell {
        Cell {
            keys: 10,
            group,
            memory_bytes: 0,
            distribution: "uniform".to_string(),
            threads: 2,
            workload: "read".to_string(),
            contestant: contestant.to_string(),
            rates: rates.to_vec(),
            wrong: 0,
            loads: vec![0.5],
            figures: vec![("device reads".to_string(), vec![1.0])],
            failure: None,
        }
    }

    #[test]
    fn ratios_are_to_the_baseline_of_the_same_group() {
        let mut report = Report::begin("memory");
        report.cells =
            vec![cell("base", 0, &[1e6]), cell("a", 0, &[2e6]), cell("base", 1, &[4e6]), cell("b", 1, &[2e6])];
        let text = of(&report, "base");
        assert!(text.contains("| read | a | 2.000 | **2.000** | 2.000 | **2.00** (2.00 to 2.00) |"), "{text}");
        assert!(text.contains("| read | b | 2.000 | **2.000** | 2.000 | **0.50** (0.50 to 0.50) |"), "{text}");
        assert_eq!(text.matches("| read | base |").count(), 1);
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!([0.0, 0.123, 12.34, 1_234.0, 2.5e9].map(short), ["0", "0.12", "12.3", "1.23k", "2.50G"]);
    }
}
