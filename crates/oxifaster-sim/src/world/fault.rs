//! Faults on demand: which access suffers what.

use crate::rng::SimRng;
use std::collections::BTreeMap;
use std::io;

/// The kinds of accesses; each is counted by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// A read of a disk.
    DiskRead,
    /// A write to a disk.
    DiskWrite,
    /// A sync of a disk.
    DiskSync,
    /// A truncation of a disk.
    DiskTruncate,
    /// A file is made.
    FileCreate,
    /// A file is opened.
    FileOpen,
    /// A read of a file.
    FileRead,
    /// A write to a file.
    FileWrite,
    /// A sync of a file.
    FileSync,
    /// A file gets another name.
    FileRename,
    /// A file is removed.
    FileRemove,
    /// The names in a directory are listed.
    DirectoryList,
    /// A sync of a directory.
    DirectorySync,
}

impl Access {
    /// All kinds.
    pub const ALL: [Self; 13] = [
        Self::DiskRead,
        Self::DiskWrite,
        Self::DiskSync,
        Self::DiskTruncate,
        Self::FileCreate,
        Self::FileOpen,
        Self::FileRead,
        Self::FileWrite,
        Self::FileSync,
        Self::FileRename,
        Self::FileRemove,
        Self::DirectoryList,
        Self::DirectorySync,
    ];
}

/// Which accesses of a kind suffer a fault. They are counted from the moment it is planned; 1 is the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// This one, once.
    Nth(u64),
    /// This one and all that follow.
    From(u64),
    /// One out of so many, by chance.
    OneIn(u64),
}

/// Why an access fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The device gives up (EIO).
    Broken,
    /// The device is full (ENOSPC).
    Full,
    /// A signal came in between (EINTR).
    Interrupted,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 3] = [Self::Broken, Self::Full, Self::Interrupted];

    pub(super) fn to_io_error(self) -> io::Error {
        match self {
            Self::Broken => io::Error::other("simulated EIO"),
            Self::Full => io::ErrorKind::StorageFull.into(),
            Self::Interrupted => io::ErrorKind::Interrupted.into(),
        }
    }
}

/// What reads and writes go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// The disks.
    Disk,
    /// The files of directories.
    Files,
}

/// How storage lies about a read or a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// A write is reported as done and never happened, so that reads give what was there before.
    LostWrite,
    /// A write lands in another place and is reported as done.
    MisdirectedWrite,
    /// A read gives the bytes of another place.
    MisdirectedRead,
    /// A bit flips on its way to the reader; what is stored is sound.
    FlippedRead,
    /// A read ends early without being at the end.
    ShortRead,
}

impl Lie {
    /// All lies.
    pub const ALL: [Self; 5] =
        [Self::LostWrite, Self::MisdirectedWrite, Self::MisdirectedRead, Self::FlippedRead, Self::ShortRead];

    /// The accesses that it concerns.
    fn access(self, medium: Medium) -> Access {
        match (self, medium) {
            (Self::LostWrite | Self::MisdirectedWrite, Medium::Disk) => Access::DiskWrite,
            (Self::LostWrite | Self::MisdirectedWrite, Medium::Files) => Access::FileWrite,
            (_, Medium::Disk) => Access::DiskRead,
            (_, Medium::Files) => Access::FileRead,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Fail(Cause),
    Lie(Lie),
}

#[derive(Debug)]
struct Rule {
    access: Access,
    when: When,
    /// How many accesses of the kind there were when the rule was made.
    since: u64,
    effect: Effect,
}

/// The rules, and how often each kind of access was asked for.
#[derive(Debug)]
pub(super) struct Faults {
    rules: Vec<Rule>,
    counts: BTreeMap<Access, u64>,
    struck: u64,
    rng: SimRng,
}

impl Faults {
    pub(super) fn new(rng: SimRng) -> Self {
        Self { rules: Vec::new(), counts: BTreeMap::new(), struck: 0, rng }
    }

    pub(super) fn fail(&mut self, access: Access, when: When, cause: Cause) {
        let since = self.count(access);
        self.rules.push(Rule { access, when, since, effect: Effect::Fail(cause) });
    }

    pub(super) fn lie(&mut self, medium: Medium, when: When, lie: Lie) {
        let access = lie.access(medium);
        let since = self.count(access);
        self.rules.push(Rule { access, when, since, effect: Effect::Lie(lie) });
    }

    pub(super) fn repair(&mut self) {
        self.rules.clear();
    }

    pub(super) fn count(&self, access: Access) -> u64 {
        self.counts.get(&access).copied().unwrap_or(0)
    }

    pub(super) fn struck(&self) -> u64 {
        self.struck
    }

    /// Counts an access and says what it suffers: what the oldest rule that concerns it says.
    pub(super) fn strike(&mut self, access: Access) -> Option<Effect> {
        let count = self.counts.entry(access).or_default();
        *count += 1;
        let (count, rng) = (*count, &mut self.rng);
        let concerned = self.rules.iter().filter(|rule| rule.access == access).find(|rule| match rule.when {
            When::Nth(nth) => count == rule.since.saturating_add(nth),
            When::From(nth) => count >= rule.since.saturating_add(nth),
            When::OneIn(n) => rng.one_in(n),
        });
        let effect = concerned.map(|rule| rule.effect);
        self.struck += u64::from(effect.is_some());
        effect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(faults: &mut Faults, access: Access, count: usize) -> Vec<bool> {
        (0..count).map(|_| faults.strike(access).is_some()).collect()
    }

    #[test]
    fn faults_strike_the_accesses_they_were_planned_for() {
        let mut faults = Faults::new(SimRng::new(1));
        struck(&mut faults, Access::DiskWrite, 10);
        faults.fail(Access::DiskWrite, When::Nth(2), Cause::Full);
        faults.fail(Access::DiskRead, When::From(2), Cause::Broken);
        assert_eq!(struck(&mut faults, Access::DiskWrite, 4), [false, true, false, false]);
        assert_eq!(struck(&mut faults, Access::DiskRead, 4), [false, true, true, true]);
        assert_eq!(struck(&mut faults, Access::FileRead, 3), [false; 3]);
        assert_eq!((faults.struck(), faults.count(Access::DiskWrite)), (4, 14));
        faults.repair();
        assert_eq!(struck(&mut faults, Access::DiskRead, 2), [false; 2]);
        faults.lie(Medium::Files, When::OneIn(4), Lie::LostWrite);
        let often = struck(&mut faults, Access::FileWrite, 400).into_iter().filter(|hit| *hit).count();
        assert!((60..140).contains(&often), "{often}");
    }
}
