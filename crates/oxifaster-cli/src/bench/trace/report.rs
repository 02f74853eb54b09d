//! What a replay found, as one document: the schema of `--json`.

use super::book::{Book, Fault};
use super::line::Verb;
use super::replay::{Malformed, Replayed};
use super::{Cache, TracePlan};
use crate::bench::device::Device;
use crate::bench::directory::Directory;
use crate::bench::memory::Division;
use crate::bench::report::{DeviceReport, DiskReport, LatencyReport, MemoryReport, RevivificationReport, per_second};
use crate::bench::signal::Interrupt;
use serde::Serialize;
use std::collections::BTreeMap;

/// The whole document.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) schema: u32,
    pub(super) oxifaster_version: &'static str,
    pub(super) trace: TraceReport,
    pub(super) threads: u64,
    pub(super) device: DeviceReport,
    pub(super) device_asked: &'static str,
    pub(super) seconds: f64,
    pub(super) requests: u64,
    pub(super) requests_per_second: f64,
    /// `None` if not one request was played.
    pub(super) latency_ns: Option<LatencyReport>,
    /// Gets that found a value, of all gets; `None` if there was none.
    pub(super) hit_rate: Option<f64>,
    pub(super) gets: u64,
    pub(super) by_operation: BTreeMap<&'static str, OperationReport>,
    /// Bytes of values that were read.
    pub(super) bytes_read: u64,
    /// Bytes of values that came with requests and were stored.
    pub(super) bytes_written: u64,
    /// Keys at the end, roughly.
    pub(super) keys: u64,
    /// Requests whose record the store does not take, since it is longer than a page.
    pub(super) too_large: u64,
    /// Requests whose values ended, by the clock of the trace.
    pub(super) writes_with_ttl: u64,
    pub(super) verification: VerificationReport,
    /// If space is used again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revivification: Option<RevivificationReport>,
    pub(super) memory: MemoryReport,
    pub(super) disk: DiskReport,
    pub(super) interrupted: bool,
}

/// What was replayed.
#[derive(Debug, Serialize)]
pub(super) struct TraceReport {
    pub(super) name: String,
    pub(super) lines: u64,
    /// Seconds between its first and its last request, by its own clock.
    pub(super) span_seconds: u64,
    pub(super) malformed_lines: u64,
    pub(super) first_malformed: Option<Malformed>,
}

/// Requests of one kind.
#[derive(Debug, Serialize)]
pub(super) struct OperationReport {
    pub(super) requests: u64,
    /// Those that found their key, or, of `add`, that did not.
    pub(super) successful: u64,
    pub(super) latency_ns: LatencyReport,
}

/// Which answers were compared with those of a model.
#[derive(Debug, Serialize)]
pub(super) struct VerificationReport {
    pub(super) answers_checked: u64,
    pub(super) followed_keys: u64,
    pub(super) faults: u64,
    pub(super) first_faults: Vec<Fault>,
}

impl Report {
    const SCHEMA: u32 = 2;

    pub(super) fn new(
        plan: &TracePlan,
        replayed: &Replayed,
        store: &Cache,
        device: DeviceReport,
        division: Division,
        directory: Option<&Directory>,
        interrupt: &Interrupt,
    ) -> Self {
        let (book, seconds) = (&replayed.book, replayed.elapsed.as_secs_f64());
        let stats = store.stats();
        // The memory device holds the records outside of the budget, so there is nothing to compare.
        let comparable = replayed.peak.filter(|_| plan.device != Device::Memory);
        let gets = || Verb::ALL.into_iter().filter(|verb| verb.is_read()).map(|verb| book.page(verb));
        let (asked, hits) = (gets().map(|page| page.requests()).sum(), gets().map(|page| page.successful).sum::<u64>());
        Self {
            schema: Self::SCHEMA,
            oxifaster_version: env!("CARGO_PKG_VERSION"),
            trace: TraceReport {
                name: replayed.name.clone(),
                lines: replayed.lines,
                span_seconds: replayed.span,
                malformed_lines: replayed.malformed,
                first_malformed: replayed.first_malformed.clone(),
            },
            threads: plan.threads as u64,
            device,
            device_asked: plan.device.name(),
            seconds,
            requests: book.requests(),
            requests_per_second: per_second(book.requests(), seconds),
            latency_ns: book.latencies().as_ref().map(LatencyReport::new),
            hit_rate: (asked > 0).then(|| hits as f64 / asked as f64),
            gets: asked,
            by_operation: operations(book),
            bytes_read: book.bytes_read,
            bytes_written: book.bytes_written,
            keys: store.approximate_count(),
            too_large: book.too_large,
            writes_with_ttl: book.writes_with_ttl,
            verification: VerificationReport {
                answers_checked: book.checked,
                followed_keys: book.followed_keys,
                faults: book.faults,
                first_faults: book.first_faults.clone(),
            },
            revivification: stats.revivification.map(RevivificationReport::from),
            memory: MemoryReport::new(&stats, division, replayed.peak, comparable),
            disk: DiskReport::new(&stats, directory),
            interrupted: interrupt.is_raised(),
        }
    }

    /// True if an answer was not the right one, or not all of the trace could be played.
    pub(super) fn is_wrong(&self) -> bool {
        self.verification.faults > 0 || self.trace.malformed_lines > 0
    }
}

fn operations(book: &Book) -> BTreeMap<&'static str, OperationReport> {
    let report = |verb: Verb| {
        let page = book.page(verb);
        let latency_ns = LatencyReport::new(page.latencies.as_ref()?);
        let (requests, successful) = (page.requests(), page.successful);
        Some((verb.name(), OperationReport { requests, successful, latency_ns }))
    };
    Verb::ALL.into_iter().filter_map(report).collect()
}
