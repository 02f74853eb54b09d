//! What a benchmark found, as one document: the schema of `--json`.
//!
//! Fields may be added; a field that is removed or changes its meaning raises `schema`.

use super::checkpoints::CheckpointsReport;
use super::directory::Directory;
use super::faults::Fault;
use super::memory::Division;
use super::recovery::RecoveryReport;
use super::tally::Tally;
use super::workload::Operation;
use hdrhistogram::Histogram;
use oxifaster::stats::{RevivificationStats, StatsSnapshot};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The whole document.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) schema: u32,
    pub(crate) oxifaster_version: &'static str,
    pub(crate) options: OptionsReport,
    pub(crate) device: DeviceReport,
    pub(crate) load: LoadReport,
    pub(crate) runs: Vec<RunReport>,
    pub(crate) verification: VerificationReport,
    /// How the store came back, if that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) recoveries: Vec<RecoveryReport>,
    /// If space is used again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revivification: Option<RevivificationReport>,
    pub(crate) memory: MemoryReport,
    pub(crate) disk: DiskReport,
    /// True if the user stopped it: what is there was measured until then.
    pub(crate) interrupted: bool,
}

impl Report {
    pub(crate) const SCHEMA: u32 = 1;
}

/// What was asked for.
#[derive(Debug, Serialize)]
pub(crate) struct OptionsReport {
    pub(crate) records: u64,
    pub(crate) key_bytes: u64,
    /// Of all together, if they differ.
    pub(crate) value_bytes: u64,
    /// How they were asked for.
    pub(crate) value_sizes: String,
    pub(crate) threads: u64,
    pub(crate) api: &'static str,
    pub(crate) depth: u64,
    /// `None` if the calls are not batched.
    pub(crate) batch: Option<u64>,
    pub(crate) theta: f64,
    pub(crate) seconds_per_run: f64,
    pub(crate) seed: u64,
    pub(crate) device: &'static str,
}

/// What carried out the reads of the runs.
#[derive(Debug, Serialize)]
pub(crate) struct DeviceReport {
    pub(crate) used: &'static str,
    /// Why it is not what was asked for, or what is used by default.
    pub(crate) why: Option<String>,
}

/// How the records were loaded.
#[derive(Debug, Serialize)]
pub(crate) struct LoadReport {
    pub(crate) records: u64,
    /// Keys and values, without what the store adds.
    pub(crate) data_bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) records_per_second: f64,
}

/// Latencies in nanoseconds, known to one per cent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct LatencyReport {
    pub(crate) mean: f64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) p99_9: u64,
    pub(crate) max: u64,
}

impl LatencyReport {
    pub(super) fn new(histogram: &Histogram<u64>) -> Self {
        Self {
            mean: histogram.mean(),
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            p99_9: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        }
    }
}

/// One kind of operation within a run.
#[derive(Debug, Serialize)]
pub(crate) struct OperationReport {
    pub(crate) count: u64,
    pub(crate) latency_ns: LatencyReport,
}

/// One workload with one distribution.
#[derive(Debug, Serialize)]
pub(crate) struct RunReport {
    pub(crate) workload: &'static str,
    pub(crate) mix: &'static str,
    pub(crate) distribution: &'static str,
    pub(crate) seconds: f64,
    pub(crate) operations: u64,
    pub(crate) operations_per_second: f64,
    /// `None` if not one operation was done.
    pub(crate) latency_ns: Option<LatencyReport>,
    pub(crate) by_operation: BTreeMap<&'static str, OperationReport>,
    /// The share of operations that did not wait for the device, from 0 to 1.
    pub(crate) served_from_memory: f64,
    pub(crate) disk_reads: u64,
    pub(crate) disk_reads_per_second: f64,
    pub(crate) disk_read_bytes: u64,
    pub(crate) disk_written_bytes: u64,
    /// What checkpoints cost it, if any were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoints: Option<CheckpointsReport>,
}

/// What the device did between two moments.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DeviceWork {
    pub(crate) reads: u64,
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
}

impl RunReport {
    /// `waited` operations had to wait for the device.
    pub(crate) fn new(
        names: (&'static str, &'static str, &'static str),
        tally: &Tally,
        elapsed: Duration,
        waited: u64,
        device: DeviceWork,
    ) -> Self {
        let (workload, mix, distribution) = names;
        let (seconds, operations) = (elapsed.as_secs_f64(), tally.operations());
        let by_operation = Operation::ALL.iter().filter_map(|operation| {
            let histogram = tally.latencies(*operation)?;
            let latency_ns = LatencyReport::new(histogram);
            Some((operation.name(), OperationReport { count: histogram.len(), latency_ns }))
        });
        Self {
            workload,
            mix,
            distribution,
            seconds,
            operations,
            operations_per_second: per_second(operations, seconds),
            latency_ns: tally.all_latencies().as_ref().map(LatencyReport::new),
            by_operation: by_operation.collect(),
            served_from_memory: 1.0 - waited.min(operations) as f64 / operations.max(1) as f64,
            disk_reads: device.reads,
            disk_reads_per_second: per_second(device.reads, seconds),
            disk_read_bytes: device.read_bytes,
            disk_written_bytes: device.written_bytes,
            checkpoints: None,
        }
    }
}

/// What was checked and what was wrong.
#[derive(Debug, Default, Serialize)]
pub(crate) struct VerificationReport {
    /// Values whose key and checksum were checked, in the runs and at the end.
    pub(crate) values_checked: u64,
    /// Those of them that were held to the exact version of their key as well.
    pub(crate) exact_versions_checked: u64,
    /// Loaded keys whose exact version was remembered throughout.
    pub(crate) followed_keys: u64,
    /// Keys that the final pass read.
    pub(crate) keys_read: u64,
    pub(crate) seconds: f64,
    /// Whether the final pass read every key.
    pub(crate) complete: bool,
    pub(crate) faults: u64,
    pub(crate) first_faults: Vec<Fault>,
}

/// Peak memory against the budget.
#[derive(Debug, Serialize)]
pub(crate) struct MemoryReport {
    pub(crate) budget_bytes: u64,
    /// What the store was given of it.
    pub(crate) store_budget_bytes: u64,
    /// The most that the process ever held; `None` where the system does not tell.
    pub(crate) peak_resident_bytes: Option<u64>,
    pub(crate) within_budget: Option<bool>,
    /// Who holds what within the store.
    pub(crate) holders: Vec<HolderReport>,
}

impl MemoryReport {
    /// Of a process that has held `peak`, which is compared with the budget if that can be.
    pub(super) fn new(stats: &StatsSnapshot, division: Division, peak: Option<u64>, comparable: Option<u64>) -> Self {
        let holders = stats.memory.iter().map(|(name, bytes)| HolderReport { name, bytes: *bytes as u64 });
        Self {
            budget_bytes: division.budget,
            store_budget_bytes: stats.memory_budget as u64,
            peak_resident_bytes: peak,
            within_budget: comparable.map(|peak| peak <= division.budget),
            holders: holders.collect(),
        }
    }
}

/// One holder of memory.
#[derive(Debug, Serialize)]
pub(crate) struct HolderReport {
    pub(crate) name: &'static str,
    pub(crate) bytes: u64,
}

/// What lies on the disk.
#[derive(Debug, Serialize)]
pub(crate) struct DiskReport {
    /// `None` if the device is not made of files.
    pub(crate) directory: Option<String>,
    pub(crate) kept: bool,
    /// True if the file system keeps its files in memory.
    pub(crate) in_memory: bool,
    pub(crate) used_bytes: u64,
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
}

impl DiskReport {
    pub(super) fn new(stats: &StatsSnapshot, directory: Option<&Directory>) -> Self {
        Self {
            directory: directory.map(|directory| directory.path().display().to_string()),
            kept: directory.is_some_and(Directory::is_kept),
            in_memory: directory.is_some_and(Directory::is_in_memory),
            used_bytes: directory.map_or(0, Directory::bytes),
            read_bytes: stats.device.read_bytes,
            written_bytes: stats.device.written_bytes,
        }
    }
}

/// What became of the space of deleted and outgrown records.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct RevivificationReport {
    pub(crate) in_place: u64,
    pub(crate) freed: u64,
    pub(crate) reused: u64,
    pub(crate) dropped: u64,
    pub(crate) free: u64,
}

impl From<RevivificationStats> for RevivificationReport {
    fn from(stats: RevivificationStats) -> Self {
        let RevivificationStats { in_place, freed, reused, dropped, free, .. } = stats;
        Self { in_place, freed, reused, dropped, free }
    }
}

/// A rate; 0 if no time has passed.
pub(crate) fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report with one run and one fault.
    pub(crate) fn example() -> Report {
        let mut tally = Tally::default();
        for microseconds in 1..=1_000 {
            tally.record(Operation::Read, Duration::from_micros(microseconds), 1);
        }
        tally.record(Operation::Update, Duration::from_nanos(500), 1);
        let device = DeviceWork { reads: 250, read_bytes: 250 << 12, written_bytes: 1 << 20 };
        let names = ("A", "50% read, 50% update", "zipfian");
        let run = RunReport::new(names, &tally, Duration::from_millis(500), 250, device);
        let fault =
            |key| Fault { during: "A zipfian".into(), key, expected: "version 2".into(), found: "no value".into() };
        Report {
            schema: Report::SCHEMA,
            oxifaster_version: "1.2.3",
            options: OptionsReport {
                records: 10_000_000,
                key_bytes: 8,
                value_bytes: 100,
                value_sizes: "100".to_owned(),
                threads: 2,
                api: "pending",
                depth: 64,
                batch: None,
                theta: 0.99,
                seconds_per_run: 0.5,
                seed: 1,
                device: "file",
            },
            device: DeviceReport { used: "uring", why: None },
            load: LoadReport { records: 10_000_000, data_bytes: 1 << 30, seconds: 4.0, records_per_second: 2.5e6 },
            runs: vec![run],
            verification: VerificationReport {
                values_checked: 1_001,
                exact_versions_checked: 70,
                followed_keys: 8,
                keys_read: 500,
                complete: true,
                faults: 12,
                first_faults: vec![fault(77), fault(78)],
                ..VerificationReport::default()
            },
            recoveries: Vec::new(),
            revivification: Some(RevivificationReport {
                in_place: 5,
                freed: 1_200,
                reused: 1_000,
                dropped: 150,
                free: 50,
            }),
            memory: MemoryReport {
                budget_bytes: 256 << 20,
                store_budget_bytes: 240 << 20,
                peak_resident_bytes: Some(250 << 20),
                within_budget: Some(true),
                holders: vec![HolderReport { name: "log", bytes: 128 << 20 }],
            },
            disk: DiskReport {
                directory: Some("/data".into()),
                kept: true,
                in_memory: false,
                used_bytes: 2 << 30,
                read_bytes: 0,
                written_bytes: 2 << 30,
            },
            interrupted: false,
        }
    }

    #[test]
    fn a_run_reports_rates_shares_and_quantiles() {
        let report = example();
        let run = &report.runs[0];
        assert_eq!((run.operations, run.disk_reads), (1_001, 250));
        assert!((run.operations_per_second - 2_002.0).abs() < 1e-6);
        assert!((run.disk_reads_per_second - 500.0).abs() < 1e-6);
        assert!((run.served_from_memory - 751.0 / 1_001.0).abs() < 1e-9);
        let latency = run.latency_ns.unwrap();
        assert!((490_000..510_000).contains(&latency.p50), "{latency:?}");
        assert!((980_000..1_000_000).contains(&latency.p99), "{latency:?}");
        assert!((1_000_000..1_010_000).contains(&latency.max), "{latency:?}");
        assert_eq!(run.by_operation["update"].count, 1);
    }

    #[test]
    fn a_run_without_operations_has_no_latency_and_no_infinite_rate() {
        let run = RunReport::new(("C", "", "uniform"), &Tally::default(), Duration::ZERO, 0, DeviceWork::default());
        assert_eq!((run.operations_per_second, run.latency_ns, run.served_from_memory), (0.0, None, 1.0));
    }

    #[test]
    fn the_json_document_keeps_its_schema() {
        let document = serde_json::to_value(example()).unwrap();
        for path in [
            "/schema",
            "/oxifaster_version",
            "/options/records",
            "/options/value_bytes",
            "/options/value_sizes",
            "/options/threads",
            "/options/api",
            "/options/depth",
            "/options/device",
            "/device/used",
            "/load/records_per_second",
            "/load/data_bytes",
            "/runs/0/workload",
            "/runs/0/distribution",
            "/runs/0/operations_per_second",
            "/runs/0/latency_ns/p50",
            "/runs/0/latency_ns/p99",
            "/runs/0/latency_ns/p99_9",
            "/runs/0/latency_ns/max",
            "/runs/0/by_operation/read/count",
            "/runs/0/served_from_memory",
            "/runs/0/disk_reads_per_second",
            "/verification/values_checked",
            "/verification/exact_versions_checked",
            "/verification/followed_keys",
            "/verification/complete",
            "/verification/faults",
            "/verification/first_faults/0/key",
            "/verification/first_faults/0/expected",
            "/verification/first_faults/0/found",
            "/revivification/reused",
            "/memory/budget_bytes",
            "/memory/peak_resident_bytes",
            "/memory/within_budget",
            "/memory/holders/0/bytes",
            "/disk/used_bytes",
            "/disk/directory",
            "/interrupted",
        ] {
            assert!(document.pointer(path).is_some_and(|value| !value.is_null()), "{path} is missing");
        }
        assert_eq!(document["schema"], 1);
    }
}
