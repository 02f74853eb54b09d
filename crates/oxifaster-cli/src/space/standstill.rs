//! Whose a long wait was: the store's, or that of a machine that stood still.

use crate::units::latency;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Shorter ones are not kept.
const LONG: Duration = Duration::from_millis(4);

/// Stretches of time in which a thread got no further.
#[derive(Debug, Default)]
pub(super) struct Waits(Vec<Range<Instant>>);

impl Waits {
    pub(super) fn note(&mut self, began: Instant, ended: Instant) {
        if ended.saturating_duration_since(began) >= LONG {
            self.0.push(began..ended);
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// The longest that is left of one, without the time in which a thread that does nothing but sleep was not woken either.
    pub(super) fn longest_beside(&self, standstills: &Self) -> Duration {
        let left = |wait: &Range<Instant>| {
            let covered: Duration = standstills.0.iter().map(|other| overlap(wait, other)).sum();
            (wait.end - wait.start).saturating_sub(covered)
        };
        self.0.iter().map(left).max().unwrap_or_default()
    }

    pub(super) fn longest(&self) -> Duration {
        self.longest_beside(&Self::default())
    }

    /// A length of time as text.
    pub(super) fn text(longest: Duration) -> String {
        if longest < LONG { format!("below {LONG:?}") } else { latency(longest.as_nanos() as u64) }
    }
}

fn overlap(one: &Range<Instant>, other: &Range<Instant>) -> Duration {
    one.end.min(other.end).saturating_duration_since(one.start.max(other.start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_stood_still_for_is_not_the_stores() {
        let start = Instant::now();
        let of = |stretches: &[(u64, u64)]| {
            let mut waits = Waits::default();
            let at = |ms| start + Duration::from_millis(ms);
            stretches.iter().for_each(|(began, ended)| waits.note(at(*began), at(*ended)));
            waits
        };
        let waits = of(&[(0, 3), (10, 40), (100, 112)]);
        assert_eq!(waits.longest(), Duration::from_millis(30));
        assert_eq!(waits.longest_beside(&of(&[(12, 45)])), Duration::from_millis(12));
        assert_eq!(waits.longest_beside(&of(&[(12, 30), (90, 110), (200, 300)])), Duration::from_millis(12));
        assert_eq!(of(&[(0, 3)]).longest(), Duration::ZERO);
    }
}
