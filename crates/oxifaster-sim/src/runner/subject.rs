//! The programs, by name.

use super::explore::{Look, Verdict, explore, replay};
use super::path::CrashPath;
use crate::program::{
    AnyLength, CheckpointProgram, CheckpointProgramOf, CompactionProgram, DurabilityProgram, ExpiryProgram,
    FasterLogProgram, LogProgram, ManifestProgram, Pieces, Program,
};

/// A program with everything about it that a command needs.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// Its name.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// Looks at one seed.
    pub explore: fn(u64) -> Verdict,
    /// Repeats one path of a seed.
    pub replay: fn(u64, &CrashPath, &mut Look<'_>) -> Verdict,
}

impl Subject {
    /// All programs.
    pub const ALL: [Self; 10] = [
        Self::of::<ManifestProgram>(),
        Self::of::<LogProgram>(),
        Self::of::<CheckpointProgram>(),
        Self::of::<CompactionProgram>(),
        Self::of::<ExpiryProgram>(),
        Self::of::<DurabilityProgram>(),
        Self::of::<DurabilityProgram<Pieces>>(),
        Self::of::<FasterLogProgram>(),
        Self::of::<CheckpointProgramOf<AnyLength>>(),
        Self::of::<CompactionProgram<Vec<u8>>>(),
    ];

    const fn of<P: Program + Default>() -> Self {
        Self {
            name: P::NAME,
            about: P::ABOUT,
            explore: |seed| explore(&P::default(), seed),
            replay: |seed, path, look| replay(&P::default(), seed, path, look),
        }
    }

    /// The program of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|subject| subject.name == name)
    }
}
