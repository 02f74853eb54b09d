//! What happens to simulated storage, in the order in which it happened. Each event is a possible point of a crash.

use std::fmt;
use std::sync::Arc;

/// A disk, or what a name of a directory means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId(pub(crate) u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DirectoryId(pub(crate) u32);

pub(crate) type Name = Arc<str>;

/// Number `n` of a world's events has happened at the crash points above `n`.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A write is on its way: from here on a crash may leave any of its sectors.
    Submit {
        file: FileId,
        offset: u64,
        bytes: Arc<[u8]>,
    },
    /// The write that event `submit` began has come to its end.
    Complete {
        file: FileId,
        submit: usize,
        effect: WriteEffect,
    },
    /// What lies below was given up.
    TruncateBefore {
        file: FileId,
        offset: u64,
    },
    /// Writes that had completed before event `before` are durable; or it is unknown whether they are.
    Sync {
        file: FileId,
        before: usize,
        holds: bool,
    },
    /// The write that event `submit` began is durable, and nothing else; or it is unknown whether it is.
    Through {
        file: FileId,
        submit: usize,
        holds: bool,
    },
    Create {
        directory: DirectoryId,
        name: Name,
        file: FileId,
    },
    Rename {
        directory: DirectoryId,
        from: Name,
        to: Name,
        file: FileId,
    },
    Remove {
        directory: DirectoryId,
        name: Name,
        file: FileId,
    },
    /// All changes of names before are durable; or it is unknown whether they are.
    SyncNames {
        directory: DirectoryId,
        holds: bool,
    },
    /// Bits flipped by themselves, durably.
    Flip {
        file: FileId,
        offset: u64,
        mask: u8,
    },
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WriteEffect {
    /// It was carried out.
    Whole,
    /// It failed: only these sectors of it were written.
    Part(Vec<u32>),
    /// It was carried out in another place, and reported as done.
    Elsewhere(u64),
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file {}", self.0)
    }
}

impl fmt::Display for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "directory {}", self.0)
    }
}

/// For who replays a run.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = |holds: &bool| if *holds { "" } else { ", which fails" };
        match self {
            Self::Submit { file, offset, bytes } => write!(f, "{file}: write {} bytes at {offset}", bytes.len()),
            Self::Complete { file, submit, effect } => {
                write!(f, "{file}: the write of event {submit} ends")?;
                match effect {
                    WriteEffect::Whole => Ok(()),
                    WriteEffect::Part(sectors) if sectors.is_empty() => f.write_str(" without effect"),
                    WriteEffect::Part(sectors) => write!(f, " with its sectors {sectors:?} only"),
                    WriteEffect::Elsewhere(offset) => write!(f, " at {offset}, where it does not belong"),
                }
            }
            Self::TruncateBefore { file, offset } => write!(f, "{file}: truncate before {offset}"),
            Self::Sync { file, before, holds } => {
                write!(f, "{file}: sync of writes that ended before event {before}{}", outcome(holds))
            }
            Self::Through { file, submit, holds } => {
                write!(f, "{file}: sync of the write of event {submit}{}", outcome(holds))
            }
            Self::Create { directory, name, file } => write!(f, "{directory}: create {name} ({file})"),
            Self::Rename { directory, from, to, file } => write!(f, "{directory}: rename {from} to {to} ({file})"),
            Self::Remove { directory, name, file } => write!(f, "{directory}: remove {name} ({file})"),
            Self::SyncNames { directory, holds } => write!(f, "{directory}: sync{}", outcome(holds)),
            Self::Flip { file, offset, mask } => write!(f, "{file}: bits {mask:#04x} flip at {offset}"),
        }
    }
}
