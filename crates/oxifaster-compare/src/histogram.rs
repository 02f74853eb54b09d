//! Latencies in buckets that are about 3 % wide.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Counts by nanoseconds: 32 buckets for every doubling.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

const STEPS_BITS: u32 = 5;

impl Histogram {
    /// Counts `operations` operations that took this long.
    #[inline]
    pub(crate) fn record(&mut self, time: Duration, operations: u64) {
        let bucket = bucket(time.as_nanos() as u64);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += operations;
        self.total += operations;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (own, other) in self.counts.iter_mut().zip(&other.counts) {
            *own += other;
        }
        self.total += other.total;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The nanoseconds that this share of the operations did not exceed.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let wanted = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.map_or(0, upper)
    }

    /// The cumulative distribution: nanoseconds and the share of operations that took no longer.
    pub(crate) fn curve(&self) -> Vec<(u64, f64)> {
        let mut seen = 0;
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled
            .map(|(bucket, count)| {
                seen += count;
                (upper(bucket), seen as f64 / self.total as f64)
            })
            .collect()
    }
}

fn bucket(nanoseconds: u64) -> usize {
    let steps = 1_u64 << STEPS_BITS;
    if nanoseconds < steps {
        return nanoseconds as usize;
    }
    let doubling = nanoseconds.ilog2() - STEPS_BITS;
    (u64::from(doubling) * steps + (nanoseconds >> doubling)) as usize
}

/// The largest number in a bucket.
fn upper(bucket: usize) -> u64 {
    let steps = 1_u64 << STEPS_BITS;
    let bucket = bucket as u64;
    if bucket < 2 * steps {
        return bucket;
    }
    let doubling = bucket / steps - 1;
    ((bucket % steps + steps + 1) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_the_bucket_that_ends_at_or_just_above_it() {
        for number in (0..2_000).chain([65_535, 65_536, 1_000_000_007, u64::MAX >> 1]) {
            let end = upper(bucket(number));
            assert!(end >= number && end - number <= number / 32, "{number}: {end}");
        }
    }

    #[test]
    fn quantiles_and_curve_agree() {
        let mut histogram = Histogram::default();
        for nanoseconds in 1..=100 {
            histogram.record(Duration::from_nanos(nanoseconds * 1_000), 1);
        }
        let mut twice = Histogram::default();
        twice.merge(&histogram);
        twice.merge(&histogram);
        let median = twice.quantile(0.5);
        assert!((50_000..=51_600).contains(&median), "{median}");
        assert!(twice.curve().iter().any(|(at, share)| *at == median && (share - 0.5).abs() < 0.02));
        assert_eq!(twice.curve().last().unwrap().1, 1.0);
    }
}
