//! The workloads of the Yahoo! Cloud Serving Benchmark: which operations, in which shares.

use super::distribution::below;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::fmt;

/// What a worker asks of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Read,
    Update,
    Insert,
    ReadModifyWrite,
}

impl Operation {
    pub(crate) const ALL: [Self; 4] = [Self::Read, Self::Update, Self::Insert, Self::ReadModifyWrite];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Update => "update",
            Self::Insert => "insert",
            Self::ReadModifyWrite => "read_modify_write",
        }
    }
}

/// A core workload of YCSB. E, which scans key ranges, is left out: a hash index keeps no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    A,
    B,
    C,
    D,
    F,
}

impl Workload {
    /// Every workload, in the order in which they run.
    pub(crate) const ALL: [Self; 5] = [Self::A, Self::B, Self::C, Self::D, Self::F];

    pub(crate) const fn letter(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
            Self::F => "F",
        }
    }

    /// The mix in words.
    pub(crate) const fn summary(self) -> &'static str {
        match self {
            Self::A => "50% read, 50% update",
            Self::B => "95% read, 5% update",
            Self::C => "100% read",
            Self::D => "95% read latest, 5% insert",
            Self::F => "50% read, 50% read-modify-write",
        }
    }

    /// Reads per hundred operations; the others are of [`Self::write`].
    const fn reads_per_hundred(self) -> u64 {
        match self {
            Self::A | Self::F => 50,
            Self::B | Self::D => 95,
            Self::C => 100,
        }
    }

    const fn write(self) -> Operation {
        match self {
            Self::A | Self::B | Self::C => Operation::Update,
            Self::D => Operation::Insert,
            Self::F => Operation::ReadModifyWrite,
        }
    }

    /// The next operation.
    pub(crate) fn draw(self, rng: &mut Xoshiro256PlusPlus) -> Operation {
        if below(rng, 100) < self.reads_per_hundred() { Operation::Read } else { self.write() }
    }
}

/// Which keys a workload prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preference {
    /// A few keys get most operations.
    Zipfian,
    /// All keys alike.
    Uniform,
    /// Keys that were inserted last.
    Latest,
}

impl Preference {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Zipfian => "zipfian",
            Self::Uniform => "uniform",
            Self::Latest => "latest",
        }
    }
}

impl fmt::Display for Preference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The runs that `workloads` stand for: each with every one of `preferences`, D once with its own.
pub(crate) fn runs(workloads: &[Workload], preferences: &[Preference]) -> Vec<(Workload, Preference)> {
    let mut runs = Vec::new();
    for workload in workloads {
        match workload {
            Workload::D => runs.push((*workload, Preference::Latest)),
            _ => runs.extend(preferences.iter().map(|preference| (*workload, *preference))),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_xoshiro::rand_core::SeedableRng;

    fn share(workload: Workload, operation: Operation) -> f64 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        (0..100_000).filter(|_| workload.draw(&mut rng) == operation).count() as f64 / 100_000.0
    }

    #[test]
    fn each_workload_mixes_its_operations_as_ycsb_says() {
        for (workload, operation, expected) in [
            (Workload::A, Operation::Read, 0.50),
            (Workload::A, Operation::Update, 0.50),
            (Workload::B, Operation::Read, 0.95),
            (Workload::B, Operation::Update, 0.05),
            (Workload::C, Operation::Read, 1.00),
            (Workload::D, Operation::Read, 0.95),
            (Workload::D, Operation::Insert, 0.05),
            (Workload::F, Operation::Read, 0.50),
            (Workload::F, Operation::ReadModifyWrite, 0.50),
        ] {
            let drawn = share(workload, operation);
            assert!((drawn - expected).abs() < 0.01, "{workload:?} {operation:?}: {drawn}");
        }
    }

    #[test]
    fn every_workload_runs_with_each_distribution_but_d_once_with_its_own() {
        let all = runs(&Workload::ALL, &[Preference::Zipfian, Preference::Uniform]);
        assert_eq!(all.len(), 9);
        assert_eq!(all.iter().filter(|(workload, _)| *workload == Workload::D).count(), 1);
        assert!(all.contains(&(Workload::D, Preference::Latest)) && all.contains(&(Workload::F, Preference::Uniform)));
    }
}
