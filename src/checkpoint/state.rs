//! The phases of a checkpoint, as a plain value. What operations do in each is in `kernel::version`.
//!
//! ```text
//!   Rest(v) --> Prepare(v) --> InProgress(v+1) --> Capture(v+1) --> Rest(v+1)
//!      ^------------'  given up before the version changed
//! ```

/// Where a checkpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// None is under way, or it no longer concerns operations.
    Rest,
    /// Batched calls that were under way finish, new ones wait.
    Prepare,
    /// The version has changed; operations of the old one may still be running.
    InProgress,
    /// Nobody runs under the old version any more, and its records are left alone.
    Capture,
}

/// Phase and version, as an operation sees them for as long as it is pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) phase: Phase,
    /// The version of operations that begin now.
    pub(crate) version: u64,
}

impl Moment {
    /// No checkpoint is under way.
    pub(crate) const fn rest(version: u64) -> Self {
        Self { phase: Phase::Rest, version }
    }

    /// What comes next when a checkpoint goes on.
    pub(crate) const fn next(self) -> Self {
        let Self { phase, version } = self;
        match phase {
            Phase::Rest => Self { phase: Phase::Prepare, version },
            Phase::Prepare => Self { phase: Phase::InProgress, version: version + 1 },
            Phase::InProgress => Self { phase: Phase::Capture, version },
            Phase::Capture => Self { phase: Phase::Rest, version },
        }
    }

    /// As one word.
    pub(crate) const fn word(self) -> u64 {
        self.version << 2 | self.phase as u64
    }

    /// Out of one word.
    pub(crate) const fn of_word(word: u64) -> Self {
        let phase = match word & 3 {
            0 => Phase::Rest,
            1 => Phase::Prepare,
            2 => Phase::InProgress,
            _ => Phase::Capture,
        };
        Self { phase, version: word >> 2 }
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_goes_round_and_moves_the_version_once() {
        let mut moment = Moment::rest(7);
        let mut seen = Vec::new();
        for _ in 0..5 {
            assert_eq!(Moment::of_word(moment.word()), moment);
            seen.push((moment.phase, moment.version));
            moment = moment.next();
        }
        let expected =
            [(Phase::Rest, 7), (Phase::Prepare, 7), (Phase::InProgress, 8), (Phase::Capture, 8), (Phase::Rest, 8)];
        assert_eq!(seen, expected);
    }
}
