//! The machine a run was made on, and how busy it was.

use serde::{Deserialize, Serialize};
use std::fs;

/// What the figures depend on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    /// What the kernel gives huge pages to: `always`, `madvise` or `never`.
    pub(crate) huge_pages: String,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_string())
        };
        let unknown = || "unknown".to_string();
        let huge = read("/sys/kernel/mm/transparent_hugepage/enabled");
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory("MemTotal"),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_string(),
            huge_pages: huge.split(['[', ']']).nth(1).map_or_else(unknown, str::to_string),
        }
    }
}

/// A line of the kernel's memory statistics, in bytes; 0 if there is none.
fn memory(name: &str) -> u64 {
    of_kibibytes("/proc/meminfo", name)
}

fn of_kibibytes(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.split(':').next() == Some(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|number| number.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

/// Bytes that can be had without anybody being evicted.
pub(crate) fn available_bytes() -> u64 {
    memory("MemAvailable")
}

/// Processes that ran or waited to run, on average over the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

/// This process's memory and the part of it on huge pages, in bytes.
pub(crate) fn resident() -> (u64, u64) {
    let of = |name| of_kibibytes("/proc/self/smaps_rollup", name);
    (of("Rss"), of("AnonHugePages"))
}

/// Processor time this machine spent for others or waiting for the host, and all of it, in ticks since it started.
pub(crate) fn stolen() -> (u64, u64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<u64> =
        text.lines().next().unwrap_or("").split_whitespace().skip(1).filter_map(|tick| tick.parse().ok()).collect();
    (ticks.get(7).copied().unwrap_or(0), ticks.iter().take(8).sum())
}
