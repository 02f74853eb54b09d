//! What storage does to a run.

use crate::world::{Access, Cause, Lie, Medium, When};
use crate::{SimRng, SimWorld};

/// What goes wrong in a run, beside the power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    /// Nothing.
    Fair,
    /// One kind of call fails, once or from then on: every failure is told.
    Failing,
    /// Reads bring other bytes than were written.
    LyingReads,
    /// Writes are reported and did not happen, or happened elsewhere: what is stored is damaged from then on.
    LyingWrites,
}

impl Weather {
    /// Most runs are fair: what goes wrong hides what a crash does.
    pub(super) fn draw(rng: &mut SimRng) -> Self {
        match rng.below(16) {
            0..10 => Self::Fair,
            10..13 => Self::Failing,
            13..15 => Self::LyingReads,
            _ => Self::LyingWrites,
        }
    }

    /// Whether it can be so while a store recovers: what recovers only reads, and can be asked again.
    pub(super) fn may_hit_recovery(self) -> bool {
        matches!(self, Self::Failing | Self::LyingReads)
    }

    /// Only what a recovery can be repeated after. A sync that failed is final for its disk, and for the names that it was to
    /// make durable: then the process has to end.
    pub(super) fn begin_for_recovery(self, world: &SimWorld, rng: &mut SimRng) {
        let nth = When::Nth(1 + rng.below(8));
        if self == Self::LyingReads {
            let (medium, lies) = (rng.index(2), [Lie::MisdirectedRead, Lie::FlippedRead, Lie::ShortRead]);
            return world.lie([Medium::Disk, Medium::Files][medium], nth, lies[rng.index(lies.len())]);
        }
        let accesses = [Access::DiskRead, Access::DiskWrite, Access::FileOpen, Access::FileRead, Access::DirectoryList];
        world.fail(accesses[rng.index(accesses.len())], nth, Cause::ALL[rng.index(Cause::ALL.len())]);
    }

    pub(super) fn begin(self, world: &SimWorld, rng: &mut SimRng) {
        let most = if rng.coin() { 4 } else { 30 };
        let nth = 1 + rng.below(most);
        let when = if rng.one_in(4) { When::From(nth) } else { When::Nth(nth) };
        let medium = if rng.coin() { Medium::Disk } else { Medium::Files };
        match self {
            Self::Fair => {}
            Self::Failing => {
                let access = Access::ALL[rng.index(Access::ALL.len())];
                world.fail(access, when, Cause::ALL[rng.index(Cause::ALL.len())]);
            }
            Self::LyingReads => {
                let lies = [Lie::MisdirectedRead, Lie::FlippedRead, Lie::ShortRead];
                world.lie(medium, when, lies[rng.index(lies.len())]);
            }
            Self::LyingWrites => {
                let lies = [Lie::LostWrite, Lie::MisdirectedWrite];
                world.lie(medium, when, lies[rng.index(lies.len())]);
            }
        }
    }
}
