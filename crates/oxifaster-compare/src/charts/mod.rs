//! Pictures of reports, as SVG that needs nothing else.

mod axis;
mod bars;
mod color;
mod curves;
mod svg;

use crate::failure::{Failure, Result};
use crate::report::{Cell, Latency, Report};
use crate::summary::Summary;
use bars::{Bar, Group};
use curves::{Chart, Curve};
use std::fs;
use std::path::{Path, PathBuf};

/// Draws everything that is in the reports into `out`.
pub(crate) fn draw(reports: &[PathBuf], out: &Path) -> Result<()> {
    fs::create_dir_all(out).map_err(Failure::of(format!("making {}", out.display())))?;
    for path in reports {
        let report = Report::read(path)?;
        let stem = path.file_stem().map_or_else(|| report.half.clone(), |stem| stem.to_string_lossy().into_owned());
        let pictures = throughput(&report).into_iter().chain(latencies(&report)).chain(shares(&report));
        for (name, picture) in pictures {
            let file = out.join(format!("{stem}-{name}.svg"));
            fs::write(&file, picture).map_err(Failure::of(format!("writing {}", file.display())))?;
            eprintln!("{}", file.display());
        }
    }
    Ok(())
}

/// Words of a title, and of a file's name.
fn place(keys: u64, memory: u64, distribution: &str, threads: usize) -> (String, String) {
    let memory = if memory == 0 { String::new() } else { format!(", {} MiB of memory", memory >> 20) };
    let title = format!("{keys} keys, {distribution}, {threads} threads{memory}");
    let name: String =
        title.chars().filter(|next| *next != ',').map(|next| if next == ' ' { '-' } else { next }).collect();
    (title, name)
}

/// Operations per second, one picture for each distribution and number of threads.
fn throughput(report: &Report) -> Vec<(String, String)> {
    let mut pictures: Vec<(String, String, Vec<Group>)> = Vec::new();
    for cell in &report.cells {
        let (title, name) = place(cell.keys, cell.memory_bytes, &cell.distribution, cell.threads);
        let at = pictures.iter().position(|picture| picture.0 == name).unwrap_or_else(|| {
            pictures.push((name, title, Vec::new()));
            pictures.len() - 1
        });
        add_bar(&mut pictures[at].2, cell);
    }
    let drawn = pictures.into_iter().map(|(name, title, groups)| {
        (format!("throughput-{name}"), bars::draw(&format!("Throughput: {title}"), &groups))
    });
    drawn.collect()
}

fn add_bar(groups: &mut Vec<Group>, cell: &Cell) {
    let Some(rates) = Summary::of(&cell.rates) else { return };
    let at = groups.iter().position(|group| group.name == cell.workload).unwrap_or_else(|| {
        groups.push(Group { name: cell.workload.clone(), bars: Vec::new() });
        groups.len() - 1
    });
    // The baseline of later groups of engines is there already.
    if groups[at].bars.iter().all(|bar| bar.name != cell.contestant) {
        groups[at].bars.push(Bar { name: cell.contestant.clone(), figures: rates });
    }
}

/// Cumulative distributions of latencies, one picture for each workload.
fn latencies(report: &Report) -> Vec<(String, String)> {
    let key = |latency: &Latency| {
        let (title, name) = place(latency.keys, latency.memory_bytes, &latency.distribution, latency.threads);
        (format!("Latency of {}: {title}", latency.workload), format!("latency-{}-{name}", latency.workload))
    };
    let mut pictures: Vec<((String, String), Vec<Curve>)> = Vec::new();
    for latency in &report.latencies {
        let key = key(latency);
        let points = latency.curve.iter().map(|(nanoseconds, share)| ((*nanoseconds).max(1) as f64, *share)).collect();
        let curve = Curve { name: latency.contestant.clone(), points };
        match pictures.iter_mut().find(|picture| picture.0 == key) {
            Some(picture) => picture.1.push(curve),
            None => pictures.push((key, vec![curve])),
        }
    }
    let drawn = pictures.into_iter().map(|((title, name), curves)| {
        let chart = Chart { title: &title, across: "nanoseconds, at most", up: "share of operations", is_log: true };
        (name, curves::draw(&chart, &curves))
    });
    drawn.collect()
}

/// Operations per second against memory, where a report has several sizes of memory.
fn shares(report: &Report) -> Vec<(String, String)> {
    let mut pictures: Vec<(String, Vec<Curve>)> = Vec::new();
    for cell in report.cells.iter().filter(|cell| cell.memory_bytes > 0) {
        let Some(rates) = Summary::of(&cell.rates) else { continue };
        let name = format!("{}-{}-{}-threads", cell.workload, cell.distribution.replace(' ', "-"), cell.threads);
        let at = pictures.iter().position(|picture| picture.0 == name).unwrap_or_else(|| {
            pictures.push((name, Vec::new()));
            pictures.len() - 1
        });
        let point = (cell.memory_bytes as f64 / (cell.keys * 108) as f64 * 100.0, rates.median);
        match pictures[at].1.iter_mut().find(|curve| curve.name == cell.contestant) {
            Some(curve) => curve.points.push(point),
            None => pictures[at].1.push(Curve { name: cell.contestant.clone(), points: vec![point] }),
        }
    }
    let several = pictures.into_iter().filter(|(_, curves)| curves.iter().any(|curve| curve.points.len() > 1));
    several
        .map(|(name, curves)| {
            let title = format!("Throughput against memory: {name}");
            let across = "memory in percent of the data";
            let chart = Chart { title: &title, across, up: "operations per second", is_log: true };
            (format!("memory-share-{name}"), curves::draw(&chart, &curves))
        })
        .collect()
}
