//! The figures of checkpoints and recovery in `docs/benchmarks.md`, measured anew: each kind of run in every round, so that
//! what the machine does meanwhile meets all of them; the smallest, the middle and the largest of each figure.

use crate::step::{self, Invocation, Outcome};
use serde_json::Value;

const BENCH: [&str; 8] = ["run", "--release", "-p", "oxifaster-cli", "--bin", "oxifaster", "--", "bench"];
/// Rounds unless said otherwise.
pub(crate) const ROUNDS: u32 = 5;
/// Two threads, zipfian, all in memory; some checkpoints in each run.
const UNDER_LOAD: &str = "--records 5M --value-size 8 --memory 768MiB --threads 2 --workload A --distribution zipfian \
                          --theta 0.99 --every 1 --seconds 10 --json";
const RECOVERY: &str = "--records 20M --value-size 8 --memory 2GiB --threads 2 --workload load --recovery --json";

/// What one figure came to in each round.
struct Figure {
    name: String,
    pointer: &'static str,
    values: Vec<f64>,
}

/// A run, and what is looked at in its report.
struct Run {
    arguments: Vec<String>,
    figures: Vec<Figure>,
}

pub(crate) fn figures(rounds: u32) -> Outcome {
    let mut runs = runs();
    for round in 1..=rounds {
        for run in &mut runs {
            let invocation = Invocation::cargo(&run.arguments.iter().map(String::as_str).collect::<Vec<_>>());
            step::step(&format!("round {round} of {rounds}"), &invocation.to_string(), || measure(run, &invocation))?;
        }
    }
    println!("| figure | min / median / max of {rounds} |\n|---|---|");
    runs.iter_mut().flat_map(|run| &mut run.figures).for_each(|figure| println!("{}", figure.row()));
    Ok(())
}

fn runs() -> Vec<Run> {
    let under_load = |kind: &str, calls: &str| {
        let arguments = format!("{UNDER_LOAD} --checkpoint {kind} {calls}");
        let named = |what: &str, pointer| (format!("{what} during {kind} checkpoints, {calls}"), pointer);
        let figures = [
            named("throughput, of that without,", "/runs/0/checkpoints/throughput_ratio"),
            named("p99.9, of that without,", "/runs/0/checkpoints/p99_9_ratio"),
        ];
        Run::new(&arguments, &figures)
    };
    let recovery = [
        ("records a second, from the log alone", "/recoveries/0/records_per_second"),
        ("bytes a second, from the log alone, of the disk's", "/recoveries/0/disk_ratio"),
        ("seconds with an image of the index", "/recoveries/1/seconds"),
        ("bytes a second with an image of the index", "/recoveries/1/bytes_per_second"),
        ("bytes a second at which the disk gives the files", "/recoveries/1/disk_bytes_per_second"),
        ("bytes a second with an image, of the disk's", "/recoveries/1/disk_ratio"),
    ];
    vec![
        under_load("fold-over", "--api sync"),
        under_load("snapshot", "--api sync"),
        under_load("fold-over", "--batch 256"),
        under_load("snapshot", "--batch 256"),
        Run::new(RECOVERY, &recovery.map(|(name, pointer)| (format!("recovery: {name}"), pointer))),
    ]
}

impl Run {
    fn new(arguments: &str, figures: &[(String, &'static str)]) -> Self {
        let figure =
            |(name, pointer): &(String, &'static str)| Figure { name: name.clone(), pointer, values: Vec::new() };
        let arguments = BENCH.into_iter().chain(arguments.split_whitespace()).map(str::to_owned).collect();
        Self { arguments, figures: figures.iter().map(figure).collect() }
    }
}

fn measure(run: &mut Run, invocation: &Invocation) -> Outcome {
    let output = invocation.output().ok_or("the benchmark failed: see what it says when it is run alone")?;
    let report: Value = serde_json::from_str(&output).map_err(|error| format!("no report: {error}"))?;
    for figure in &mut run.figures {
        let value = report.pointer(figure.pointer).and_then(Value::as_f64);
        figure.values.push(value.ok_or_else(|| format!("the report has no {}", figure.pointer))?);
    }
    Ok(())
}

impl Figure {
    fn row(&mut self) -> String {
        self.values.sort_by(f64::total_cmp);
        let of = |at: usize| self.values.get(at).map_or_else(|| "-".to_owned(), |value| shown(*value));
        let last = self.values.len().saturating_sub(1);
        format!("| {} | {} / {} / {} |", self.name, of(0), of(last / 2), of(last))
    }
}

fn shown(value: f64) -> String {
    match value {
        value if value >= 1e9 => format!("{:.2} G", value / 1e9),
        value if value >= 1e6 => format!("{:.1} M", value / 1e6),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_shows_the_smallest_the_middle_and_the_largest() {
        let figure = |values: &[f64]| Figure { name: "x".into(), pointer: "/x", values: values.to_vec() }.row();
        assert_eq!(figure(&[3.0, 1.0, 2.0]), "| x | 1.00 / 2.00 / 3.00 |");
        assert_eq!(figure(&[4e6, 2.5e9]), "| x | 4.0 M / 4.0 M / 2.50 G |");
        assert_eq!(figure(&[]), "| x | - / - / - |");
    }
}
