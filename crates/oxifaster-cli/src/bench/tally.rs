//! What one thread, or all of them, did in a stage.

use super::checkpoints::Sides;
use super::workload::Operation;
use hdrhistogram::Histogram;
use std::time::Duration;

/// Latencies above an hour are counted as an hour.
const LONGEST: Duration = Duration::from_secs(3_600);
/// Two digits: a latency is known to one per cent, and a histogram takes some 40 KiB.
const DIGITS: u8 = 2;

/// Operations counted, with their latencies by kind.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    latencies: [Option<Histogram<u64>>; Operation::ALL.len()],
    /// Values that were checked.
    pub(crate) checked: u64,
    /// Values that were held to the exact version of their key.
    pub(crate) exact: u64,
    /// Bytes of the values that were loaded.
    pub(crate) loaded_bytes: u64,
    /// With and without a checkpoint, if any were asked for.
    pub(crate) sides: Sides,
}

/// An empty histogram; `None` is impossible.
pub(crate) fn histogram() -> Option<Histogram<u64>> {
    Histogram::new_with_max(LONGEST.as_nanos() as u64, DIGITS).ok()
}

impl Tally {
    /// Counts `count` operations of the same latency.
    pub(crate) fn record(&mut self, operation: Operation, latency: Duration, count: u64) {
        if count == 0 {
            return;
        }
        let slot = &mut self.latencies[operation as usize];
        if let Some(histogram) = slot.as_mut() {
            histogram.saturating_record_n(latency.as_nanos() as u64, count);
            return;
        }
        if let Some(mut histogram) = histogram() {
            histogram.saturating_record_n(latency.as_nanos() as u64, count);
            *slot = Some(histogram);
        }
    }

    /// The latencies of one kind of operation, in nanoseconds, if there was any.
    pub(crate) fn latencies(&self, operation: Operation) -> Option<&Histogram<u64>> {
        self.latencies[operation as usize].as_ref()
    }

    /// The latencies of all operations.
    pub(crate) fn all_latencies(&self) -> Option<Histogram<u64>> {
        self.latencies.iter().flatten().cloned().reduce(|mut all, histogram| {
            all += histogram;
            all
        })
    }

    pub(crate) fn count(&self, operation: Operation) -> u64 {
        self.latencies(operation).map_or(0, Histogram::len)
    }

    pub(crate) fn operations(&self) -> u64 {
        self.latencies.iter().flatten().map(Histogram::len).sum()
    }

    /// Adds what another thread did.
    pub(crate) fn add(&mut self, other: Self) {
        for (mine, theirs) in self.latencies.iter_mut().zip(other.latencies) {
            match (mine.as_mut(), theirs) {
                (Some(mine), Some(theirs)) => *mine += theirs,
                (None, theirs) => *mine = theirs,
                (Some(_), None) => {}
            }
        }
        self.checked += other.checked;
        self.exact += other.exact;
        self.loaded_bytes += other.loaded_bytes;
        self.sides.add(other.sides);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_of_threads_add_up_by_kind() {
        let (mut one, mut other) = (Tally::default(), Tally { checked: 3, exact: 1, ..Tally::default() });
        one.record(Operation::Read, Duration::from_micros(10), 1);
        other.record(Operation::Read, Duration::from_micros(1_000), 2);
        other.record(Operation::Update, Duration::from_micros(5), 1);
        other.record(Operation::Insert, Duration::from_micros(5), 0);
        one.add(other);
        assert_eq!((one.count(Operation::Read), one.count(Operation::Update), one.operations()), (3, 1, 4));
        assert!(one.latencies(Operation::Insert).is_none(), "none was counted");
        assert_eq!((one.checked, one.exact), (3, 1));
        let slowest = one.latencies(Operation::Read).map(|reads| reads.max());
        assert!(slowest.is_some_and(|slowest| (1_000_000..1_010_000).contains(&slowest)), "{slowest:?}");
        assert_eq!(one.all_latencies().map(|all| all.len()), Some(4));
    }

    #[test]
    fn histograms_are_small_and_cap_absurd_latencies() {
        let mut tally = Tally::default();
        tally.record(Operation::Read, Duration::from_secs(100_000), 1);
        let histogram = tally.latencies(Operation::Read).unwrap();
        assert!(histogram.max() <= 2 * LONGEST.as_nanos() as u64);
        assert!(histogram.distinct_values() * size_of::<u64>() < 64 << 10);
    }
}
