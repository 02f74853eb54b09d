//! How long operations took.

use crate::units::latency;
use hdrhistogram::Histogram;
use std::time::Duration;

/// Latencies of operations, to one per cent.
#[derive(Debug, Default)]
pub(super) struct Times(Option<Histogram<u64>>);

impl Times {
    pub(super) fn new() -> Self {
        Self(Histogram::new_with_max(3_600_000_000_000, 2).ok())
    }

    pub(super) fn note(&mut self, took: Duration) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(took.as_nanos() as u64);
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        match (&mut self.0, &other.0) {
            (Some(all), Some(more)) => *all += more,
            (none, more) => none.clone_from(more),
        }
    }

    /// Percentiles as text.
    pub(super) fn text(&self) -> String {
        let Some(histogram) = &self.0 else { return String::new() };
        let at = |quantile| latency(histogram.value_at_quantile(quantile));
        format!(
            "p50 {}, p99 {}, p99.9 {}, p99.99 {}, longest {}",
            at(0.5),
            at(0.99),
            at(0.999),
            at(0.9999),
            latency(histogram.max())
        )
    }
}

/// Lowest, median and highest of some figures, with one unit.
pub(super) fn spread(figures: &[f64]) -> String {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.first(), sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(lowest), Some(median), Some(highest)) => format!("{lowest:.2} / {median:.2} / {highest:.2}"),
        _ => "none".to_owned(),
    }
}

/// The median, or nothing.
pub(super) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
