//! How a store is compacted.

use crate::error::{Error, ErrorKind, Result};

/// How much a compaction does, and with what.
///
/// ```
/// use oxifaster::compaction::CompactionConfig;
/// let config = CompactionConfig::default().with_target_utilization(0.5).with_num_threads(2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct CompactionConfig {
    /// See [`with_target_utilization`](Self::with_target_utilization).
    pub target_utilization: f64,
    /// See [`with_num_threads`](Self::with_num_threads).
    pub num_threads: usize,
    /// See [`with_buffer_size`](Self::with_buffer_size).
    pub buffer_size: usize,
    /// See [`with_max_part`](Self::with_max_part).
    pub max_part: f64,
    /// See [`with_bytes_per_second`](Self::with_bytes_per_second).
    pub bytes_per_second: Option<u64>,
    /// See [`with_cpu_share`](Self::with_cpu_share).
    pub cpu_share: f64,
}

impl Default for CompactionConfig {
    fn default() -> Self {
        Self {
            target_utilization: 0.5,
            num_threads: 1,
            buffer_size: 1 << 20,
            max_part: 1.0 / 16.0,
            bytes_per_second: None,
            cpu_share: 1.0,
        }
    }
}

impl CompactionConfig {
    /// The most threads of a compaction.
    pub const THREADS_MAX: usize = 256;

    /// The share of the log that is to be records in use, above 0.0 and at most 1.0: a compaction goes on until it is
    /// reached, or until all that was in the log has been looked at once. `Default:` 0.5, a log of twice the data.
    #[must_use]
    pub fn with_target_utilization(mut self, share: f64) -> Self {
        self.target_utilization = share;
        self
    }

    /// Threads that read the log and move records, 1 to 256. `Default:` 1.
    #[must_use]
    pub fn with_num_threads(mut self, threads: usize) -> Self {
        self.num_threads = threads;
        self
    }

    /// Bytes of the read buffers of each thread, 16 KiB to 1 GiB. `Default:` 1 MiB.
    #[must_use]
    pub fn with_buffer_size(mut self, bytes: usize) -> Self {
        self.buffer_size = bytes;
        self
    }

    /// The share of the log that is compacted at a time at most, above 0.0 and at most 0.5; otherwise it is as much as can be looked up at once
    /// ([`with_compaction_memory`](crate::store::FasterKvConfig::with_compaction_memory)). Where keys are overwritten in no order, all of the log is
    /// read for each part. Its space is given back when all of it was looked at, so the disk holds as much more. `Default:` a sixteenth.
    #[must_use]
    pub fn with_max_part(mut self, share: f64) -> Self {
        self.max_part = share;
        self
    }

    /// Bytes of the log that all threads together read in a second at most, at least 4096; what they write is never more than
    /// that. `Default:` no bound.
    #[must_use]
    pub fn with_bytes_per_second(mut self, bytes: u64) -> Self {
        self.bytes_per_second = Some(bytes);
        self
    }

    /// The share of a core that each thread takes at most, above 0.0 and at most 1.0. `Default:` 1.0.
    #[must_use]
    pub fn with_cpu_share(mut self, share: f64) -> Self {
        self.cpu_share = share;
        self
    }

    /// Whether each value makes sense.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names the field.
    pub fn check(&self) -> Result<()> {
        let is_share = |share: f64| share > 0.0 && share <= 1.0;
        let wrong = |field: &'static str, value: &dyn std::fmt::Display, accepted: &'static str| {
            Err(Error::new(ErrorKind::Config, "a value of the compaction's set-up is out of range")
                .with("field", field)
                .with("value", value)
                .with("accepted", accepted))
        };
        if !is_share(self.target_utilization) {
            return wrong("target_utilization", &self.target_utilization, "above 0.0, at most 1.0");
        }
        if !(is_share(self.max_part) && self.max_part <= 0.5) {
            return wrong("max_part", &self.max_part, "above 0.0, at most 0.5");
        }
        if !is_share(self.cpu_share) {
            return wrong("cpu_share", &self.cpu_share, "above 0.0, at most 1.0");
        }
        if !(1..=Self::THREADS_MAX).contains(&self.num_threads) {
            return wrong("num_threads", &self.num_threads, "1 to 256");
        }
        if !(1 << 14..=1 << 30).contains(&self.buffer_size) {
            return wrong("buffer_size", &self.buffer_size, "16 KiB to 1 GiB");
        }
        match self.bytes_per_second {
            Some(bytes) if bytes < 4096 => wrong("bytes_per_second", &bytes, "4096 or more"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_named() {
        let config = CompactionConfig::default;
        config().check().unwrap();
        config().with_target_utilization(1.0).with_num_threads(256).with_bytes_per_second(4096).check().unwrap();
        let wrong = [
            ("target_utilization", config().with_target_utilization(0.0)),
            ("target_utilization", config().with_target_utilization(f64::NAN)),
            ("cpu_share", config().with_cpu_share(1.1)),
            ("max_part", config().with_max_part(0.6)),
            ("max_part", config().with_max_part(0.0)),
            ("num_threads", config().with_num_threads(0)),
            ("buffer_size", config().with_buffer_size(1)),
            ("bytes_per_second", config().with_bytes_per_second(0)),
        ];
        for (field, config) in wrong {
            assert_eq!(config.check().unwrap_err().field("field"), Some(field), "{config:?}");
        }
    }
}
