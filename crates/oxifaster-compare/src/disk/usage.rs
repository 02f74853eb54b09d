//! What a process took of the machine.

use std::fs;

/// Counts that only grow; the difference of two is what happened in between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Bytes this process had fetched from and sent to the disk.
    read_bytes: u64,
    written_bytes: u64,
    /// Reads that all disks of the machine completed.
    disk_reads: u64,
}

impl Usage {
    pub(crate) fn now() -> Self {
        let own = fs::read_to_string("/proc/self/io").unwrap_or_default();
        let field = |name: &str| {
            let line = own.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
        };
        Self { read_bytes: field("read_bytes:"), written_bytes: field("write_bytes:"), disk_reads: disk_reads() }
    }

    /// Figures per operation since `before`.
    pub(crate) fn since(self, before: Self, operations: u64) -> Vec<(String, f64)> {
        let per_operation = |after: u64, before: u64| after.saturating_sub(before) as f64 / operations.max(1) as f64;
        vec![
            ("disk reads/op".to_string(), per_operation(self.disk_reads, before.disk_reads)),
            ("bytes read/op".to_string(), per_operation(self.read_bytes, before.read_bytes)),
            ("bytes written/op".to_string(), per_operation(self.written_bytes, before.written_bytes)),
        ]
    }
}

/// Bytes of memory this process has for itself at this moment, its mapped files included.
pub(crate) fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or(0.0) * 1_024.0
}

/// Reads completed by whole disks: partitions are counted in their disks.
fn disk_reads() -> u64 {
    let whole = |name: &str| fs::metadata(format!("/sys/block/{name}/device")).is_ok();
    let text = fs::read_to_string("/proc/diskstats").unwrap_or_default();
    let fields = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .filter(|fields| fields.get(2).is_some_and(|name| whole(name)))
        .filter_map(|fields| fields.get(3)?.parse::<u64>().ok())
        .sum()
}
