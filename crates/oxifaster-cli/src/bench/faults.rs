//! The wrong values that were found.

use super::value::Wrong;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Faults that are kept with their particulars; the others are only counted.
const KEPT: usize = 10;

/// One read that gave the wrong thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    /// The stage in which it was found.
    pub(crate) during: String,
    pub(crate) key: u64,
    pub(crate) expected: String,
    pub(crate) found: String,
}

/// Every fault counted, the first few kept.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    count: AtomicU64,
    first: Mutex<Vec<Fault>>,
}

impl Faults {
    #[cold]
    pub(crate) fn add(&self, during: &str, key: u64, (low, high): (u64, u64), wrong: Wrong) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.len() < KEPT {
            let expected = if low == high { format!("version {low}") } else { format!("version {low} to {high}") };
            first.push(Fault { during: during.to_owned(), key, expected, found: wrong.to_string() });
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn first(&self) -> Vec<Fault> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_counted_and_the_first_ten_are_named() {
        let faults = Faults::default();
        for key in 0..25 {
            faults.add("load", key, (3, 4), Wrong::Missing);
        }
        assert_eq!(faults.count(), 25);
        let first = faults.first();
        assert_eq!(first.len(), 10);
        let expected = "version 3 to 4".to_owned();
        assert_eq!(first[9], Fault { during: "load".into(), key: 9, expected, found: "no value".into() });
    }
}
